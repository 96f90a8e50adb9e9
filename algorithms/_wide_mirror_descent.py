"""Kernels of staged optimistic mirror descent for one zero-sum game at a time.

For games that are too few for a block of `_mirror_descent`, or too large for the cache: a vector
holds neighbouring actions of one game, whose rows and policies are whole vectors. Kernels that call
each other live in this one file, because Numba's cache does not notice when a kernel of another
file changes.
"""

from numba import njit
from numba.cpython.unsafe.tuple import tuple_setitem

from metamarl.algorithms._mirror_descent import FOLD, JIT
from metamarl.algorithms._vectors import (
    LANE_BYTES,
    exponential,
    fold,
    largest,
    load,
    spread,
    store,
    total,
)


@njit(**JIT)
def _softmax(begin, end, lanes, U, S):
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
def _rows(zeros, lanes, a, A, B, Q, U, G, v):
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
def entropy(games, Q, M, U, S, V, all_S, all_V, eta, hope, work, done, times):
    """Iterate like `_mirror_descent.entropy`, in one game after another.

    `games` (n, 5) is like `blocks`; `work`: room for both policies of a game.
    """
    lanes = LANE_BYTES // Q.itemsize
    zero = spread(Q.dtype.type(0.0), Q)
    often = FOLD if Q.itemsize == 4 else 2**62
    for n in range(len(games)):
        rows, lane = games[n, 0], games[n, 4]
        A, B = -(-rows // lanes) * lanes, -(-games[n, 1] // lanes) * lanes
        q = Q[games[n, 2] : games[n, 2] + rows * B]
        begin, end = games[n, 3], games[n, 3] + A + B
        m, u, s, g = M[begin:end], U[begin:end], S[begin:end], work[: A + B]
        h, o = spread(eta[lane], Q), spread(hope[lane], Q)
        g[:] = 0.0
        for t in range(done + 1, done + times + 1):
            _softmax(0, A, lanes, u, s)
            _softmax(A, A + B, lanes, u, s)
            for b in range(A, A + B, lanes):
                store(g, b, zero)
            a, v = 0, V[lane]
            while a + 4 <= rows:
                v = _rows((zero, zero, zero, zero), lanes, a, A, B, q, u, g, v)
                a += 4
            while a < rows:
                v = _rows((zero,), lanes, a, A, B, q, u, g, v)
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
            if t % often == 0:
                fold(1, A, B, m, u, s, V[lane : lane + 1], all_S[begin:end], all_V[lane : lane + 1])
