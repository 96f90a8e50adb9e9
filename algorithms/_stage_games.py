r"""Kernels that solve all stage games of a two-player zero-sum game, exactly or nearly so.

The simplex (Dantzig 1951) works on the shorter form of von Neumann's programme: with all entries of
a matrix M between 1 and 2, maximise $\sum_b w_b$ where $Mw ≤ 1, w ≥ 0$; its dual is the other
player's, and $w / \sum w$ and the scaled reduced costs are the minimax policies. The tableau is
Tucker's, without the columns of what is basic: (A + 1)·(B + 2) numbers, not the (A + 2)·(A + B + 2)
of the usual one. Ties of the ratio test are broken by a perturbation of the right-hand side that is
carried along as a column of its own (Charnes 1952; Dantzig, Orden and Wolfe 1955), which rules out
cycles. For regret matching see `regret_matching`.
"""

import numpy as np
from numba import njit

JIT = {"cache": True, "nogil": True, "error_model": "numpy"}
CONTRACT = {**JIT, "fastmath": {"contract"}}
FAST = {**JIT, "fastmath": {"contract", "nnan", "ninf", "nsz", "arcp", "reassoc"}}
OPTIMAL = 1e-14  # reduced costs above minus this are none
TIED = 1e-12  # ratios that differ by less are equal
PIVOT = 1e-10  # smaller ones would amplify rounding errors
CERTIFIED = 4e-13  # of the span of a matrix: a larger gap is solved for anew, from the last basis
SAFE = 1e-11  # likewise: a larger gap is solved for with larger pivots
LADDER = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5)


@njit(**CONTRACT)
def _set(v, number):
    """Set a vector to a number: in loops, which compile several times faster than slices."""
    for k in range(len(v)):
        v[k] = number


@njit(**CONTRACT)
def _normalise(v):
    """Divide a vector by its sum."""
    total = 0.0
    for k in range(len(v)):
        total += v[k]
    for k in range(len(v)):
        v[k] /= total


@njit(**CONTRACT)
def _solve_if_pure(Q, x, y):
    """Smallest and largest entry, and whether a saddle point in pure policies or equality solves Q.

    Writes x and y then, uniform where all is equal; returns (solved, value, low, high).
    """
    A, B = Q.shape
    _set(y, -np.inf)
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
        _set(x, 1.0 / A)
        _set(y, 1.0 / B)
        return True, 0.5 * (low + high), low, high
    if maximin < minimax:
        return False, float(column), low, high
    _set(x, 0.0)
    _set(y, 0.0)
    x[row], y[column] = 1.0, 1.0
    return True, maximin, low, high


@njit(**CONTRACT)
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


@njit(**CONTRACT)
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


@njit(**CONTRACT)
def _entering_column(T):
    """The column of the smallest reduced cost."""
    A, c = T.shape[0] - 1, 0
    for j in range(1, T.shape[1] - 2):
        if T[A, j] < T[A, c]:
            c = j
    return c


@njit(**CONTRACT)
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


@njit(**CONTRACT)
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


@njit(**CONTRACT)
def _return_to_basis(T, Q, low, scale, basic, free):
    """Compute the tableau of a basis anew, the largest pivots first."""
    A, B = Q.shape
    _fill(T, Q, low, scale)
    rows, columns = np.empty(A, np.bool_), np.zeros(B, np.bool_)
    for i in range(A):  # constraint i is to leave unless its slack, B + i, is basic
        rows[i] = True
    for i in range(A):
        if basic[i] < B:
            columns[basic[i]] = True
        else:
            rows[basic[i] - B] = False
    for j in range(B):
        free[j] = j
    for i in range(A):
        basic[i] = B + i
    while True:
        largest, r, c = PIVOT, -1, -1
        for i in range(A):
            for j in range(B):
                if rows[i] and columns[j] and abs(T[i, j]) > largest:
                    largest, r, c = abs(T[i, j]), i, j
        if r < 0:
            return
        rows[r], columns[c] = False, False
        _pivot(T, r, c, basic, free)


@njit(**CONTRACT)
def _read_policies(T, basic, free, x, y):
    """Write the minimax policies of a solved tableau to x and y."""
    A, B = len(x), len(y)
    _set(x, 0.0)
    _set(y, 0.0)
    for i in range(A):
        if basic[i] < B:
            y[basic[i]] = max(T[i, B], 0.0)
    for j in range(B):
        if free[j] >= B:
            x[free[j] - B] = max(T[A, j], 0.0)
    _normalise(x)
    _normalise(y)


@njit(**CONTRACT)
def _bounds(Q, x, y, room):
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


@njit(**CONTRACT)
def _solve_roughly(Q, x, y, T, basic, free, low, scale, lower, upper):
    """Solve a nearly tied matrix, in which small pivots lose all digits, with larger ones.

    Of these policies and the ones at hand, which give `lower` and `upper`, keeps the best.
    """
    A, B = Q.shape
    best, value = np.inf, 0.5 * (lower + upper)
    if upper >= lower:  # no NaN
        best = upper - lower
    best_x, best_y, work = x.copy(), y.copy(), np.empty(B)
    for pivot in LADDER:
        for i in range(A):
            basic[i] = B + i
        for j in range(B):
            free[j] = j
        _fill(T, Q, low, scale)
        _simplex(T, basic, free, _entering_column(T), pivot, 0.1 * pivot)
        _read_policies(T, basic, free, x, y)
        lower, upper = _bounds(Q, x, y, work)
        if upper - lower < best:
            best, value = upper - lower, 0.5 * (lower + upper)
            best_x[:], best_y[:] = x, y
    x[:], y[:] = best_x, best_y
    return value


@njit(**CONTRACT)
def _solve_matrix(Q, x, y, work, order):
    """Minimax policies and value of a matrix game, by the simplex. Writes x and y.

    `work` ((A + 1)·(B + 2),) and `order` (A + B,) are room for at least the tableau and the basis.
    """
    A, B = Q.shape
    solved, value, low, high = _solve_if_pure(Q, x, y)
    if solved:
        return value
    if A == 2 and B == 2:  # without a saddle point all four differences have one sign
        up, down = Q[0, 0] - Q[0, 1], Q[1, 1] - Q[1, 0]
        left, right = Q[0, 0] - Q[1, 0], Q[1, 1] - Q[0, 1]
        x[0], x[1] = down / (up + down), up / (up + down)
        y[0], y[1] = right / (left + right), left / (left + right)
        lower, upper = _bounds(Q, x, y, work)
        return 0.5 * (lower + upper)
    scale, column = 1.0 / (high - low), int(value)
    T = work[: (A + 1) * (B + 2)].reshape(A + 1, B + 2)
    basic, free = order[:A], order[A : A + B]
    for i in range(A):
        basic[i] = B + i
    for j in range(B):
        free[j] = j
    _fill(T, Q, low, scale)
    _simplex(T, basic, free, column, PIVOT, OPTIMAL)
    _read_policies(T, basic, free, x, y)
    lower, upper = _bounds(Q, x, y, work)
    for _ in range(3):
        if upper - lower <= CERTIFIED * (high - low) + 2e-15 * max(abs(low), abs(high)):
            break
        _return_to_basis(T, Q, low, scale, basic, free)
        _simplex(T, basic, free, _entering_column(T), PIVOT, OPTIMAL)
        _read_policies(T, basic, free, x, y)
        lower, upper = _bounds(Q, x, y, work)
    if not upper - lower <= SAFE * (high - low) + 2e-15 * max(abs(low), abs(high)):  # or NaN
        return _solve_roughly(Q, x, y, T, basic, free, low, scale, lower, upper)
    return 0.5 * (lower + upper)


@njit(**FAST)
def _dot(p, v):
    total = 0.0
    for k in range(len(p)):
        total += p[k] * v[k]
    return total


@njit(**JIT)
def _build_matrix(
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
    A, B = 0, 0
    for s in range(len(counts)):
        A, B = max(A, counts[s, 0]), max(B, counts[s, 1])
    entries, work, order = np.empty(A * B), np.empty((A + 1) * (B + 2)), np.empty(A + B, np.int64)
    for j in range(len(states)):
        if len(groups) == 2 and not timed:
            later[states[j]] = values[j]
    for g in range(len(groups) - 2, -1, -1):
        step = g if timed else 0
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            A, B = counts[s, 0], counts[s, 1]
            Q = entries[: A * B].reshape(A, B)
            _build_matrix(
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


@njit(**FAST)
def _combine(M, weights, support, out):
    """out = weights·M, over the rows whose weight is not 0, four at a time."""
    n, m = M.shape
    k = 0
    for i in range(n):
        if weights[i] != 0.0:
            support[k] = i
            k += 1
    out[:] = 0.0
    i = 0
    while i + 4 <= k:
        a, b, c, d = support[i], support[i + 1], support[i + 2], support[i + 3]
        u, v, w, z = weights[a], weights[b], weights[c], weights[d]
        for j in range(m):
            out[j] += u * M[a, j] + v * M[b, j] + w * M[c, j] + z * M[d, j]
        i += 4
    while i < k:
        a = support[i]
        u = weights[a]
        for j in range(m):
            out[j] += u * M[a, j]
        i += 1


@njit(**FAST)
def _match(R, utility, x, zero):
    """One step of predictive regret matching+ from the play x, whose utility is the prediction."""
    played, total = zero, zero
    for a in range(len(x)):
        played += x[a] * utility[a]
    for a in range(len(x)):
        gain = utility[a] - played
        R[a] = max(R[a] + gain, zero)
        x[a] = max(R[a] + gain, zero)
    for a in range(len(x)):
        total += x[a]
    if total > zero:
        for a in range(len(x)):
            x[a] /= total
    else:
        x[:] = 1.0 / len(x)


@njit(**FAST)
def _play(Q, turned, x, y, R, T, gap, most, S, G, q, p, support, zero):
    """Play until the gap of the averages is at most `gap`.

    x, y, R, T are both players' plays and regrets; S (A + B,) the weighted sums of plays, and G
    (A + B,) of what they leave to the other player; `turned` is Qᵀ.
    """
    A, B = Q.shape
    S[:], G[:] = 0.0, 0.0
    total, weight = 0.0, 0.0
    for t in range(1, most + 1):
        _combine(turned, y, support, q)
        if t > 1:
            high, low = -1e300, 1e300
            for a in range(A):
                G[a] += weight * q[a]
                high = max(high, G[a])
            for b in range(B):
                low = min(low, G[A + b])
            if high - low <= gap * total:
                break
        _match(R, q, x, zero)
        _combine(Q, x, support, p)
        weight = float(t) * t
        for b in range(B):
            G[A + b] += weight * p[b]
            p[b] = -p[b]
        _match(T, p, y, zero)
        for a in range(A):
            S[a] += weight * x[a]
        for b in range(B):
            S[A + b] += weight * y[b]
        total += weight


@njit(**JIT)
def approach_stages(
    states, groups, slots, timed, counts,
    rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, gap, most, X, R, work, values, flat,
):  # fmt: skip
    """Like `solve_stages`, by regret matching, until every stage game's gap is at most `gap`.

    X and R, laid out like `flat`, are plays and regrets to go on from, in units of the spans of the
    matrices; `work` (2·A·B + 3·(A + B),) says in which precision to play, with the largest A, B.
    """
    later = np.zeros(len(rows) - 1)
    fresh = np.empty(len(values))
    most_actions = counts.max()
    support = np.empty(most_actions, np.int64)
    S, G = np.empty(2 * most_actions), np.empty(2 * most_actions)
    zero = work.dtype.type(0)
    for j in range(len(states)):
        if len(groups) == 2 and not timed:
            later[states[j]] = values[j]
    for g in range(len(groups) - 2, -1, -1):
        step = g if timed else 0
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            A, B = counts[s, 0], counts[s, 1]
            first, second = slots[0, j], slots[1, j]
            matrix = np.empty((A, B))
            _build_matrix(
                matrix, s, step, rows, reward, reward_stride, indptr, indices, probabilities,
                transition_stride, discount, later,
            )  # fmt: skip
            u, w = flat[first : first + A], flat[second : second + B]
            pure, fresh[j], low, high = _solve_if_pure(matrix, u, w)
            if pure:
                continue
            Q = work[: A * B].reshape(A, B)
            turned = work[A * B : 2 * A * B].reshape(B, A)
            for a in range(A):
                for b in range(B):
                    matrix[a, b] = (matrix[a, b] - low) / (high - low)
                    Q[a, b] = matrix[a, b]
                    turned[b, a] = matrix[a, b]
            left = work[2 * A * B : 2 * A * B + 3 * (A + B)]
            x, y = left[:A], left[A : A + B]
            r, t = left[A + B : 2 * A + B], left[2 * A + B : 2 * (A + B)]
            q, p = left[2 * (A + B) : 3 * A + 2 * B], left[3 * A + 2 * B :]
            x[:], y[:] = X[first : first + A], X[second : second + B]
            r[:], t[:] = R[first : first + A], R[second : second + B]
            _play(
                Q, turned, x, y, r, t, gap / (high - low), most, S[: A + B], G[: A + B],
                q, p, support, zero,
            )  # fmt: skip
            X[first : first + A], X[second : second + B] = x, y
            R[first : first + A], R[second : second + B] = r, t
            u[:], w[:] = S[:A], S[A : A + B]
            u /= u.sum()
            w /= w.sum()
            lower, upper = _bounds(matrix, u, w, S)
            fresh[j] = low + (high - low) * 0.5 * (lower + upper)
        for j in range(groups[g], groups[g + 1]):
            later[states[j]] = fresh[j]
    change = np.abs(fresh - values).max()
    values[:] = fresh
    return change
