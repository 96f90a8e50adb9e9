"""Kernels for one matrix game, which `_stage_games` and `_regret_matching` share.

Kernels elsewhere are compiled from this: Numba's cache does not notice a change in this file, so
that `__pycache__` has to go after one.
"""

import numpy as np
from numba import njit

from metamarl.algorithms._jit import BARE

FAST = {**BARE, "fastmath": {"contract", "nnan", "ninf", "nsz", "arcp", "reassoc"}}


@njit(**BARE)
def put(v, number):
    """Set a vector to a number: in loops, which compile several times faster than slices."""
    for k in range(len(v)):
        v[k] = number


@njit(**BARE)
def copy(source, target):
    for k in range(len(target)):
        target[k] = source[k]


@njit(**BARE)
def normalise(v):
    """Divide a vector by its sum."""
    total = 0.0
    for k in range(len(v)):
        total += v[k]
    for k in range(len(v)):
        v[k] /= total


@njit(**BARE)
def solve_if_pure(Q, x, y):
    """Smallest and largest entry, and whether a saddle point in pure policies or equality solves Q.

    Writes x and y then, uniform where all is equal; returns (solved, value, low, high).
    """
    A, B = Q.shape
    put(y, -np.inf)
    for a in range(A):
        worst = np.inf
        for b in range(B):
            q = Q[a, b]
            worst = q if q < worst else worst
            y[b] = q if q > y[b] else y[b]
        x[a] = worst
    low, high, maximin, minimax, row, column = np.inf, -np.inf, -np.inf, np.inf, 0, 0
    for a in range(A):
        low = x[a] if x[a] < low else low
        if x[a] > maximin:
            maximin, row = x[a], a
    for b in range(B):
        high = y[b] if y[b] > high else high
        if y[b] < minimax:
            minimax, column = y[b], b
    if high - low <= 1e-14 * max(abs(low), abs(high)):
        put(x, 1.0 / A)
        put(y, 1.0 / B)
        return True, 0.5 * (low + high), low, high
    if maximin < minimax:
        return False, float(column), low, high
    put(x, 0.0)
    put(y, 0.0)
    x[row], y[column] = 1.0, 1.0
    return True, maximin, low, high


@njit(**BARE)
def bounds(Q, x, y, room):
    """What x secures and y allows; `room` is (B,)."""
    A, B = Q.shape
    lower, upper = np.inf, -np.inf
    for b in range(B):
        room[b] = 0.0
    for a in range(A):
        total = 0.0
        for b in range(B):
            total += y[b] * Q[a, b]
            room[b] += x[a] * Q[a, b]
        upper = max(upper, total)
    for b in range(B):
        lower = min(lower, room[b])
    return lower, upper


@njit(**FAST)
def _dot(p, v):
    total = 0.0
    for k in range(len(p)):
        total += p[k] * v[k]
    return total


@njit(**BARE)
def build(
    Q, s, step, rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, later,
):  # fmt: skip
    """Write r + γ·P·later of a state's joint actions to Q."""
    A, B = Q.shape
    first = rows[s] + step * transition_stride
    pay = rows[s] + step * reward_stride
    for k in range(A * B):
        begin, end = indptr[first + k], indptr[first + k + 1]
        lowest = indices[begin]
        if indices[end - 1] - lowest == end - begin - 1:  # sorted, so next to each other
            q = _dot(probabilities[begin:end], later[lowest : lowest + end - begin])
        else:
            q = 0.0
            for e in range(begin, end):
                q += probabilities[e] * later[indices[e]]
        Q[k // B, k % B] = reward[0, pay + k] + discount * q
