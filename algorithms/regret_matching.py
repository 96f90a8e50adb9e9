r"""Predictive regret matching+ on every stage game: zero-sum games with many actions.

Farina, Kroer and Sandholm, "Faster game solving via predictive Blackwell approachability:
connecting regret matching and mirror descent" (AAAI 2021): with regrets $R$ and the last utility
vector $g$ as the prediction of the next one, play is proportional to
$[R + g - \langle g, x \rangle 1]^+$. The players move in turn, and the answer is the average of
their plays with quadratic weights $t^2$. One iteration is two products of the matrix with a vector,
so that it wins over the simplex where matrices are large (`benchmarks/large_actions.py`).

A stage game is left when the gap of its averages is ε or less. With ε in all stage games along H
steps the whole has a duality gap of at most H·ε (a stage's value is off by half of ε, which adds up
on both sides), so that ε = tol/H needs one backward pass. With cycles the passes are policy
iterations as in `exact`, with ε = tol/(2T) for an expected duration T; plays and regrets go on from
the last pass. Plays are in single precision as long as ε allows it; their averages, values and the
certified gap are in double precision.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms._regret_matching_run import RegretMatchingRun
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.evaluator import expected_duration
from metamarl.algorithms.solver import AbstractRun, AbstractSolver
from metamarl.envs.checks import check_integer, complaint, said
from metamarl.envs.game import MarkovGame

CROSSOVERS = ((1e-3, 64), (1e-4, 96), (1e-5, 192))
"""Relative gaps, and from how many actions of both players on it wins over the simplex for them."""


@dataclass(frozen=True, kw_only=True)
class RegretMatching(AbstractSolver):
    """Options of predictive regret matching+; an iteration is a pass over all stage games."""

    name: ClassVar[str] = "regret-matching"
    max_iterations: ClassVar[int] = 10_000

    plays: int = 100_000
    """Largest number of plays of a stage game in one pass."""

    def __post_init__(self) -> None:
        check_integer(self.plays, "plays", "RegretMatching")

    def start(self, game: MarkovGame, initial: NDArray[np.float64]) -> AbstractRun:
        """Begin from `initial`; ValueError for a game that is not zero-sum."""
        if game.kind != "zero-sum":
            must = "a zero-sum game for solver 'regret-matching'"
            raise ValueError(complaint("game", "solve", must, said(f"a {game.kind} game")))
        return RegretMatchingRun(game, initial, self.plays)


def is_quicker(game: MarkovGame, tol: float) -> bool:
    """Whether regret matching is expected to reach a gap of `tol` before the simplex solves a game.

    By the largest stage game, and `tol` in units of the largest reward times the duration.
    """
    fewer = int(game.table.counts.min(1).max())
    if fewer < CROSSOVERS[0][1]:
        return False
    steps = expected_duration(game) if game.nodes.cyclic else float(effective_horizon(game))
    relative = tol / (steps * float(np.abs(game.table.reward[0]).max()) or np.inf)
    return any(relative >= gap and fewer >= actions for gap, actions in CROSSOVERS)
