"""Exact solution beside QuantEcon's `minmax`; goofspiel with 7 cards; a game of a million states.

    python benchmarks/exact.py            (all parts; --only stages,goofspiel,discounted,memory)

`stages`: one backward pass over a finite-horizon game, rewards U[0, 1] by step, dense transitions
drawn Dirichlet(1); metamarl's kernel on its table, and QuantEcon's `minmax` for every state inside
one compiled pass, whose products are BLAS's, on the same arrays. The contestants alternate; the
least of the repetitions counts; values are compared. `matrices`: the simplexes alone on random
matrices. `goofspiel`: seconds to build and to solve. `discounted`: soccer near discount 1.
`memory`: a sparse game of 10⁶ states in a process of its own: bytes per transition, and the most
that was in use at any time while it was drawn, built and solved.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numba import njit
from numpy.typing import NDArray
from quantecon.optimize import minmax

import metamarl as mm
from metamarl.algorithms import _stage_games

PARTS = ("stages", "matrices", "goofspiel", "discounted", "memory")
MIB = 2.0**20


@njit
def quantecon_pass(R, P, values, x, y):  # type: ignore[no-untyped-def]
    """Backward induction with `minmax`, plain loops over dense rows of transitions."""
    H, S, A, B = R.shape
    Q = np.empty((A, B))
    for h in range(H - 1, -1, -1):
        fresh = np.empty(S)
        for s in range(S):
            for a in range(A):
                for b in range(B):
                    Q[a, b] = R[h, s, a, b] + np.dot(P[s, a, b], values)
            fresh[s], x[h, s], y[h, s] = minmax(Q)
        values[:] = fresh


@njit
def quantecon_matrices(M, values):  # type: ignore[no-untyped-def]
    for k in range(len(M)):
        values[k] = minmax(M[k])[0]


@njit
def metamarl_matrices(M, values):  # type: ignore[no-untyped-def]
    K, A, B = M.shape
    floats, integers = _stage_games.room(A, B)
    work, order = np.empty(floats), np.empty(integers, np.int64)
    x, y = np.empty(A), np.empty(B)
    for k in range(K):
        values[k] = _stage_games._solve_matrix(M[k], x, y, work, order)


def least(contestants: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """The shortest time of each, taken in turn; the first round, which compiles, is not counted."""
    found = dict.fromkeys(contestants, np.inf)
    for k in range(repetitions + 1):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            if k:
                found[name] = min(found[name], time.perf_counter() - began)
    return found


def stages(repetitions: int) -> None:
    print("S    A = B  H   metamarl, ms  QuantEcon, ms  ratio  largest difference")
    for S, A, H in ((50, 5, 10), (500, 10, 10)):
        one_stage_size(S, A, H, repetitions)


def one_stage_size(S: int, A: int, H: int, repetitions: int) -> None:
    rng = np.random.default_rng(S)
    R = rng.random((H, S, A, A))
    P = rng.exponential(size=(S, A, A, S))
    P /= P.sum(-1, keepdims=True)
    game = mm.MarkovGame(P, np.stack([R, -R]), horizon=H)
    nodes, table = game.nodes, game.table
    own = np.empty(len(nodes.states))
    flat = np.empty(int(nodes.slots[-1, -1]))
    theirs, x, y = np.empty(S), np.empty((H, S, A)), np.empty((H, S, A))

    def one() -> None:
        _stage_games.solve_stages(
            nodes.states, nodes.groups, nodes.slots, nodes.timed, table.counts,
            table.rows, table.reward, table.reward_stride, table.indptr, table.indices,
            table.probabilities, table.transition_stride, game.discount, own, flat,
        )  # fmt: skip

    def other() -> None:
        theirs[:] = 0.0
        quantecon_pass(R, P, theirs, x, y)

    taken = least({"metamarl": one, "quantecon": other}, repetitions)
    apart = np.abs(own[:S] - theirs).max()
    a, b = 1e3 * taken["metamarl"], 1e3 * taken["quantecon"]
    print(f"{S:<4} {A:>5} {H:>3} {a:>13.2f} {b:>14.2f} {a / b:>6.2f} {apart:>19.1e}")
    assert apart < 1e-12


def matrices(repetitions: int) -> None:
    print("entries   A = B  metamarl, µs  QuantEcon, µs  ratio  largest difference")
    for kind in ("uniform", "-1, 0, 1"):
        for A in (2, 3, 5, 10, 20, 32, 64):
            rng, K = np.random.default_rng(A), max(20, 20_000 // A**2)
            M = rng.random((K, A, A))
            if kind != "uniform":
                M = np.floor(3 * M) - 1.0
            own, theirs = np.empty(K), np.empty(K)
            taken = least(
                {
                    "metamarl": lambda M=M, own=own: metamarl_matrices(M, own),
                    "quantecon": lambda M=M, theirs=theirs: quantecon_matrices(M, theirs),
                },
                repetitions,
            )
            a, b = 1e6 * taken["metamarl"] / K, 1e6 * taken["quantecon"] / K
            apart = np.abs(own - theirs).max()
            print(f"{kind:8} {A:>6} {a:>13.2f} {b:>14.2f} {a / b:>6.2f} {apart:>19.1e}")
            assert apart < 1e-12


def goofspiel(repetitions: int) -> None:
    mm.solve(mm.make("goofspiel", cards=3))
    print("cards  states     transitions  build, s  solve, s  gap")
    for cards in (5, 6, 7):
        built = solved = np.inf
        for _ in range(max(repetitions // 3, 2)):
            began = time.perf_counter()
            game = mm.make("goofspiel", cards=cards)
            built = min(built, time.perf_counter() - began)
            solution = mm.solve(game)
            solved = min(solved, solution.seconds)
        size = f"{game.n_states:>9,} {len(game.table.indices):>13,}"
        print(f"{cards:>5} {size} {built:>9.3f} {solved:>9.3f}  {solution.gap:.0e}")


def discounted(repetitions: int) -> None:
    print("soccer, discount  solve, s  iterations  gap")
    for discount in (0.9, 0.99, 0.999, 0.9999):
        game = mm.make("soccer", discount=discount)
        found = [mm.solve(game) for _ in range(max(repetitions // 3, 2))]
        seconds = min(solution.seconds for solution in found)
        print(f"{discount:>16} {seconds:>9.3f} {found[0].iterations:>11} {found[0].gap:>8.0e}")


def draw_large(states: int) -> tuple[sp.csr_array, NDArray[np.float64]]:
    """A ring with random shortcuts: 2 x 2 joint actions, three successors each."""
    rng, rows = np.random.default_rng(0), 4 * states
    targets = np.empty((rows, 3), np.int32)
    targets[:, 0] = (np.repeat(np.arange(states), 4) + 1) % states
    targets[:, 1:] = rng.integers(states, size=(rows, 2))
    chances = rng.dirichlet(np.ones(3), rows).ravel()
    pointer = np.arange(0, 3 * rows + 1, 3, dtype=np.int32)
    transition = sp.csr_array((chances, targets.ravel(), pointer), shape=(rows, states))
    pay = rng.random((states, 2, 2))
    return transition, np.stack([pay, -pay])


def peak() -> float:
    """The most memory that this process has had, MiB."""
    try:  # what getrusage says begins with the parent's
        with open("/proc/self/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def large(states: int, clock: str) -> None:
    options = {"horizon": 3} if clock == "horizon 3" else {"discount": 0.5}
    mm.solve(mm.make("stopping"))
    mm.solve(mm.make("rps"))
    before = peak()
    transition, reward = draw_large(states)
    given = sum(a.nbytes for a in (transition.data, transition.indices, transition.indptr, reward))
    drawn = peak()
    game = mm.MarkovGame(transition, reward, **options)
    built = peak()
    count = len(game.table.indices)
    del transition, reward
    solution = mm.solve(game)
    print(f"{states:,} states, {game.table.n_rows:,} rows, {count:,} transitions, {clock}")
    print(f"  given {given / MIB:,.0f} MiB, table {game.table.n_bytes / MIB:,.0f} MiB: ", end="")
    print(f"{game.table.n_bytes / count:.1f} bytes per transition, all arrays of the rows")
    print(f"  peak beyond the libraries: drawn {drawn - before:,.0f} MiB, ", end="")
    print(f"built {built - before:,.0f}, solved {peak() - before:,.0f} ", end="")
    print(f"({(peak() - before) * MIB / count:.0f} bytes per transition)")
    print(f"  solved in {solution.seconds:.2f} s, gap {solution.gap:.0e}")


def memory(states: int) -> None:
    for clock in ("horizon 3", "discount 0.5"):  # each by itself: a peak is of a whole process
        command = [sys.executable, __file__, "--large", clock, "--states", str(states)]
        subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--states", type=int, default=10**6)
    parser.add_argument("--large", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.large:
        large(given.states, given.large)
        return
    for part in given.only.split(","):
        if part == "memory":
            sys.stdout.flush()
            memory(given.states)
        else:
            globals()[part](given.repetitions)
        print()


if __name__ == "__main__":
    main()
