"""Kernels of staged optimistic mirror descent for two-player zero-sum games.

Inside a stage every (step, state) is a matrix game of its own whose matrix stands still. Games lie
side by side in blocks, one per lane of a vector: number c of a block's matrix is one vector with
that number of all its games, so that the code of one game serves a block, and a block's whole stage
runs out of the first-level cache. Policies and sums lie alike, player 0's A rows before player 1's
B rows. A game with fewer actions than its block has zeros in its matrix there, and the logarithm
`BARRED` in its policies, which adds exactly nothing. Where there are too few games for a block, or
they are too large for the cache, a vector holds neighbouring actions of one game (`wide_entropy`).

Kernels that call each other live in this one file, because Numba's cache does not notice when a
kernel of another file changes.
"""

from numba import njit
from numba.cpython.unsafe.tuple import tuple_setitem

from metamarl.algorithms._vectors import (
    LANE_BYTES,
    exponential,
    largest,
    load,
    spread,
    store,
    total,
)

BARRED = -1e30
FOLD = 32  # iterations after which float32 sums go to float64
# No 'reassoc': it would undo the rounding in `exponential`.
FAST = {"contract", "nnan", "ninf", "nsz", "arcp"}
JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": FAST}


@njit(**JIT)
def _fold(lanes, A, B, M, U, S, V, all_S, all_V):
    """Add S and V to all_S and all_V, clear them, and take M and U down by the largest U."""
    for begin, end in ((0, A), (A, A + B)):
        for i in range(lanes):
            top = U[begin * lanes + i]
            for k in range(begin + 1, end):
                top = max(top, U[k * lanes + i])
            for k in range(begin, end):
                M[k * lanes + i] -= top
                U[k * lanes + i] -= top
    for k in range(len(S)):
        all_S[k] += S[k]
        S[k] = 0.0
    for i in range(len(V)):
        all_V[i] += V[i]
        V[i] = 0.0


@njit(**JIT)
def _exponentials(U, begin, end, lanes, top):
    """U = e^(U - top); returns its sum."""
    z = exponential(load(U, begin * lanes) - top)
    store(U, begin * lanes, z)
    for k in range(begin + 1, end):
        e = exponential(load(U, k * lanes) - top)
        store(U, k * lanes, e)
        z = z + e
    return z


@njit(**JIT)
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
    one, low = spread(Q.dtype.type(1.0), Q), spread(Q.dtype.type(BARRED), Q)
    o = one - one
    fold = FOLD if Q.itemsize == 4 else 2**62
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
            until = min(done + times, t + fold - t % fold)
            v, x_top, y_top = load(V, lane), low, low
            for k in range(A):
                x_top = max(x_top, load(u, k * lanes))
            for k in range(A, A + B):
                y_top = max(y_top, load(u, k * lanes))
            for _ in range(t, until):
                over_x = one / _exponentials(u, 0, A, lanes, x_top)
                over_y = one / _exponentials(u, A, A + B, lanes, y_top)
                here = (lanes, A, B, q, m, u, s, work, over_x, over_y, h, h_next)
                x_top = y_top = low
                for b in range(B):
                    store(work, b * lanes, o)
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
                    k, g = (A + b) * lanes, load(work, b * lanes)
                    store(s, k, load(s, k) + load(u, k) * over_y)
                    w = load(m, k) - h * g
                    store(m, k, w)
                    w = w - h_next * g
                    store(u, k, w)
                    y_top = max(y_top, w)
            store(V, lane, v)
            t = until
            if t % fold == 0:
                values, sums = V[lane : lane + lanes], all_V[lane : lane + lanes]
                _fold(lanes, A, B, m, u, s, values, all_S[begin:end], sums)


@njit(**JIT)
def _wide_softmax(begin, end, lanes, U, S):
    """U = softmax(U); S += U."""
    top = load(U, begin)
    for k in range(begin + lanes, end, lanes):
        top = max(top, load(U, k))
    top = spread(largest(top), U)
    e = exponential(load(U, begin) - top)
    store(U, begin, e)
    z = e
    for k in range(begin + lanes, end, lanes):
        e = exponential(load(U, k) - top)
        store(U, k, e)
        z = z + e
    over = spread(U.dtype.type(1.0) / total(z), U)
    for k in range(begin, end, lanes):
        e = load(U, k) * over
        store(U, k, e)
        store(S, k, load(S, k) + e)


@njit(**JIT)
def _wide_rows(zeros, lanes, a, A, B, Q, U, G, v):
    """The gradients Q·y and Qᵀ·x into G for the rows from a on; returns v + x·Q·y."""
    x, g = zeros, zeros
    for r in range(len(zeros)):
        x = tuple_setitem(x, r, spread(U[a + r], U))
    for b in range(0, B, lanes):
        y, p = load(U, A + b), load(G, A + b)
        for r in range(len(zeros)):
            q = load(Q, (a + r) * B + b)
            g = tuple_setitem(g, r, g[r] + q * y)
            p = p + q * x[r]
        store(G, A + b, p)
    for r in range(len(zeros)):
        G[a + r] = total(g[r])
        v += G[a + r] * U[a + r]
    return v


@njit(**JIT)
def wide_entropy(games, Q, M, U, S, V, all_S, all_V, eta, hope, work, done, times):
    """Like `entropy`, one game after another, whose rows and policies are whole vectors.

    `games` (n, 5) is like `blocks`; `work`: room for both policies of a game.
    """
    lanes = LANE_BYTES // Q.itemsize
    zero = spread(Q.dtype.type(0.0), Q)
    fold = FOLD if Q.itemsize == 4 else 2**62
    for n in range(len(games)):
        rows, lane = games[n, 0], games[n, 4]
        A, B = -(-rows // lanes) * lanes, -(-games[n, 1] // lanes) * lanes
        q = Q[games[n, 2] : games[n, 2] + rows * B]
        begin, end = games[n, 3], games[n, 3] + A + B
        m, u, s, g = M[begin:end], U[begin:end], S[begin:end], work[: A + B]
        h, o = spread(eta[lane], Q), spread(hope[lane], Q)
        g[:] = 0.0
        for t in range(done + 1, done + times + 1):
            _wide_softmax(0, A, lanes, u, s)
            _wide_softmax(A, A + B, lanes, u, s)
            for b in range(A, A + B, lanes):
                store(g, b, zero)
            a, v = 0, V[lane]
            while a + 4 <= rows:
                v = _wide_rows((zero, zero, zero, zero), lanes, a, A, B, q, u, g, v)
                a += 4
            while a < rows:
                v = _wide_rows((zero,), lanes, a, A, B, q, u, g, v)
                a += 1
            V[lane] = v
            for k in range(0, A, lanes):
                w = load(m, k) + h * load(g, k)
                store(m, k, w)
                store(u, k, w + o * load(g, k))
            for k in range(A, A + B, lanes):
                w = load(m, k) - h * load(g, k)
                store(m, k, w)
                store(u, k, w - o * load(g, k))
            if t % fold == 0:
                _fold(
                    1, A, B, m, u, s, V[lane : lane + 1], all_S[begin:end], all_V[lane : lane + 1]
                )
