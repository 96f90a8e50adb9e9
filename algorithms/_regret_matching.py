"""Kernels of regret matching on all stage games of a two-player zero-sum game (`regret_matching`).

Kernels that call each other live in this one file, but for `_matrix_games`, because Numba's cache
does not notice when a kernel of another file changes.
"""

import numpy as np
from numba import njit

from metamarl.algorithms._jit import JIT
from metamarl.algorithms._matrix_games import FAST, bounds, build, solve_if_pure


@njit(**FAST)
def _combine(M, weights, support, out):
    """out = weights·M, over the rows whose weight is not 0, four at a time."""
    n, m = M.shape
    k = 0
    for i in range(n):
        if weights[i] != 0.0:
            support[k] = i
            k += 1
    out[:] = 0.0
    i = 0
    while i + 4 <= k:
        a, b, c, d = support[i], support[i + 1], support[i + 2], support[i + 3]
        u, v, w, z = weights[a], weights[b], weights[c], weights[d]
        for j in range(m):
            out[j] += u * M[a, j] + v * M[b, j] + w * M[c, j] + z * M[d, j]
        i += 4
    while i < k:
        a = support[i]
        u = weights[a]
        for j in range(m):
            out[j] += u * M[a, j]
        i += 1


@njit(**FAST)
def _match(R, utility, x, zero):
    """One step of predictive regret matching+ from the play x, whose utility is the prediction."""
    played, total = zero, zero
    for a in range(len(x)):
        played += x[a] * utility[a]
    for a in range(len(x)):
        gain = utility[a] - played
        R[a] = max(R[a] + gain, zero)
        x[a] = max(R[a] + gain, zero)
    for a in range(len(x)):
        total += x[a]
    if total > zero:
        for a in range(len(x)):
            x[a] /= total
    else:
        x[:] = 1.0 / len(x)


@njit(**FAST)
def _play(Q, turned, x, y, R, T, gap, most, S, G, q, p, support, zero):
    """Play until the gap of the averages is at most `gap`.

    x, y, R, T are both players' plays and regrets; S (A + B,) the weighted sums of plays, and G
    (A + B,) of what they leave to the other player; `turned` is Qᵀ.
    """
    A, B = Q.shape
    S[:], G[:] = 0.0, 0.0
    total, weight = 0.0, 0.0
    for t in range(1, most + 1):
        _combine(turned, y, support, q)
        if t > 1:
            high, low = -1e300, 1e300
            for a in range(A):
                G[a] += weight * q[a]
                high = max(high, G[a])
            for b in range(B):
                low = min(low, G[A + b])
            if high - low <= gap * total:
                break
        _match(R, q, x, zero)
        _combine(Q, x, support, p)
        weight = float(t) * t
        for b in range(B):
            G[A + b] += weight * p[b]
            p[b] = -p[b]
        _match(T, p, y, zero)
        for a in range(A):
            S[a] += weight * x[a]
        for b in range(B):
            S[A + b] += weight * y[b]
        total += weight


@njit(**JIT)
def approach_stages(
    states, groups, slots, timed, counts,
    rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, gap, most, X, R, work, values, flat,
):  # fmt: skip
    """Like `solve_stages`, by regret matching, until every stage game's gap is at most `gap`.

    X and R, laid out like `flat`, are plays and regrets to go on from, in units of the spans of the
    matrices; `work` (2·A·B + 3·(A + B),) says in which precision to play, with the largest A, B.
    """
    later = np.zeros(len(rows) - 1)
    fresh = np.empty(len(values))
    most_actions = counts.max()
    support = np.empty(most_actions, np.int64)
    S, G = np.empty(2 * most_actions), np.empty(2 * most_actions)
    zero = work.dtype.type(0)
    for j in range(len(states)):
        if len(groups) == 2 and not timed:
            later[states[j]] = values[j]
    for g in range(len(groups) - 2, -1, -1):
        step = g if timed else 0
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            A, B = counts[s, 0], counts[s, 1]
            first, second = slots[0, j], slots[1, j]
            matrix = np.empty((A, B))
            build(
                matrix, s, step, rows, reward, reward_stride, indptr, indices, probabilities,
                transition_stride, discount, later,
            )  # fmt: skip
            u, w = flat[first : first + A], flat[second : second + B]
            pure, fresh[j], low, high = solve_if_pure(matrix, u, w)
            if pure:
                continue
            Q = work[: A * B].reshape(A, B)
            turned = work[A * B : 2 * A * B].reshape(B, A)
            for a in range(A):
                for b in range(B):
                    matrix[a, b] = (matrix[a, b] - low) / (high - low)
                    Q[a, b] = matrix[a, b]
                    turned[b, a] = matrix[a, b]
            left = work[2 * A * B : 2 * A * B + 3 * (A + B)]
            x, y = left[:A], left[A : A + B]
            r, t = left[A + B : 2 * A + B], left[2 * A + B : 2 * (A + B)]
            q, p = left[2 * (A + B) : 3 * A + 2 * B], left[3 * A + 2 * B :]
            x[:], y[:] = X[first : first + A], X[second : second + B]
            r[:], t[:] = R[first : first + A], R[second : second + B]
            _play(
                Q, turned, x, y, r, t, gap / (high - low), most, S[: A + B], G[: A + B],
                q, p, support, zero,
            )  # fmt: skip
            X[first : first + A], X[second : second + B] = x, y
            R[first : first + A], R[second : second + B] = r, t
            u[:], w[:] = S[:A], S[A : A + B]
            u /= u.sum()
            w /= w.sum()
            lower, upper = bounds(matrix, u, w, S)
            fresh[j] = low + (high - low) * 0.5 * (lower + upper)
        for j in range(groups[g], groups[g + 1]):
            later[states[j]] = fresh[j]
    change = np.abs(fresh - values).max()
    values[:] = fresh
    return change
