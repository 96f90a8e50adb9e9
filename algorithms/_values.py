"""Kernels that pass values backward through a game. They check nothing and allocate little.

All read a game's table and nodes (see `metamarl.envs.table` and `metamarl.envs.clock`) and a flat
policy; `backward` says how `value` and `gains` are called. Kernels that call each other live in
this one file, because Numba's cache does not notice when a kernel of another file changes.
"""

import numpy as np
from numba import njit

from metamarl.algorithms._expectations import expected, expected_pair
from metamarl.algorithms._jit import JIT, SUMS


@njit(**JIT)
def _joint_weights(node, state, counts, joints, flat, player, keep, weight):
    """Weights of joint actions in a flat joint policy; `keep`: the others', on every row."""
    size = joints[node + 1] - joints[node]
    for k in range(size):
        weight[k] = flat[joints[node] + k]
    if keep:
        mine, inner = counts[state, player], 1
        for i in range(player + 1, counts.shape[1]):
            inner *= counts[state, i]
        for outer in range(0, size, mine * inner):
            for k in range(outer, outer + inner):
                total = 0.0
                for a in range(mine):
                    total += weight[k + a * inner]
                for a in range(mine):
                    weight[k + a * inner] = total


@njit(**JIT)
def _weigh(node, state, counts, slots, joints, flat, player, keep, weight):
    """The same of a flat joint policy where `joints` is not empty, else of a flat policy."""
    if len(joints) > 0:
        _joint_weights(node, state, counts, joints, flat, player, keep, weight)
    else:
        weight[0], size = 1.0, 1
        for i in range(counts.shape[1]):
            A, begin = counts[state, i], slots[i, node]
            for k in range(size - 1, -1, -1):  # from the end: what is written over has been read
                w = weight[k]
                for a in range(A - 1, -1, -1):
                    weight[k * A + a] = w if keep and i == player else w * flat[begin + a]
            size *= A


@njit(**JIT)
def value(
    first, last, begin, end, later, values, states, groups, slots, timed, counts, rows, reward,
    reward_stride, indptr, indices, probabilities, transition_stride, discount, block, most, flat,
    joints, player, respond, choice,
):  # fmt: skip
    """Values (1, N) of `player` at nodes of a game that is not cyclic.

    Of its best response where `respond`, else what `flat` says: a flat joint policy where `joints`
    is not empty, else a flat policy. Writes `choice` (N,) too: the best action's position among
    the legal ones.
    """
    n, correlated, coming = counts.shape[1], len(joints) > 0, later[0]
    own, weight = np.empty(most), np.empty(block if correlated else 1)
    digits, before = np.zeros(n, np.int64), np.ones(n)  # of all but the last player
    for g in range(last - 1, first - 1, -1):
        step = g if timed else 0
        ends = timed and g + 2 == len(groups)
        for j in range(max(begin, groups[g]), min(end, groups[g + 1])):
            s = states[j]
            mine, runs, theirs = counts[s, player], counts[s, n - 1], slots[n - 1, j]
            for a in range(mine):
                own[a] = 0.0
            if correlated:
                _joint_weights(j, s, counts, joints, flat, player, respond, weight)
            digits[:] = 0
            changed, k = 0, 0
            for r in range(rows[s], rows[s + 1], runs):
                if not correlated:
                    for i in range(changed, n - 1):
                        x = flat[slots[i, j] + digits[i]]
                        before[i + 1] = before[i] * (1.0 if respond and i == player else x)
                here = 0.0
                for b in range(runs):
                    if correlated:
                        w = weight[k]
                    elif respond and player == n - 1:
                        w = before[n - 1]
                    else:
                        w = before[n - 1] * flat[theirs + b]
                    if w != 0.0:
                        q = 0.0
                        if not ends:
                            e = r + b + step * transition_stride
                            q = expected(indices, probabilities, indptr[e], indptr[e + 1], coming)
                        q = w * (reward[player, r + b + step * reward_stride] + discount * q)
                        if player == n - 1:
                            own[b] += q
                        else:
                            here += q
                    k += 1
                if player < n - 1:
                    own[digits[player]] += here
                changed = max(n - 2, 0)
                while changed > 0 and digits[changed] + 1 == counts[s, changed]:
                    digits[changed] = 0
                    changed -= 1
                digits[changed] += 1
            best, total = 0, 0.0
            for a in range(mine):
                if own[a] > own[best] or own[a] != own[a]:  # NaN stays
                    best = a
                total += own[a]
            choice[j] = best
            values[0, j] = own[best] if respond else total
        if begin <= groups[first] and groups[last] <= end:
            for j in range(groups[g], groups[g + 1]):
                coming[states[j]] = values[0, j]


@njit(**JIT)
def gains(
    first, last, begin, end, later, values, states, groups, slots, timed, counts, rows, reward,
    reward_stride, indptr, indices, probabilities, transition_stride, discount, block, most, flat,
    joints,
):  # fmt: skip
    """All players' values under `flat`, then those of their best responses (2·n, N), at once."""
    n, correlated = counts.shape[1], len(joints) > 0
    own, weight = np.empty((n, most)), np.empty((n, block if correlated else 1))
    digits, before, others = np.zeros(n, np.int64), np.ones(n + 1), np.empty(n)
    for g in range(last - 1, first - 1, -1):
        step = g if timed else 0
        ends = timed and g + 2 == len(groups)
        for j in range(max(begin, groups[g]), min(end, groups[g + 1])):
            s = states[j]
            for i in range(n):
                if correlated:
                    _joint_weights(j, s, counts, joints, flat, i, True, weight[i])
                values[i, j] = 0.0
                for a in range(counts[s, i]):
                    own[i, a] = 0.0
            digits[:] = 0
            changed = 0
            for k in range(rows[s + 1] - rows[s]):
                if correlated:
                    w = flat[joints[j] + k]
                    for i in range(n):
                        others[i] = weight[i, k]
                else:
                    for i in range(changed, n):
                        before[i + 1] = before[i] * flat[slots[i, j] + digits[i]]
                    w = 1.0
                    for i in range(n - 1, -1, -1):
                        others[i] = before[i] * w
                        w *= flat[slots[i, j] + digits[i]]
                r = rows[s] + k + step * transition_stride
                at = rows[s] + k + step * reward_stride
                start, stop = indptr[r], indptr[r + 1]
                for i in range(n):
                    if others[i] != 0.0:
                        q = best = 0.0
                        if not ends:
                            q, best = expected_pair(
                                indices, probabilities, start, stop, later[i], later[n + i]
                            )
                        values[i, j] += w * (reward[i, at] + discount * q)
                        own[i, digits[i]] += others[i] * (reward[i, at] + discount * best)
                changed = n - 1
                while changed > 0 and digits[changed] + 1 == counts[s, changed]:
                    digits[changed] = 0
                    changed -= 1
                digits[changed] += 1
            for i in range(n):
                best = own[i, 0]
                for a in range(1, counts[s, i]):
                    if own[i, a] > best or own[i, a] != own[i, a]:
                        best = own[i, a]
                values[n + i, j] = best
        if begin <= groups[first] and groups[last] <= end:
            for j in range(groups[g], groups[g + 1]):
                for i in range(2 * n):
                    later[i, states[j]] = values[i, j]


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
    weight = np.empty((rows[1:] - rows[:-1]).max())
    seen = np.full(S, -1, np.int64)
    entry, filled = 0, 0
    for s in range(S):
        first[s] = entry
        inner = 1
        for i in range(player + 1, n):
            inner *= counts[s, i]
        mine = counts[s, player]
        size = rows[s + 1] - rows[s]
        _weigh(s, s, counts, slots, joints, flat, player, respond, weight)
        for a in range(mine if respond else 1):
            heads[entry], total, begin, width = filled, 0.0, filled, 0
            for m in range(size // mine if respond else size):
                k = (m // inner * mine + a) * inner + m % inner if respond else m
                w = weight[k]
                if w == 0.0:
                    continue
                r = rows[s] + k
                total += w * reward[player, r]
                start, stop = indptr[r], indptr[r + 1]
                count = stop - start
                alike = (
                    count == width == filled - begin
                    and indices[stop - 1] - indices[start] == count - 1
                )
                if (
                    alike
                    and indices[start] == tails[begin]
                    and indices[stop - 1] == tails[filled - 1]
                ):
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
            pay[entry] = total
            entry += 1
    first[S] = entry
    heads[entry] = filled
    return filled


@njit(**SUMS)
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
