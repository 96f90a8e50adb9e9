"""Tiers: the published behaviour, and a rule that needs no delay against delays that do.

Three studies, each over several models (high-tier tasks and sources drawn anew, with another seed):
bandits (1e6 rounds); delays (1e5 episodes: no transfer, the published rule with transfer from 0, 5
and 10 % of the episodes on, and the default); permuted sources in the setting of
Huang and He (NeurIPS 2023; strong-euler bonus, 4e6 episodes, transfer from 5e5 on). Every finished
run is kept in the folder, and the study goes on where it was stopped.

    python benchmarks/tiers.py [--only delays,permuted,bandits] [--models 6] [--out FOLDER]
"""

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.lines import Line2D

import metamarl as mm
from metamarl.figures import (
    BASELINE_COLOUR,
    DASHES,
    GREY,
    PALETTE,
    WORDS,
    add_legend,
    new_figure,
    plain_ticks,
    write_figure,
)
from metamarl.files import write_text
from metamarl.statistics import mean_interval, ratio_interval

MILLION = 10**6
EPISODES = 100_000  # of the study of delays
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
            for k in (1000, 10_000, 100_000, MILLION, 2 * MILLION, 4 * MILLION)
            if k <= run.episodes
        },
        "trusting": float(run.trust_share[-1].sum()),
        "covered": float(found.covered.mean()),
        "violation": float(found.violation.max()),
    }


def load(folder: Path) -> dict[tuple[str, str, str], dict[int, dict[str, Any]]]:
    """By (study, task, agent) and model, what was kept."""
    found: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        one = json.loads(path.read_text(encoding="utf-8"))
        key = one["study"], one["task"], one["agent"]
        found.setdefault(key, {})[one["model"]] = one
    return found


def show(folder: Path) -> None:
    """Tables over the models that all agents of a task have finished."""
    found = load(folder)
    tasks = dict.fromkeys(key[:2] for key in found)
    for study, task in tasks:
        agents = {a: runs for (s, t, a), runs in found.items() if (s, t) == (study, task)}
        order = {"bandits": BANDIT_AGENTS, "delays": DELAYS, "permuted": PERMUTED}[study]
        models = sorted(set.intersection(*(set(runs) for runs in agents.values())))
        if len(agents) < len(order) or not models:
            continue
        marks = list(next(iter(agents.values()))[models[0]]["marks"])
        print(f"\n{study}: {task} ({len(models)} models; mean regret after so many episodes)")
        print(f"  {'':24}" + "".join(f"{int(k):>12,}" for k in marks) + "   of the first (95 %)")
        first = [agents[next(iter(order))][m]["regret"][-1] for m in models]
        for agent in order:
            runs = [agents[agent][m] for m in models]
            means = [np.mean([run["marks"][k] for run in runs]) for k in marks]
            ratio = ratio_interval(np.c_[[run["regret"][-1] for run in runs], first])
            line = f"  {agent:24}" + "".join(f"{x:12,.1f}" for x in means) + f"   {ratio:.2f}"
            if study == "permuted":
                rise = [run["marks"]["4000000"] - run["marks"]["2000000"] for run in runs]
                line += f"   2e6 to 4e6: {mean_interval(rise):.1f}"
            if study == "delays":
                late = [run["regret"][-1] - run["marks"]["10000"] for run in runs]
                line += f"   after 1e4: {np.mean(late):.1f}"
            print(line)
        if study != "bandits":
            covered = {a: np.mean([agents[a][m]["covered"] for m in models]) for a in order}
            print("  transferable: " + ", ".join(f"{a} {c:.0%}" for a, c in covered.items()))
            same = all(agents[a][m]["low"][0] == agents[b][m]["low"][0]
                       for m in models for a, b in pairwise(order)
                       if len(agents[a][m]["low"]) == len(agents[b][m]["low"]))  # fmt: skip
            print(f"  first source's regret the same whatever the high tier does: {same}")


def draw(folder: Path, target: Path) -> None:
    """Left: the setting of Huang and He. Right: the rule without a delay against delays."""
    found = load(folder)
    figure, left, right = new_figure()
    lines = []
    for k, agent in enumerate(PERMUTED):
        runs = list(found.get(("permuted", "strong-euler", agent), {}).values())
        if not runs:
            continue
        curves = np.array([run["regret"] for run in runs])
        colour = BASELINE_COLOUR if k == 0 else PALETTE[(k - 1) % 3]
        style = {"color": colour, "linestyle": DASHES[int(k > 3)], "linewidth": 2.0}
        left.plot(runs[0]["episode"], curves.mean(0), **style)
        lines.append(Line2D([], [], label=agent, **style))
    left.axvline(MILLION // 2, color=GREY, linestyle=(0, (4, 3)), linewidth=1.2)
    left.set_xscale("log")
    left.set_xlim(1000, 4 * MILLION)
    left.set_ylim(bottom=0)
    plain_ticks(left.xaxis)
    left.set_xlabel("episodes", **WORDS)
    left.set_ylabel("cumulative regret", **WORDS)
    left.set_title("Permuted sources, strong-euler bonus", loc="left", **WORDS)
    tasks = [key[1] for key in found if key[0] == "delays" and key[2] == "none"]
    tasks.sort(key=lambda task: (task.split(",")[0], task), reverse=True)
    for k, agent in enumerate(list(DELAYS)[1:]):
        for row, task in enumerate(tasks):
            none, runs = found["delays", task, "none"], found.get(("delays", task, agent), {})
            models = sorted(set(none) & set(runs))
            if models:
                pairs = [(runs[m]["regret"][-1], none[m]["regret"][-1]) for m in models]
                ratio = ratio_interval(pairs)
                at, colour = row + 0.3 - 0.2 * k, [*PALETTE[3:6], PALETTE[0]][k]
                right.plot(ratio.mean, at, "o", color=colour, label=agent if row == 0 else None)
                right.hlines(at, ratio.low, ratio.high, color=colour, lw=1.6)
    right.set_xscale("log")
    right.axvline(1.0, color=BASELINE_COLOUR, linewidth=1.4, zorder=1)
    plain_ticks(right.xaxis, "×")
    right.set_yticks(range(len(tasks)), tasks)
    right.set_xlabel("regret of the high tier / without transfer", **WORDS)
    right.set_title(f"{EPISODES:,} episodes: delays, and none needed", loc="left", **WORDS)
    right.legend(frameon=False, fontsize=11, loc="upper right")
    add_legend(figure, lines, "Tiers: mean over models")
    write_figure(figure, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(STUDIES))
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("runs/tiers"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for model in range(options.models):
        for study in options.only.split(","):
            for job in STUDIES[study](model):
                path = options.out / job.file
                if not path.exists():
                    print(f"model {model}: {job.study}, {job.task}, {job.agent}", flush=True)
                    kept = job._asdict() | record(job.play())
                    del kept["play"]
                    write_text(path, json.dumps(kept))
    show(options.out)
    draw(options.out, options.out / "tiers.png")


if __name__ == "__main__":
    main()
