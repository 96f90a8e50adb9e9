"""What a part of a comparison is computed from, as one short text."""

import hashlib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from metamarl.envs.checks import complaint, said
from metamarl.envs.game import MarkovGame
from metamarl.starts import LearnedStart

PLAIN = (bool, int, float, str, type(None))


def fingerprint(games: Iterable[MarkovGame], *others: Any) -> str:
    """Return a SHA-256 digest of games, of options, and of metamarl's own sources.

    Equal games have equal digests on machines of one byte order; names do not count.

    Args:
        games: the games.
        others: numbers, strings, and dataclasses that hold nothing else; learned starts count
            with a checksum of their weights.

    Raises:
        TypeError: a game that is known by playing only, or an option that is no plain value.
    """
    found = hashlib.sha256(sources().encode())
    found.update(repr([_plain(other) for other in others]).encode())
    for game in games:
        if not isinstance(game, MarkovGame):
            raise TypeError(complaint("tasks", "compare", "MarkovGames, to be kept", game))
        table, anonymous = game.compact, game.aggregate is not None
        facts = (
            anonymous, game.n_players, game.kind, game.horizon, game.discount,
            table.reward_stride, table.transition_stride, game.potential is None,
        )  # fmt: skip
        found.update(repr(facts).encode())
        for array in (
            game.initial, *table.legal, table.reward, table.indptr, table.indices,
            table.probabilities, np.zeros(0) if game.potential is None else game.potential,
        ):  # fmt: skip
            found.update(repr((array.shape, array.dtype.str)).encode())
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _plain(value: Any) -> Any:
    """A value by what it consists of: what it prints could leave something out."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        kind = type(value)
        named = [(field.name, getattr(value, field.name)) for field in fields(value)]
        if isinstance(value, LearnedStart):
            named = [(name, value.checksum if name == "weights" else x) for name, x in named]
        return [kind.__module__, kind.__qualname__] + [(name, _plain(x)) for name, x in named]
    must = "left out where learners or solvers hold more than numbers and names"
    raise TypeError(complaint("keep", "compare", must, said(f"one that holds {value!r}")))


@cache
def sources() -> str:
    """Digest of all of metamarl's source files: other code computes anew."""
    found = hashlib.sha256()
    for name in ("metamarl", "metamarl.envs", "metamarl.algorithms"):
        for folder in sorted(set(import_module(name).__path__)):
            for path in sorted(Path(folder).glob("*.py")):
                found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()
