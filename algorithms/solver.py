"""What a solver is: frozen options, and a run that `solve` advances and checks."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.game import MarkovGame


class AbstractRun(ABC):
    """One solver at work on one game."""

    finished: bool = False
    """True when going on would change nothing."""
    note: str = ""
    """What to say of the answer."""
    wanted: float = 0.0
    """The gap to reach, which `solve` sets: how exactly to work."""
    concept: str = "nash"
    """What `policy` is measured against: "nash"; or "cce", "ce", for which it is a flat joint
    policy."""

    @abstractmethod
    def advance(self, iterations: int) -> int:
        """Do at most this many iterations, fewer where a check is wanted; return how many."""

    @abstractmethod
    def policy(self) -> NDArray[np.float64]:
        """Return a new flat policy: the answer, if the run were to stop here."""

    def potential(self, flat: NDArray[np.float64]) -> float | None:  # noqa: ARG002
        """Value of the game's potential under a flat policy, for runs that follow one."""
        return None

    def next_check(self, done: int) -> int:
        """How many iterations to do before the gap is measured again."""
        return 2**62 - done


@dataclass(frozen=True, kw_only=True)
class AbstractSolver(ABC):
    """A solver's options. Subclasses add fields, each with a docstring."""

    name: ClassVar[str]
    max_iterations: ClassVar[int]
    """Where `solve` stops if its caller names no limit."""

    settles: ClassVar[bool] = False
    """True for a solver that goes on to rounding error, whatever the tolerance."""

    @abstractmethod
    def start(self, game: MarkovGame, initial: NDArray[np.float64]) -> AbstractRun:
        """Check that the game can be solved and begin from the flat policy `initial`.

        Raises ValueError for a game that is not for this solver.
        """
