"""Kernels that compose one policy of many, node by node, by what they are worth in a game.

They check nothing. All read a game's table and nodes (see `metamarl.envs.table` and
`metamarl.envs.clock`); kernels that call each other live in this one file.
"""

import numpy as np
from numba import njit

from metamarl.algorithms._jit import JIT


@njit(**JIT)
def sweep(
    states, groups, slots, timed, counts, rows, reward, reward_stride, indptr, indices,
    probabilities, transition_stride, discount, sources, zero_sum, best, kept, flat,
):  # fmt: skip
    """Choose at every node, last group first, among the means of the best of `sources` (K, F).

    `best` and `kept` (n, S) are what every player's best response to the composed policy, and that
    policy itself, are worth from every state of the next group on; both are updated. Writes the
    composed policy `flat` (F,) and returns the largest change of `best`.
    """
    n = counts.shape[1]
    block, width = 1, counts.max()
    for s in range(len(rows) - 1):
        block = max(block, rows[s + 1] - rows[s])
    top, own = np.empty((n, block)), np.empty((n, block))
    chances, total = np.empty((n, width)), np.empty((n, width))
    pays = np.empty((len(sources), width))
    score = np.empty(len(sources))
    fresh = np.empty((2, n, len(states)))
    change = 0.0
    for g in range(len(groups) - 2, -1, -1):
        step = g if timed else 0
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            size = rows[s + 1] - rows[s]
            for k in range(size):
                p = rows[s] + k + step * transition_stride
                r = rows[s] + k + step * reward_stride
                for i in range(n):
                    up, down = 0.0, 0.0
                    for e in range(indptr[p], indptr[p + 1]):
                        up += probabilities[e] * best[i, indices[e]]
                        down += probabilities[e] * kept[i, indices[e]]
                    top[i, k] = reward[i, r] + discount * up
                    own[i, k] = reward[i, r] + discount * down
            if zero_sum:
                for i in range(2):
                    _choose_alone(j, i, counts[s], slots, top, sources, pays, score, total, flat)
            else:
                _choose_together(
                    j, counts[s], slots, size, top, own, sources, score, chances, total, flat
                )
            for i in range(n):
                for a in range(counts[s, i]):
                    chances[i, a] = flat[slots[i, j] + a]
            for i in range(n):
                fresh[0, i, j], fresh[1, i, j] = _worth(i, counts[s], size, top, own, chances)
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            for i in range(n):
                change = max(change, abs(best[i, s] - fresh[0, i, j]))
                best[i, s], kept[i, s] = fresh[0, i, j], fresh[1, i, j]
    return change


@njit(**JIT)
def _worth(i, counts, size, top, own, chances):
    """What player i's best action, and its own policy, are worth against `chances`."""
    n = len(counts)
    inner = 1
    for m in range(i + 1, n):
        inner *= counts[m]
    best, kept = -np.inf, 0.0
    for a in range(counts[i]):
        value = 0.0
        for m in range(size // counts[i]):
            k = (m // inner * counts[i] + a) * inner + m % inner
            w, rest = 1.0, k
            for d in range(n - 1, -1, -1):
                if d != i:
                    w *= chances[d, rest % counts[d]]
                rest //= counts[d]
            value += w * top[i, k]
            kept += w * chances[i, a] * own[i, k]
        best = max(best, value)
    return best, kept


@njit(**JIT)
def _choose_alone(j, i, counts, slots, top, sources, pays, score, total, flat):
    """Zero-sum: write the part of player i that leaves least to the other at node j."""
    K, mine, other = len(sources), counts[i], counts[1 - i]
    for c in range(K):
        score[c] = -np.inf
        for b in range(other):
            value = 0.0
            for a in range(mine):
                k = a * other + b if i == 0 else b * mine + a
                value += sources[c, slots[i, j] + a] * top[1 - i, k]
            pays[c, b] = value
            score[c] = max(score[c], value)
    order = np.argsort(score, kind="mergesort")
    lowest, many = np.inf, 0
    total[0, :other] = 0.0
    for c in range(K):
        worst = -np.inf
        for b in range(other):
            total[0, b] += pays[order[c], b]
            worst = max(worst, total[0, b] / (c + 1))
        if worst < lowest:
            lowest, many = worst, c + 1
    for a in range(mine):
        value = 0.0
        for c in range(many):
            value += sources[order[c], slots[i, j] + a]
        flat[slots[i, j] + a] = value / many


@njit(**JIT)
def _choose_together(
    j, counts, slots, size, top, own, sources, score, chances, total, flat
):  # fmt: skip
    """Write the policies of all players with the least sum of gains at node j."""
    K, n = len(sources), len(counts)
    lowest = np.inf
    order = np.arange(K)
    for averaging in range(2):
        if averaging:
            order = np.argsort(score, kind="mergesort")
        total[:] = 0.0
        for c in range(K):
            for i in range(n):
                for a in range(counts[i]):
                    if not averaging:
                        total[i, a] = 0.0
                    total[i, a] += sources[order[c], slots[i, j] + a]
                    chances[i, a] = total[i, a] / (c + 1 if averaging else 1)
            gain = 0.0
            for i in range(n):
                best, kept = _worth(i, counts, size, top, own, chances)
                gain += best - kept
            score[c] = gain
            if averaging and gain < lowest:
                lowest = gain
                for i in range(n):
                    for a in range(counts[i]):
                        flat[slots[i, j] + a] = chances[i, a]
