"""Kernels of staged mirror descent for any number of players, nodes side by side.

Like those of `_general_sum`, for blocks of nodes with equal numbers of actions, one node per lane
of a vector (see `_mirror_descent`). A block's payoffs, policies and sums are brought into a
workspace that stays in the cache, are iterated there, and brought back. Even a block with a single
node takes a fraction of the time of that node alone (measured: a fourth to a tenth).

Kernels that call each other live in this one file, because Numba's cache does not notice when a
kernel of another file changes.
"""

import math
from collections.abc import Sequence

from numba import njit

from metamarl.algorithms._jit import BARE
from metamarl.algorithms._vectors import LANES, exponential, load, spread, store

# No 'reassoc': it would undo the rounding in `exponential`.
JIT = {**BARE, "fastmath": {"contract", "nnan", "ninf", "nsz", "arcp"}}


def room(counts: Sequence[int], *, swap: bool) -> int:
    """Numbers of workspace for a block of nodes with so many actions of every player."""
    learned = sum(count**2 if swap else count for count in counts)
    joints, most = math.prod(counts), max(counts) ** 2 if swap else 0
    return LANES * ((len(counts) + 1) * (joints + 2) + 2 * (sum(counts) + learned) + most)


@njit(forceinline=True, **JIT)  # a call would count references
def _softmax(work, m, d, hope, A, to, least):
    """Write softmax(M + hope·D) of A·LANES numbers, at least about `least`."""
    top = load(work, m) + hope * load(work, d)
    store(work, to, top)
    for a in range(LANES, A, LANES):
        u = load(work, m + a) + hope * load(work, d + a)
        store(work, to + a, u)
        top = max(top, u)
    total = spread(0.0, work)
    for a in range(0, A, LANES):
        u = max(least, exponential(load(work, to + a) - top))  # in this order NaN stays
        store(work, to + a, u)
        total = total + u
    over = spread(1.0, work) / total
    for a in range(0, A, LANES):
        store(work, to + a, load(work, to + a) * over)


@njit(forceinline=True, **JIT)
def _stationary(work, w, A, x):
    """Write the stationary distribution of the matrix at w, like `_general_sum._stationary`."""
    zero = spread(0.0, work)
    row = A * LANES
    for k in range(A - 1, 0, -1):
        out = zero
        for b in range(0, k * LANES, LANES):
            out = out + load(work, w + k * row + b)
        for a in range(k):
            share = load(work, w + a * row + k * LANES) / out
            store(work, w + a * row + k * LANES, share)
            for b in range(0, k * LANES, LANES):
                y = load(work, w + a * row + b) + share * load(work, w + k * row + b)
                store(work, w + a * row + b, y)
    total = spread(1.0, work)
    store(work, x, total)
    for k in range(LANES, row, LANES):
        y = zero
        for a in range(0, k, LANES):
            y = y + load(work, x + a) * load(work, w + a * A + k)
        store(work, x + k, y)
        total = total + y
    for k in range(0, row, LANES):
        store(work, x + k, load(work, x + k) / total)


@njit(**JIT)
def entropy(
    blocks, counts, squares, joints, Q, M, D, S, V, eta, optimism, swap, times, work, digits
):  # fmt: skip
    """Iterate every player's entropic mirror descent `times` times in every block. In place.

    `blocks` (n, LANES): the nodes, -1 where a lane is empty. M and D, the last gradients, of player
    i at node j begin at `squares[i, j]`: one learner, or one for each own action where `swap` (see
    `_general_sum.swap_entropy`). `work`: see `room`; `digits` (n,).
    """
    n = counts.shape[1]
    for block in range(len(blocks)):
        first = blocks[block, 0]
        J, actions, learned = joints[first + 1] - joints[first], 0, 0
        for i in range(n):
            actions += counts[first, i]
            learned += counts[first, i] ** 2 if swap else counts[first, i]
        s = n * J * LANES  # where payoffs end and sums of plays begin, and so on
        x = s + J * LANES
        g, m = x + actions * LANES, x + 2 * actions * LANES
        d = m + learned * LANES
        v = d + learned * LANES
        before = v + n * LANES
        h = before + (n + 1) * LANES
        w = h + LANES
        work[:w] = 0.0
        for lane in range(LANES):
            j = blocks[block, lane]
            if j >= 0:
                work[h + lane] = eta[j]
                at = 0
                for i in range(n):
                    work[v + i * LANES + lane] = V[i, j]
                    for k in range(J):
                        work[(i * J + k) * LANES + lane] = Q[i, joints[j] + k]
                    count = counts[first, i] ** 2 if swap else counts[first, i]
                    for a in range(squares[i, j], squares[i, j] + count):
                        work[m + at * LANES + lane] = M[a]
                        work[d + at * LANES + lane] = D[a]
                        at += 1
                for k in range(J):
                    work[s + k * LANES + lane] = S[joints[j] + k]
        B, one, zero = counts[first, n - 1], spread(1.0, work), spread(0.0, work)
        rate = load(work, h)
        store(work, before, one)
        hope = rate if optimism else zero
        least = spread(1e-300, work) if swap else zero
        for _ in range(times):
            at = row = 0
            for i in range(n):
                A = counts[first, i] * LANES
                for a in range(0, A if swap else LANES, LANES):
                    to = w + a * (A // LANES) if swap else x + at
                    _softmax(work, m + row, d + row, hope, A, to, least)
                    row += A
                if swap:
                    _stationary(work, w, A // LANES, x + at)
                for a in range(at, at + A, LANES):
                    store(work, g + a, zero)
                at += A
            theirs, slope = x + at - B * LANES, g + at - B * LANES  # the last player's
            for i in range(n):
                digits[i] = 0
            changed = 0
            for k in range(0, J * LANES, B * LANES):  # the last player's actions in a row
                at = 0
                for i in range(n - 1):
                    if i >= changed:
                        y = load(work, x + at + digits[i] * LANES)
                        y = y * load(work, before + i * LANES)
                        store(work, before + (i + 1) * LANES, y)
                    at += counts[first, i] * LANES
                share, q = load(work, before + (n - 1) * LANES), ((n - 1) * J) * LANES + k
                for b in range(0, B * LANES, LANES):
                    y = share * load(work, theirs + b)
                    store(work, s + k + b, load(work, s + k + b) + y)
                    y = load(work, slope + b) + share * load(work, q + b)
                    store(work, slope + b, y)
                share = one  # of what comes after a player
                for i in range(n - 2, -1, -1):
                    at -= counts[first, i] * LANES
                    q -= J * LANES
                    y = zero
                    for b in range(0, B * LANES, LANES):
                        y = y + load(work, theirs + b) * load(work, q + b)
                    own = at + digits[i] * LANES
                    y = y * share * load(work, before + i * LANES)
                    store(work, g + own, load(work, g + own) + y)
                    share = share * load(work, x + own)
                changed = max(n - 2, 0)
                while changed > 0 and digits[changed] + 1 == counts[first, changed]:
                    digits[changed] = 0
                    changed -= 1
                digits[changed] += 1
            at = row = 0
            for i in range(n):
                A, y = counts[first, i] * LANES, load(work, v + i * LANES)
                for a in range(at, at + A, LANES):
                    u = load(work, g + a)
                    y = y + load(work, x + a) * u
                    if not swap:
                        store(work, d + a, u)
                        store(work, m + a, load(work, m + a) + rate * u)
                store(work, v + i * LANES, y)
                if swap:
                    for a in range(at, at + A, LANES):
                        y = load(work, x + a)
                        for b in range(at, at + A, LANES):
                            u = y * load(work, g + b)
                            store(work, d + row, u)
                            store(work, m + row, load(work, m + row) + rate * u)
                            row += LANES
                at += A
        for lane in range(LANES):
            j = blocks[block, lane]
            if j >= 0:
                at = 0
                for i in range(n):
                    V[i, j] = work[v + i * LANES + lane]
                    count = counts[first, i] ** 2 if swap else counts[first, i]
                    for a in range(squares[i, j], squares[i, j] + count):
                        M[a] = work[m + at * LANES + lane]
                        D[a] = work[d + at * LANES + lane]
                        at += 1
                for k in range(J):
                    S[joints[j] + k] = work[s + k * LANES + lane]
