r"""The two grid games of Hu and Wellman, "Nash Q-learning for general-sum stochastic games" (2003).

    game 1    game 2         cells
    b . a      . * .         6 7 8
    . . .      . . .         3 4 5
    A . B      A . B         0 1 2

Both players move at once, one cell up, down, left or right, within the grid. In game 1 each has a
goal of its own in the opposite corner; in game 2 both share the goal, and there are barriers above
the first cells: a move up from there succeeds with probability 1/2, or else the player stays. Two
players who would be on the same cell, other than a goal, both stay and lose 1. Reaching the goal
pays 100 and ends the game, for the other player too; both are paid when they reach it together.

With discount γ = 0.99, values at the start: in game 1 every equilibrium that is a shortest path for
both pays $100 γ^3 = 97.0299$ to each, as much as anybody can get. In game 2 there are three kinds
of equilibria: one player walks round the barrier, surely, in three moves, and gets
$100 γ^2 = 98.01$; the other tries the barrier, is there at the same time if it gets through at
once, and has half of that, 49.005; or the other way round; or they mix.
"""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from metamarl.envs.checks import check_real, check_reals
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register
from metamarl.envs.rules import Outcome, from_rules
from metamarl.envs.variation import moved, scaled

GAME_1, GAME_2 = "grid-game-1", "grid-game-2"
MOVES = {"up": (0, 1), "down": (0, -1), "left": (-1, 0), "right": (1, 0)}
START = (0, 2)
END = "end"


def _vary_1(
    rng: np.random.Generator,
    spread: float,
    *,
    prizes: Sequence[float],
    collision: float,
    where: str = GAME_1,
    **_: Any,
) -> Mapping[str, Any]:
    return {
        "prizes": scaled(rng, spread, check_reals(prizes, "prizes", where, 2, 0.0)),
        "collision": scaled(rng, spread, [check_real(collision, "collision", where, 0.0)])[0],
    }


def _vary_2(
    rng: np.random.Generator, spread: float, *, barrier: float, **knobs: Any
) -> Mapping[str, Any]:
    barrier = check_real(barrier, "barrier", GAME_2, 0.0, 1.0)
    if 0.0 < barrier < 1.0:  # or else other states could be reached
        barrier = moved(rng, spread, barrier, min(barrier, 0.05), max(barrier, 0.95))
    return {**_vary_1(rng, spread, **knobs, where=GAME_2), "barrier": barrier}


@register(GAME_1, vary=_vary_1)
def grid_game_1(
    *, prizes: Sequence[float] = (100.0, 100.0), collision: float = 1.0, discount: float = 0.99
) -> MarkovGame:
    """Grid game 1 (Hu and Wellman 2003): goals in opposite corners; two players, general-sum.

    A state is (A's cell, B's cell) or "end". Related games scale the prizes and the collision.

    Args:
        prizes: what reaching the goal pays the first player and the second, at least 0.
        collision: what both lose when they would be on the same cell, at least 0.
        discount: γ, below 1.
    """
    return _build(GAME_1, (8, 6), prizes, collision, 0.0, discount)


@register(GAME_2, vary=_vary_2)
def grid_game_2(
    *,
    prizes: Sequence[float] = (100.0, 100.0),
    collision: float = 1.0,
    barrier: float = 0.5,
    discount: float = 0.99,
) -> MarkovGame:
    """Grid game 2 (Hu and Wellman 2003): one goal, two barriers; two players, general-sum.

    A state is (A's cell, B's cell) or "end". Related games scale the prizes and the collision, and
    move `barrier` by spread·U[-1, 1], if it is neither 0 nor 1.

    Args:
        prizes: what reaching the goal pays the first player and the second, at least 0.
        collision: what both lose when they would be on the same cell, at least 0.
        barrier: probability that a move up from a first cell fails.
        discount: γ, below 1.
    """
    barrier = check_real(barrier, "barrier", GAME_2, 0.0, 1.0)
    return _build(GAME_2, (7, 7), prizes, collision, barrier, discount)


def _build(
    name: str,
    goals: tuple[int, int],
    prizes: Sequence[float],
    collision: float,
    barrier: float,
    discount: float,
) -> MarkovGame:
    prizes = check_reals(prizes, "prizes", name, 2, 0.0)
    collision = check_real(collision, "collision", name, 0.0)
    discount = check_real(discount, "discount", name, 0.0, 1.0)

    def legal(state: Any) -> list[list[int]]:
        if state == END:
            return [[0], [0]]
        return [[m for m in range(4) if _target(cell, m) is not None] for cell in state]

    def step(state: Any, joint: tuple[int, ...]) -> list[Outcome]:
        if state == END:
            return [(1.0, END, (0.0, 0.0))]
        tries = []  # of both players: (probability, cell)
        for player, move in enumerate(joint):
            here, there = state[player], _target(state[player], move)
            fails = barrier if move == 0 and here == START[player] else 0.0
            tries.append([(1.0 - fails, there), (fails, here)])
        return [(p * q, *_meet(state, (a, b))) for (p, a), (q, b) in itertools.product(*tries)]

    def _meet(state: Any, cells: tuple[Any, Any]) -> tuple[Any, tuple[float, float]]:
        arrived = [cell == goal for cell, goal in zip(cells, goals, strict=True)]
        if any(arrived):
            first, second = (prize * there for prize, there in zip(prizes, arrived, strict=True))
            return END, (first, second)
        if cells[0] == cells[1]:
            return state, (-collision, -collision)
        return cells, (0.0, 0.0)

    return from_rules(
        {START: 1.0},
        legal,
        step,
        (4, 4),
        discount=discount,
        name=name,
        actions=[tuple(MOVES)] * 2,
        board=partial(_board, goals),
    )


def _target(cell: int, move: int) -> int | None:
    """The cell a move leads to; None where it would leave the grid."""
    right, up = list(MOVES.values())[move]
    column, row = cell % 3 + right, cell // 3 + up
    return row * 3 + column if 0 <= column < 3 and 0 <= row < 3 else None


def _board(goals: tuple[int, int], state: Any) -> list[str]:
    """The grid: A and B the players, a and b their goals, * a goal of both."""
    cells = ["."] * 9
    for letter, goal in zip("ab", goals, strict=True):
        cells[goal] = letter if cells[goal] == "." else "*"
    if state != END:
        for letter, cell in zip("AB", state, strict=True):
            cells[cell] = letter
    return ["".join(cells[row : row + 3]) for row in (6, 3, 0)]
