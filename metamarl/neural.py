"""The learned initialiser: a network that predicts the start of every stage from its matrices.

An average of past equilibria helps where games are variations of one. What a small network learns
of past games is how to solve a matrix like theirs in a few steps; where the equilibria differ it
can help all the same. And it is asked at every stage, by which time the solver's own matrices are
near those at equilibrium (see `stage_network`, `network_training`).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Self

from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solution import Solution
from metamarl.algorithms.solver import AbstractSolver
from metamarl.algorithms.stage_starts import StageStart
from metamarl.envs.checks import check_integer, check_kind, check_real, complaint, said
from metamarl.envs.game import MarkovGame
from metamarl.meta import MetaLearner
from metamarl.network_training import train_network
from metamarl.stage_network import StageNetwork


@dataclass(frozen=True, kw_only=True)
class Neural(MetaLearner):
    """A network begins every stage (ours); for solver "omd" on two-player zero-sum games.

    It is trained on the games before, when their number has become 1, 2, 4, 8, …, going on from
    what it was; the time that takes counts as the game's that it comes after.
    """

    name: ClassVar[str] = "neural"

    weights: str | None = None
    """A file that `StageNetwork.save` wrote: that network is used from the first game on, and not
    trained. It needs no torch."""
    steps: int = 200
    """Of gradient descent, in each of two rounds, every time it is trained."""
    seed: int = 0
    """Of the training."""
    caution: float = 25.0
    """c: larger values stay closer to uniform (see `stage_starts`)."""
    least: float = 0.01
    """Smallest part of the uniform policy."""
    checksum: str = field(default="", init=False, repr=False)
    """Of the file."""

    def __post_init__(self) -> None:
        check_integer(self.steps, "steps", "Neural", 0)
        check_integer(self.seed, "seed", "Neural", 0)
        check_real(self.caution, "caution", "Neural", 0.0)
        check_real(self.least, "least", "Neural", 0.0, 1.0)
        network = None
        if self.weights is not None:
            check_kind(self.weights, (str, os.PathLike), "weights", "Neural", "a file's path")
            object.__setattr__(self, "weights", os.fspath(self.weights))
            network = StageNetwork.load(self.weights)
            network = replace(network, caution=self.caution, least=self.least)
            digest = sha256(Path(self.weights).read_bytes()).hexdigest()
            object.__setattr__(self, "checksum", digest)
        self._remember(network, ())

    def _remember(self, network: StageNetwork | None, seen: tuple[MarkovGame, ...]) -> None:
        object.__setattr__(self, "network", network)
        object.__setattr__(self, "seen", seen)

    network: ClassVar[StageNetwork | None]  # no options: what an object has learned
    seen: ClassVar[tuple[MarkovGame, ...]]

    def without_model(self) -> MetaLearner:
        """Raise ValueError: what the network reads are matrices of the model."""
        must = "a learner other than 'neural' for solvers that only play the games"
        raise ValueError(complaint("meta", "compare", must, self.label))

    def after(self, game: MarkovGame, solution: Solution, tol: float) -> Self:
        """Learn from a game that was solved."""
        if self.weights is not None:
            return self
        assert isinstance(solution.solver, OptimisticMirrorDescent)
        seen, network = (*self.seen, game), self.network
        count = len(seen)
        if count & (count - 1) == 0:  # a power of two
            network = train_network(
                seen, tol=tol, solver=solution.solver, steps=self.steps,
                seed=self.seed + count, network=network,
            )  # fmt: skip
            network = replace(network, caution=self.caution, least=self.least)
        learned = replace(self)
        learned._remember(network, seen)
        return learned

    def start(
        self,
        game: MarkovGame,  # noqa: ARG002
        past: Sequence[JointPolicy],  # noqa: ARG002
    ) -> StageStart | None:
        """The network; None before it has learned anything."""
        return self.network

    def solve(
        self,
        game: MarkovGame,
        past: Sequence[JointPolicy],
        solver: AbstractSolver,
        tol: float,
        max_iterations: int | None,
    ) -> Solution:
        """Solve `game`; ValueError where it is no game, or no solver, that has stage matrices."""
        if not isinstance(solver, OptimisticMirrorDescent) or game.kind != "zero-sum":
            must = "other than 'neural', which is for solver 'omd' on two-player zero-sum games"
            got = said(f"{self.label!r} for solver {solver.name!r} on a {game.kind} game")
            raise ValueError(complaint("meta", "compare", must, got))
        return super().solve(game, past, solver, tol, max_iterations)
