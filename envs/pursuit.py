"""Pursuit on a square grid: one player runs, the other tries to catch it before time is up.

Both move at once, one cell north, south, east or west, or stand; walls stop them. The pursuer
starts in the north-west corner, the evader in the south-east one. The evader is caught when both
are on the same cell or change places. A move may slip: it then fails, and the player stands. Games
of pursuit and evasion go back to Isaacs, "Differential Games" (1965).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.checks import check_integer, check_memory, check_real
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register
from metamarl.envs.table import build_table
from metamarl.envs.variation import moved, scaled

WHERE = "pursuit"
MOVES = {"north": (-1, 0), "south": (1, 0), "east": (0, 1), "west": (0, -1), "stand": (0, 0)}
STAND = 4
BYTES_PER_STATE = 8000.0  # 25 rows with up to four successors each, while the table is built


def _vary(
    rng: np.random.Generator, spread: float, *, slip: float, prize: float, **_: Any
) -> Mapping[str, Any]:
    slip = check_real(slip, "slip", WHERE, 0.0, 1.0)
    prize = check_real(prize, "prize", WHERE)
    return {
        "slip": moved(rng, spread, slip, 0.0, 1.0),
        "prize": scaled(rng, spread, [prize])[0],
    }


@register("pursuit", vary=_vary)
def pursuit(
    *,
    size: int = 4,
    horizon: int = 10,
    slip: float = 0.2,
    pursuer_slip: float = 0.0,
    prize: float = 1.0,
) -> MarkovGame:
    """Pursuit and evasion on a square grid with slips; two players, zero-sum, finite horizon.

    A state is (pursuer's cell, evader's cell), each (row, column), or "end". Related games move
    `slip` by spread·U[-1, 1] and scale the prize.

    Args:
        size: the grid has size x size cells; at least 2.
        horizon: number of moves H.
        slip: probability that the evader's move fails.
        pursuer_slip: probability that the pursuer's move fails.
        prize: what the evader (the second player) pays when it is caught.
    """
    size = check_integer(size, "size", WHERE, 2)
    horizon = check_integer(horizon, "horizon", WHERE)
    slip = check_real(slip, "slip", WHERE, 0.0, 1.0)
    pursuer_slip = check_real(pursuer_slip, "pursuer_slip", WHERE, 0.0, 1.0)
    prize = check_real(prize, "prize", WHERE)
    n_cells = size**2
    n_states = n_cells * (n_cells - 1) + 1
    check_memory(BYTES_PER_STATE * n_states, f"Pursuit on a {size} x {size} grid")
    pursuer, evader = np.nonzero(~np.eye(n_cells, dtype=bool))
    number = np.full((n_cells, n_cells), n_states - 1)  # of each state; one cell for both: the end
    number[pursuer, evader] = np.arange(n_states - 1)
    steps = _steps(size)
    tries_pursuer, odds_pursuer = _tries(pursuer_slip)
    tries_evader, odds_evader = _tries(slip)
    # Axes: state, pursuer's move, evader's move, does the pursuer slip, does the evader.
    here, there = pursuer.reshape(-1, 1, 1, 1, 1), evader.reshape(-1, 1, 1, 1, 1)
    new_pursuer = steps[here, tries_pursuer[:, None, :, None]]
    new_evader = steps[there, tries_evader[None, :, None, :]]
    following = number[new_pursuer, new_evader]
    following[(new_pursuer == there) & (new_evader == here)] = n_states - 1
    odds = np.broadcast_to(np.outer(odds_pursuer, odds_evader), following.shape)
    caught = np.where(following == n_states - 1, odds, 0.0).sum((-2, -1))
    outcomes, n_rows = odds[0, 0, 0].size, caught.size
    transition = sp.csr_array(
        (
            np.append(odds, 1.0),
            np.append(following, n_states - 1),
            np.append(np.arange(n_rows + 1) * outcomes, n_rows * outcomes + 1),
        ),
        shape=(n_rows + 1, n_states),
    )
    reward = prize * np.append(caught, 0.0)
    legal = np.ones((n_states, len(MOVES)), bool)
    legal[-1, :STAND] = False
    table = build_table((legal, legal.copy()), np.stack([reward, -reward]), transition)
    cells = [(row, column) for row in range(size) for column in range(size)]
    return MarkovGame.from_table(
        table,
        np.eye(1, n_states, number[0, -1])[0],
        horizon,
        name="pursuit",
        states=[*((cells[p], cells[e]) for p, e in zip(pursuer, evader, strict=True)), "end"],
        actions=[tuple(MOVES)] * 2,
        board=partial(_board, size),
    )


def _steps(size: int) -> NDArray[np.int64]:
    """`(size², 5)` the cell that each move leads to; walls stop."""
    row, column = np.divmod(np.arange(size**2)[:, None], size)
    down, right = np.array(list(MOVES.values())).T
    inside = (row + down >= 0) & (row + down < size) & (column + right >= 0)
    inside &= column + right < size
    return np.where(inside, (row + down) * size + column + right, row * size + column)


def _tries(slip: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`(5, k)` the moves that come of each move, and their `(k,)` probabilities (k = 1 or 2)."""
    moves = np.arange(len(MOVES))
    if slip == 0.0:
        return moves[:, None], np.array([1.0])
    return np.stack([moves, np.full_like(moves, STAND)], axis=1), np.array([1.0 - slip, slip])


def _board(size: int, state: Any) -> Sequence[str]:
    """The grid: P the pursuer, E the evader; empty when the evader is caught."""
    lines = [["."] * size for _ in range(size)]
    if state != "end":
        for letter, (row, column) in zip("PE", state, strict=True):
            lines[row][column] = letter
    return ["".join(line) for line in lines]
