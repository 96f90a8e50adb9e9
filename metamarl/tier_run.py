"""What a tiered run found: regret of every tier, whom the high tier trusted, where it lost."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import complaint
from metamarl.files import check_folder, write_csv, write_text
from metamarl.tier_agents import TierAgent
from metamarl.tier_diagnostics import TierDiagnosis, diagnose
from metamarl.tier_models import TierModel
from metamarl.tier_recorder import Increments

FILES = ("figure.png", "regret.csv", "states.csv", "config.json")


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

        Raises:
            TypeError, ValueError: what are no integers from 0 to the number of episodes.
        """
        must = f"integers from 0 to the number of episodes, {self.episodes}"
        try:
            after = np.asarray(episodes)
        except ValueError:  # lists of different lengths
            raise TypeError(complaint("episodes", "regret_at", must, episodes)) from None
        if after.size and after.dtype.kind not in "iu":
            raise TypeError(complaint("episodes", "regret_at", must, episodes))
        after = after.astype(np.int64)
        if ((after < 0) | (after > self.episodes)).any():
            raise ValueError(complaint("episodes", "regret_at", must, episodes))
        return np.stack([tier.at(after) for tier in self.increments])

    def __repr__(self) -> str:
        stopped = ", interrupted" if self.interrupted else ""
        if not self.episodes:
            return f"<TieredRun of {self.agent.label}: no episode{stopped}>"
        regret = self.regret_at([self.episodes])[-1, 0]
        return (
            f"<TieredRun of {self.agent.label}: {self.n_low} sources, {self.episodes:,} episodes, "
            f"regret {regret:,.1f}{stopped}>"
        )

    @cached_property
    def diagnosis(self) -> TierDiagnosis:
        """Where sources can help, with the agent's slack and occupancy where it has them."""
        slack = getattr(self.agent, "slack", 0.0)
        occupancy = getattr(self.agent, "occupancy", 0.3)
        return diagnose(self.models, slack, occupancy, self.span)

    @property
    def trust_share(self) -> NDArray[np.float64]:
        """`(T, W)` share of all (step, state) pairs at which each source was followed."""
        return np.stack([(self.trust == w).mean((1, 2)) for w in range(self.n_low)], axis=1)

    @property
    def regret_split(self) -> NDArray[np.float64]:
        """`(T, 2)` the high tier's regret so far in transferable states, and in all others."""
        covered = self.diagnosis.covered
        return np.stack([self.regret_by_state[:, c].sum(1) for c in (covered, ~covered)], axis=1)

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draw regret against episodes, and where a source was trusted; return the file's path."""
        from metamarl.tier_plot import plot_tiers

        return plot_tiers({self.agent.label: [self]}, path)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write regret.csv, states.csv, config.json and figure.png, each atomically.

        Raises:
            ValueError, OSError: a folder that cannot be written into, found out first.
        """
        folder = check_folder(folder, FILES)
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / "regret.csv", self.regret_rows())
        write_csv(folder / "states.csv", self.state_rows())
        config = {**self.config, "played": self.episodes, "interrupted": self.interrupted}
        write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
        if len(self.recorded):
            self.plot(folder / "figure.png")
        return folder

    def regret_rows(self) -> Iterator[dict[str, Any]]:
        """One dict per record: episode, regret (where it arose), trust; every source's regret."""
        regret, split, share = self.regret_at(self.recorded), self.regret_split, self.trust_share
        for t, episode in enumerate(self.recorded.tolist()):
            row = {
                "episode": episode,
                "regret": float(regret[-1, t]),
                "regret_transferable": float(split[t, 0]),
                "regret_other": float(split[t, 1]),
            }
            for w in range(self.n_low):
                row[f"trust_{w}"] = float(share[t, w])
            for w in range(self.n_low):
                row[f"low_{w}"] = float(regret[w, t])
            yield row

    def state_rows(self) -> Iterator[dict[str, Any]]:
        """One dict per (source, step, state): the conditions, the margin, trust and regret."""
        found = self.diagnosis
        for w, h, s in np.ndindex(found.margin.shape):
            at = (w, h, s)
            yield {
                "source": w,
                "step": h,
                "state": s,
                "comes": bool(found.comes[at]),
                "right": bool(found.right[at]),
                "no_better": bool(found.no_better[at]),
                "margin": float(found.margin[at]),
                "trusted": bool(len(self.trust)) and bool(self.trust[-1, h, s] == w),
                "regret": float(self.regret_by_state[-1, h, s]) if len(self.trust) else 0.0,
            }
