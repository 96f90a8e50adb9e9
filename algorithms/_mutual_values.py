"""Kernels of both players' best responses at once, in two-player games without cycles.

Reading the transitions is what an evaluation costs: here they are read once for both players, and
in parts by several threads. Kernels that call each other live in this one file, because Numba's
cache does not notice when a kernel of another file changes.
"""

import numpy as np
from numba import njit

JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


@njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _expected(indices, probabilities, begin, end, first, second):
    """Σ probabilities·values[indices] of one row for the values `first` and `second`."""
    count, q, other = end - begin, 0.0, 0.0
    if count > 0 and indices[end - 1] - indices[begin] == count - 1:  # neighbours: sorted
        p, low = probabilities[begin:end], indices[begin]
        u, v = first[low : low + count], second[low : low + count]
        for e in range(count):
            q += p[e] * u[e]
            other += p[e] * v[e]
        return q, other
    p, t = probabilities[begin:end], indices[begin:end]
    for e in range(count):
        q += p[e] * first[t[e]]
        other += p[e] * second[t[e]]
    return q, other


@njit(**JIT)
def respond(
    begin, end, step, states, slots, counts, rows, reward, reward_stride, indptr, indices,
    probabilities, transition_stride, discount, flat, later, values, own,
):  # fmt: skip
    """Best-response values (2, N) of the nodes `begin` to `end`, from those to come (2, S).

    `own` is workspace for the larger number of actions.
    """
    for j in range(begin, end):
        s = states[j]
        A, B = counts[s, 0], counts[s, 1]
        x, y = flat[slots[0, j] : slots[0, j] + A], flat[slots[1, j] : slots[1, j] + B]
        for b in range(B):
            own[b] = 0.0
        best = -np.inf
        r = rows[s]
        for a in range(A):
            mine = 0.0
            for b in range(B):
                if x[a] != 0.0 or y[b] != 0.0:
                    k = r + step * transition_stride
                    q, other = _expected(
                        indices, probabilities, indptr[k], indptr[k + 1], later[0], later[1]
                    )
                    k = r + step * reward_stride
                    mine += y[b] * (reward[0, k] + discount * q)
                    own[b] += x[a] * (reward[1, k] + discount * other)
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
