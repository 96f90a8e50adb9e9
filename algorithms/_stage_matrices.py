"""Kernels that write the matrices of a stage of mirror descent (see `_mirror_descent`).

Kernels that call each other live in this one file, because Numba's cache does not notice when a
kernel of another file changes.
"""

import numpy as np
from numba import njit

from metamarl.algorithms._expectations import expected
from metamarl.algorithms._jit import JIT


@njit(**JIT)
def fill(
    begin, end, states, groups, timed,
    rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, values, counts, cell, row_step, column_step, Q,
):  # fmt: skip
    """Write the stage matrices r + γ·P·values of the nodes from `begin` to `end` into `Q`.

    `values` (N,): player 0's, of the last stage; `counts` (S, 2). The number of node j's actions a
    and b lies at `cell[j] + a·row_step[j] + b·column_step[j]` of `Q`.
    """
    later = np.zeros(len(rows) - 1)
    if not timed:
        for j in range(len(states)):
            later[states[j]] = values[j]
    for g in range(len(groups) - 1):
        if groups[g + 1] <= begin or end <= groups[g]:
            continue
        if timed and g + 2 < len(groups):
            for j in range(groups[g + 1], groups[g + 2]):
                later[states[j]] = values[j]
        last = timed and g + 2 == len(groups)
        step = g if timed else 0
        for j in range(max(begin, groups[g]), min(end, groups[g + 1])):
            s = states[j]
            a, b = 0, 0
            for k in range(rows[s + 1] - rows[s]):
                q = 0.0
                if not last:
                    r = rows[s] + k + step * transition_stride
                    q = expected(indices, probabilities, indptr[r], indptr[r + 1], later)
                Q[cell[j] + a * row_step[j] + b * column_step[j]] = (
                    reward[0, rows[s] + k + step * reward_stride] + discount * q
                )
                b += 1
                if b == counts[s, 1]:
                    a, b = a + 1, 0


@njit(**JIT)
def narrow(states, counts, cell, row_step, column_step, Q, narrow_Q, middle):
    """Write Q less the middle of its span, for which float32 has no digits to spare."""
    for j in range(len(states)):
        A, B = counts[states[j], 0], counts[states[j], 1]
        low = high = Q[cell[j]]
        for a in range(A):
            for b in range(B):
                q = Q[cell[j] + a * row_step[j] + b * column_step[j]]
                low, high = min(low, q), max(high, q)
        middle[j] = 0.5 * (low + high)
        for a in range(A):
            for b in range(B):
                c = cell[j] + a * row_step[j] + b * column_step[j]
                narrow_Q[c] = Q[c] - middle[j]
