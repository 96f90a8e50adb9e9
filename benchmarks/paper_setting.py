"""Meta-learning in the setting of Mao et al. (NeurIPS 2023): 10 games, 1000 iterations each.

A random base game and uniform noise on its rewards; zero-sum (two players) and potential (three
players with identical interests). The gap after T iterations, mean over games 2–10 and over
families: from the uniform start, divided by that from each learned start. For potential games it
is the mean gap along the way (at its end it is 0), and the value reached is shown, because a warm
start can stay at a worse equilibrium.

    python benchmarks/paper_setting.py [--families 5]
"""

import argparse

import numpy as np

import metamarl as mm

GAMES, T, NOISES = 10, 1000, (0.02, 0.1, 0.3)
S, A, H = 3, 3, 3


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
        found = mm.compare(
            tasks, ["last", "average", "robust"], solver, tol=1e-15, max_iterations=T
        )
        gaps, values = {}, {}
        for arm in found.arms:
            rows = [r for r in found.rows if r["arm"] == arm and r["task"] > 0]
            traces = [found.traces[r["seed"], r["task"], arm] for r in rows]
            gaps[arm] = np.mean([gap_of(trace, kind) for trace in traces])
            values[arm] = np.mean([r["value"] for r in rows])
        cells = [f"{arm} {gaps['none'] / gaps[arm]:6.2f}" for arm in found.arms[1:]]
        line = f"  noise {noise:4}: gap from scratch {gaps['none']:.2e}; ratio: " + ", ".join(cells)
        if kind == "potential":
            line += "; value: " + ", ".join(f"{arm} {v:.4f}" for arm, v in values.items())
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", type=int, default=5)
    options = parser.parse_args()
    fixed, euclidean = 1 / H, {"regularizer": "euclidean", "step_size": 1 / (4 * H)}
    for name, kind, solver in (
        ("zero-sum, omd, step size 1/H", "zero-sum", mm.OptimisticMirrorDescent(step_size=fixed)),
        ("zero-sum, omd, adaptive", "zero-sum", mm.OptimisticMirrorDescent()),
        ("zero-sum, omd, Euclidean", "zero-sum", mm.OptimisticMirrorDescent(**euclidean)),
        ("potential, q-ascent, step size 0.05", "potential", mm.QAscent(step_size=0.05)),
        ("potential, q-ascent, adaptive", "potential", mm.QAscent()),
    ):
        print(f"{name} (K = {GAMES}, T = {T}, S, A, H = {S, A, H})")
        study(kind, solver, options.families)


if __name__ == "__main__":
    main()
