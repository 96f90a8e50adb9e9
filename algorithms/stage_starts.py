r"""Where every stage of mirror descent begins: at a policy that suits the stage's own matrices.

The staged algorithm (see `optimistic_mirror_descent`) begins each of its stages again from the one
policy it was given. A `StageStart` looks at the matrices that a stage holds still, and at what was
played on the last ones, and proposes a policy for every (step, state). A proposal is mixed with a
part $α = c g^2 / (1 + c g^2)$ of the uniform policy, where $g$ is its duality gap in the matrix at
hand divided by the uniform policy's: an exact certificate, of two products of the matrix with a
vector. A proposal that is no better than uniform costs no more than $\log 1/α$ in divergence.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import check_real, complaint

Plays = tuple[NDArray[np.float64], NDArray[np.float64]]
ROUNDING = 1e-6
TRIFLE = 1e-12  # of the uniform policy's gap and of the numbers in a matrix: rounding


@dataclass(frozen=True, kw_only=True)
class StageStart(ABC):
    """Proposes where to begin a stage, for all nodes of one shape at once.

    It is for solver "omd" on two-player zero-sum games: `mm.solve(game, "omd", mm.LastPlays())`.
    """

    caution: float = 25.0
    """c: larger values stay closer to uniform."""
    least: float = 0.01
    """Smallest part of the uniform policy."""

    def __post_init__(self) -> None:
        check_real(self.caution, "caution", type(self).__name__, 0.0)
        check_real(self.least, "least", type(self).__name__, 0.0, 1.0)

    @abstractmethod
    def propose(self, matrices: NDArray[np.float64], plays: Plays) -> Plays:
        """Both players' policies to begin a stage with.

        Args:
            matrices: `(n, A, B)` stage matrices, which player 0 maximises.
            plays: `(n, A)` and `(n, B)` average plays of the last stage; uniform before the first
                one.

        Returns:
            `(n, A)` and `(n, B)` policies; rows sum to 1.
        """


@dataclass(frozen=True, kw_only=True)
class LastPlays(StageStart):
    """Goes on from the last stage's average plays, as far as they can be trusted (ours).

    Nothing is learned: it is what a learned start has to be compared with.
    """

    def propose(self, matrices: NDArray[np.float64], plays: Plays) -> Plays:
        """Mix the last plays with the uniform policy, node by node."""
        return certified_plays(matrices, plays, self.caution, self.least)


def ask(
    start: StageStart, matrices: NDArray[np.float64], plays: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`(n, A + B)` what `start` proposes, checked; `plays` are both players' too."""
    A = matrices.shape[1]
    x, y = (
        np.asarray(part, float) for part in start.propose(matrices, (plays[:, :A], plays[:, A:]))
    )
    for part, play in ((x, plays[:, :A]), (y, plays[:, A:])):
        fine = part.shape == play.shape and (part >= 0.0).all()
        if not fine or not (np.abs(part.sum(1) - 1.0) <= ROUNDING).all():
            must = f"a StageStart whose proposals are policies, here of shape {play.shape}"
            raise ValueError(complaint("init", "solve", must, part))
    return np.concatenate([x, y], axis=1)


def matrix_bounds(matrices: NDArray[np.float64], plays: Plays) -> Plays:
    """`(n,)` min(Qᵀ·x) and max(Q·y), between which the values of the matrices lie."""
    x, y = plays
    return (x[:, None] @ matrices)[:, 0].min(1), (matrices @ y[:, :, None])[:, :, 0].max(1)


def matrix_gaps(matrices: NDArray[np.float64], plays: Plays) -> NDArray[np.float64]:
    """`(n,)` duality gaps max(Q·y) - min(Qᵀ·x) of policies in matrices."""
    lower, upper = matrix_bounds(matrices, plays)
    return upper - lower


def certified_plays(
    matrices: NDArray[np.float64], plays: Plays, caution: float, least: float
) -> Plays:
    """Policies with a part α of the uniform ones (see above), at least `least`; 1 at no numbers."""
    n, A, B = matrices.shape
    uniform = np.full((n, A), 1.0 / A), np.full((n, B), 1.0 / B)
    own, scratch = matrix_gaps(matrices, plays), matrix_gaps(matrices, uniform)
    trifle = TRIFLE * (scratch + np.abs(matrices).max((1, 2))) + np.finfo(float).tiny
    odds = caution * ((own + trifle) / (scratch + trifle)) ** 2
    part = np.where(np.isfinite(odds), np.maximum(least, odds / (1.0 + odds)), 1.0)[:, None]
    x, y = (
        np.where(part < 1.0, (1.0 - part) * play + part * even, even)
        for play, even in zip(plays, uniform, strict=True)
    )
    return x, y
