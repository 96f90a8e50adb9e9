"""Kernels of staged optimistic mirror descent for two-player zero-sum games.

Inside a stage every (step, state) is a matrix game of its own whose matrix stands still. Games lie
side by side in blocks, one per lane of a vector: number c of a block's matrix is one vector with
that number of all its games, so that the code of one game serves a block, and a block's whole stage
runs out of the first-level cache. Policies and sums lie alike, player 0's A rows before player 1's
B rows. A game with fewer actions than its block has zeros in its matrix there, and the logarithm
`BARRED` in its policies, which adds exactly nothing. Games that are too few
for a block, or too large for the cache: see `_wide_mirror_descent`.

Kernels that call each other live in this one file, because Numba's cache does not notice when a
kernel of another file changes.
"""

from numba import njit
from numba.cpython.unsafe.tuple import tuple_setitem

from metamarl.algorithms._jit import BARE
from metamarl.algorithms._vectors import (
    LANE_BYTES,
    exponential,
    fold,
    load,
    pick,
    spread,
    store,
)

BARRED = -1e30
FOLD = 32  # iterations after which float32 sums go to float64
# No 'reassoc': it would undo the rounding in `exponential`.
FAST = {"contract", "nnan", "ninf", "nsz", "arcp"}
JIT = {**BARE, "fastmath": FAST}
INLINE = {**JIT, "forceinline": True}  # a call would pass vectors through memory


@njit(**INLINE)
def _exponentials(U, begin, end, lanes, top):
    """U = e^(U - top); returns its sum."""
    if end - begin == 2:  # the larger is e^0 = 1
        a, b = load(U, begin * lanes), load(U, (begin + 1) * lanes)
        one, e = spread(U.dtype.type(1.0), U), exponential((a - top) + (b - top))
        store(U, begin * lanes, pick(a, b, one, e))
        store(U, (begin + 1) * lanes, pick(a, b, e, one))
        return one + e
    z = exponential(load(U, begin * lanes) - top)
    store(U, begin * lanes, z)
    for k in range(begin + 1, end):
        e = exponential(load(U, k * lanes) - top)
        store(U, k * lanes, e)
        z = z + e
    return z


@njit(**INLINE)
def _rows(zeros, a, v, top, lanes, A, B, Q, M, U, S, P, over_x, over_y, eta, hope):
    """Play the rows from a on, as many as there are `zeros`: they stay in registers meanwhile.

    P += Qᵀ·x; S += x; M += η·Q·y; U = M + hope·Q·y. Returns v + x·Q·y and the largest U so far.
    """
    x, g = zeros, zeros
    for r in range(len(zeros)):
        k = (a + r) * lanes
        u = load(U, k) * over_x
        x = tuple_setitem(x, r, u)
        store(S, k, load(S, k) + u)
    for b in range(B):
        y, p = load(U, (A + b) * lanes), load(P, b * lanes)
        for r in range(len(zeros)):
            q = load(Q, ((a + r) * B + b) * lanes)
            g = tuple_setitem(g, r, g[r] + q * y)
            p = p + q * x[r]
        store(P, b * lanes, p)
    for r in range(len(zeros)):
        k, q = (a + r) * lanes, g[r] * over_y
        v = v + q * x[r]
        m = load(M, k) + eta * q
        u = m + hope * q
        store(M, k, m)
        store(U, k, u)
        top = max(top, u)
    return v, top


@njit(**INLINE)
def _largest(U, begin, end, lanes):
    """The largest of the vectors `begin` to `end` of U, lane by lane."""
    top = load(U, begin * lanes)
    for k in range(begin + 1, end):
        top = max(top, load(U, k * lanes))
    return top


@njit(**INLINE)
def _iteration(lanes, A, B, Q, M, U, S, P, eta, hope, low, v, x_top, y_top):
    """One iteration of a block. Returns the sum of values and the largest U of both players."""
    one = spread(Q.dtype.type(1.0), Q)
    o = one - one
    over_x = one / _exponentials(U, 0, A, lanes, x_top)
    over_y = one / _exponentials(U, A, A + B, lanes, y_top)
    here = (lanes, A, B, Q, M, U, S, P, over_x, over_y, eta, hope)
    x_top = y_top = low
    for b in range(B):
        store(P, b * lanes, o)
    a = 0
    while a + 5 <= A:
        v, x_top = _rows((o, o, o, o, o), a, v, x_top, *here)
        a += 5
    if a + 4 == A:
        v, x_top = _rows((o, o, o, o), a, v, x_top, *here)
    elif a + 3 == A:
        v, x_top = _rows((o, o, o), a, v, x_top, *here)
    elif a + 2 == A:
        v, x_top = _rows((o, o), a, v, x_top, *here)
    elif a + 1 == A:
        v, x_top = _rows((o,), a, v, x_top, *here)
    for b in range(B):
        k, g = (A + b) * lanes, load(P, b * lanes)
        store(S, k, load(S, k) + load(U, k) * over_y)
        w = load(M, k) - eta * g
        store(M, k, w)
        w = w - hope * g
        store(U, k, w)
        y_top = max(y_top, w)
    return v, x_top, y_top


@njit(**JIT)
def entropy(blocks, Q, M, U, S, V, all_S, all_V, eta, hope, work, done, times):
    """Iterate entropic mirror descent `times` times in every block. In place.

    Both half steps of optimistic mirror descent are one softmax: with M the logarithm of the start
    plus η times the sum of the gradients so far, play is softmax(U), U = M + hope·last gradient,
    where hope is η, or 0 without optimism.

    `blocks` (n, 5): A, B and the offsets in Q, in the policies M, U, S, and in V, eta, hope. S and
    V collect plays and values; in float32 for `FOLD` iterations, which are counted from `done`,
    before they go to all_S and all_V. `work`: room for the B rows of a block.
    """
    lanes = LANE_BYTES // Q.itemsize
    low = spread(Q.dtype.type(BARRED), Q)
    often = FOLD if Q.itemsize == 4 else 2**62
    for n in range(len(blocks)):
        A, B, lane = blocks[n, 0], blocks[n, 1], blocks[n, 4]
        q = Q[blocks[n, 2] : blocks[n, 2] + A * B * lanes]
        begin, end = blocks[n, 3], blocks[n, 3] + (A + B) * lanes
        m, u, s = M[begin:end], U[begin:end], S[begin:end]
        if A == 1 and B == 1:
            for i in range(lanes):
                s[i] += times
                s[lanes + i] += times
                V[lane + i] += times * q[i]
            continue
        h, h_next = load(eta, lane), load(hope, lane)
        t, until = done, done
        while t < done + times:
            until = min(done + times, t + often - t % often)
            v, x_top, y_top = load(V, lane), _largest(u, 0, A, lanes), _largest(u, A, A + B, lanes)
            for _ in range(t, until):
                v, x_top, y_top = _iteration(
                    lanes, A, B, q, m, u, s, work, h, h_next, low, v, x_top, y_top
                )
            store(V, lane, v)
            t = until
            if t % often == 0:
                values, sums = V[lane : lane + lanes], all_V[lane : lane + lanes]
                fold(lanes, A, B, m, u, s, values, all_S[begin:end], sums)
