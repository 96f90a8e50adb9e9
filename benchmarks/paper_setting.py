"""Meta-learning in the setting of Mao et al. (NeurIPS 2023): 10 games, 1000 iterations each.

A random base game and uniform noise on its rewards; zero-sum (two players) and potential (three
players with identical interests). The gap after T iterations, mean over games 2–10 and over
families: from the uniform start, divided by that from each learned start. For potential games it
is the mean gap along the way (at its end it is 0).

Then what learned starts do to the equilibrium that is reached in potential games, solved to a gap:
value from each learned start minus value from scratch, paired game by game, mean over games 2–10
and then over families with the 95 % interval; and the ratio of all iterations, those of starts that
were run in vain included. In the paper's setting, and in families in which one of the equilibria is
known to be bad: stag hunts, where all may hunt hares, and two games of congestion, in which the
uniform start ends in a mixed equilibrium that treats all players alike.

    python benchmarks/paper_setting.py [--families 5] [--paired 40] [--first 0] [--only values]
"""

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

import metamarl as mm
from metamarl.statistics import mean_interval, ratio_interval

GAMES, T, NOISES = 10, 1000, (0.02, 0.1, 0.3)
S, A, H = 3, 3, 3
ARMS = ["last", "average", "robust"]


def family(kind: str, noise: float, seed: int) -> list[mm.MarkovGame]:
    players = 2 if kind == "zero-sum" else 3
    base = mm.make("random", states=S, actions=(A,) * players, horizon=H, kind=kind, seed=seed)
    P, R = base.dense()
    rng = np.random.default_rng([seed, 1])
    games = []
    for _ in range(GAMES):
        r = np.clip(R[0] + noise * rng.uniform(-1, 1, R[0].shape), 0, 1)
        rewards = [r, -r] if kind == "zero-sum" else [r] * players
        games.append(mm.MarkovGame(P, np.stack(rewards), horizon=H))
    return games


def gap_of(trace, kind: str) -> float:
    """Gap after T iterations; in potential games its mean over them."""
    if kind == "zero-sum":
        return float(trace.gap[-1])
    lengths = np.diff(np.append(trace.iteration, T + 1))
    return float((trace.gap * lengths).sum() / lengths.sum())


def study(kind: str, solver, families: int) -> None:
    for noise in NOISES:
        tasks = {seed: family(kind, noise, seed) for seed in range(families)}
        found = mm.compare(tasks, ARMS, solver, tol=1e-15, max_iterations=T)
        gaps = {}
        for arm in found.arms:
            rows = [r for r in found.rows if r["arm"] == arm and r["task"] > 0]
            traces = [found.traces[r["seed"], r["task"], arm] for r in rows]
            gaps[arm] = np.mean([gap_of(trace, kind) for trace in traces])
        cells = [f"{arm} {gaps['none'] / gaps[arm]:6.2f}" for arm in ARMS]
        print(f"  noise {noise:4}: gap from scratch {gaps['none']:.2e}; ratio: {', '.join(cells)}")


def values(name: str, tasks: Mapping[int, Sequence[mm.MarkovGame]], solver, tol: float) -> None:
    """Paired differences of the value reached, and all iterations, by arm."""
    found = mm.compare(tasks, ARMS, solver, tol)
    rows = {(r["arm"], r["seed"], r["task"]): r for r in found.rows if r["task"] > 0}
    scratch = np.mean([r["value"] for (arm, *_), r in rows.items() if arm == "none"])
    print(f"  {name} (from scratch {scratch:,.4g})")
    for arm in ARMS:
        gains, iterations = [], []
        for seed, games in tasks.items():
            pairs = [[rows[a, seed, k] for a in ("none", arm)] for k in range(1, len(games))]
            gains.append(float(np.mean([own["value"] - other["value"] for other, own in pairs])))
            iterations.append(
                [sum(r["iterations"] for r in part) for part in zip(*pairs, strict=True)]
            )
        speedup = ratio_interval(iterations)
        print(f"    {arm:8} value {mean_interval(gains):+.4f}; speed-up {speedup:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", type=int, default=5)
    parser.add_argument("--paired", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="first seed of the paired families")
    parser.add_argument("--only", choices=["gaps", "values"])
    options = parser.parse_args()
    fixed, euclidean = 1 / H, {"regularizer": "euclidean", "step_size": 1 / (4 * H)}
    for name, kind, solver in (
        ("zero-sum, omd, step size 1/H", "zero-sum", mm.OptimisticMirrorDescent(step_size=fixed)),
        ("zero-sum, omd, adaptive", "zero-sum", mm.OptimisticMirrorDescent()),
        ("zero-sum, omd, Euclidean", "zero-sum", mm.OptimisticMirrorDescent(**euclidean)),
        ("potential, q-ascent, step size 0.05", "potential", mm.QAscent(step_size=0.05)),
        ("potential, q-ascent, adaptive", "potential", mm.QAscent()),
    ):
        if options.only != "values":
            print(f"{name} (K = {GAMES}, T = {T}, S, A, H = {S, A, H})")
            study(kind, solver, options.families)
    if options.only == "gaps":
        return
    seeds = range(options.first, options.first + options.paired)
    for name, solver in (("0.05", mm.QAscent(step_size=0.05)), ("adaptive", mm.QAscent())):
        print(f"potential, q-ascent, step size {name}, to gap 1e-3, {options.paired} families")
        for noise in (0.02, 0.05, 0.1, 0.3, 1.0):
            tasks = {seed: family("potential", noise, seed) for seed in seeds}
            values(f"noise {noise}", tasks, solver, 1e-3)
    print(f"a known bad equilibrium, q-ascent, adaptive, to gap 1e-2, {options.paired} families")
    for game, spread, knobs in (
        ("stag-hunt", 0.3, {"hare": 2.2}),
        ("stag-hunt", 0.9, {"hare": 3.0}),
        ("routing", 0.02, {}),
        ("safe-distancing", 0.02, {"agents": 4}),
    ):
        tasks = {seed: mm.tasks(game, GAMES, spread, seed, **knobs) for seed in seeds}
        said = " ".join(f"{key} {value}" for key, value in knobs.items())
        values(f"{game} {said} spread {spread}", tasks, mm.QAscent(), 1e-2)


if __name__ == "__main__":
    main()
