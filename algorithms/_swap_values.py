"""Kernel of correlated equilibrium gaps: what a player gains by swapping what it is told.

Reads a game's table and nodes like the kernels of `_values`.
"""

import numpy as np
from numba import njit

from metamarl.algorithms._jit import JIT


@njit(**JIT)
def swap(
    states, groups, joints, timed,
    counts, rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, flat, player, cyclic, duration, accuracy, values,
):  # fmt: skip
    """Values of `player` under its best swap: for every action the joint policy tells it, another.

    One backward pass, or value iteration where the game is `cyclic`, from `values` (N,), which are
    overwritten. Returns the error's bound (see `_values.iterate`), 0 for a backward pass.
    """
    n = counts.shape[1]
    later = np.zeros(counts.shape[0])
    Q = np.empty((rows[1:] - rows[:-1]).max())
    fresh = np.empty(len(values))
    while True:
        if cyclic:
            later[:] = values
        for g in range(len(groups) - 2, -1, -1):
            step = g if timed else 0
            for j in range(groups[g], groups[g + 1]):
                s = states[j]
                inner = 1
                for i in range(player + 1, n):
                    inner *= counts[s, i]
                mine, size = counts[s, player], rows[s + 1] - rows[s]
                for k in range(size):
                    q = 0.0
                    r = rows[s] + k + step * transition_stride
                    for e in range(indptr[r], indptr[r + 1]):
                        q += probabilities[e] * later[indices[e]]
                    Q[k] = reward[player, rows[s] + k + step * reward_stride] + discount * q
                fresh[j] = 0.0
                for told in range(mine):
                    best = -np.inf
                    for other in range(mine):
                        total = 0.0
                        for m in range(size // mine):
                            k = (m // inner * mine + told) * inner + m % inner
                            total += flat[joints[j] + k] * Q[k + (other - told) * inner]
                        best = max(best, total)
                    fresh[j] += best
            if not cyclic:
                for j in range(groups[g], groups[g + 1]):
                    later[states[j]] = fresh[j]
        residual, largest = 0.0, 0.0
        for j in range(len(values)):
            residual = max(residual, abs(fresh[j] - values[j]))
            largest = max(largest, abs(fresh[j]))
            values[j] = fresh[j]
        if not cyclic:
            return 0.0
        error = residual * duration
        if not error > max(accuracy, 8e-16 * largest * duration):
            return error
