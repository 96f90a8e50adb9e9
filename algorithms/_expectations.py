"""Kernels for the expectation of values over successors, for all that look one step ahead.

Kernels elsewhere are compiled from this: Numba's cache does not notice a change in this file, so
that `__pycache__` has to go after one.
"""

from numba import njit

from metamarl.algorithms._jit import BARE
from metamarl.algorithms._vectors import LANES, load, spread, total

INLINE = {**BARE, "forceinline": True}  # short rows cost less than a call


@njit(**INLINE)
def expected(indices, probabilities, begin, end, values):
    """Σ probabilities·values[indices] of one row; neighbours, as in dense rows, without indices."""
    q, e = 0.0, begin
    if end - begin >= LANES and indices[end - 1] - indices[begin] == end - begin - 1:  # sorted
        shift = indices[begin] - begin
        sums = spread(q, values)
        while e + LANES <= end:
            sums = sums + load(probabilities, e) * load(values, e + shift)
            e += LANES
        q = total(sums)
        while e < end:
            q += probabilities[e] * values[e + shift]
            e += 1
    while e < end:
        q += probabilities[e] * values[indices[e]]
        e += 1
    return q


@njit(**INLINE)
def expected_pair(indices, probabilities, begin, end, first, second):
    """The same for the values `first` and `second`, in one reading."""
    q, other, e = 0.0, 0.0, begin
    if end - begin >= LANES and indices[end - 1] - indices[begin] == end - begin - 1:
        shift = indices[begin] - begin
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
