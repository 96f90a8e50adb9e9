"""What `solve` returns, and what it says of itself."""

import json
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solver import AbstractSolver
from metamarl.envs.checks import check_kind, complaint
from metamarl.envs.files import write_atomically
from metamarl.envs.game import MarkovGame

if TYPE_CHECKING:
    from metamarl.algorithms.playing import Player

FORMAT = "metamarl solution 2"
DIGITS = 9  # after the point, of the numbers that tell games apart


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
class ReturnTrace:
    """What episodes earned while learning: one entry (K in all) per check before which some ended.

    Episodes are those that ended since the check before, played by policies that were still
    learning; rewards are summed without discount.
    """

    steps: NDArray[np.int64]
    """`(K,)` steps of the environment done."""
    episodes: NDArray[np.int64]
    """`(K,)` how many episodes ended."""
    mean: NDArray[np.float64]
    """`(K, n)` mean return of every agent."""

    def __len__(self) -> int:
        return len(self.steps)


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
    init: JointPolicy | None = None
    """The policy it started from; None where there were several starts, or one at
    every stage."""
    correlated: CorrelatedPolicy | None = None
    """For solvers that find correlated equilibria: the joint policy."""
    note: str = ""
    """What the solver has to say of its answer, such as ties between equilibria."""
    width: NDArray[np.float64] | None = None
    """`(n,)` for a game that was estimated from draws: the values in the environment are within
    `value` ± `width` with 95 % confidence (see `metamarl.algorithms.value_width`), while `gap` is
    that in the estimated game. None where the game is exact."""

    game: MarkovGame | None = field(default=None, repr=False, compare=False)
    """What was solved; None after `load` without it."""

    @cached_property
    def player(self) -> "Player":
        """Plays the solution in the environment that the game came from, with seed 0.

        Raises ValueError where the game is not known (see `load`).
        """
        from metamarl.algorithms.playing import Player  # PettingZoo: only where it is used

        if self.game is None:
            must = "one with its game: load(path, game)"
            raise ValueError(complaint("solution", "act", must, self))
        return Player(self.game, self.correlated or self.policy)

    def act(
        self,
        agent: Hashable,
        observation: Any,
        info: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> Any:
        """What `agent` does on seeing this: `self.player.act` (which see for playing one agent).

        Call `self.player.begin()` between episodes. For another seed make a `Player`.
        """
        return self.player.act(agent, observation, info, step)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the solution to one file, for `mm.load`; nothing of it is pickled.

        It is an `.npz` file: "player_0", … are the policy's arrays, "joint" that of `correlated`,
        "trace_iteration", … the trace, "value" and "width" as here; "about" is JSON text with all
        the rest, and with the shape and name of the game, which itself is not written.

        Args:
            path: the file; its folder must be there. A file of that name is replaced, at once.
        """
        check_kind(path, (str, os.PathLike), "path", "save", "a path")
        arrays: dict[str, Any] = {f"player_{i}": array for i, array in enumerate(self.policy)}
        if self.correlated is not None:
            arrays["joint"] = self.correlated.joint
        for name in ("iteration", "gap", "seconds", "potential"):
            column = getattr(self.trace, name)
            if column is not None:
                arrays[f"trace_{name}"] = column
        arrays["value"] = self.value
        if self.width is not None:
            arrays["width"] = self.width
        about = {
            "format": FORMAT,
            "game": None if self.game is None else describe(self.game),
            "solver": {"name": self.solver.name, **asdict(self.solver)},
            "gap": self.gap,
            "iterations": self.iterations,
            "seconds": self.seconds,
            "status": self.status.name,
            "note": self.note,
        }
        arrays["about"] = np.array(json.dumps(about))

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)

        write_atomically(Path(path), write)
        return Path(path)

    @property
    def converged(self) -> bool:
        """Whether the gap is at most `tol`."""
        return self.status is Status.CONVERGED

    def __repr__(self) -> str:
        values = ", ".join(f"{v:.6g}" for v in self.value)
        width = "" if self.width is None else ", ".join(f"{v:.3g}" for v in self.width)
        return (
            f"Solution({self.status.name.lower()}, value=[{values}], "
            f"{f'width=[{width}], ' if width else ''}gap={self.gap:.3g}, "
            f"iterations={self.iterations}, seconds={self.seconds:.3g}, solver={self.solver})"
        )


def describe(game: MarkovGame) -> dict[str, Any]:
    """What tells games apart: name, sizes, clock, and hashes of their tables.

    One is of which states follow which, one of rewards, probabilities and the start, to nine digits
    after the point, where machines may differ.
    """
    table, links, numbers = game.table, sha256(), sha256()
    for places in (*table.legal, table.rows, table.indptr, table.indices):
        links.update(places.astype("<i8").tobytes())
    for column in (table.reward, table.probabilities, game.initial):
        numbers.update((np.round(column, DIGITS) + 0.0).astype("<f8").tobytes())  # no -0.0
    return {
        "name": game.name,
        "n_states": game.n_states,
        "n_actions": list(game.n_actions),
        "horizon": game.horizon,
        "discount": game.discount,
        "links": links.hexdigest()[:16],
        "numbers": numbers.hexdigest()[:16],
    }


class SolveError(RuntimeError):
    """A solve that did not converge: `solution` holds what it had, the first of `solutions`."""

    def __init__(self, solution: Any, solutions: Sequence[Any] = ()) -> None:
        super().__init__(f"{solution.status.value} The gap is {solution.gap:.3g}.")
        self.solution, self.solutions = solution, list(solutions) or [solution]


class SolveInterrupted(KeyboardInterrupt):
    """Ctrl-C during a solve; `solution` holds the best policy so far, as in `SolveError`."""

    def __init__(self, solution: Any, solutions: Sequence[Any] = ()) -> None:
        super().__init__(solution.status.value)
        self.solution, self.solutions = solution, list(solutions) or [solution]
