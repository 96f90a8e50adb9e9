"""Kernel for anonymous games: how the others' counts are distributed. It checks nothing."""

import numpy as np
from numba import njit

from metamarl.algorithms._jit import JIT


@njit(**JIT)
def others(flat, joined, sizes, m, out):
    """Write `out` (n, N, K'): probabilities of the counts of all players but i, in every node.

    `flat` is a flat policy of n players with m actions in every node, `joined` (K', m) where counts
    lead when a player joins them, `sizes` (n,) how many counts j players can have. Players join
    half by half: all those outside of a half have joined before it is split, so that n log n
    players join instead of n².
    """
    n, N, K = out.shape
    depth = 2
    while 2 ** (depth - 2) < n:
        depth += 1
    known = np.zeros((depth, K))
    stack = np.zeros((2 * depth + 2, 5), np.int64)  # a part, its level, who joins on the way to it
    for j in range(N):
        known[0] = 0.0
        known[0, 0] = 1.0
        stack[0] = 0, n, 0, 0, 0
        waiting = 1
        while waiting > 0:
            waiting -= 1
            low, high, level = stack[waiting, 0], stack[waiting, 1], stack[waiting, 2]
            first, last = stack[waiting, 3], stack[waiting, 4]
            if level > 0:
                known[level] = known[level - 1]
                inside = n - (high - low) - (last - first)
                for i in range(first, last):
                    x = (i * N + j) * m
                    for c in range(sizes[inside] - 1, -1, -1):
                        p = known[level, c]
                        known[level, c] = p * flat[x]
                        for a in range(1, m):
                            known[level, joined[c, a]] += p * flat[x + a]
                    inside += 1
            if high - low == 1:
                out[low, j] = known[level]
            else:
                middle = (low + high) // 2
                stack[waiting] = low, middle, level + 1, middle, high
                stack[waiting + 1] = middle, high, level + 1, low, middle
                waiting += 2
