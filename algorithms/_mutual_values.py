"""Kernels of both players' best responses at once, in two-player games without cycles.

Reading the transitions is what an evaluation costs: here they are read once for both players, and
in parts by several threads. Kernels that call each other live in this one file, because Numba's
cache does not notice when a kernel of another file changes.
"""

import numpy as np
from numba import njit

from metamarl.algorithms._vectors import LANE_BYTES, load, spread, total

LANES = LANE_BYTES // 8  # of float64
JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


@njit(**JIT)
def _expected(indices, probabilities, begin, end, first, second):
    """Σ probabilities·values[indices] of one row for the values `first` and `second`."""
    q, other, e = 0.0, 0.0, begin
    if end - begin >= LANES and indices[end - 1] - indices[begin] == end - begin - 1:
        shift = indices[begin] - begin  # neighbours, as in dense rows: indices are sorted
        sums = others = spread(q, first)
        while e + LANES <= end:
            p = load(probabilities, e)
            sums = sums + p * load(first, e + shift)
            others = others + p * load(second, e + shift)
            e += LANES
        q, other = total(sums), total(others)
        while e < end:
            q += probabilities[e] * first[e + shift]
            other += probabilities[e] * second[e + shift]
            e += 1
    while e < end:
        q += probabilities[e] * first[indices[e]]
        other += probabilities[e] * second[indices[e]]
        e += 1
    return q, other


@njit(**JIT)
def respond(
    begin, end, step, states, slots, counts, rows, reward, reward_stride, indptr, indices,
    probabilities, transition_stride, discount, flat, later, values, own,
):  # fmt: skip
    """Best-response values (2, N) of the nodes `begin` to `end`, from those to come (2, S).

    `own` is workspace for the larger number of actions.
    """
    first, second = later[0], later[1]
    for j in range(begin, end):
        s = states[j]
        A, B, x_first, y_first = counts[s, 0], counts[s, 1], slots[0, j], slots[1, j]
        for b in range(B):
            own[b] = 0.0
        best = -np.inf
        r = rows[s]
        for a in range(A):
            x, mine = flat[x_first + a], 0.0
            for b in range(B):
                y = flat[y_first + b]
                if x != 0.0 or y != 0.0:
                    k = r + step * transition_stride
                    q, other = _expected(
                        indices, probabilities, indptr[k], indptr[k + 1], first, second
                    )
                    k = r + step * reward_stride
                    mine += y * (reward[0, k] + discount * q)
                    own[b] += x * (reward[1, k] + discount * other)
                r += 1
            best = max(best, mine)
        values[0, j] = best
        best = own[0]
        for b in range(1, B):
            best = max(best, own[b])
        values[1, j] = best


@njit(**JIT)
def keep(begin, end, states, values, later):
    """Make the values of a group of nodes those to come."""
    for j in range(begin, end):
        for i in range(2):
            later[i, states[j]] = values[i, j]


@njit(**JIT)
def respond_everywhere(
    groups, timed, states, slots, counts, rows, reward, reward_stride, indptr, indices,
    probabilities, transition_stride, discount, flat, later, values, own,
):  # fmt: skip
    """All groups in one backward pass."""
    for g in range(len(groups) - 2, -1, -1):
        respond(
            groups[g], groups[g + 1], g if timed else 0, states, slots, counts, rows, reward,
            reward_stride, indptr, indices, probabilities, transition_stride, discount, flat,
            later, values, own,
        )  # fmt: skip
        keep(groups[g], groups[g + 1], states, values, later)
