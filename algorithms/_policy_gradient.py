"""Kernels of independent policy gradients. They check nothing and allocate little.

A flat policy holds player i's actions in node j at `slots[i, j]` on; G, its gradient, is laid out
alike. With identical interests m = 1 reward serves all players, else m = n. Kernels that call each
other live in this one file, because Numba's cache does not notice when a kernel of another file
changes.
"""

import math

import numpy as np
from numba import njit

JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
ASCENT, GRADIENT, NATURAL = 0, 1, 2  # the rules of `steps` and `update`
SMALLEST = 1e-15  # natural gradients: probabilities stay above, or actions would be out of reach
LOWEST = math.log(SMALLEST)


@njit(**JIT)
def _next_digits(digits, counts, s):
    i = counts.shape[1] - 1
    while i >= 0:
        digits[i] += 1
        if digits[i] < counts[s, i]:
            break
        digits[i] = 0
        i -= 1


@njit(**JIT)
def action_values(
    states, groups, slots, timed,
    counts, rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, flat, m, cyclic, V, later, G, span,
):  # fmt: skip
    """Write G_i(a_i) = E[Q_i(s, a_i, others)] and the span of the Q_i(s, ·) at every node.

    V (N, m), the values, is read where the game is `cyclic`, and written in a backward pass where
    it is not. `later` (S, m) is workspace.
    """
    n = counts.shape[1]
    digits, before = np.zeros(n, np.int64), np.empty(n + 1)
    Q, low, high = np.empty(m), np.empty(m), np.empty(m)
    if cyclic:
        later[:] = V
    else:
        later[:] = 0.0
    for g in range(len(groups) - 2, -1, -1):
        step = g if timed else 0
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            digits[:] = 0
            low[:], high[:] = np.inf, -np.inf
            for i in range(n):
                for a in range(counts[s, i]):
                    G[slots[i, j] + a] = 0.0
            if not cyclic:
                V[j] = 0.0
            for r in range(rows[s], rows[s + 1]):
                Q[:] = 0.0
                at = r + step * transition_stride
                for e in range(indptr[at], indptr[at + 1]):
                    for k in range(m):
                        Q[k] += probabilities[e] * later[indices[e], k]
                for k in range(m):
                    Q[k] = reward[k, r + step * reward_stride] + discount * Q[k]
                    low[k], high[k] = min(low[k], Q[k]), max(high[k], Q[k])
                before[0] = 1.0
                for i in range(n):
                    before[i + 1] = before[i] * flat[slots[i, j] + digits[i]]
                after = 1.0
                for i in range(n - 1, -1, -1):
                    own = slots[i, j] + digits[i]
                    G[own] += before[i] * after * Q[min(i, m - 1)]
                    after *= flat[own]
                if not cyclic:
                    for k in range(m):
                        V[j, k] += before[n] * Q[k]
                _next_digits(digits, counts, s)
            span[j] = 0.0
            for k in range(m):
                if high[k] - low[k] > 1e-12 * max(abs(high[k]), abs(low[k])):
                    span[j] = max(span[j], high[k] - low[k])
        if not cyclic:
            for j in range(groups[g], groups[g + 1]):
                later[states[j]] = V[j]


@njit(**JIT)
def chain(
    slots, counts, rows, reward, indptr, indices, probabilities, flat, m, pay, heads, tails,
    weights, seen,
):  # fmt: skip
    """Fold `flat` into a game without a horizon: a Markov chain with rewards `pay` (S, m).

    The merged successors of s are `tails` from `heads[s]` on, with `weights`.
    """
    S, n = counts.shape
    digits = np.zeros(n, np.int64)
    seen[:] = -1
    filled = 0
    for s in range(S):
        digits[:] = 0
        pay[s] = 0.0
        heads[s] = filled
        for r in range(rows[s], rows[s + 1]):
            w = 1.0
            for i in range(n):
                w *= flat[slots[i, s] + digits[i]]
            _next_digits(digits, counts, s)
            if w == 0.0:
                continue
            for k in range(m):
                pay[s, k] += w * reward[k, r]
            for e in range(indptr[r], indptr[r + 1]):
                t = indices[e]
                if seen[t] < heads[s]:
                    seen[t] = filled
                    tails[filled] = t
                    weights[filled] = w * probabilities[e]
                    filled += 1
                else:
                    weights[seen[t]] += w * probabilities[e]
    heads[S] = filled


@njit(**JIT)
def settle(pay, heads, tails, weights, discount, duration, accuracy, V):
    """Solve V = pay + γ·chain·V by Gauss-Seidel sweeps from V, to `accuracy` or rounding error."""
    S, m = V.shape
    Q = np.empty(m)
    while True:
        change, largest = 0.0, 0.0
        for s in range(S):
            Q[:] = 0.0
            for e in range(heads[s], heads[s + 1]):
                for k in range(m):
                    Q[k] += weights[e] * V[tails[e], k]
            for k in range(m):
                Q[k] = pay[s, k] + discount * Q[k]
                change = max(change, abs(Q[k] - V[s, k]))
                largest = max(largest, abs(Q[k]))
                V[s, k] = Q[k]
        if not change * duration > max(accuracy, 8e-16 * largest * duration):
            break


@njit(**JIT)
def settle_visits(initial, rest, heads, tails, weights, discount, duration, D, fresh):
    """Solve D = initial + γ·Dᵀ·chain, the expected discounted visits, from D; 0 at rest."""
    S = len(D)
    while True:
        fresh[:] = initial
        for s in range(S):
            if not rest[s]:
                for e in range(heads[s], heads[s + 1]):
                    fresh[tails[e]] += discount * D[s] * weights[e]
        change, total = 0.0, 0.0
        for s in range(S):
            if rest[s]:
                fresh[s] = 0.0
            change += abs(fresh[s] - D[s])
            total += fresh[s]
            D[s] = fresh[s]
        if not change * duration > max(1e-12, 8e-16 * duration) * total:
            break


@njit(**JIT)
def visits(
    states, groups, slots, timed,
    counts, rows, indptr, indices, probabilities, transition_stride, discount, initial, flat, D,
    now, following,
):  # fmt: skip
    """Write D (N,), the expected discounted visits, in one forward pass.

    `now` and `following` (S,) are workspace.
    """
    n = counts.shape[1]
    digits = np.zeros(n, np.int64)
    now[:] = initial
    following[:] = 0.0
    for g in range(len(groups) - 1):
        step = g if timed else 0
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            D[j] = now[s]
            now[s] = 0.0
            if timed and g + 2 == len(groups):
                continue
            target = following if timed else now
            digits[:] = 0
            for r in range(rows[s], rows[s + 1]):
                w = D[j] * discount
                for i in range(n):
                    w *= flat[slots[i, j] + digits[i]]
                _next_digits(digits, counts, s)
                if w != 0.0:
                    at = r + step * transition_stride
                    for e in range(indptr[at], indptr[at + 1]):
                        target[indices[e]] += w * probabilities[e]
        if timed:
            now, following = following, now


@njit(**JIT)
def _project(X, begin, end):
    """Euclidean projection of a player's X onto the simplex (Michelot 1986). In place."""
    most = -np.inf
    for a in range(begin, end):
        most = max(most, X[a])
    kept, threshold = end - begin + 1, -np.inf
    while True:
        total, count = 0.0, 0
        for a in range(begin, end):
            u = X[a] - most
            if u > threshold:
                total += u
                count += 1
        if count >= kept:  # rounding may bring back what was dropped: stop there too
            break
        kept, threshold = count, (total - 1.0) / count
    total = 0.0
    for a in range(begin, end):
        X[a] = max(X[a] - most - threshold, 0.0)
        total += X[a]
    for a in range(begin, end):
        X[a] /= total


@njit(**JIT)
def steps(rule, states, counts, span, D, eta, factor, steps_of):
    """Write every node's step size: η, or `factor` times the largest at which Φ surely rises.

    That is 4 / ((k - 1)·span), with k players who have a choice, and for projections divided by
    the largest number of actions. The exact gradient has one η for all nodes, times visits.
    """
    least = np.inf
    for j in range(len(states)):
        if factor == 0.0:
            steps_of[j] = eta
        else:
            active, most = 0, 1
            for i in range(counts.shape[1]):
                active += counts[states[j], i] > 1
                most = max(most, counts[states[j], i])
            bound = max(1, active - 1) * span[j] * (1 if rule == NATURAL else most)
            steps_of[j] = 4.0 * factor / bound if bound > 0.0 else 0.0
            if rule == GRADIENT and bound > 0.0 and D[j] > 0.0:
                least = min(least, steps_of[j] / D[j])
    if rule == GRADIENT:
        for j in range(len(states)):
            steps_of[j] = (eta if factor == 0.0 else least) * D[j] if D[j] > 0.0 else 0.0


@njit(**JIT)
def update(rule, states, slots, counts, G, steps_of, X, M, Y, L):
    """Every player's step from X to Y at every node; returns the largest change of a probability.

    M and L, their logarithms, are used by natural gradients alone.
    """
    Y[:], L[:] = X, M
    change = 0.0
    for j in range(len(states)):
        if steps_of[j] == 0.0:
            continue
        for i in range(counts.shape[1]):
            count = counts[states[j], i]
            if count == 1:
                continue
            begin, end = slots[i, j], slots[i, j] + count
            most = -np.inf
            for a in range(begin, end):
                most = max(most, G[a])
            if rule == NATURAL:
                highest, total = -np.inf, 0.0
                for a in range(begin, end):
                    L[a] += steps_of[j] * (G[a] - most)
                    highest = max(highest, L[a])
                for a in range(begin, end):
                    total += math.exp(L[a] - highest)
                highest += math.log(total)
                for a in range(begin, end):
                    L[a] = max(L[a] - highest, LOWEST)
                    Y[a] = math.exp(L[a])
            else:
                for a in range(begin, end):
                    Y[a] += steps_of[j] * (G[a] - most)
                _project(Y, begin, end)
            for a in range(begin, end):
                change = max(change, abs(Y[a] - X[a]))
    return change
