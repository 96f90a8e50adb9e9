r"""Kernels that solve all stage games of a two-player zero-sum game, exactly or nearly so.

The simplex (Dantzig 1951) works on the shorter form of von Neumann's programme: with all entries of
a matrix M between 1 and 2, maximise $\sum_b w_b$ where $Mw ≤ 1, w ≥ 0$; its dual is the other
player's, and $w / \sum w$ and the scaled reduced costs are the minimax policies. The tableau is
Tucker's, without the columns of what is basic: (A + 1)·(B + 2) numbers, not the (A + 2)·(A + B + 2)
of the usual one. Ties of the ratio test are broken by a perturbation of the right-hand side that is
carried along as a column of its own (Charnes 1952; Dantzig, Orden and Wolfe 1955), which rules out
cycles. Kernels that call each other live in this one file, but for `_matrix_games`.
"""

import numpy as np
from numba import njit

from metamarl.algorithms._jit import BARE, JIT
from metamarl.algorithms._matrix_games import bounds, build, copy, normalise, put, solve_if_pure

OPTIMAL = 1e-14  # reduced costs above minus this are none
TIED = 1e-12  # ratios that differ by less are equal
PIVOT = 1e-10  # smaller ones would amplify rounding errors
CERTIFIED = 4e-13  # of the span of a matrix: a larger gap is solved for anew, from the last basis
SAFE = 1e-11  # likewise: a larger gap is solved for with larger pivots
LADDER = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5)


@njit(**BARE)
def _pivot(T, r, c, basic, free):
    """Exchange the basic variable of row r and the free one of column c. In place."""
    n, m = T.shape
    p, row = 1.0 / T[r, c], T[r]
    for j in range(m):
        row[j] *= p
    row[c] = p
    for i in range(n):
        other = T[i]
        f = other[c]
        if i != r and f != 0.0:
            other[c] = 0.0
            for j in range(m):
                other[j] -= f * row[j]
    basic[r], free[c] = free[c], basic[r]


@njit(**BARE)
def _leaving_row(T, c, smallest):
    """The first row to reach its bound as column c enters; -1 without a pivot to speak of."""
    A, rhs = T.shape[0] - 1, T.shape[1] - 2
    least, row = np.inf, -1
    for i in range(A):
        if T[i, c] > smallest:
            ratio = max(T[i, rhs], 0.0) / T[i, c]  # below 0 by rounding only
            if ratio < least - TIED:
                least, row = ratio, i
            elif ratio <= least + TIED:
                if T[i, rhs + 1] * T[row, c] < T[row, rhs + 1] * T[i, c]:
                    row = i
                least = min(least, ratio)
    return row


@njit(**BARE)
def _entering_column(T):
    """The column of the smallest reduced cost."""
    A, c = T.shape[0] - 1, 0
    for j in range(1, T.shape[1] - 2):
        if T[A, j] < T[A, c]:
            c = j
    return c


@njit(**BARE)
def _simplex(T, basic, free, c, pivot, optimal):
    """Pivot until no reduced cost is negative, beginning with column c."""
    A, B = T.shape[0] - 1, T.shape[1] - 2
    for _ in range(50 * (A + B)):
        if T[A, c] >= -optimal:
            return
        r = _leaving_row(T, c, pivot)
        if r < 0:
            return
        _pivot(T, r, c, basic, free)
        c = _entering_column(T)


@njit(**BARE)
def _fill(T, Q, low, scale):
    """The tableau of a matrix before the first pivot."""
    A, B = Q.shape
    perturbation = 0.0
    for i in range(A):
        for j in range(B):
            T[i, j] = (Q[i, j] - low) * scale + 1.0
        perturbation = (perturbation + 0.6180339887498949) % 1.0
        T[i, B], T[i, B + 1] = 1.0, 1.0 + perturbation
    for j in range(B):
        T[A, j] = -1.0
    T[A, B], T[A, B + 1] = 0.0, 0.0


@njit(**BARE)
def _return_to_basis(T, Q, low, scale, basic, free, moving):
    """Compute the tableau of a basis anew, the largest pivots first; `moving` (A + B,) is room."""
    A, B = Q.shape
    _fill(T, Q, low, scale)
    rows, columns = moving[:A], moving[A : A + B]
    for i in range(A):  # constraint i is to leave unless its slack, B + i, is basic
        rows[i] = 1
    for j in range(B):
        columns[j] = 0
    for i in range(A):
        if basic[i] < B:
            columns[basic[i]] = 1
        else:
            rows[basic[i] - B] = 0
    for j in range(B):
        free[j] = j
    for i in range(A):
        basic[i] = B + i
    while True:
        largest, r, c = PIVOT, -1, -1
        for i in range(A):
            for j in range(B):
                if rows[i] == 1 == columns[j] and abs(T[i, j]) > largest:
                    largest, r, c = abs(T[i, j]), i, j
        if r < 0:
            return
        rows[r], columns[c] = 0, 0
        _pivot(T, r, c, basic, free)


@njit(**BARE)
def _read_policies(T, basic, free, x, y):
    """Write the minimax policies of a solved tableau to x and y."""
    A, B = len(x), len(y)
    put(x, 0.0)
    put(y, 0.0)
    for i in range(A):
        if basic[i] < B:
            y[basic[i]] = max(T[i, B], 0.0)
    for j in range(B):
        if free[j] >= B:
            x[free[j] - B] = max(T[A, j], 0.0)
    normalise(x)
    normalise(y)


@njit(**BARE)
def _solve_roughly(Q, x, y, T, basic, free, low, scale, lower, upper, room):
    """Solve a nearly tied matrix, in which small pivots lose all digits, with larger ones.

    Of these policies and the ones at hand, which give `lower` and `upper`, keeps the best. `room`
    is (A + 2·B,).
    """
    A, B = Q.shape
    best, value = np.inf, 0.5 * (lower + upper)
    if upper >= lower:  # no NaN
        best = upper - lower
    best_x, best_y, work = room[:A], room[A : A + B], room[A + B : A + 2 * B]
    copy(x, best_x)
    copy(y, best_y)
    for pivot in LADDER:
        for i in range(A):
            basic[i] = B + i
        for j in range(B):
            free[j] = j
        _fill(T, Q, low, scale)
        _simplex(T, basic, free, _entering_column(T), pivot, 0.1 * pivot)
        _read_policies(T, basic, free, x, y)
        lower, upper = bounds(Q, x, y, work)
        if upper - lower < best:
            best, value = upper - lower, 0.5 * (lower + upper)
            copy(x, best_x)
            copy(y, best_y)
    copy(best_x, x)
    copy(best_y, y)
    return value


@njit(**BARE)
def room(A, B):
    """Numbers of floats and of integers to work with on a matrix of shape (A, B)."""
    return (A + 1) * (B + 2) + A + 2 * B, 2 * (A + B)


@njit(**BARE)
def _solve_matrix(Q, x, y, work, order):
    """Minimax policies and value of a matrix game, by the simplex. Writes x and y.

    `work` (float) and `order` (int) have at least the `room` of the largest matrix.
    """
    A, B = Q.shape
    solved, value, low, high = solve_if_pure(Q, x, y)
    if solved:
        return value
    if A == 2 and B == 2:  # without a saddle point all four differences have one sign
        up, down = Q[0, 0] - Q[0, 1], Q[1, 1] - Q[1, 0]
        left, right = Q[0, 0] - Q[1, 0], Q[1, 1] - Q[0, 1]
        x[0], x[1] = down / (up + down), up / (up + down)
        y[0], y[1] = right / (left + right), left / (left + right)
        lower, upper = bounds(Q, x, y, work)
        return 0.5 * (lower + upper)
    scale, column = 1.0 / (high - low), int(value)
    end = (A + 1) * (B + 2)
    T, spare = work[:end].reshape(A + 1, B + 2), work[end:]
    basic, free, moving = order[:A], order[A : A + B], order[A + B :]
    for i in range(A):
        basic[i] = B + i
    for j in range(B):
        free[j] = j
    _fill(T, Q, low, scale)
    _simplex(T, basic, free, column, PIVOT, OPTIMAL)
    _read_policies(T, basic, free, x, y)
    lower, upper = bounds(Q, x, y, work)
    for _ in range(3):
        if upper - lower <= CERTIFIED * (high - low) + 2e-15 * max(abs(low), abs(high)):
            break
        _return_to_basis(T, Q, low, scale, basic, free, moving)
        _simplex(T, basic, free, _entering_column(T), PIVOT, OPTIMAL)
        _read_policies(T, basic, free, x, y)
        lower, upper = bounds(Q, x, y, work)
    if not upper - lower <= SAFE * (high - low) + 2e-15 * max(abs(low), abs(high)):  # or NaN
        return _solve_roughly(Q, x, y, T, basic, free, low, scale, lower, upper, spare)
    return 0.5 * (lower + upper)


@njit(**BARE)
def _solve_nodes(
    states, groups, slots, timed, counts,
    rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, values, flat, later, fresh, entries, work, order,
):  # fmt: skip
    """`solve_stages`, in arrays made before."""
    for j in range(len(states)):
        if len(groups) == 2 and not timed:
            later[states[j]] = values[j]
    for g in range(len(groups) - 2, -1, -1):
        step = g if timed else 0
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            A, B = counts[s, 0], counts[s, 1]
            Q = entries[: A * B].reshape(A, B)
            build(
                Q, s, step, rows, reward, reward_stride, indptr, indices, probabilities,
                transition_stride, discount, later,
            )  # fmt: skip
            x = flat[slots[0, j] : slots[0, j] + A]
            y = flat[slots[1, j] : slots[1, j] + B]
            fresh[j] = _solve_matrix(Q, x, y, work, order)
        for j in range(groups[g], groups[g + 1]):
            later[states[j]] = fresh[j]
    change = 0.0
    for j in range(len(values)):
        moved = abs(fresh[j] - values[j])
        if moved > change or moved != moved:  # NaN stays
            change = moved
        values[j] = fresh[j]
    return change


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
    A, B = 0, 0
    for s in range(len(counts)):
        A, B = max(A, counts[s, 0]), max(B, counts[s, 1])
    floats, integers = room(A, B)
    return _solve_nodes(
        states, groups, slots, timed, counts, rows, reward, reward_stride, indptr, indices,
        probabilities, transition_stride, discount, values, flat, np.zeros(len(rows) - 1),
        np.empty(len(values)), np.empty(A * B), np.empty(floats), np.empty(integers, np.int64),
    )  # fmt: skip
