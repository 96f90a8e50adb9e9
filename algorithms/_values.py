"""Kernels that pass values backward through a game. They check nothing and allocate little.

All read a game's table and nodes (see `metamarl.envs.table` and `metamarl.envs.clock`) and a flat
policy. Kernels that call each other live in this one file, because Numba's cache does not notice
when a kernel of another file changes.
"""

import numpy as np
from numba import njit

from metamarl.algorithms._vectors import expected

JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


@njit(**JIT)
def _fold(node, state, counts, slots, joints, flat, player, keep, weight, digits):
    """Weights of a state's joint actions; `keep` leaves out the player's own. In place.

    `flat` is a flat joint policy where `joints` is not empty, else a flat (product) policy.
    """
    n = counts.shape[1]
    for i in range(n):
        digits[i] = 0
    size = 1
    for i in range(n):
        size *= counts[state, i]
    if len(joints) > 0:
        for k in range(size):
            weight[k] = flat[joints[node] + k]
        if keep:  # the others' joint probability, on every row
            inner = 1
            for i in range(player + 1, n):
                inner *= counts[state, i]
            mine = counts[state, player]
            for k in range(size):
                if (k // inner) % mine == 0:
                    total = 0.0
                    for a in range(mine):
                        total += weight[k + a * inner]
                    for a in range(mine):
                        weight[k + a * inner] = total
        return size
    for k in range(size):
        w = 1.0
        for i in range(n):
            if not (keep and i == player):
                w *= flat[slots[i, node] + digits[i]]
        weight[k] = w
        i = n - 1
        while i >= 0:
            digits[i] += 1
            if digits[i] < counts[state, i]:
                break
            digits[i] = 0
            i -= 1
    return size


@njit(**JIT)
def backward(
    states, groups, slots, joints, timed,
    counts, rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, flat, player, respond, values, choice,
):  # fmt: skip
    """Values of `player` at every node in one backward pass, for a game that is not cyclic.

    The player's own best response where `respond`, else what `flat` says (see `_fold`). Writes
    `values` (N,) and, for best responses, `choice` (N,): the best action's position among the legal
    ones.
    """
    n = counts.shape[1]
    later = np.zeros(counts.shape[0])
    weight = np.empty(_largest_block(counts))
    own = np.empty(_largest_count(counts))
    digits = np.empty(n, np.int64)
    for g in range(len(groups) - 2, -1, -1):
        step = g if timed else 0
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            inner = 1
            for i in range(player + 1, n):
                inner *= counts[s, i]
            mine = counts[s, player]
            for a in range(mine):
                own[a] = 0.0
            size = _fold(j, s, counts, slots, joints, flat, player, respond, weight, digits)
            for k in range(size):
                w = weight[k]
                if w != 0.0:
                    r = rows[s] + k + step * transition_stride
                    q = expected(indices, probabilities, indptr[r], indptr[r + 1], later)
                    q = reward[player, rows[s] + k + step * reward_stride] + discount * q
                    own[(k // inner) % mine] += w * q
            best, total = 0, 0.0
            for a in range(mine):
                if own[a] > own[best]:
                    best = a
                total += own[a]
            choice[j] = best
            values[j] = own[best] if respond else total
        for j in range(groups[g], groups[g + 1]):
            later[states[j]] = values[j]


@njit(**JIT)
def _largest_block(counts):
    largest = 1
    for s in range(counts.shape[0]):
        size = 1
        for i in range(counts.shape[1]):
            size *= counts[s, i]
        largest = max(largest, size)
    return largest


@njit(**JIT)
def _largest_count(counts):
    largest = 1
    for s in range(counts.shape[0]):
        for i in range(counts.shape[1]):
            largest = max(largest, counts[s, i])
    return largest


@njit(**JIT)
def fix_others(
    slots, joints, counts, rows, reward, indptr, indices, probabilities, flat, player, respond,
    first, pay, heads, tails, weights,
):  # fmt: skip
    """Build the decision problem that `flat` leaves to `player` in a game without a horizon.

    One entry per (state, own legal action) where `respond`, else one per state with the player's
    own policy folded in too. Writes `first` (S + 1,), `pay` and `heads` per entry, and the merged
    successor lists `tails`, `weights`; returns the number of list elements.
    """
    S, n = counts.shape
    weight = np.empty(_largest_block(counts))
    digits = np.empty(n, np.int64)
    seen = np.full(S, -1, np.int64)
    entry, filled = 0, 0
    for s in range(S):
        first[s] = entry
        inner = 1
        for i in range(player + 1, n):
            inner *= counts[s, i]
        mine = counts[s, player]
        size = _fold(s, s, counts, slots, joints, flat, player, respond, weight, digits)
        for a in range(mine if respond else 1):
            heads[entry], total, begin = filled, 0.0, filled
            for m in range(size // mine if respond else size):
                k = (m // inner * mine + a) * inner + m % inner if respond else m
                w = weight[k]
                if w == 0.0:
                    continue
                r = rows[s] + k
                total += w * reward[player, r]
                for e in range(indptr[r], indptr[r + 1]):
                    t = indices[e]
                    if seen[t] < begin:
                        seen[t] = filled
                        tails[filled] = t
                        weights[filled] = w * probabilities[e]
                        filled += 1
                    else:
                        weights[seen[t]] += w * probabilities[e]
            pay[entry] = total
            entry += 1
    first[S] = entry
    heads[entry] = filled
    return filled


@njit(**JIT)
def iterate(
    first, pay, heads, tails, weights, discount, duration, accuracy, sweeps, most, values, choice
):
    """Solve a decision problem by modified policy iteration; return the error's bound.

    `duration` bounds the expected (discounted) number of steps to come, so that a Bellman residual
    of δ means an error of at most δ·duration (Puterman 1994, Theorem 6.3.1, in its weighted form).
    `values` (S,) is the start and the result, `choice` (S,) the maximising entries' positions.
    Stops at an error of `accuracy`, or where rounding allows no less, or after `most` improvements
    of the policy, each followed by at most `sweeps` evaluations of it.
    """
    S = len(values)
    fresh = np.empty(S)
    error = np.inf
    for _ in range(most):
        residual, largest = 0.0, 0.0
        for s in range(S):
            best, where = -np.inf, 0
            for m in range(first[s], first[s + 1]):
                q = 0.0
                for e in range(heads[m], heads[m + 1]):
                    q += weights[e] * values[tails[e]]
                q = pay[m] + discount * q
                if q > best:
                    best, where = q, m - first[s]
            fresh[s], choice[s] = best, where
            residual = max(residual, abs(best - values[s]))
            largest = max(largest, abs(best))
        values[:] = fresh
        error = residual * duration
        if not error > max(accuracy, 8e-16 * largest * duration):
            return error
        for _ in range(sweeps):
            change = 0.0
            for s in range(S):
                m = first[s] + choice[s]
                q = 0.0
                for e in range(heads[m], heads[m + 1]):
                    q += weights[e] * values[tails[e]]
                q = pay[m] + discount * q
                change = max(change, abs(q - values[s]))
                values[s] = q
            if change <= 0.1 * accuracy / duration:
                break
    return error
