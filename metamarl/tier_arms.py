"""One run of a comparison of high-tier agents: carried out here or elsewhere, kept, read again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metamarl.envs.tier_families import Tiers
from metamarl.fingerprint import fingerprint
from metamarl.tier_agents import TierAgent
from metamarl.tier_comparison import Key
from metamarl.tier_models import solve_tier
from metamarl.tier_recorder import Increments
from metamarl.tier_run import TieredRun
from metamarl.tiers import tiered

Finished = tuple[TieredRun, float]
ARRAYS = {  # of a run
    "recorded": np.int64, "trust": np.int16, "followed": np.int64, "regret_by_state": np.float64
}  # fmt: skip


@dataclass(frozen=True)
class TierPart:
    """One run: an agent on tiers, with a seed."""

    key: Key
    """(model, seed, agent's label)."""
    tiers: Tiers
    agent: TierAgent
    episodes: int
    options: dict[str, Any]
    """`bonus`, `coefficient` and `reward_range` of `tiered`."""

    def run(self, progress: Callable[[int, int], None] | None = None) -> Finished:
        """The run, and its seconds."""
        began = time.perf_counter()
        run = tiered(
            *self.tiers, self.agent, self.episodes, self.key[1], progress=progress, **self.options
        )
        return run, time.perf_counter() - began

    def digest(self) -> str:
        """What the run is computed from, as one short text."""
        facts = [self.key[1], self.agent, self.episodes, *self.options.values()]
        return fingerprint([*self.tiers.low, self.tiers.high], "tiered", *facts)

    def complete(self, run: TieredRun) -> TieredRun:
        """A run with its models, which are not sent about: they are the tasks'."""
        low, high = self.options["reward_range"]
        models = [solve_tier(game, low, high - low) for game in (*self.tiers.low, self.tiers.high)]
        return replace(run, models=models)

    def read(self, kept: dict[str, Any]) -> Finished:
        """A run as it was, and its seconds, from what `plain_run` made of it."""
        arrays: dict[str, Any] = {
            name: np.array(kept[name], kind).reshape(kept["shapes"][name])
            for name, kind in ARRAYS.items()
        }
        run = TieredRun(
            agent=self.agent,
            models=[],
            increments=[
                Increments(np.array(starts, np.int64), np.array(values, float), episodes)
                for starts, values, episodes in kept["increments"]
            ],
            config=dict(kept["config"]),
            span=kept["span"],
            **arrays,
        )
        return self.complete(run), float(kept["seconds"])


def run_there(k: int, part: TierPart) -> tuple[int, TieredRun, float]:
    """A run in a worker, to be sent back without what its task is."""
    run, seconds = part.run()
    return k, replace(run, models=[]), seconds


def plain_run(run: TieredRun, seconds: float) -> dict[str, Any]:
    """A finished run as it is kept."""
    arrays = {name: getattr(run, name) for name in ARRAYS}
    return {
        "increments": [(i.starts.tolist(), i.values.tolist(), i.episodes) for i in run.increments],
        "shapes": {name: array.shape for name, array in arrays.items()},
        **{name: array.ravel().tolist() for name, array in arrays.items()},
        "config": run.config,
        "span": run.span,
        "seconds": seconds,
    }
