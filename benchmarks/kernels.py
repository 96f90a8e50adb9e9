"""The compiled kernels beside each other: lanes, rows, threads, precision, raggedness, bandwidth.

    python benchmarks/kernels.py [dense|shapes|ragged|general|bandwidth ...] [--cpu]

Contestants alternate within one run and the least time of every one counts: seconds drift with the
machine, ratios hardly. With --cpu processor time counts, which a busy machine disturbs less; two
threads then look no faster than one. An iteration plays both players' optimistic mirror descent at
one state and adds the play and its value to the stage's sums; everything of a stage but its
beginning and end.

dense: 500 games of 5 x 5 and 5000 of 10 x 10, beside plain NumPy in its best layout, states last.
shapes: a block of games against one game laid out wide; `algorithms/_lanes.py` is fitted to this.
ragged: whole games against the sum of what their shapes cost in full blocks.
general: all players' learners of general-sum games, for coarse and for full correlated equilibria:
nodes side by side and one after another, beside plain NumPy (coarse ones).
bandwidth: gap and stage matrices against reading what is stored of the transitions once, against
gathering two values for every successor, and against doing so row by row. Short rows are bound by
the last: by the gathers, which come from the cache where values fit in, and by a jump a row.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.sparse as sp
from numba import njit

import metamarl as mm
from metamarl.algorithms import _general_sum_run
from metamarl.algorithms import _mirror_descent as blockwise
from metamarl.algorithms import _wide_mirror_descent as gamewise
from metamarl.algorithms._general_sum_run import GeneralSumRun
from metamarl.algorithms._lanes import block_cost, wide_cost
from metamarl.algorithms._vectors import LANE_BYTES, aligned
from metamarl.algorithms._zero_sum_run import ZeroSumRun
from metamarl.algorithms.evaluator import Evaluator

ITERATIONS = 20  # short calls: one of them will not be interrupted, however busy the machine
CLOCK = time.perf_counter
PARTS = ("dense", "shapes", "ragged", "general", "bandwidth")


def least(contestants: dict[str, Callable[[], object]], rounds: int = 40) -> dict[str, float]:
    """Seconds of the fastest of `rounds` calls of everyone, in turns."""
    taken = dict.fromkeys(contestants, np.inf)
    for call in contestants.values():
        call()
    for _ in range(rounds):
        for name, call in contestants.items():
            began = CLOCK()
            call()
            taken[name] = min(taken[name], CLOCK() - began)
    return taken


def matrix_games(count: int, A: int, B: int) -> mm.MarkovGame:
    """Independent matrix games, one per state."""
    reward = np.random.default_rng(5).random((count, A * B)) * 5
    moves = sp.csr_array(sp.kron(sp.eye_array(count), np.ones((A * B, 1))))
    rewards = np.stack([reward, -reward]).reshape(2, count, A, B)
    return mm.MarkovGame(moves, rewards, horizon=1)


def begun(game: mm.MarkovGame, **options) -> ZeroSumRun | GeneralSumRun:
    """A run in its second stage."""
    solver = mm.OptimisticMirrorDescent(step_size=0.1, **options)
    run = solver.start(game, mm.JointPolicy.uniform(game).flat(game))
    run.advance(2**40)
    run.advance(1)
    assert isinstance(run, ZeroSumRun | GeneralSumRun)
    return run


def play(run: ZeroSumRun) -> None:
    run._iterate(run.eta, 0, ITERATIONS)


def plain(Q: np.ndarray, times: int) -> None:
    """The same in NumPy; Q (A, B, N)."""
    A, B, N = Q.shape
    M, W, X, Y = np.zeros((A, N)), np.zeros((B, N)), np.full((A, N), 1 / A), np.full((B, N), 1 / B)
    sums, values = [np.zeros_like(X), np.zeros_like(Y)], np.zeros(N)
    g, f = np.einsum("abn,bn->an", Q, Y), -np.einsum("abn,an->bn", Q, X)
    for _ in range(times):
        X, Y = (
            np.exp(M + 0.1 * g - (M + 0.1 * g).max(0)),
            np.exp(W + 0.1 * f - (W + 0.1 * f).max(0)),
        )
        X, Y = X / X.sum(0), Y / Y.sum(0)
        g, f = np.einsum("abn,bn->an", Q, Y), -np.einsum("abn,an->bn", Q, X)
        M += 0.1 * g
        W += 0.1 * f
        sums[0] += X
        sums[1] += Y
        values += (X * g).sum(0)


def dense() -> None:
    print("ns per (state · iteration)")
    for count, A in ((500, 5), (5000, 10)):
        game = matrix_games(count, A, A)
        runs = {
            f"{precision}, {threads} thread{'s' * (threads > 1)}": begun(
                game, precision=precision, threads=threads
            )
            for precision in ("double", "single")
            for threads in (1, 2)
        }
        Q = np.ascontiguousarray(game.table.reward[0].reshape(count, A, A).transpose(1, 2, 0))
        calls = {name: partial(play, run) for name, run in runs.items()}
        taken = least(calls | {"NumPy": partial(plain, Q, 1)})
        taken["NumPy"] *= ITERATIONS
        for name, seconds in taken.items():
            ns = 1e9 * seconds / (count * ITERATIONS)
            print(f"  {count} of {A} x {A}  {name:18} {ns:8.2f}  {taken['NumPy'] / seconds:6.1f} x")


def alone(A: int, B: int, kind: type) -> tuple[Callable[[], object], Callable[[], object]]:
    """One block, and one wide game."""
    lanes = LANE_BYTES // np.dtype(kind).itemsize
    tall, broad = (-(-k // lanes) * lanes for k in (A, B))
    rng, calls = np.random.default_rng(0), []
    for kernel, cells, actions, games in (
        (blockwise.entropy, A * B * lanes, (A + B) * lanes, lanes),
        (gamewise.entropy, A * broad, tall + broad, 1),
    ):
        Q, eta = aligned(cells, kind), aligned(games, kind)
        Q[:], eta[:] = rng.random(cells), 0.1
        policies = [aligned(actions, kind) for _ in range(3)]
        sums = (aligned(games, kind), aligned(actions), aligned(games), eta, eta)
        work = aligned(max(actions, B * lanes), kind)
        place = np.array([[A, B, 0, 0, 0]])
        calls.append(partial(kernel, place, Q, *policies, *sums, work, 0, ITERATIONS))
    return calls[0], calls[1]


def shapes() -> None:
    print("ns per iteration of a block of games, and of one wide game (in brackets: as estimated)")
    for kind in (np.float64, np.float32):
        lanes = LANE_BYTES // np.dtype(kind).itemsize
        for A, B in ((2, 2), (3, 3), (5, 5), (8, 8), (5, 20), (20, 5), (10, 10), (16, 16),
                     (24, 24), (32, 32), (48, 48), (64, 64), (100, 100), (128, 128)):  # fmt: skip
            block, wide = alone(A, B, kind)
            taken = least({"block": block, "wide": wide})
            one, other = (1e9 * taken[name] / ITERATIONS for name in taken)
            print(
                f"  {np.dtype(kind).name} {A:>3} x {B:<3} {one:9.0f} ({block_cost(A, B):6.0f})"
                f" {other:9.0f} ({wide_cost(A, B, lanes):6.0f})   wide for {lanes}:"
                f" {lanes * other / one:5.2f} x"
            )


def ragged() -> None:
    print("ns per cell and iteration: whole games, and their shapes in full blocks")
    for name in ("soccer", "goofspiel", "pursuit"):
        for precision in ("double", "single"):
            game = mm.make(name)
            counts = game.table.counts[game.nodes.states]
            kinds, often = np.unique(counts, axis=0, return_counts=True)
            copies = 256  # full blocks in both precisions
            runs = {"game": begun(game, precision=precision, threads=1)}
            for A, B in kinds.tolist():
                runs[f"{A}x{B}"] = begun(matrix_games(copies, A, B), precision=precision, threads=1)
            taken = least({kind: partial(play, run) for kind, run in runs.items()})
            whole = taken.pop("game")
            full = sum(t * n / copies for t, n in zip(taken.values(), often, strict=True))
            cells = counts.prod(1).sum() * ITERATIONS
            layout = runs["game"].layout
            print(
                f"  {name:10} {precision}: {1e9 * whole / cells:6.2f} {1e9 * full / cells:6.2f}"
                f"  {whole / full:5.2f} x  ({len(counts)} nodes, {len(kinds)} shapes,"
                f" {len(layout.blocks)} blocks, {len(layout.wide)} wide)"
            )


def plain_general(Q: np.ndarray, times: int) -> None:
    """The learners of coarse equilibria in NumPy; Q (n, A_1, …, A_n, N)."""
    n, letters = len(Q), "abcdef"[: len(Q)]
    shape = Q.shape[1:]
    M = [np.zeros((A, shape[-1])) for A in shape[:-1]]
    G, S, V = [np.zeros_like(m) for m in M], np.zeros(shape), np.zeros((n, shape[-1]))
    heads = [",".join(f"{c}z" for c in letters if c != own) for own in letters]
    for _ in range(times):
        X = [np.exp(m + 0.1 * g - (m + 0.1 * g).max(0)) for m, g in zip(M, G, strict=True)]
        X = [x / x.sum(0) for x in X]
        S += np.einsum(",".join(f"{c}z" for c in letters) + f"->{letters}z", *X)
        for i, own in enumerate(letters):
            others = [X[k] for k in range(n) if k != i]
            G[i] = np.einsum(f"{letters}z,{heads[i]}->{own}z", Q[i], *others, optimize=n > 2)
            M[i] += 0.1 * G[i]
            V[i] += (X[i] * G[i]).sum(0)


def general() -> None:
    print("ns per (node · iteration)")
    for sizes in ((2, 2), (5, 5), (20, 20), (3, 3, 3), (5, 5, 5), (2, 2, 2, 2)):
        game = mm.make("random", states=160, actions=sizes, horizon=2, kind="general-sum")
        nodes = len(game.nodes.states)
        Q = np.random.default_rng(0).random((len(sizes), *sizes, nodes))
        calls = {"NumPy": partial(plain_general, Q, 1)}
        for concept in ("cce", "ce"):
            for room, name in ((_general_sum_run.ROOM, "lanes"), (0, "alone")):
                for threads in (1, 2) if name == "lanes" else (1,):
                    _general_sum_run.ROOM, kept = room, _general_sum_run.ROOM
                    run = begun(game, equilibrium=concept, threads=threads)
                    _general_sum_run.ROOM = kept
                    calls[f"{concept}, {name}, {threads} thread{'s' * (threads > 1)}"] = partial(
                        run._play, ITERATIONS
                    )
        taken = least(calls, 10)
        taken["NumPy"] *= ITERATIONS
        for name, seconds in taken.items():
            ns = 1e9 * seconds / (nodes * ITERATIONS)
            shape = " x ".join(map(str, sizes))
            print(f"  {shape:14} {name:22} {ns:9.1f}  {taken['NumPy'] / seconds:6.1f} x")


@njit(nogil=True, fastmath=True)
def read(numbers):
    """What memory can do: the sum of an array."""
    total = numbers.dtype.type(0)
    for k in range(len(numbers)):
        total += numbers[k]
    return total


@njit(nogil=True, fastmath=True)
def gather(indices, probabilities, first, second):
    """What gathers can do: two values of every successor, without rows, rewards and policies."""
    one, other = 0.0, 0.0
    for e in range(len(indices)):
        one += probabilities[e] * first[indices[e]]
        other += probabilities[e] * second[indices[e]]
    return one + other


@njit(nogil=True, error_model="numpy")
def rows_of(indptr, indices, probabilities, first, second):
    """The same row by row: what it costs that rows are short."""
    least = 0.0
    for r in range(len(indptr) - 1):
        one, other = 0.0, 0.0
        for e in range(indptr[r], indptr[r + 1]):
            one += probabilities[e] * first[indices[e]]
            other += probabilities[e] * second[indices[e]]
        least = min(least, one - other)
    return least


def sparse_game(states: int, A: int, successors: int, horizon: int) -> mm.MarkovGame:
    rng, rows = np.random.default_rng(0), states * A * A
    indices = rng.integers(0, states, rows * successors)
    data, pointer = np.full(len(indices), 1.0 / successors), successors * np.arange(rows + 1)
    moves = sp.csr_array((data, indices, pointer), (rows, states))
    reward = rng.random((states, A, A))
    return mm.MarkovGame(moves, np.stack([reward, -reward]), horizon=horizon)


def dense_game(states: int, A: int, horizon: int) -> mm.MarkovGame:
    rng = np.random.default_rng(0)
    moves, reward = rng.random((states, A, A, states)), rng.random((states, A, A))
    moves /= moves.sum(-1, keepdims=True)
    return mm.MarkovGame(moves, np.stack([reward, -reward]), horizon=horizon)


def bandwidth() -> None:
    print("GB/s of what one pass over the transitions has to read, and as a part of plain reading")
    games = {
        "dense, S 500, A 10": dense_game(500, 10, 10),
        "sparse, S 100 000": sparse_game(100_000, 3, 4, 3),
        "sparse, S 5000": sparse_game(5_000, 3, 4, 30),
        "goofspiel, 6 cards": mm.make("goofspiel", cards=6),
        "pursuit, 7 x 7": mm.make("pursuit", size=7),
    }
    rng = np.random.default_rng(0)
    for name, game in games.items():
        table, filled = game.table, name.startswith("dense")
        arrays = [table.probabilities] + [table.indices, table.indptr] * (not filled)
        flat = mm.JointPolicy.uniform(game).flat(game)
        judge, run, one, other = Evaluator(game), begun(game), *rng.random((2, game.n_states))
        calls = {
            "plain reading": lambda arrays=arrays: [read(a) for a in arrays],
            "gathers alone": partial(gather, table.indices, table.probabilities, one, other),
            "and rows": partial(
                rows_of, table.indptr, table.indices, table.probabilities, one, other
            ),
            "gap": partial(judge.nash_gap, flat),
            "one player's value": partial(judge.value, flat, 0, respond=True),
            "stage matrices": run._begin,
        }
        taken = least(calls, 7)
        # At the last step nothing follows: no transition is read.
        successors = np.diff(table.indptr[table.rows])[game.nodes.states]
        passes = successors[: game.nodes.groups[-2]].sum() / len(table.indices)
        size = sum(a.nbytes for a in arrays)
        for call, seconds in taken.items():
            times = passes if call in ("gap", "one player's value", "stage matrices") else 1.0
            rate = 1e-9 * size * times / seconds
            part, bound = (times * taken[k] / seconds for k in ("plain reading", "and rows"))
            print(f"  {name:20} {call:20} {rate:7.1f}  {part:5.2f} of reading {bound:5.2f} of rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--cpu", action="store_true", help="processor time, on a busy machine")
    options = parser.parse_args()
    if options.cpu:
        globals()["CLOCK"] = time.process_time
    for part in options.parts or PARTS:
        globals()[part]()


if __name__ == "__main__":
    main()
