r"""Exact potentials of stage games: cycle conditions, reconstruction, checks of a given one.

A game in normal form has an exact potential φ, with $φ(a_i', a_{-i}) - φ(a) = r_i(a_i', a_{-i}) -
r_i(a)$ for every player, exactly if round every square of two players' deviations the movers' gains
cancel (Monderer & Shapley 1996, Corollary 2.9): $r_i - r_j$ has no mixed second difference along
the actions of i and j. Squares of neighbouring actions are enough, for larger ones are sums of
them. φ then is the sum of the movers' gains along any path from the first joint action.

Reward rows have `steps` copies, one per step, where rewards depend on it (`reward_stride` > 0).
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import FINITE, LARGEST, check_array, complaint, said
from metamarl.envs.clock import at_rest
from metamarl.envs.table import Table, name_row

WHERE = "MarkovGame"
ROUNDING = 1e-6  # how far, in units of the largest reward, changes may be from what they should be
CHUNK = 2**20  # rows looked at at once


def find_kind(
    table: Table, potential: Any, horizon: int | None, discount: float
) -> tuple[str, NDArray[np.float64] | None]:
    """Return "potential" (declared, or identical interests), "zero-sum" or "general-sum".

    And the rows of the declared potential; ValueError where it is none.
    """
    if potential is not None:
        return "potential", check_potential(table, potential, horizon, discount)
    reward = table.reward
    rounding = 1e-12 * float(np.abs(reward).max())
    if len(reward) == 2 and np.abs(reward[0] + reward[1]).max() <= rounding:
        return "zero-sum", None
    if all(np.abs(row - reward[0]).max() <= rounding for row in reward[1:]):
        return "potential", None
    return "general-sum", None


def _blocks(
    table: Table, steps: int
) -> Iterator[tuple[tuple[int, ...], NDArray[np.int64], NDArray[np.int64]]]:
    """Stage games of equal shape at once: the shape, which ones (step·S + state), their rows."""
    shapes, which = np.unique(table.counts, axis=0, return_inverse=True)
    which = which.ravel()
    for k, shape in enumerate(shapes):
        size = int(shape.prod())
        states = np.flatnonzero(which == k)
        stages = (np.arange(steps)[:, None] * table.n_states + states).ravel()
        chunk = max(1, CHUNK // size)
        for begin in range(0, len(stages), chunk):
            some = stages[begin : begin + chunk]
            first = some // table.n_states * table.n_rows + table.rows[some % table.n_states]
            yield tuple(int(c) for c in shape), some, first[:, None] + np.arange(size)


def _cycles(difference: NDArray[np.float64], i: int, j: int) -> NDArray[np.float64]:
    """Mixed second differences of `(m, A_1, …, A_n)` along the actions of i and j."""
    return np.diff(np.diff(difference, axis=1 + i), axis=1 + j)


def cycle_excess(table: Table) -> NDArray[np.float64]:
    """`(steps, S)` by how much the worst square of every stage game fails to close."""
    steps = table.reward.shape[1] // table.n_rows
    worst = np.zeros(steps * table.n_states)
    for shape, stages, rows in _blocks(table, steps):
        moving = [i for i, count in enumerate(shape) if count > 1]
        for i, j in combinations(moving, 2):
            difference = (table.reward[i, rows] - table.reward[j, rows]).reshape(-1, *shape)
            excess = np.abs(_cycles(difference, i, j)).reshape(len(stages), -1).max(1)
            worst[stages] = np.maximum(worst[stages], excess)
    return worst.reshape(steps, -1)


def worst_square(
    table: Table, step: int, state: int
) -> tuple[tuple[int, int], tuple[int, ...], tuple[int, ...], float]:
    """The square that fails most to close: players, joint action, the same with both moved, sum."""
    shape = tuple(int(c) for c in table.counts[state])
    first = step * table.reward_stride + int(table.rows[state])
    reward = table.reward[:, first : first + int(np.prod(shape))].reshape(-1, *shape)
    found: tuple[float, tuple[int, int], tuple[int, ...]] = (0.0, (0, 0), ())
    for i, j in combinations([k for k, count in enumerate(shape) if count > 1], 2):
        excess = _cycles((reward[i] - reward[j])[None], i, j)[0]
        at = np.unravel_index(int(np.abs(excess).argmax()), excess.shape)
        if abs(excess[at]) > abs(found[0]):
            found = (float(excess[at]), (i, j), tuple(int(d) for d in at))
    total, players, corner = found
    opposite = [d + (k in players) for k, d in enumerate(corner)]
    legal = [np.flatnonzero(mask[state]) for mask in table.legal]
    one, other = (
        tuple(int(actions[d]) for actions, d in zip(legal, digits, strict=True))
        for digits in (corner, opposite)
    )
    return players, one, other, total


def integrate(table: Table) -> NDArray[np.float64]:
    """`(steps·R,)` sums of gains on the way to every joint action, player after player.

    A potential of every stage game that has one; 0 at its first joint action.
    """
    potential = np.zeros(table.reward.shape[1])
    for shape, _, rows in _blocks(table, table.reward.shape[1] // table.n_rows):
        total = np.zeros((len(rows), *shape))
        for i in range(len(shape)):
            later = (slice(None),) * (2 + i) + (slice(0, 1),) * (len(shape) - 1 - i)
            pay = table.reward[i, rows].reshape(-1, *shape)[later]
            total += pay - pay.take([0], axis=1 + i)
        potential[rows] = total.reshape(len(rows), -1)
    return potential


def potential_rows(
    potential: Any, shape: tuple[int, ...], horizon: int | None, picked: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Rows of a potential given as an array `(S, A_1, …, A_n)` or `(H, S, A_1, …, A_n)`."""
    array = check_array(potential, "potential", WHERE)
    if array.shape not in (shape, (horizon, *shape)):
        must = f"of shape {shape}, like one player's reward"
        if horizon is not None:
            must += f", or {(horizon, *shape)}"
        raise ValueError(complaint("potential", WHERE, must, said(f"shape {array.shape}")))
    size = int(np.prod(shape))
    return array.reshape(-1, size)[:, picked].ravel()


def check_potential(
    table: Table, potential: Any, horizon: int | None, discount: float
) -> NDArray[np.float64]:
    """Return a stage potential's rows, `(R,)` or `(H·R,)`, or raise where it is none.

    Every player's every deviation must change it as much as that player's reward. Without a horizon
    or a discount it must also be 0 where the game has ended, so that its sum is finite.
    """
    rows = np.array(check_array(potential, "potential", WHERE), dtype=np.float64)
    R = table.n_rows
    if rows.shape not in ((R,), ((horizon or 1) * R,)):
        must = f"{R} rows, or as many per step"
        raise ValueError(complaint("potential", WHERE, must, said(f"shape {rows.shape}")))
    bad = np.flatnonzero(~(np.abs(rows) <= LARGEST))
    if len(bad):
        got = said(f"{rows[bad[0]]} in {name_row(table.legal, table.rows, int(bad[0]))}")
        raise ValueError(complaint("potential", WHERE, FINITE, got))
    steps = max(len(rows), table.reward.shape[1]) // R
    least = ROUNDING * float(np.abs(table.reward).max())
    for shape, stages, places in _blocks(table, steps):
        own = rows[places % len(rows)].reshape(-1, *shape)
        for i, count in enumerate(shape):
            if count == 1:
                continue
            pay = table.reward[i, places % table.reward.shape[1]].reshape(-1, *shape)
            excess = np.abs(np.diff(own - pay, axis=1 + i))
            if excess.max() > least:
                at = np.unravel_index(int(excess.argmax()), excess.shape)
                corner = tuple(int(d) for d in at)
                _refuse(table, int(stages[corner[0]]), i, (own, pay), corner)
    if horizon is None and discount == 1.0:
        ended = np.flatnonzero(np.repeat(at_rest(table), np.diff(table.rows)) & (rows != 0))
        if len(ended):
            got = said(f"{rows[ended[0]]:.6g} in {name_row(table.legal, table.rows, ended[0])}")
            raise ValueError(complaint("potential", WHERE, "0 where the game has ended", got))
    return rows


def _refuse(
    table: Table,
    stage: int,
    player: int,
    arrays: tuple[NDArray[np.float64], NDArray[np.float64]],
    at: tuple[int, ...],
) -> None:
    step, state = divmod(stage, table.n_states)
    corner = at[1:]
    moved = tuple(d + (k == player) for k, d in enumerate(corner))
    legal = [np.flatnonzero(mask[state]) for mask in table.legal]
    one, other = (
        ", ".join(str(actions[d]) for actions, d in zip(legal, digits, strict=True))
        for digits in (corner, moved)
    )
    mine, pay = (float(a[at[0], *moved] - a[at]) for a in arrays)
    where = f"step {step}, state {state}" if step else f"state {state}"
    got = said(
        f"{mine:.6g} where the reward of player {player} changes by {pay:.6g}: "
        f"in {where}, from joint action ({one}) to ({other})"
    )
    must = "changed by every player's deviation as much as its reward"
    raise ValueError(complaint("potential", WHERE, must, got))
