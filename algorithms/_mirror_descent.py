"""Kernels of staged optimistic mirror descent for two-player zero-sum games.

Inside a stage every (step, state) is a matrix game of its own whose matrix stands still. Games of
one shape A x B lie side by side in blocks of `LANES`: number c of a block's matrix, for all its
lanes, occupies `Q[c * LANES : (c + 1) * LANES]`, so that the innermost loop runs over games and is
vectorised, and a block's whole stage runs out of the first-level cache. Policies, gradients and
sums lie alike, player 0's A rows before player 1's B rows.

Kernels that call each other live in this one file, because Numba's cache does not notice when a
kernel of another file changes.
"""

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 16
# No 'reassoc': it would fold (t + SHIFT) - SHIFT in `_exp`.
FAST = {"contract", "nnan", "ninf", "nsz", "arcp"}
JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": FAST}

SHIFT = 6755399441055744.0  # 1.5·2^52: adding it rounds to an integer, left in the low bits
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_C = [1.0 / math.factorial(k) for k in range(13)]
C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12 = _C[2:]


@intrinsic
def _bits(typingctx, x):  # noqa: ARG001
    def build(context, builder, signature, args):  # noqa: ARG001
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), build


@intrinsic
def _number(typingctx, x):  # noqa: ARG001
    def build(context, builder, signature, args):  # noqa: ARG001
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), build


@njit(inline="always", fastmath=FAST)
def _exp(x):
    """Return e^x for x ≤ 0 to 4e-16, in arithmetic that vectorises (Numba's own does not)."""
    x = max(x, -700.0)
    t = x * LOG2_E + SHIFT
    n = t - SHIFT
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = C12
    p = p * r + C11
    p = p * r + C10
    p = p * r + C9
    p = p * r + C8
    p = p * r + C7
    p = p * r + C6
    p = p * r + C5
    p = p * r + C4
    p = p * r + C3
    p = p * r + C2
    p = p * r + 1.0
    p = p * r + 1.0
    return p * _number((_bits(t) << 52) + 0x3FF0000000000000)


@njit(**JIT)
def fill(
    states, groups, timed,
    rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, values, cell, Q,
):  # fmt: skip
    """Write every node's stage matrix r + γ·P·values into `Q`, from the values of the last stage.

    `values` (N,): player 0's; `cell` (N,): where a node's first number lies in `Q`.
    """
    later = np.zeros(len(rows) - 1)
    if not timed:
        for j in range(len(states)):
            later[states[j]] = values[j]
    for g in range(len(groups) - 1):
        if timed and g + 2 < len(groups):
            for j in range(groups[g + 1], groups[g + 2]):
                later[states[j]] = values[j]
        last = timed and g + 2 == len(groups)
        step = g if timed else 0
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            for k in range(rows[s + 1] - rows[s]):
                q = 0.0
                if not last:
                    r = rows[s] + k + step * transition_stride
                    for e in range(indptr[r], indptr[r + 1]):
                        q += probabilities[e] * later[indices[e]]
                Q[cell[j] + k * LANES] = (
                    reward[0, rows[s] + k + step * reward_stride] + discount * q
                )


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
def _softmax(U, X, begin, end, work):
    for i in range(LANES):
        work[i] = U[begin * LANES + i]
    for k in range(begin + 1, end):
        for i in range(LANES):
            work[i] = max(work[i], U[k * LANES + i])
    for k in range(begin, end):
        for i in range(LANES):
            X[k * LANES + i] = _exp(U[k * LANES + i] - work[i])
    for i in range(LANES):
        work[i] = 0.0
    for k in range(begin, end):
        for i in range(LANES):
            work[i] += X[k * LANES + i]
    for i in range(LANES):
        work[i] = 1.0 / work[i]
    for k in range(begin, end):
        for i in range(LANES):
            X[k * LANES + i] *= work[i]


@njit(**JIT)
def _add_up(X, G, S, V, A, B):
    for k in range((A + B) * LANES):
        S[k] += X[k]
    for a in range(A):
        for i in range(LANES):
            V[i] += X[a * LANES + i] * G[a * LANES + i]


@njit(**JIT)
def entropy(blocks, Q, M, G, S, V, eta, optimism, times):
    """Iterate entropic mirror descent `times` times in every block. In place.

    Both half steps of optimistic mirror descent are one softmax: with M the logarithm of the start
    plus η times the sum of the gradients so far, play is softmax(M + η·last gradient).

    `blocks` (n, 5): A, B and the offsets in Q, in the policy arrays M, G, S, and in V, eta.
    S and V collect plays and values.
    """
    most = 0
    for n in range(len(blocks)):
        most = max(most, blocks[n, 0] + blocks[n, 1])
    X, U, work = np.empty(most * LANES), np.empty(most * LANES), np.empty(LANES)
    for n in range(len(blocks)):
        A, B = blocks[n, 0], blocks[n, 1]
        size = (A + B) * LANES
        q = Q[blocks[n, 2] : blocks[n, 2] + A * B * LANES]
        m = M[blocks[n, 3] : blocks[n, 3] + size]
        g = G[blocks[n, 3] : blocks[n, 3] + size]
        s = S[blocks[n, 3] : blocks[n, 3] + size]
        v = V[blocks[n, 4] : blocks[n, 4] + LANES]
        h = eta[blocks[n, 4] : blocks[n, 4] + LANES]
        if A == 1 and B == 1:
            for i in range(LANES):
                s[i] += times
                s[LANES + i] += times
                v[i] += times * q[i]
            continue
        for _ in range(times):
            if optimism:
                for k in range(A + B):
                    for i in range(LANES):
                        U[k * LANES + i] = m[k * LANES + i] + h[i] * g[k * LANES + i]
            else:
                for k in range(size):
                    U[k] = m[k]
            _softmax(U, X, 0, A, work)
            _softmax(U, X, A, A + B, work)
            _gradient(q, X, g, A, B)
            for k in range(A + B):
                for i in range(LANES):
                    m[k * LANES + i] += h[i] * g[k * LANES + i]
            _add_up(X, g, s, v, A, B)


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
    """Like `entropy`, with the Euclidean regularizer: M is the secondary iterate itself."""
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
