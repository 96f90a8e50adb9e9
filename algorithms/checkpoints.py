"""Checkpoints of a learner: written whole or not at all, and read without running any code."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
from metamarl.algorithms.solution import describe
from metamarl.envs.checks import complaint, said
from metamarl.envs.episodes import EpisodicEnvironment
from metamarl.envs.files import write_atomically

FORMAT = 1
NAME = "checkpoint.pt"


def run_name(
    env: EpisodicEnvironment, options: NeuralMirrorDescent, init: Mapping[str, Any] | None,
    **rest: Any,
) -> str:  # fmt: skip
    """What tells runs apart, as text: a checkpoint goes on only the run that it is of."""
    about = {
        "environment": [
            env.name, [str(agent) for agent in env.agents], env.n_actions, env.discount,
            env.max_steps, describe(env.game) if env.is_own and env.game is not None else None,
        ],
        "options": asdict(options),
        "init": None if init is None else _digest(init),
        **rest,
    }  # fmt: skip
    return json.dumps(about, sort_keys=True)


def _digest(weights: Mapping[str, Any]) -> str:
    found = sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(torch.as_tensor(weights[name]).detach().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def save_checkpoint(folder: Path, about: str, state: dict[str, Any]) -> None:
    """Write the state of the run `about` into its folder."""

    def write(temporary: Path) -> None:
        torch.save({"format": FORMAT, "about": about, **state}, temporary)

    write_atomically(folder / NAME, write)


def load_checkpoint(folder: Path, about: str, device: str) -> dict[str, Any] | None:
    """The state of the run `about`; None where there is none yet.

    Raises ValueError where the folder holds another run, or what is no checkpoint.
    """
    path = folder / NAME
    if not path.exists():
        return None
    must = "that of the same run, or an empty one"
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever a damaged file makes of it
        got = said(f"{path}, which cannot be read ({type(error).__name__})")
        raise ValueError(complaint("folder", "learn", must, got)) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        got = said(f"{path}, which is no checkpoint of this version")
        raise ValueError(complaint("folder", "learn", must, got))
    if state["about"] != about:
        found, wanted = json.loads(state["about"]), json.loads(about)
        differ = [key for key in wanted if found.get(key) != wanted[key]]
        got = said(f"{path}, of a run with other {', '.join(differ)}")
        raise ValueError(complaint("folder", "learn", must, got))
    return dict(state)
