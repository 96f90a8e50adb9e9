"""Checkpoints of a learner: written whole or not at all, and read without running any code."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
from metamarl.algorithms.solution import describe
from metamarl.algorithms.torch_extra import digest_of
from metamarl.envs.checks import complaint, said
from metamarl.envs.episodes import EpisodicEnvironment
from metamarl.envs.files import write_atomically

FORMAT = 3
NAME = "checkpoint.pt"
PARTS = frozenset({"about", "learner", "updates", "seconds", "records", "returns", "scalars"})
MUST = "that of the same run, or an empty one"


def run_name(
    env: EpisodicEnvironment, options: NeuralMirrorDescent, init: Mapping[str, Any] | None,
    seen: list[str] | None, **rest: Any,
) -> str:  # fmt: skip
    """What tells runs apart, as text: a checkpoint goes on only the run that it is of.

    `seen` says what the players of an environment see; None for arrays.
    """
    about = {
        "environment": [
            env.name, [str(agent) for agent in env.agents], env.n_actions, env.discount,
            env.max_steps, describe(env.game) if env.is_own and env.game is not None else None,
            seen, _parameters(env.make),
        ],
        "options": asdict(options),
        "init": None if init is None else digest_of(init),
        **rest,
    }  # fmt: skip
    return json.dumps(about, sort_keys=True)


def _parameters(make: Any) -> str | None:
    """What a `functools.partial` makes with which plain values; None for other functions."""
    if not isinstance(make, partial):
        return None
    of = make.func if hasattr(make.func, "__qualname__") else type(make.func)
    given = [f"{of.__module__}.{of.__qualname__}", make.args, make.keywords]
    return json.dumps(given, sort_keys=True, default=lambda value: type(value).__qualname__)


def save_checkpoint(folder: Path, about: str, state: dict[str, Any]) -> None:
    """Write the state of the run `about` into its folder."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # of a path torch would read a name, up to its first dot
            torch.save({"format": FORMAT, "about": about, **state}, file)

    write_atomically(folder / NAME, write)


def load_checkpoint(folder: Path, about: str, device: str) -> dict[str, Any] | None:
    """The state of the run `about`; None where there is none yet.

    Raises ValueError where the folder holds another run, or what is no checkpoint.
    """
    path, wanted = folder / NAME, json.loads(about)
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        ours = isinstance(state, dict) and state.get("format") == FORMAT and state.keys() >= PARTS
        found = dict(json.loads(state["about"])) if ours else {}
    except Exception as error:  # whatever a damaged file makes of it
        raise cannot_be_read(folder, error) from error
    if not ours:
        got = said(f"{path}, which is no checkpoint of this version")
        raise ValueError(complaint("folder", "learn", MUST, got))
    differ = [key for key in wanted if found.get(key) != wanted[key]]
    if differ:
        got = said(f"{path}, of a run with other {', '.join(differ)}")
        raise ValueError(complaint("folder", "learn", MUST, got))
    return dict(state)


def cannot_be_read(folder: Path, error: Exception) -> ValueError:
    """The error for a checkpoint that holds something else than it should."""
    got = said(f"{folder / NAME}, which cannot be read ({type(error).__name__})")
    return ValueError(complaint("folder", "learn", MUST, got))
