"""The benchmark games by name, and families of related games.

A benchmark game is one function that builds it from *knobs* (slip probabilities, prizes, payoffs,
sizes) and one that draws related knobs: `vary(rng, spread, **knobs)` returns the knobs that differ,
and nothing differs at spread 0. Every task of a family is thus an ordinary `make(name, **knobs)`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metamarl.envs.checks import check_choice, check_integer, check_real
from metamarl.envs.game import MarkovGame

Vary = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True)
class Family:
    """A benchmark game and how to draw related ones."""

    name: str
    build: Callable[..., MarkovGame]
    vary: Vary
    summary: str
    """One line: what the game is, and its source."""

    @property
    def knobs(self) -> dict[str, Any]:
        """Names and default values of the options of `make`."""
        return {k: p.default for k, p in inspect.signature(self.build).parameters.items()}


_FAMILIES: dict[str, Family] = {}


def register(
    name: str, vary: Vary
) -> Callable[[Callable[..., MarkovGame]], Callable[..., MarkovGame]]:
    """Register the decorated function (keyword knobs with defaults → MarkovGame) under `name`.

    The first line of its docstring becomes the summary. `vary(rng, spread, **knobs)` returns the
    knobs that a related game has instead; spread is in [0, 1].
    """

    def add(build: Callable[..., MarkovGame]) -> Callable[..., MarkovGame]:
        summary = (inspect.getdoc(build) or name).splitlines()[0]
        _FAMILIES[name] = Family(name, build, vary, summary)
        return build

    return add


def games() -> list[str]:
    """Names of the benchmark games."""
    return sorted(_FAMILIES)


def family(name: str) -> Family:
    """The registered family called `name`; ValueError for an unknown one."""
    return _FAMILIES[check_choice(name, "name", "make", games())]


def _knobs(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    known = family(name).knobs
    for option in options:
        check_choice(option, f"options of {name}", "make", known)
    return {**known, **options}


def make(name: str, **options: Any) -> MarkovGame:
    """Build a benchmark game.

    Args:
        name: one of `games()`.
        options: the game's knobs; `metamarl games NAME` and `family(name).knobs` list them.

    Raises:
        ValueError: an unknown game or option; the message names the nearest known one.
    """
    return family(name).build(**_knobs(name, options))


def tasks(
    name: str, n: int = 20, spread: float = 0.02, seed: int = 0, **options: Any
) -> list[MarkovGame]:
    """Draw `n` related games around `make(name, **options)`.

    Args:
        name: one of `games()`.
        n: number of tasks.
        spread: how much they differ, in [0, 1]; 0 gives n identical games.
        seed: task k depends on (seed, k) alone. A game with a knob `seed` of its own (`random`)
            takes it from here too.
        options: the knobs to vary around.
    """
    n = check_integer(n, "n", "tasks")
    spread = check_real(spread, "spread", "tasks", 0.0, 1.0)
    seed = check_integer(seed, "seed", "tasks", 0)
    if "seed" in family(name).knobs:
        options["seed"] = seed
    knobs = _knobs(name, options)
    found = family(name)
    draws = [found.vary(np.random.default_rng([seed, k]), spread, **knobs) for k in range(n)]
    return [found.build(**{**knobs, **draw}) for draw in draws]
