"""What `solve` returns, and what it says of itself."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solver import AbstractSolver


class Status(Enum):
    """How a solve ended; the value is the message."""

    CONVERGED = "The gap is at most 'tol'."
    ESTIMATED = "The estimated gap, a lower bound, is with its interval at most 'tol'."
    MAX_ITERATIONS = "The gap is still above 'tol' after the largest number of iterations."
    STALLED = "The solver cannot lower the gap to 'tol': further iterations change nothing."
    NONFINITE = "The solver met infinite or undefined numbers; try a smaller step size."
    INTERRUPTED = "The solve was interrupted; this is the best policy it had."


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One entry per measurement of the gap."""

    iteration: NDArray[np.int64]
    """`(K,)` iterations done."""
    gap: NDArray[np.float64]
    """`(K,)` exact gap of the solver's output at that point."""
    seconds: NDArray[np.float64]
    """`(K,)` seconds since the start, measurements included."""
    potential: NDArray[np.float64] | None = None
    """`(K,)` the potential of the solver's output, for solvers of potential games that know it."""

    def __len__(self) -> int:
        return len(self.iteration)


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A policy with its certificate."""

    policy: JointPolicy
    """The measured policy with the smallest gap; the marginals of `correlated` where given."""
    value: NDArray[np.float64]
    """`(n,)` value of every player from `initial` under `policy`, or `correlated` where given."""
    gap: float
    """Exact Nash gap of `policy` (zero-sum games: the duality gap), or the coarse correlated gap of
    `correlated` where that is given."""
    iterations: int
    """Iterations done in all."""
    seconds: float
    """Wall time, measurements of the gap included."""
    status: Status
    """How it ended."""
    trace: Trace
    """The gap along the way."""
    solver: AbstractSolver
    """The options it was solved with."""
    correlated: CorrelatedPolicy | None = None
    """For solvers that find correlated equilibria: the joint policy."""
    note: str = ""
    """What the solver has to say of its answer, such as ties between equilibria."""

    @property
    def converged(self) -> bool:
        """Whether the gap is at most `tol`."""
        return self.status is Status.CONVERGED

    def __repr__(self) -> str:
        values = ", ".join(f"{v:.6g}" for v in self.value)
        return (
            f"Solution({self.status.name.lower()}, value=[{values}], gap={self.gap:.3g}, "
            f"iterations={self.iterations}, seconds={self.seconds:.3g}, solver={self.solver})"
        )


class SolveError(RuntimeError):
    """A solve that did not converge; `solution` holds what it had."""

    def __init__(self, solution: Any) -> None:
        super().__init__(f"{solution.status.value} The gap is {solution.gap:.3g}.")
        self.solution = solution


class SolveInterrupted(KeyboardInterrupt):
    """Ctrl-C during a solve; `solution` holds the best policy so far."""

    def __init__(self, solution: Any) -> None:
        super().__init__(solution.status.value)
        self.solution = solution
