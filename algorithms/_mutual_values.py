"""Kernel of both players' best responses at once, in two-player games without cycles.

Reading the transitions is what an evaluation costs: here they are read once for both players. See
`backward` for how it is called.
"""

import numpy as np
from numba import njit

from metamarl.algorithms._expectations import expected_pair
from metamarl.algorithms._jit import JIT


@njit(**JIT)
def respond(
    first, last, begin, end, later, values, states, groups, slots, timed, counts, rows, reward,
    reward_stride, indptr, indices, probabilities, transition_stride, discount, block, most, flat,  # noqa: ARG001
):  # fmt: skip
    """Best-response values (2, N) of the nodes from `begin` to `end` in the groups from `first`.

    `later` (2, S) has those to come, and takes what is found where all nodes of the groups are
    asked for.
    """
    own = np.empty(most)
    one, other = later[0], later[1]
    for g in range(last - 1, first - 1, -1):
        step = g if timed else 0
        ends = timed and g + 2 == len(groups)
        for j in range(max(begin, groups[g]), min(end, groups[g + 1])):
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
                        q = p = 0.0
                        if not ends:
                            k = r + step * transition_stride
                            q, p = expected_pair(
                                indices, probabilities, indptr[k], indptr[k + 1], one, other
                            )
                        k = r + step * reward_stride
                        mine += y * (reward[0, k] + discount * q)
                        own[b] += x * (reward[1, k] + discount * p)
                    r += 1
                if mine > best or mine != mine:  # NaN stays
                    best = mine
            values[0, j] = best
            best = own[0]
            for b in range(1, B):
                if own[b] > best or own[b] != own[b]:
                    best = own[b]
            values[1, j] = best
        if begin <= groups[first] and groups[last] <= end:
            for j in range(groups[g], groups[g + 1]):
                one[states[j]], other[states[j]] = values[0, j], values[1, j]
