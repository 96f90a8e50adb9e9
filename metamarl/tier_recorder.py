"""How a tiered run is watched: every change of regret, the rest at spaced episodes; Ctrl-C."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import complaint

PER_DECADE = 24  # records in every tenfold of episodes


class Learner(Protocol):
    """Tasks that are learned: the sources, then the high tier."""

    episode: int
    """Episodes played."""
    by_state: NDArray[np.float64]
    """`(H, S)` regret of the high tier so far, by step and state."""
    trust: NDArray[np.int64]
    """`(H, S)` the source that the high tier's last policy followed, or -1."""
    followed: NDArray[np.int64]
    """`(W,)` steps so far on which the high tier followed each source."""

    def advance(self, until: int) -> NDArray[np.float64]:
        """Play on, at most until episode `until`; the regrets `(T, n)` of these episodes."""


@dataclass(frozen=True, eq=False)
class Increments:
    """Regret episode by episode, stored where it changes: seldom, once a policy is found."""

    starts: NDArray[np.int64]
    """`(n,)` first episode (from 0) with each of the values."""
    values: NDArray[np.float64]
    """`(n,)` regret of each episode from there on."""
    episodes: int

    def at(self, episodes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cumulative regret after so many episodes each, at most those that were played."""
        if not self.episodes:
            return np.zeros(np.shape(episodes))
        lengths = np.diff(self.starts, append=self.episodes)
        before = np.concatenate([[0.0], np.cumsum(lengths * self.values)])
        done = np.asarray(episodes)
        k = np.maximum(np.searchsorted(self.starts, done - 1, side="right") - 1, 0)
        return np.where(done > 0, before[k] + self.values[k] * (done - self.starts[k]), 0.0)


class _Recorder:
    """Collects a run of T tasks."""

    def __init__(self, tasks: int, episodes: int) -> None:
        count = 2 + int(PER_DECADE * np.log10(episodes))
        self._points = np.unique(np.round(np.geomspace(1, episodes, count)).astype(np.int64))
        self._parts: list[list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = []
        self._parts = [[] for _ in range(tasks)]
        self._done = 0
        self._records: list[tuple[Any, ...]] = []

    def next(self, episode: int) -> int:
        """The next episode at which to record, after `episode`."""
        return int(self._points[np.searchsorted(self._points, episode, side="right")])

    def add(self, increments: NDArray[np.float64], learner: Learner) -> None:
        """Take the regrets `(T, n)` of the episodes just played."""
        for row, parts in zip(increments, self._parts, strict=True):
            last = parts[-1][1][-1] if parts else np.nan
            changes = np.flatnonzero(row != np.concatenate([[last], row[:-1]]))
            if len(changes):
                parts.append((changes + self._done, row[changes]))
        self._done += increments.shape[1]
        if self._done in self._points:
            now = (learner.trust, learner.by_state, learner.followed)
            self._records.append((self._done, *(array.copy() for array in now)))

    def results(self, learner: Learner, span: float) -> dict[str, Any]:
        """The recorded fields of a `TieredRun`, in units of reward."""
        increments = []
        for parts in self._parts:
            starts, values = zip(*parts, strict=True) if parts else ((), ())
            increments.append(
                Increments(
                    np.concatenate([np.zeros(0, np.int64), *starts]),
                    span * np.concatenate([np.zeros(0), *values]),
                    self._done,
                )
            )
        (H, S), W = learner.trust.shape, len(learner.followed)
        episodes, trust, by_state, followed = (
            zip(*self._records, strict=True) if self._records else [()] * 4
        )
        return {
            "increments": increments,
            "recorded": np.array(episodes, np.int64),
            "trust": np.array(trust, np.int16).reshape(-1, H, S),
            "regret_by_state": span * np.array(by_state, float).reshape(-1, H, S),
            "followed": np.array(followed, np.int64).reshape(-1, W),
        }


def watch(
    learner: Learner,
    tasks: int,
    episodes: int,
    span: float,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    """Let a learner play, and return the recorded fields of a `TieredRun`.

    After Ctrl-C they hold the episodes that were played, but for those of the kernel's last call.
    """
    recorder, interrupted = _Recorder(tasks, episodes), False
    try:
        while learner.episode < episodes:
            recorder.add(learner.advance(recorder.next(learner.episode)), learner)
            if progress is not None:
                progress(learner.episode, episodes)
    except KeyboardInterrupt:
        interrupted = True
    return {"interrupted": interrupted, **recorder.results(learner, span)}


def check_progress(progress: Any, where: str) -> None:
    """Raise TypeError where it can be neither called nor left out."""
    if progress is not None and not callable(progress):
        raise TypeError(complaint("progress", where, "a function or None", progress))


def streams(seed: int, tasks: int) -> NDArray[np.uint64]:
    """`(T,)` states of the tasks' generators: every one depends on (seed, its place) alone.

    The high tier comes last and draws from place 0, so that the number of sources changes nothing.
    """
    places = [*range(1, tasks), 0]
    sequences = [np.random.SeedSequence(seed, spawn_key=(place,)) for place in places]
    return np.array([s.generate_state(1, np.uint64)[0] for s in sequences])
