"""Kernels of staged mirror descent for any number of players.

Inside a stage every node is a game in normal form of its own. Its joint actions, in C order over
the players' legal actions, lie at `joints[j] : joints[j + 1]` of the payoffs `Q` (n, J) and of the
sum of plays `S`; player i's actions at `slots[i, j]` on of the policies. `counts` (N, n).

Kernels that call each other live in this one file, because Numba's cache does not notice when a
kernel of another file changes.
"""

import math

import numpy as np
from numba import njit

from metamarl.algorithms._expectations import expected
from metamarl.algorithms._jit import JIT


@njit(**JIT)
def fill(
    begin, end, states, groups, joints, timed,
    rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, values, Q,
):  # fmt: skip
    """Write the payoffs r_i + γ·P·values_i of the nodes from `begin` to `end` into `Q` (n, J).

    `values` (n, N) are those of the last stage.
    """
    n = len(values)
    later = np.zeros((n, len(rows) - 1))
    if not timed:
        for j in range(len(states)):
            for i in range(n):
                later[i, states[j]] = values[i, j]
    for g in range(len(groups) - 1):
        if groups[g + 1] <= begin or end <= groups[g]:
            continue
        if timed and g + 2 < len(groups):
            for j in range(groups[g + 1], groups[g + 2]):
                for i in range(n):
                    later[i, states[j]] = values[i, j]
        last = timed and g + 2 == len(groups)
        step = g if timed else 0
        for j in range(max(begin, groups[g]), min(end, groups[g + 1])):
            s = states[j]
            for k in range(rows[s + 1] - rows[s]):
                r = rows[s] + k + step * transition_stride
                for i in range(n):
                    q = 0.0
                    if not last:
                        q = expected(indices, probabilities, indptr[r], indptr[r + 1], later[i])
                    Q[i, joints[j] + k] = (
                        reward[i, rows[s] + k + step * reward_stride] + discount * q
                    )


@njit(**JIT)
def _gradients(counts, slots, joints, j, Q, X, G, S, digits, before, times):
    """Write G_i(a_i) = E[Q_i(a_i, others)] under the play X, at node j; add `times` the play to S.

    One walk over the joint actions: the others' probability is a product from the left times one
    from the right, so that no division is needed.
    """
    n = counts.shape[1]
    for i in range(n):
        digits[i] = 0
        for a in range(counts[j, i]):
            G[slots[i, j] + a] = 0.0
    for k in range(joints[j], joints[j + 1]):
        before[0] = 1.0
        for i in range(n):
            before[i + 1] = before[i] * X[slots[i, j] + digits[i]]
        S[k] += times * before[n]
        after = 1.0
        for i in range(n - 1, -1, -1):
            at = slots[i, j] + digits[i]
            G[at] += before[i] * after * Q[i, k]
            after *= X[at]
        i = n - 1
        while i >= 0:
            digits[i] += 1
            if digits[i] < counts[j, i]:
                break
            digits[i] = 0
            i -= 1


@njit(**JIT)
def multiply(counts, slots, joints, X, S):
    """Write the joint probabilities of the independent play X."""
    n = counts.shape[1]
    digits = np.zeros(n, np.int64)
    for j in range(len(joints) - 1):
        digits[:] = 0
        for k in range(joints[j], joints[j + 1]):
            S[k] = 1.0
            for i in range(n):
                S[k] *= X[slots[i, j] + digits[i]]
            i = n - 1
            while i >= 0:
                digits[i] += 1
                if digits[i] < counts[j, i]:
                    break
                digits[i] = 0
                i -= 1


@njit(**JIT)
def predict(begin, end, counts, slots, joints, Q, X, G, S):
    """First prediction of a stage at the nodes from `begin` to `end`: the gradients at the start X.

    Writes G; S stays as it is.
    """
    n = counts.shape[1]
    digits, before = np.zeros(n, np.int64), np.empty(n + 1)
    for j in range(begin, end):
        _gradients(counts, slots, joints, j, Q, X, G, S, digits, before, 0.0)


@njit(**JIT)
def entropy(nodes, counts, slots, joints, Q, M, G, X, S, V, eta, optimism, times):
    """Iterate every player's entropic mirror descent `times` times at some nodes. In place.

    M is the logarithm of the start plus η times the sum of the gradients so far; play, X, is
    softmax(M + η·last gradient). S and V (n, N) collect joint plays and values.
    """
    n = counts.shape[1]
    digits, before = np.zeros(n, np.int64), np.empty(n + 1)
    for j in nodes:
        for _ in range(times):
            for i in range(n):
                begin, end = slots[i, j], slots[i, j] + counts[j, i]
                most, total = -np.inf, 0.0
                for a in range(begin, end):
                    X[a] = M[a] + eta[j] * G[a] if optimism else M[a]
                    most = max(most, X[a])
                for a in range(begin, end):
                    X[a] = math.exp(X[a] - most)
                    total += X[a]
                for a in range(begin, end):
                    X[a] /= total
            _gradients(counts, slots, joints, j, Q, X, G, S, digits, before, 1.0)
            for i in range(n):
                for a in range(slots[i, j], slots[i, j] + counts[j, i]):
                    M[a] += eta[j] * G[a]
                    V[i, j] += X[a] * G[a]


@njit(**JIT)
def _stationary(W, x):
    """Write the stationary distribution of the positive stochastic matrix W, which is overwritten.

    By elimination without subtractions (Grassmann, Taksar & Heyman 1985).
    """
    n = len(x)
    for k in range(n - 1, 0, -1):
        out = 0.0
        for b in range(k):
            out += W[k, b]
        for a in range(k):
            W[a, k] /= out
            for b in range(k):
                W[a, b] += W[a, k] * W[k, b]
    x[0], total = 1.0, 1.0
    for k in range(1, n):
        x[k] = 0.0
        for a in range(k):
            x[k] += x[a] * W[a, k]
        total += x[k]
    for k in range(n):
        x[k] /= total


@njit(**JIT)
def swap_entropy(nodes, counts, slots, joints, squares, Q, M, D, G, X, S, V, eta, optimism, times):
    """Iterate every player's swap-regret learner `times` times at some nodes. In place.

    Blum & Mansour (2007): for each own action a learner of its own, which is told what the action
    would have been swapped for; play is the stationary distribution of their policies. Learner a of
    player i at node j holds the row `squares[i, j] + a·A_i` of M (logarithm of the start plus η
    times its gradients) and of D (its last gradient).
    """
    n, most = counts.shape[1], 0
    for j in nodes:
        for i in range(n):
            most = max(most, counts[j, i])
    room = np.empty(most * most)
    digits, before = np.zeros(n, np.int64), np.empty(n + 1)
    for j in nodes:
        for _ in range(times):
            for i in range(n):
                A, first = counts[j, i], squares[i, j]
                W = room[: A * A].reshape(A, A)
                for a in range(A):
                    most, total = -np.inf, 0.0
                    for b in range(A):
                        at = first + a * A + b
                        W[a, b] = M[at] + eta[j] * D[at] if optimism else M[at]
                        most = max(most, W[a, b])
                    for b in range(A):
                        W[a, b] = max(math.exp(W[a, b] - most), 1e-300)
                        total += W[a, b]
                    for b in range(A):
                        W[a, b] /= total
                _stationary(W, X[slots[i, j] : slots[i, j] + A])
            _gradients(counts, slots, joints, j, Q, X, G, S, digits, before, 1.0)
            for i in range(n):
                A, first = counts[j, i], squares[i, j]
                for a in range(A):
                    x = X[slots[i, j] + a]
                    V[i, j] += x * G[slots[i, j] + a]
                    for b in range(A):
                        D[first + a * A + b] = x * G[slots[i, j] + b]
                        M[first + a * A + b] += eta[j] * D[first + a * A + b]


@njit(**JIT)
def adapt(joints, Q, eta, factor):
    """Write η = factor / span of the players' payoffs, the largest one, at every node.

    Payoffs that are constant to nine digits get η = 0: nothing is to be learned there.
    """
    for j in range(len(joints) - 1):
        span, size = 0.0, 0.0
        for i in range(len(Q)):
            low = high = Q[i, joints[j]]
            for k in range(joints[j], joints[j + 1]):
                low, high = min(low, Q[i, k]), max(high, Q[i, k])
            span = max(span, high - low)
            size = max(size, abs(low), abs(high))
        eta[j] = factor / span if span > 1e-9 * size else 0.0
