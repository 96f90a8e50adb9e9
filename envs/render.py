"""How a moment of play looks: as text, and as a picture of the board."""

import functools
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from metamarl.envs.game import MarkovGame

CELL = 48  # pixels a side
FLOOR, GRID, WALL, INK = "#f7f4ec", "#dcd6c8", "#4a4a4a", "#6b665c"
COLOURS = ["#3b6fb6", "#d1603d", "#3f8f5b", "#8a5fb0", "#c79a1c"]  # five hues for letters
COLOURS += ["#2f8f9d", "#b8497f", "#7a5c3e", "#5c6f2b", "#56627a"]  # and five more


def has_board(game: MarkovGame) -> bool:
    """Whether states of `game` can be drawn."""
    return game.board is not None and game.states is not None


def board(game: MarkovGame, state: int) -> list[str]:
    """The lines of the board in a state, one character per cell; only where `has_board`."""
    assert game.board is not None
    assert game.states is not None
    return list(game.board(game.states[state]))


def text(
    game: MarkovGame,
    state: int,
    step: int,
    played: Sequence[int] = (),
    illegal: Sequence[bool] = (),
    rewards: Sequence[float] = (),
) -> str:
    """Step, board (or the state's number and name), last actions and rewards, a line each.

    Args:
        game: the game.
        state: the state now.
        step: steps played so far.
        played: every player's last action; empty before the first step.
        illegal: whether it was played in the place of an illegal one.
        rewards: every player's last reward.
    """
    of = "" if game.horizon is None else f" of {game.horizon}"
    lines = [f"{game.name}, step {step}{of}"]
    if has_board(game):
        lines += board(game, state)
    else:
        name = "" if game.states is None else f": {game.states[state]}"
        lines.append(f"state {state}{name}")
    for i, action in enumerate(played):
        name = str(action) if game.actions is None else game.actions[i][action]
        note = " (in place of an illegal action)" if illegal[i] else ""
        lines.append(f"player_{i}: {name}{note}, reward {rewards[i]:g}")
    return "\n".join(lines)


def picture(lines: Sequence[str]) -> NDArray[np.uint8]:
    """`(h, w, 3)` picture of a board, a square of 48 pixels for every character.

    A letter has the same colour whatever its case: an upper-case one stands on a disc of that
    colour, a lower-case one in a ring. "#" is wall, a dot an empty cell, a space no cell at all.
    """
    width = max((len(line) for line in lines), default=0) or 1
    rows = [np.hstack([_tile(c) for c in line.ljust(width)]) for line in lines or [""]]
    return np.vstack(rows)


@functools.lru_cache(maxsize=512)
def _tile(character: str) -> NDArray[np.uint8]:
    scale = 4  # drawn four times as large, then shrunk: smooth edges
    size = CELL * scale
    wall = character == "#"
    image = Image.new("RGB", (size, size), WALL if wall else FLOOR)
    draw = ImageDraw.Draw(image)
    if character.strip():
        line = "#3a3a3a" if wall else GRID
        draw.rectangle((0, 0, size - 1, size - 1), outline=line, width=scale)
    middle, ink, disc = size / 2, INK, (size * 0.12, size * 0.12, size * 0.88, size * 0.88)
    if character.isalpha():
        ink = colour = COLOURS[(ord(character.lower()) - ord("a")) % len(COLOURS)]
        if character == character.upper():
            draw.ellipse(disc, fill=colour)
            ink = "white"
        else:
            draw.ellipse(disc, outline=colour, width=2 * scale)
    if character == ".":
        dot = size * 0.04
        draw.ellipse((middle - dot, middle - dot, middle + dot, middle + dot), fill=GRID)
    elif not wall and character.strip():
        draw.text((middle, middle), character, fill=ink, font=_font(size // 2), anchor="mm")
    tile = np.asarray(image.resize((CELL, CELL), Image.Resampling.LANCZOS))
    tile.setflags(write=False)
    return tile


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """A font that comes with matplotlib, so that pictures are the same everywhere."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans-Bold.ttf"), size)
