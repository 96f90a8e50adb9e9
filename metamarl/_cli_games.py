"""The work of `metamarl games`."""

from inspect import getdoc
from typing import Any

import typer

from metamarl import _cli_support as support
from metamarl.envs import family, make
from metamarl.envs import games as names


def show_games(name: str | None) -> None:
    """List the benchmark games, or the knobs of one."""
    if name is not None:
        found = family(name)
        typer.echo(f"{name}: {getdoc(found.build)}\n\nKnobs (-o knob=value) and defaults:")
        for knob, default in found.knobs.items():
            typer.echo(f"    {knob}={_written(default)}")
        return
    rows = [["name", "kind", "states", "actions", "summary"]]
    for game_name in names():
        game = make(game_name)
        actions = " x ".join(map(str, game.n_actions))
        summary = family(game_name).summary
        rows.append([game_name, game.kind, str(game.n_states), actions, summary])
    support.show_columns(rows)


def _written(value: Any) -> str:
    """A knob's value as it could be typed: 4, random, 1.0,1.0."""
    if isinstance(value, tuple):
        return ",".join(str(item).replace(" ", "") for item in value)
    return str(value)
