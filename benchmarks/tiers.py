"""Tiers: the published behaviour, and a rule that needs no delay against delays that do.

Four studies, each over several models (high-tier tasks and sources drawn anew, with another seed):
bandits (1e6 rounds); delays (3e5 episodes: no transfer, the published rule with transfer from 0, 5
and 10 % of the episodes on, and the default); permuted sources in the setting of
Huang and He (NeurIPS 2023; strong-euler bonus, 4e6 episodes, transfer from 5e5 on). Every finished
run is kept in the folder, and the study goes on where it was stopped.

    python benchmarks/tiers.py [--only delays,permuted,bandits] [--models 6] [--out FOLDER]
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import metamarl as mm
from metamarl.envs.files import write_text

MILLION = 10**6
EPISODES = 300_000  # of the study of delays
PUBLISHED = {"evidence": None}
BANDITS = {  # high tier's best arm and source's best arm, in words: (source, high tier)
    "identical": ([0.8, 0.6, 0.5, 0.4, 0.3], [0.8, 0.6, 0.5, 0.4, 0.3]),
    "close (+0.02)": ([0.82, 0.3, 0.6, 0.5, 0.4], [0.8, 0.6, 0.5, 0.4, 0.3]),
    "other best arm": ([0.6, 0.9, 0.5, 0.4, 0.3], [0.8, 0.6, 0.5, 0.4, 0.3]),
    "dominance violated": ([0.3, 0.55, 0.2, 0.2, 0.2], [0.8, 0.6, 0.5, 0.4, 0.3]),
}
BANDIT_AGENTS = {
    "UCB": mm.NoTransfer(),
    "published": mm.RobustTransfer(**PUBLISHED),
    "published, slack 0.05": mm.RobustTransfer(slack=0.05, **PUBLISHED),
    "default": mm.RobustTransfer(),
    "default, slack 0.05": mm.RobustTransfer(slack=0.05),
    "naive": mm.NaiveTransfer(),
}
DELAYS = {
    "none": mm.NoTransfer(),
    "delay 0": mm.RobustTransfer(**PUBLISHED),
    "delay 5 %": mm.RobustTransfer(delay=EPISODES // 20, **PUBLISHED),
    "delay 10 %": mm.RobustTransfer(delay=EPISODES // 10, **PUBLISHED),
    "default": mm.RobustTransfer(),
}
DELAY_TASKS = [("identical", 1), ("permuted", 1), ("permuted", 2), ("permuted", 5), ("shifted", 1)]
PERMUTED = {
    "no transfer": (1, mm.NoTransfer()),
    **{
        f"{name}, W = {W}": (W, agent)
        for name, agent in {
            "published": mm.RobustTransfer(delay=MILLION // 2, **PUBLISHED),
            "default": mm.RobustTransfer(),
        }.items()
        for W in (1, 2, 5)
    },
}


class Job(NamedTuple):
    """One run."""

    study: str
    task: str
    agent: str
    model: int
    play: Callable[[], mm.TieredRun]

    @property
    def file(self) -> str:
        """Where it is kept."""
        words = "-".join(map(str, self[:4]))
        return "".join(c if c.isalnum() else "-" for c in words) + ".json"


def bandits(model: int) -> Iterator[Job]:
    for task, (low, high) in BANDITS.items():
        for name, agent in BANDIT_AGENTS.items():
            yield Job(
                "bandits", task, name, model,
                lambda low=low, high=high, agent=agent: mm.tiered_bandits(
                    [low], high, agent, MILLION, model
                ),
            )  # fmt: skip


def delays(model: int) -> Iterator[Job]:
    for bonus in ("bernstein", "strong-euler"):
        for family, W in DELAY_TASKS:
            for name, agent in DELAYS.items():
                yield Job(
                    "delays", f"{bonus}, {family}, W = {W}", name, model,
                    lambda bonus=bonus, family=family, W=W, agent=agent: mm.tiered(
                        *mm.tier_tasks(family, W, 1000 + model), agent, EPISODES, model, bonus=bonus
                    ),
                )  # fmt: skip


def permuted(model: int) -> Iterator[Job]:
    for name, (W, agent) in PERMUTED.items():
        yield Job(
            "permuted", "strong-euler", name, model,
            lambda W=W, agent=agent: mm.tiered(
                *mm.tier_tasks("permuted", W, 1000 + model), agent, 4 * MILLION, model,
                bonus="strong-euler",
            ),
        )  # fmt: skip


STUDIES = {"delays": delays, "permuted": permuted, "bandits": bandits}


def record(run: mm.TieredRun) -> dict[str, Any]:
    """What is kept of a run: curves at geometrically spaced episodes, and what explains them."""
    found = run.diagnosis
    return {
        "episode": run.recorded.tolist(),
        "regret": run.regret_at(run.recorded)[-1].tolist(),
        "transferable": run.regret_split[:, 0].tolist(),
        "low": run.regret_at([run.episodes])[:-1, 0].tolist(),
        "marks": {
            str(k): run.regret_at([k])[-1, 0]
            for k in (1000, 10_000, 100_000, EPISODES, MILLION, 2 * MILLION, 4 * MILLION)
            if k <= run.episodes
        },
        "trusting": float(run.trust_share[-1].sum()),
        "covered": float(found.covered.mean()),
        "violation": float(found.violation.max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(STUDIES))
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("runs/tiers"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    studies = options.only.split(",")
    for model in range(options.models):
        for study in studies:
            for job in STUDIES[study](model):
                path = options.out / job.file
                if not path.exists():
                    write_text(
                        path, json.dumps({**job._asdict(), **record(job.play()), "play": ""})
                    )
                    print(f"model {model}: {job.study}, {job.task}, {job.agent}", flush=True)


if __name__ == "__main__":
    main()
