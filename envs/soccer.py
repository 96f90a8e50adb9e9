"""Littman's soccer on a grid (Littman 1994).

Two players on a field of 4 x 5 cells, one of them with the ball. Both choose a move (north, south,
east, west, stand) at once; the moves are carried out one after the other, in random order. A player
who runs into the other stays where it is, and the ball goes to the other. Who carries the ball
through the opponent's goal scores: A at the west end, B at the east end, through the middle rows
(two of them, or one where the number of rows is odd). A goal ends the game.

References:
    Littman, "Markov games as a framework for multi-agent reinforcement learning", ICML 1994.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.checks import check_integer, check_memory, check_real, check_reals
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register
from metamarl.envs.table import Table, build_table
from metamarl.envs.variation import moved, scaled

WHERE = "soccer"
MOVES = {"north": (-1, 0), "south": (1, 0), "east": (0, 1), "west": (0, -1), "stand": (0, 0)}
STAND = 4
BYTES_PER_STATE = 12000.0  # 25 rows with up to eight successors each, while the table is built
Pair = tuple[float, ...]
Integers = NDArray[np.int64]


def _vary(
    rng: np.random.Generator,
    spread: float,
    *,
    slip: Sequence[float],
    prizes: Sequence[float],
    first: float,
    **_: Any,
) -> Mapping[str, Any]:
    slip = check_reals(slip, "slip", WHERE, 2, 0.0, 1.0)
    prizes = check_reals(prizes, "prizes", WHERE, 2)
    first = check_real(first, "first", WHERE, 0.0, 1.0)
    return {
        "slip": tuple(min(1.0, p + float(rng.uniform(0.0, spread))) for p in slip),
        "prizes": scaled(rng, spread, prizes),
        "first": moved(rng, spread, first, 0.0, 1.0),
    }


@register("soccer", vary=_vary)
def soccer(
    *,
    rows: int = 4,
    columns: int = 5,
    discount: float = 0.9,
    slip: Sequence[float] = (0.0, 0.0),
    prizes: Sequence[float] = (1.0, 1.0),
    first: float = 0.5,
    ball: float = 0.5,
) -> MarkovGame:
    """Littman's soccer (1994) on a grid; two players, zero-sum, discounted.

    A state is (A's cell, B's cell, who has the ball), cells as (row, column) and the ball as 0 for
    A and 1 for B, or "end". The players start in mirrored cells, (1, 3) and (2, 1) on Littman's
    field. Related games add spread·U[0, 1] to each slip probability, scale the prizes, and move
    `first` by spread·U[-1, 1].

    Args:
        rows: number of rows.
        columns: number of columns; at least 2.
        discount: γ below 1.
        slip: probabilities that a move of A, and of B, fails; the player then stands.
        prizes: what a goal of A, and of B, is worth to the scorer; the other loses it.
        first: probability that A's move is carried out first.
        ball: probability that A has the ball at the start.
    """
    rows = check_integer(rows, "rows", WHERE)
    columns = check_integer(columns, "columns", WHERE, 2)
    slip = check_reals(slip, "slip", WHERE, 2, 0.0, 1.0)
    prizes = check_reals(prizes, "prizes", WHERE, 2)
    first = check_real(first, "first", WHERE, 0.0, 1.0)
    ball = check_real(ball, "ball", WHERE, 0.0, 1.0)
    n_cells = rows * columns
    n_states = 2 * n_cells * (n_cells - 1) + 1
    check_memory(BYTES_PER_STATE * n_states, f"Soccer on a {rows} x {columns} field")
    a, b, owner = np.nonzero(np.repeat(~np.eye(n_cells, dtype=bool)[:, :, None], 2, axis=2))
    number = np.full((n_cells, n_cells, 2), -1)
    number[a, b, owner] = np.arange(n_states - 1)
    following, goals = _moves_in_turn(rows, columns, number, a, b, owner)
    table = _table(following, goals, slip, prizes, first)
    column = min(columns // 2 + 1, columns - 1)
    kick_off = ((rows - 1) // 2 * columns + column, rows // 2 * columns + columns - 1 - column)
    initial = np.zeros(n_states)
    initial[number[kick_off]] = ball, 1.0 - ball
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    places = zip(a.tolist(), b.tolist(), owner.tolist(), strict=True)
    return MarkovGame.from_table(
        table,
        initial,
        discount=discount,
        name="soccer",
        states=[*((cells[i], cells[j], k) for i, j, k in places), "end"],
        actions=[tuple(MOVES)] * 2,
        board=partial(_board, rows, columns),
    )


def _moves_in_turn(
    rows: int, columns: int, number: Integers, a: Integers, b: Integers, owner: Integers
) -> tuple[Integers, Integers]:
    """What comes of every pair of moves, carried out in either order.

    Returns:
        `(S - 1, 2, 5, 5)` the next state and who scores (1 for A, -1 for B, 0 for nobody), by
        state, by who is first (0: A) and by the moves of A and B.
    """
    end = len(a)
    following = np.empty((len(a), 2, len(MOVES), len(MOVES)), np.int64)
    goals = np.zeros_like(following)
    deltas = list(MOVES.values())
    for leader, i, j in np.ndindex(following.shape[1:]):
        cells, ball = [a, b], owner
        mark = np.zeros(len(a), np.int64)
        for player in (leader, 1 - leader):
            move = deltas[(i, j)[player]]
            cells[player], ball, goal = _move(rows, columns, cells, ball, player, move)
            mark[goal & (mark == 0)] = 1 - 2 * player
        goals[:, leader, i, j] = mark
        following[:, leader, i, j] = np.where(mark != 0, end, number[cells[0], cells[1], ball])
    return following, goals


def _move(
    rows: int,
    columns: int,
    cells: list[Integers],
    ball: Integers,
    player: int,
    move: tuple[int, int],
) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """One player's move in all states: its new cell, who has the ball, and whether it scores."""
    mine, other = cells[player], cells[1 - player]
    row, column = mine // columns + move[0], mine % columns + move[1]
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    before_goal = (row >= (rows - 1) // 2) & (row <= rows // 2)
    goal = (ball == player) & (column == (-1, columns)[player]) & before_goal
    target = np.where(inside, row * columns + column, mine)
    bump = target == other
    return np.where(bump, mine, target), np.where(bump, 1 - player, ball), goal


def _table(following: Integers, goals: Integers, slip: Pair, prizes: Pair, first: float) -> Table:
    """The game's rows: an average over who is first and whose moves fail."""
    end, moves = len(following), np.arange(len(MOVES))
    worth = np.where(goals > 0, prizes[0], -prizes[1]) * (goals != 0)
    targets, odds = [], []
    reward = np.zeros((end, len(moves), len(moves)))
    for leader, fails_a, fails_b in np.ndindex(2, 2, 2):
        odd = (first, 1.0 - first)[leader]
        odd *= (1.0 - slip[0], slip[0])[fails_a] * (1.0 - slip[1], slip[1])[fails_b]
        if odd > 0.0:
            i, j = (np.full_like(moves, STAND) if f else moves for f in (fails_a, fails_b))
            pick = (slice(None), leader, i[:, None], j[None, :])
            reward += odd * worth[pick]
            targets.append(following[pick].ravel())
            odds.append(odd)
    n_rows, k = reward.size, len(odds)
    transition = sp.csr_array(
        (
            np.append(np.tile(odds, n_rows), 1.0),
            np.append(np.stack(targets, axis=1), end),
            np.append(np.arange(n_rows + 1) * k, n_rows * k + 1),
        ),
        shape=(n_rows + 1, end + 1),
    )
    payoff = np.append(reward, 0.0)
    legal = np.ones((end + 1, len(moves)), bool)
    legal[-1, :STAND] = False
    return build_table((legal, legal.copy()), np.stack([payoff, -payoff]), transition)


def _board(rows: int, columns: int, state: Any) -> Sequence[str]:
    """The field: A and B, in capitals who has the ball; empty after a goal."""
    lines = [["."] * columns for _ in range(rows)]
    if state != "end":
        *cells, owner = state
        for player, (row, column) in enumerate(cells):
            letter = "ab"[player]
            lines[row][column] = letter.upper() if owner == player else letter
    return ["".join(line) for line in lines]
