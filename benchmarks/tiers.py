"""Tiers: the published behaviour, and a rule that needs no delay against delays that do.

Four studies, each over several models (high-tier tasks and sources drawn anew, with another seed):
bandits (1e6 rounds); delays (1e5 episodes: no transfer, the published rule with transfer from 0, 5
and 10 % of the episodes on, and the default); the two numbers of the default (2e4 episodes);
permuted sources in the setting of Huang and He (NeurIPS 2023; strong-euler bonus, 4e6 episodes,
transfer from 5e5 on). Every finished run is kept in the folder, and the study goes on where it was
stopped.

    python benchmarks/tiers.py [--only delays,numbers,permuted,bandits] [--models 6] [--out FOLDER]
"""

import argparse
import json
from collections.abc import Callable, Iterator
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
NUMBERS = {
    "none": mm.NoTransfer(),
    **{
        f"power {power}, evidence {evidence}": mm.RobustTransfer(power=power, evidence=evidence)
        for power, evidence in ((3, 4), (2, 4), (4.5, 4), (3, 3), (3, 6), (1.5, 2))
    },
}
NUMBERS_TASKS = [("identical", 1), ("permuted", 3), ("shifted", 1)]
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
    return _tabular("delays", DELAY_TASKS, DELAYS, EPISODES, model)


def numbers(model: int) -> Iterator[Job]:
    return _tabular("numbers", NUMBERS_TASKS, NUMBERS, 20_000, model)


def _tabular(
    study: str,
    tasks: list[tuple[str, int]],
    agents: dict[str, mm.TierAgent],
    episodes: int,
    model: int,
) -> Iterator[Job]:
    for bonus in ("bernstein", "strong-euler"):
        for family, W in tasks:
            for name, agent in agents.items():
                yield Job(
                    study, f"{bonus}, {family}, W = {W}", name, model,
                    lambda bonus=bonus, family=family, W=W, agent=agent: mm.tiered(
                        *mm.tier_tasks(family, W, 1000 + model), agent, episodes, model, bonus=bonus
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


STUDIES = {"delays": delays, "numbers": numbers, "permuted": permuted, "bandits": bandits}
AGENTS = {"delays": DELAYS, "numbers": NUMBERS, "permuted": PERMUTED, "bandits": BANDIT_AGENTS}


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
    """Tables: every agent over the models that it and the first one have finished."""
    found = load(folder)
    for study, task in dict.fromkeys(key[:2] for key in found):
        agents = {name: found.get((study, task, name), {}) for name in AGENTS[study]}
        first = next(iter(agents.values()))
        if not first:
            continue
        marks = list(next(iter(first.values()))["marks"])
        print(f"\n{study}: {task} (mean regret after so many episodes)")
        heads = "".join(f"{int(k):>12,}" for k in marks)
        print(f"  {'':24}{heads}   of the first (95 %)")
        for name, runs in agents.items():
            models = sorted(set(runs) & set(first))
            if models:
                print(line(study, name, [runs[m] for m in models], [first[m] for m in models]))
        if study in {"delays", "permuted"}:
            lows: dict[tuple[int, int], set[float]] = {}
            for runs in agents.values():
                for model, run in runs.items():
                    lows.setdefault((model, len(run["low"])), set()).add(run["low"][0])
            same = all(len(values) == 1 for values in lows.values())
            print(f"  the low tiers' regret is the same whatever the high tier does: {same}")


def line(study: str, name: str, runs: list[dict[str, Any]], first: list[dict[str, Any]]) -> str:
    """An agent's row."""
    means = [np.mean([run["marks"][k] for run in runs]) for k in runs[0]["marks"]]
    pairs = [(run["regret"][-1], base["regret"][-1]) for run, base in zip(runs, first, strict=True)]
    ratio = f"{ratio_interval(pairs):.2f}" if runs[0] is not first[0] else "1 by definition"
    text = f"  {name:24}" + "".join(f"{x:12,.1f}" for x in means) + f"   {ratio}"
    text += f"   {len(runs)} models"
    if study == "permuted":
        rise = [run["marks"]["4000000"] - run["marks"]["2000000"] for run in runs]
        text += f"   2e6 to 4e6: {mean_interval(rise):.1f}"
    if study == "delays":
        at = [np.searchsorted(run["episode"], 10_000) for run in runs]
        late = [r["transferable"][-1] - r["transferable"][i] for r, i in zip(runs, at, strict=True)]
        text += f"   in transferable states after 1e4: {np.mean(late):.1f}"
    return text


def draw(folder: Path, target: Path) -> None:
    """Left: the setting of Huang and He. Right: the rule without a delay against delays."""
    found = load(folder)
    figure, left, right = new_figure()
    lines = []
    kept = {a: found.get(("permuted", "strong-euler", a), {}) for a in PERMUTED}
    common = set.intersection(*(set(runs) for runs in kept.values()))
    for k, (agent, by_model) in enumerate(kept.items() if common else ()):
        runs = [by_model[model] for model in sorted(common)]
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
    title = f"Permuted sources, strong-euler bonus, {len(common)} models"
    left.set_title(title.replace("1 models", "1 model"), loc="left", **WORDS)
    tasks = [key[1] for key in found if key[0] == "delays" and key[2] == "none"]
    tasks.sort(key=lambda task: (task.split(",")[0], task), reverse=True)
    for k, agent in enumerate(list(DELAYS)[1:]):
        colour = [*PALETTE[3:6], PALETTE[0]][k]
        lines.append(Line2D([], [], label=agent, marker="o", linestyle="", color=colour))
        for row, task in enumerate(tasks):
            none, runs = found["delays", task, "none"], found.get(("delays", task, agent), {})
            models = sorted(set(none) & set(runs))
            if models:
                pairs = [(runs[m]["regret"][-1], none[m]["regret"][-1]) for m in models]
                ratio = ratio_interval(pairs)
                at = row + 0.3 - 0.2 * k
                right.plot(ratio.mean, at, "o", color=colour)
                right.hlines(at, ratio.low, ratio.high, color=colour, lw=1.6)
    right.set_xscale("log")
    right.axvline(1.0, color=BASELINE_COLOUR, linewidth=1.4, zorder=1)
    plain_ticks(right.xaxis, "×")
    right.set_yticks(range(len(tasks)), tasks)
    right.set_xlabel("regret of the high tier / without transfer", **WORDS)
    right.set_title(f"{EPISODES:,} episodes: delays, and none needed", loc="left", **WORDS)
    add_legend(figure, lines, "The high tier's regret, mean over models (dots: 95 % interval)")
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
