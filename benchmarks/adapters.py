"""Which adapter wins, at which budget of adapted numbers: networks on families of random games.

Two families of 20 related games (8 states, 5 steps, seen as one-hot rows): zero-sum, 4 x 5 actions,
and cooperative, 4 x 4 actions. A base is learned on 8 of them by Reptile, all weights adapting;
each adapter then learns its own start from it, on the same 8, by Reptile or first-order MAML, and
its step size is the one of four that does best on two of them. The other 12 games, which nothing
has seen, are learned in by neural self-play from each start, and from random weights that adapt as
a whole, with the same number of steps. The gap is exact, as a part of that of the uniform policy:
before anything adapts, at the end, and its mean over the time between, over the 12 games (and the
seeds), with 95 % intervals, and as a difference from "all", game by game.

    python benchmarks/adapters.py [--family zero-sum] [--method fomaml] [--out runs/adapters]
"""

import argparse
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

import metamarl as mm
from metamarl.algorithms._learning_run import LearningRun
from metamarl.algorithms.learning import as_environment
from metamarl.algorithms.torch_extra import one_thread
from metamarl.figures import (
    BASELINE_COLOUR,
    GREY,
    PALETTE,
    WORDS,
    add_legend,
    check_figure_path,
    new_figure,
    write_figure,
)
from metamarl.files import write_csv
from metamarl.statistics import mean_interval

TRAIN, TEST = 8, 12
FAMILIES = {
    "zero-sum": (0.2, {"kind": "zero-sum", "actions": (4, 5)}),
    "cooperative": (0.4, {"kind": "potential", "actions": (4, 4)}),
}
NETWORKS = {"hidden": (32, 32), "copies": 32, "rollout": 16, "minibatch": 4096, "epochs": 4}
SCRATCH = {  # chosen on the first training games
    "zero-sum": {"step_size": (1.0, 0.1), "temperature": (0.2, 0.1)},
    "cooperative": {"step_size": (1.0, 0.3), "temperature": (0.1, 0.02)},
}
ADAPT = {
    "zero-sum": {"step_size": (0.2, 0.1), "temperature": (0.1, 0.1)},
    "cooperative": {"step_size": (0.5, 0.3), "temperature": (0.05, 0.02)},
}
RATES = (1e-3, 3e-3, 1e-2, 3e-2)  # of Adam; from random weights three times as large
ADAPTERS = [
    mm.AllAdapter(),
    mm.HeadAdapter(),
    mm.BottomAdapter(),
    mm.ScaleAdapter(),
    *(mm.SparseAdapter(density=d) for d in (0.01, 0.1)),
    *(mm.CoLoRA(rank=r) for r in (1, 4)),
    *(mm.CoLoRA(rank=r, shared_rank=0) for r in (2, 4)),
]
PAIRS = [  # of about as many numbers
    ("colora(rank=4)", "bottom"),
    ("colora(rank=4)", "colora(rank=4, shared_rank=0)"),
    ("colora(rank=1)", "head"),
    ("colora(rank=1)", "scales"),
    ("colora(rank=1)", "sparse(density=0.1)"),
]
CHECKS = 10
ROUNDS, OWN_ROUNDS, ROUND_STEPS = 60, 16, 4096
OWN_RATE = {"reptile": 0.5, "fomaml": 1e-3}


def options(family: str, rate: float, *, scratch: bool = False) -> mm.NeuralMirrorDescent:
    schedules = (SCRATCH if scratch else ADAPT)[family]
    return mm.NeuralMirrorDescent(
        **NETWORKS, **schedules, learning_rate=(rate, rate / 10), normalise=False
    )


def measure(
    game: mm.MarkovGame, start: mm.LearnedStart | None, how: mm.NeuralMirrorDescent, steps: int,
    seed: int,
) -> tuple[list[float], float, int]:  # fmt: skip
    """Gaps from before the first step on, in parts of the uniform policy's; value; what adapts."""
    run = LearningRun(as_environment(game), how, steps, seed, "cpu", CHECKS, start)
    whole = mm.nash_gap(game, mm.JointPolicy.uniform(game))
    gaps = [mm.nash_gap(game, run.joint_policy())]
    with one_thread():
        for _ in run.advance():
            pass
    gaps += [gap for _, gap, _ in run.records]
    count = sum(p.numel() for p in run.learner.networks.parameters())
    value = float(mm.evaluate(game, run.joint_policy())[0])
    return [gap / whole for gap in gaps], value, run.adapted.n_adapted if run.adapted else count


def along(gaps: list[float]) -> float:
    """Mean gap from the first step to the last one (trapezoids)."""
    return float(np.mean([(a + b) / 2 for a, b in pairwise(gaps)]))


def study(
    family: str, method: str, seed: int, steps: int
) -> tuple[list[dict], dict[str, mm.LearnedStart]]:
    """Rows of all starts and games, and the starts by name, with the step sizes chosen for them."""
    spread, knobs = FAMILIES[family]
    games = mm.tasks("random", TRAIN + TEST, spread, seed, **knobs)
    known, new = games[:TRAIN], games[TRAIN:]
    middle = options(family, 1e-2)
    first = replace(middle, **SCRATCH[family])
    base = mm.learn_start(known, first, rounds=ROUNDS // 2, steps=2 * ROUND_STEPS, seed=seed)
    base = mm.learn_start(
        known, middle, rounds=ROUNDS, steps=ROUND_STEPS, rate=0.5, start=base, seed=seed
    )
    rows: list[dict] = []
    starts: dict[str, mm.LearnedStart] = {}
    for adapter in [None, *ADAPTERS]:
        label, start, began = "scratch", None, time.perf_counter()
        if adapter is not None:
            start = mm.learn_start(
                known, middle, method, adapter, rounds=OWN_ROUNDS, steps=ROUND_STEPS,
                rate=OWN_RATE[method], start=base, seed=seed + 1,
            )  # fmt: skip
            label = start.label.removeprefix(f"{method}, ")
        hows = [options(family, rate) for rate in RATES]
        if adapter is None:
            hows = [options(family, 3 * rate, scratch=True) for rate in RATES]
        tried = [
            np.mean([along(measure(game, start, how, steps, seed)[0]) for game in known[:2]])
            for how in hows
        ]
        how = hows[int(np.argmin(tried))]
        if start is not None:
            starts[label] = replace(start, options=how)
        for k, game in enumerate(new):
            gaps, value, count = measure(game, start, how, steps, seed + k)
            rows.append(
                {"family": family, "seed": seed, "task": k, "start": label, "adapted": count,
                 "rate": how.learning_rate[0], "before": gaps[0], "along": along(gaps),
                 "end": gaps[-1], "value": value, **{f"gap {j}": g for j, g in enumerate(gaps)}}
            )  # fmt: skip
        played = 0 if start is None else start.steps
        seconds = time.perf_counter() - began
        ends = mean_interval([r["end"] for r in rows if r["start"] == label])
        print(
            f"  {label}: {ends:.3f} after {played:,} steps elsewhere, {seconds:.0f} s", flush=True
        )
    return rows, starts


def compared(
    family: str, rows: list[dict], starts: dict[str, mm.LearnedStart], seed: int, steps: int
) -> mm.Comparison:
    """Steps to a third of the uniform policy's mean gap, with the table and figure of `compare`."""
    spread, knobs = FAMILIES[family]
    new = mm.tasks("random", TRAIN + TEST, spread, seed, **knobs)[TRAIN:]
    uniform = [mm.nash_gap(game, mm.JointPolicy.uniform(game)) for game in new]
    rate = next(r["rate"] for r in rows if r["start"] == "scratch")
    some = [starts[label] for label in ("all", "head", "sparse(density=0.1)", "colora(rank=4)")]
    scratch = options(family, rate, scratch=True)
    tol = round(sum(uniform) / 3 / TEST, 2)
    return mm.compare({seed: new}, some, scratch, tol=tol, max_iterations=steps)


def report(rows: list[dict]) -> None:
    print(f"{'start':36} {'adapted':>7} {'rate':>5}  {'before':20} {'along':20} {'end':20} "
          f"{'end - all':24} value")  # fmt: skip
    alls = {(r["seed"], r["task"]): r["end"] for r in rows if r["start"] == "all"}
    for label in dict.fromkeys(r["start"] for r in rows):
        own = [r for r in rows if r["start"] == label]
        before, mean, end, value = (
            f"{mean_interval([r[name] for r in own]):.3f}"
            for name in ("before", "along", "end", "value")
        )
        less = f"{mean_interval([r['end'] - alls[r['seed'], r['task']] for r in own]):+.3f}"
        print(f"{label:36} {own[0]['adapted']:7,} {own[0]['rate']:5g}  {before:20} {mean:20} "
              f"{end:20} {less:24} {value}", flush=True)  # fmt: skip
    ends = {(r["start"], r["seed"], r["task"]): r["end"] for r in rows}
    for one, other in PAIRS:
        less = [ends[one, *key] - ends[other, *key] for key in alls]
        print(f"  {one} - {other}: {mean_interval(less):+.3f}")


def draw(rows: list[dict], steps: int, path: Path) -> None:
    """Left, end gaps less those of "all", game by game; right, the mean gap along the way."""
    figure, left, right = new_figure()
    lines = []
    labels = list(dict.fromkeys(r["start"] for r in rows))
    kinds = list(dict.fromkeys(label.split("(")[0] for label in labels))
    adapted = {r["start"]: r["adapted"] for r in rows}
    alls = {(r["seed"], r["task"]): r["end"] for r in rows if r["start"] == "all"}
    at = np.linspace(0, steps, CHECKS + 1)
    shown = sorted((name for name in labels if name != "all"), key=lambda name: adapted[name])
    for label in labels:
        own = [r for r in rows if r["start"] == label]
        kind = label.split("(")[0]
        colour = BASELINE_COLOUR if kind == "scratch" else PALETTE[kinds.index(kind) - 1]
        if label in shown:
            less = mean_interval([r["end"] - alls[r["seed"], r["task"]] for r in own])
            around = [[less.mean - less.low], [less.high - less.mean]]
            left.errorbar(
                less.mean, shown.index(label), xerr=around, color=colour, marker="o", capsize=3
            )
        if "(" not in label or label == "colora(rank=4)":
            curve = np.mean([[r[f"gap {j}"] for j in range(CHECKS + 1)] for r in own], 0)
            lines += right.plot(at, curve, color=colour, label=label)
    left.axvline(0, color=GREY, linewidth=1.2)
    left.xaxis.set_major_locator(MaxNLocator(6))
    left.set_yticks(range(len(shown)), [f"{name}: {adapted[name]:,}" for name in shown])
    left.set_xlabel(f'gap at the end, less that of "all": {adapted["all"]:,}', **WORDS)
    left.set_title("start: numbers that adapt", loc="left", **WORDS)
    right.set_ylim(0, 1.05)
    right.set_xlabel("steps of the environment", **WORDS)
    right.set_ylabel("gap, in parts of the uniform policy's", **WORDS)
    games = len({(r["seed"], r["task"]) for r in rows})
    title = f"{rows[0]['family']} games, {games} that no start has seen (95 % intervals)"
    add_legend(figure, lines, title)
    write_figure(figure, check_figure_path(path, "draw"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=FAMILIES, default=None)
    parser.add_argument("--method", choices=OWN_RATE, default="reptile")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10_240)
    parser.add_argument("--out", type=Path, default=Path("runs/adapters"))
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for family in [chosen.family] if chosen.family else FAMILIES:
        rows: list[dict] = []
        for seed in range(chosen.seeds):
            print(f"{family}, {chosen.method}, seed {seed}", flush=True)
            found, starts = study(family, chosen.method, seed, chosen.steps)
            rows += found
        report(rows)
        comparison = compared(family, found, starts, seed, chosen.steps)
        print(comparison.table())
        comparison.save(chosen.out / f"compare_{family}_{chosen.method}")
        name = f"{family}_{chosen.method}".replace("-", "_")
        write_csv(chosen.out / f"{name}.csv", rows)
        draw(rows, chosen.steps, chosen.out / f"adapters_{name}.png")


if __name__ == "__main__":
    main()
