"""Tic-tac-toe: noughts and crosses, in turns, on a board of 3 x 3.

A Markov game in which only one player has a choice at a time. The other has one legal action, and
it is a tenth one, "wait", so that the nine others always mean "mark this cell". The reward is paid
on the last move; a finished board is an absorbing state without rewards. The 5478 positions that
can be reached form no cycle, so the game ends by itself, and with perfect play it is a draw.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metamarl.envs.checks import check_real, check_reals
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register
from metamarl.envs.rules import Outcome, from_rules
from metamarl.envs.variation import scaled

WHERE = "tictactoe"
WAIT = 9
LINES = (
    *((0, 1, 2), (3, 4, 5), (6, 7, 8)),
    *((0, 3, 6), (1, 4, 7), (2, 5, 8)),
    *((0, 4, 8), (2, 4, 6)),
)
ACTIONS = (*(f"{row} {column}" for row in range(3) for column in range(3)), "wait")


def _vary(
    rng: np.random.Generator, spread: float, *, prizes: Sequence[float], draw: float, **_: Any
) -> Mapping[str, Any]:
    draw = check_real(draw, "draw", WHERE)
    prizes = check_reals(prizes, "prizes", WHERE, 2)
    return {
        "prizes": scaled(rng, spread, prizes),
        "draw": draw + spread * float(rng.uniform(-1.0, 1.0)),
    }


@register("tictactoe", vary=_vary)
def tictactoe(*, prizes: Sequence[float] = (1.0, 1.0), draw: float = 0.0) -> MarkovGame:
    """Tic-tac-toe: 5478 positions in turns, X first; two players, zero-sum, ends by itself.

    A state is a string of nine characters "X", "O" and ".", row by row. Related games scale the
    prizes, and move what a draw pays by spread·U[-1, 1].

    Args:
        prizes: what a win is worth to X (the first player) and to O; the other loses it.
        draw: what O pays X for a draw.
    """
    win_x, win_o = check_reals(prizes, "prizes", WHERE, 2)
    draw = check_real(draw, "draw", WHERE)
    pay = {"X": (win_x, -win_x), "O": (-win_o, win_o), "draw": (draw, -draw), "": (0.0, 0.0)}

    def step(position: str, joint: tuple[int, ...]) -> list[Outcome]:
        player = _to_move(position)
        if player is None:
            return [(1.0, position, pay[""])]
        cell = joint[player]
        following = position[:cell] + "XO"[player] + position[cell + 1 :]
        return [(1.0, following, pay[_result(following)])]

    return from_rules(
        {"." * 9: 1.0},
        _legal,
        step,
        (10, 10),
        name="tictactoe",
        actions=[ACTIONS, ACTIONS],
        board=_board,
    )


def _result(position: str) -> str:
    """Who has won ("X" or "O"), "draw", or "" while the game goes on."""
    for i, j, k in LINES:
        if position[i] != "." and position[i] == position[j] == position[k]:
            return position[i]
    return "" if "." in position else "draw"


def _to_move(position: str) -> int | None:
    """0 for X, 1 for O, None when the game is over."""
    return None if _result(position) else (9 - position.count(".")) % 2


def _legal(position: str) -> list[list[int]]:
    options = [[WAIT], [WAIT]]
    player = _to_move(position)
    if player is not None:
        options[player] = [cell for cell in range(9) if position[cell] == "."]
    return options


def _board(position: str) -> list[str]:
    """The board, three lines of three characters."""
    return [position[:3], position[3:6], position[6:]]
