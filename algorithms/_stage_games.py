"""Kernels that solve all stage games of a two-player zero-sum game exactly.

The simplex itself is QuantEcon's (`quantecon.optimize.minmax`), called inside one compiled pass.
"""

import numpy as np
from numba import njit
from quantecon.optimize import minmax

JIT = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**JIT)
def _solve_matrix(Q, x, y):
    """Minimax policies and value of a matrix game. Writes x and y; uniform where all is equal."""
    A, B = Q.shape
    low, high = Q.min(), Q.max()
    if high - low <= 1e-14 * max(abs(low), abs(high)):
        x[:], y[:] = 1.0 / A, 1.0 / B
        return 0.5 * (low + high)
    maximin, minimax, row, column = -np.inf, np.inf, 0, 0
    for a in range(A):
        worst = Q[a].min()
        if worst > maximin:
            maximin, row = worst, a
    for b in range(B):
        worst = Q[:, b].max()
        if worst < minimax:
            minimax, column = worst, b
    x[:], y[:] = 0.0, 0.0
    if maximin >= minimax:  # a saddle point in pure policies
        x[row], y[column] = 1.0, 1.0
        return maximin
    # Scaled to [0, 1], because the simplex has absolute tolerances.
    scaled = (Q - low) / (high - low)
    _, u, w = minmax(scaled)
    x[:], y[:] = np.maximum(u, 0.0), np.maximum(w, 0.0)
    x /= x.sum()
    y /= y.sum()
    lower, upper = np.inf, -np.inf
    for b in range(B):
        lower = min(lower, np.sum(x * scaled[:, b]))
    for a in range(A):
        upper = max(upper, np.sum(y * scaled[a]))
    return low + (high - low) * 0.5 * (lower + upper)


@njit(**JIT)
def solve_stages(
    states, groups, slots, timed, counts,
    rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, values, flat,
):  # fmt: skip
    """Solve the stage game of every node, the last group first. In place.

    Without cycles this is backward induction, and `values` (N,) need not hold anything. In a cyclic
    game (one group) it is one Shapley iteration from `values`. Returns the largest change of
    a value. Writes `values` and `flat`.
    """
    later = np.zeros(len(rows) - 1)
    fresh = np.empty(len(values))
    for j in range(len(states)):
        if len(groups) == 2 and not timed:
            later[states[j]] = values[j]
    for g in range(len(groups) - 2, -1, -1):
        step = g if timed else 0
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            A, B = counts[s, 0], counts[s, 1]
            Q = np.empty((A, B))
            for k in range(A * B):
                q = 0.0
                r = rows[s] + k + step * transition_stride
                for e in range(indptr[r], indptr[r + 1]):
                    q += probabilities[e] * later[indices[e]]
                Q[k // B, k % B] = reward[0, rows[s] + k + step * reward_stride] + discount * q
            x = flat[slots[0, j] : slots[0, j] + A]
            y = flat[slots[1, j] : slots[1, j] + B]
            fresh[j] = _solve_matrix(Q, x, y)
        for j in range(groups[g], groups[g + 1]):
            later[states[j]] = fresh[j]
    change = np.abs(fresh - values).max()
    values[:] = fresh
    return change
