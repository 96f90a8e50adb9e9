"""Kernels that choose the step size of every stage matrix (see `optimistic_mirror_descent`).

Kernels that call each other live in this one file, because Numba's cache does not notice when a
kernel of another file changes.
"""

import math

import numpy as np
from numba import njit

JIT = {"cache": True, "nogil": True, "error_model": "numpy"}
POWER_ITERATIONS = 12


@njit(**JIT)
def _norm(Q, cell, row_step, column_step, x, y, u, v, weighted):
    """Largest singular value of √(x_a·y_b)·(Q_ab - row mean - column mean + mean).

    The means are under x and y; not `weighted`, the factor √(x_a·y_b) is left out. By power
    iteration, whose start favours no action, to a few per cent. Overwrites u and v.
    """
    A, B = len(x), len(y)
    W = np.empty((A, B))
    rows, columns = np.zeros(A), np.zeros(B)
    mean = 0.0
    for a in range(A):
        for b in range(B):
            W[a, b] = Q[cell + a * row_step + b * column_step]
            rows[a] += y[b] * W[a, b]
            columns[b] += x[a] * W[a, b]
        mean += x[a] * rows[a]
    for a in range(A):
        for b in range(B):
            W[a, b] += mean - rows[a] - columns[b]
            if weighted:
                W[a, b] *= math.sqrt(x[a] * y[b])
    # The longest row cannot be mapped to 0; irrational numbers, that no other symmetry traps it.
    longest, where = 0.0, 0
    for a in range(A):
        length = 0.0
        for b in range(B):
            length += W[a, b] * W[a, b]
        if length > longest:
            longest, where = length, a
    if longest == 0.0:
        return 0.0
    for b in range(B):
        v[b] = W[where, b] / math.sqrt(longest) + 0.5 / math.sqrt(B) * (math.sqrt(b + 2.0) % 1.0)
    size = 0.0
    for _ in range(POWER_ITERATIONS):
        size = 0.0
        for a in range(A):
            u[a] = 0.0
            for b in range(B):
                u[a] += W[a, b] * v[b]
        for b in range(B):
            v[b] = 0.0
            for a in range(A):
                v[b] += W[a, b] * u[a]
            size += v[b] * v[b]
        size = math.sqrt(size)
        if size < 1e-300:
            return 0.0
        for b in range(B):
            v[b] /= size
    return math.sqrt(size)


@njit(**JIT)
def adapt(
    states, counts, cell, row_step, column_step, x_first, y_first, lane, Q, plays, eta, factor,
    weighted,
):  # fmt: skip
    """Write η = factor / size of the stage matrix for every node (laid out as in `_lanes.Layout`).

    The size is `_norm` under the policies `plays` (of any scale), but at least a sixteenth of the
    span max Q - min Q; not `weighted`, under uniform policies. A matrix that is constant to nine
    digits gets η = 0: nothing is to be learned there, and a larger η would lose the digits that
    remain.
    """
    most = 0
    for j in range(len(states)):
        most = max(most, counts[states[j], 0], counts[states[j], 1])
    x, y, u, v = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    for j in range(len(states)):
        A, B = counts[states[j], 0], counts[states[j], 1]
        row, column = row_step[j], column_step[j]
        low = high = Q[cell[j]]
        for a in range(A):
            for b in range(B):
                q = Q[cell[j] + a * row + b * column]
                low, high = min(low, q), max(high, q)
        if high - low <= 1e-9 * max(abs(low), abs(high)):
            eta[lane[j]] = 0.0
            continue
        total = 0.0
        for a in range(A):
            x[a] = plays[x_first[j] + a * column] if weighted else 1.0
            total += x[a]
        for a in range(A):
            x[a] /= total
        total = 0.0
        for b in range(B):
            y[b] = plays[y_first[j] + b * column] if weighted else 1.0
            total += y[b]
        for b in range(B):
            y[b] /= total
        size = _norm(Q, cell[j], row, column, x[:A], y[:B], u, v, weighted)
        eta[lane[j]] = factor / max(size, (high - low) / 16.0)
