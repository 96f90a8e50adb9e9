"""Kernels of staged projected gradient descent for two-player zero-sum games.

The Euclidean regularizer's counterpart of `_mirror_descent`, with the same blocks of games, but
loops over lanes: a projection's steps differ from game to game. Kernels that call each other live
in this one file, because Numba's cache does not notice when a kernel of another file changes.
"""

import numpy as np
from numba import njit

LANES = 16
JIT = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nnan", "ninf", "nsz", "arcp"},
}


@njit(**JIT)
def _gradient(Q, X, G, A, B):
    """G = (Q·y, -Qᵀ·x) for the play X = (x, y), in all lanes."""
    for k in range((A + B) * LANES):
        G[k] = 0.0
    for a in range(A):
        xa = a * LANES
        for b in range(B):
            c, yb = (a * B + b) * LANES, (A + b) * LANES
            for i in range(LANES):
                q = Q[c + i]
                G[xa + i] += q * X[yb + i]
                G[yb + i] -= q * X[xa + i]


@njit(**JIT)
def _add_up(X, G, S, V, A, B):
    for k in range((A + B) * LANES):
        S[k] += X[k]
    for a in range(A):
        for i in range(LANES):
            V[i] += X[a * LANES + i] * G[a * LANES + i]


@njit(**JIT)
def _project(U, X, begin, end, lane):
    """Write the Euclidean projection of one lane's U onto the simplex to X (Michelot 1986)."""
    kept, threshold = end - begin + 1, -1e300  # no infinities under FAST
    while True:
        total, count = 0.0, 0
        for k in range(begin, end):
            u = U[k * LANES + lane]
            if u > threshold:
                total += u
                count += 1
        if count >= kept:  # rounding may bring back what was dropped: stop there too
            break
        kept, threshold = count, (total - 1.0) / count
    for k in range(begin, end):
        X[k * LANES + lane] = max(U[k * LANES + lane] - threshold, 0.0)


@njit(**JIT)
def euclidean(blocks, Q, M, G, S, V, eta, optimism, times):
    """Iterate projected gradient descent `times` times in every block. In place.

    `blocks` (n, 5): A, B and the offsets in Q, in the policies M, G, S, and in V, eta. M is the
    secondary iterate; S and V collect plays and values.
    """
    most = 0
    for n in range(len(blocks)):
        most = max(most, blocks[n, 0] + blocks[n, 1])
    X, U = np.empty(most * LANES), np.empty(most * LANES)
    for n in range(len(blocks)):
        A, B = blocks[n, 0], blocks[n, 1]
        size = (A + B) * LANES
        q = Q[blocks[n, 2] : blocks[n, 2] + A * B * LANES]
        m = M[blocks[n, 3] : blocks[n, 3] + size]
        g = G[blocks[n, 3] : blocks[n, 3] + size]
        s = S[blocks[n, 3] : blocks[n, 3] + size]
        v = V[blocks[n, 4] : blocks[n, 4] + LANES]
        h = eta[blocks[n, 4] : blocks[n, 4] + LANES]
        for _ in range(times):
            if optimism:
                for k in range(A + B):
                    for i in range(LANES):
                        U[k * LANES + i] = m[k * LANES + i] + h[i] * g[k * LANES + i]
                for i in range(LANES):
                    _project(U, X, 0, A, i)
                    _project(U, X, A, A + B, i)
            else:
                X[:size] = m
            _gradient(q, X, g, A, B)
            for k in range(A + B):
                for i in range(LANES):
                    U[k * LANES + i] = m[k * LANES + i] + h[i] * g[k * LANES + i]
            for i in range(LANES):
                _project(U, m, 0, A, i)
                _project(U, m, A, A + B, i)
            _add_up(X, g, s, v, A, B)


@njit(**JIT)
def predict(blocks, Q, X, G):
    """First prediction of a stage: the gradients at the start X. Writes G."""
    for n in range(len(blocks)):
        A, B = blocks[n, 0], blocks[n, 1]
        size = (A + B) * LANES
        x = X[blocks[n, 3] : blocks[n, 3] + size]
        g = G[blocks[n, 3] : blocks[n, 3] + size]
        _gradient(Q[blocks[n, 2] : blocks[n, 2] + A * B * LANES], x, g, A, B)
