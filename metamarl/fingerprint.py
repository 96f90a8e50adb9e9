"""What a part of a comparison is computed from, as one short text."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from metamarl.envs.checks import complaint
from metamarl.envs.game import MarkovGame


def fingerprint(games: Iterable[MarkovGame], *others: Any) -> str:
    """Return a SHA-256 digest of games and of the `repr` of everything else.

    Equal games have equal digests on every machine of one byte order; names do not count.
    """
    found = hashlib.sha256(repr(others).encode())
    for game in games:
        if not isinstance(game, MarkovGame):
            raise TypeError(complaint("tasks", "compare", "MarkovGames, to be kept", game))
        found.update(repr((game.n_players, game.kind, game.horizon, game.discount)).encode())
        table = game.compact
        for array in (
            game.initial, *table.legal, table.reward, table.indptr, table.indices,
            table.probabilities,
        ):  # fmt: skip
            found.update(repr((array.shape, array.dtype.str)).encode())
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def installed() -> str:
    """The installed version of metamarl."""
    try:
        return version("metamarl")
    except PackageNotFoundError:  # a bare clone
        return "unknown"
