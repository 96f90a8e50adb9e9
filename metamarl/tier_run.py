"""What a tiered run found: regret of every tier, whom the high tier trusted, where it lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metamarl.tier_agents import TierAgent
from metamarl.tier_models import TierModel

PER_DECADE = 24  # records in every tenfold of episodes


@dataclass(frozen=True, eq=False)
class Increments:
    """Regret episode by episode, stored where it changes: seldom, once a policy is found."""

    starts: NDArray[np.int64]
    """`(n,)` first episode (from 0) with each of the values."""
    values: NDArray[np.float64]
    """`(n,)` regret of each episode from there on."""
    episodes: int

    def at(self, episodes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cumulative regret after so many episodes each."""
        lengths = np.diff(self.starts, append=self.episodes)
        before = np.concatenate([[0.0], np.cumsum(lengths * self.values)])
        done = np.asarray(episodes)
        k = np.maximum(np.searchsorted(self.starts, done - 1, side="right") - 1, 0)
        return np.where(done > 0, before[k] + self.values[k] * (done - self.starts[k]), 0.0)


class _Learner(Protocol):
    by_state: NDArray[np.float64]
    trust: NDArray[np.int64]
    followed: NDArray[np.int64]


class Recorder:
    """Collects a run: every change of regret, and the rest at geometrically spaced episodes."""

    def __init__(self, n_low: int, episodes: int, horizon: int, n_states: int) -> None:
        points = np.geomspace(1, episodes, 2 + int(PER_DECADE * np.log10(max(episodes, 1))))
        self._points = np.unique(np.round(points).astype(np.int64))
        self._points[-1] = episodes
        self._shape = (horizon, n_states)
        self._chunks: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        self._parts: list[list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = []
        self._parts = [[] for _ in range(n_low + 1)]
        self._done = 0
        self._records: list[tuple[int, Any, Any, Any]] = []

    def next(self, episode: int) -> int:
        """The next episode at which to record, after `episode`."""
        return int(self._points[np.searchsorted(self._points, episode, side="right")])

    def add(self, increments: NDArray[np.float64], learner: _Learner) -> None:
        """Take the regrets `(T, n)` of the episodes just played."""
        for row, parts in zip(increments, self._parts, strict=True):
            last = parts[-1][1][-1] if parts else np.nan
            changes = np.flatnonzero(row != np.concatenate([[last], row[:-1]]))
            if len(changes):
                parts.append((changes + self._done, row[changes]))
        self._done += increments.shape[1]
        if self._done in self._points:
            trust = learner.trust.astype(np.int16)
            record = (self._done, trust, learner.by_state.copy(), learner.followed.copy())
            self._records.append(record)

    def results(self, span: float) -> dict[str, Any]:
        """The fields of a `TieredRun`, in units of reward."""
        low = []
        for parts in self._parts:
            starts, values = zip(*parts, strict=True) if parts else ((), ())
            low.append(
                Increments(
                    np.concatenate([np.zeros(0, np.int64), *starts]),
                    span * np.concatenate([np.zeros(0), *values]),
                    self._done,
                )
            )
        episode, trust, by_state, followed = zip(*self._records, strict=True)
        return {
            "increments": low,
            "recorded": np.array(episode),
            "trust": np.array(trust),
            "regret_by_state": span * np.array(by_state),
            "followed": np.array(followed),
        }


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class TieredRun:
    """What `tiered` found: W sources, K episodes, T records, H steps, S states.

    Regret is exact, V* - V^π at the initial distribution, and cumulative, in units of reward.
    """

    agent: TierAgent
    """The high tier's agent."""
    models: Sequence[TierModel]
    """The tasks as they are: the sources', then the high one."""
    increments: Sequence[Increments]
    """Regret of every episode: the sources', then the high tier's."""
    recorded: NDArray[np.int64]
    """`(T,)` the episodes, geometrically spaced, after which the following was recorded."""
    trust: NDArray[np.int16]
    """`(T, H, S)` the source that the high tier followed at every step and state; -1: none."""
    followed: NDArray[np.int64]
    """`(T, W)` steps so far on which the high tier followed each source."""
    regret_by_state: NDArray[np.float64]
    """`(T, H, S)` the high tier's regret so far, by where it was lost; sums to `regret_high`."""
    config: dict[str, Any]
    """What was run."""
    span: float = 1.0
    """Width of the range of rewards."""
    interrupted: bool = False
    """True after Ctrl-C: the episodes are those that were played."""

    @property
    def episodes(self) -> int:
        """K, the episodes played."""
        return self.increments[-1].episodes

    @property
    def n_low(self) -> int:
        """W, the number of sources."""
        return len(self.increments) - 1

    @property
    def regret_high(self) -> NDArray[np.float64]:
        """`(K,)` cumulative regret of the high tier after every episode."""
        return self.increments[-1].at(np.arange(1, self.episodes + 1))

    @property
    def regret_low(self) -> NDArray[np.float64]:
        """`(W, K)` cumulative regret of every source after every episode."""
        episodes = np.arange(1, self.episodes + 1)
        return np.stack([low.at(episodes) for low in self.increments[:-1]])

    def regret_at(self, episodes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """`(W + 1, n)` cumulative regret of the sources and the high tier after n of the episodes.

        Cheap however long the run: `regret_high` and `regret_low` make an entry for every episode.
        """
        return np.stack([tier.at(np.asarray(episodes)) for tier in self.increments])

    def __repr__(self) -> str:
        stopped = ", interrupted" if self.interrupted else ""
        if not self.episodes:
            return f"<TieredRun of {self.agent.label}: no episode{stopped}>"
        regret = self.regret_at([self.episodes])[-1, 0]
        return (
            f"<TieredRun of {self.agent.label}: {self.n_low} sources, {self.episodes:,} episodes, "
            f"regret {regret:,.1f}{stopped}>"
        )
