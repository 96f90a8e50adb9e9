"""Solutions from files."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solution import FORMAT, Solution, Status, Trace, describe
from metamarl.algorithms.solver import AbstractSolver
from metamarl.algorithms.solvers import SOLVERS
from metamarl.envs.checks import check_kind, complaint, said
from metamarl.envs.game import MarkovGame


def load(path: str | os.PathLike[str], game: MarkovGame | None = None) -> Solution:
    """The solution that `solution.save(path)` wrote.

    Args:
        path: the file. Nothing in it is unpickled or executed.
        game: the game that was solved, made again. Without it the solution is complete but for
            `solution.game`, which playing needs.

    Raises:
        TypeError: no path, or no game.
        OSError: the file cannot be read.
        ValueError: it holds no solution, or one of another game.
    """
    check_kind(path, (str, os.PathLike), "path", "load", "a path")
    check_kind(game, (MarkovGame, type(None)), "game", "load", "a MarkovGame or None")
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays["about"]))
        if about["format"] != FORMAT:
            raise ValueError(about["format"])
        found = _read(arrays, about, game)
    except (ValueError, LookupError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as e:
        must = "a file that solution.save has written"
        raise ValueError(complaint("path", "load", must, said(f"{path} ({e})"))) from None
    known = about["game"]
    if game is not None and known is not None and describe(game) != known:
        other = describe(game)
        differing = ", ".join(
            f"{name} {other.get(name)} for {known[name]}"
            for name in known
            if other.get(name) != known[name]
        )
        must = f"the one that was solved, {known.get('name')!r}"
        raise ValueError(complaint("game", "load", must, said(f"another ({differing})")))
    return found


def _read(
    arrays: dict[str, NDArray[Any]], about: dict[str, Any], game: MarkovGame | None
) -> Solution:
    players = sorted(
        (name for name in arrays if name.startswith("player_")), key=lambda name: int(name[7:])
    )
    columns = {name: arrays.get(f"trace_{name}") for name in ("iteration", "gap", "seconds")}
    return Solution(
        policy=JointPolicy([arrays[name] for name in players]),
        value=arrays["value"],
        gap=float(about["gap"]),
        iterations=int(about["iterations"]),
        seconds=float(about["seconds"]),
        status=Status[about["status"]],
        trace=Trace(**columns, potential=arrays.get("trace_potential")),  # type: ignore[arg-type]
        solver=_solver(about["solver"]),
        correlated=CorrelatedPolicy(arrays["joint"]) if "joint" in arrays else None,
        note=str(about["note"]),
        width=arrays.get("width"),
        game=game,
    )


def _solver(options: dict[str, Any]) -> AbstractSolver:
    options = dict(options)
    return SOLVERS[options.pop("name")](**options)
