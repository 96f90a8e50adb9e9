"""Kernels of independent policy gradients. They check nothing and allocate little.

A flat policy holds player i's actions in node j at `slots[i, j]` on; G, its gradient, is laid out
alike. With identical interests m = 1 reward serves all players, else m = n. Kernels that call each
other live in this one file, because Numba's cache does not notice when a kernel of another file
changes.
"""

import math

import numpy as np
from numba import njit

from metamarl.algorithms._expectations import expected
from metamarl.algorithms._jit import JIT, SUMS

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
    first, last, begin, end, later, V, states, groups, slots, timed, counts, rows, reward,
    reward_stride, indptr, indices, probabilities, transition_stride, discount, block, most, flat,  # noqa: ARG001
    cyclic, G, span,
):  # fmt: skip
    """Write G_i(a_i) = E[Q_i(s, a_i, others)] and the span of the Q_i(s, ·) at every node.

    V (m, N), the values, is written in a backward pass (see `backward`); where the game is
    `cyclic`, `later` (m, S) has them.
    """
    n, m = counts.shape[1], len(V)
    digits, before = np.zeros(n, np.int64), np.ones(n + 1)
    Q, low, high = np.empty(m), np.empty(m), np.empty(m)
    for g in range(last - 1, first - 1, -1):
        step = g if timed else 0
        ends = timed and g + 2 == len(groups)
        for j in range(max(begin, groups[g]), min(end, groups[g + 1])):
            s = states[j]
            for i in range(n):
                digits[i] = 0
                for a in range(counts[s, i]):
                    G[slots[i, j] + a] = 0.0
            for k in range(m):
                low[k], high[k] = np.inf, -np.inf
                if not cyclic:
                    V[k, j] = 0.0
            changed = 0
            for r in range(rows[s], rows[s + 1]):
                for i in range(changed, n):
                    before[i + 1] = before[i] * flat[slots[i, j] + digits[i]]
                at = r + step * transition_stride
                for k in range(m):
                    q = 0.0
                    if not ends:
                        q = expected(indices, probabilities, indptr[at], indptr[at + 1], later[k])
                    q = reward[k, r + step * reward_stride] + discount * q
                    low[k], high[k] = min(low[k], q), max(high[k], q)
                    if not cyclic:
                        V[k, j] += before[n] * q
                    Q[k] = q
                after = 1.0
                for i in range(n - 1, -1, -1):
                    own = slots[i, j] + digits[i]
                    G[own] += before[i] * after * Q[min(i, m - 1)]
                    after *= flat[own]
                changed = n - 1
                while changed > 0 and digits[changed] + 1 == counts[s, changed]:
                    digits[changed] = 0
                    changed -= 1
                digits[changed] += 1
            span[j] = 0.0
            for k in range(m):
                if high[k] - low[k] > 1e-12 * max(abs(high[k]), abs(low[k])):
                    span[j] = max(span[j], high[k] - low[k])
        if not cyclic and begin <= groups[first] and groups[last] <= end:
            for j in range(groups[g], groups[g + 1]):
                for k in range(m):
                    later[k, states[j]] = V[k, j]


@njit(**JIT)
def chain(
    slots, counts, rows, reward, indptr, indices, probabilities, flat, m, pay, heads, tails,
    weights, seen,
):  # fmt: skip
    """Fold `flat` into a game without a horizon: a Markov chain with rewards `pay` (m, S).

    The merged successors of s are `tails` from `heads[s]` on, with `weights`.
    """
    S, n = counts.shape
    digits = np.zeros(n, np.int64)
    seen[:] = -1
    filled = 0
    for s in range(S):
        digits[:] = 0
        pay[:, s] = 0.0
        heads[s], begin, width = filled, filled, 0
        for r in range(rows[s], rows[s + 1]):
            w = 1.0
            for i in range(n):
                w *= flat[slots[i, s] + digits[i]]
            _next_digits(digits, counts, s)
            if w == 0.0:
                continue
            for k in range(m):
                pay[k, s] += w * reward[k, r]
            start, stop = indptr[r], indptr[r + 1]
            count = stop - start
            alike = (
                count == width == filled - begin and indices[stop - 1] - indices[start] == count - 1
            )
            if alike and indices[start] == tails[begin] and indices[stop - 1] == tails[filled - 1]:
                for e in range(count):  # the same neighbours as before, as in dense rows
                    weights[begin + e] += w * probabilities[start + e]
            else:
                for e in range(start, stop):
                    t = indices[e]
                    if seen[t] < begin:
                        seen[t] = filled
                        tails[filled] = t
                        weights[filled] = w * probabilities[e]
                        filled += 1
                    else:
                        weights[seen[t]] += w * probabilities[e]
            if width == 0:
                width = filled - begin
    heads[S] = filled


@njit(**SUMS)
def settle(pay, heads, tails, weights, discount, duration, accuracy, V):
    """Solve V = pay + γ·chain·V by Gauss-Seidel sweeps from V, to `accuracy` or rounding error."""
    m, S = V.shape
    while True:
        change, largest = 0.0, 0.0
        for s in range(S):
            for k in range(m):
                q = 0.0
                for e in range(heads[s], heads[s + 1]):
                    q += weights[e] * V[k, tails[e]]
                q = pay[k, s] + discount * q
                change = max(change, abs(q - V[k, s]))
                largest = max(largest, abs(q))
                V[k, s] = q
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
        target = following if timed else now
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            D[j] = now[s]
            now[s] = 0.0
            if timed and g + 2 == len(groups):
                continue
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
