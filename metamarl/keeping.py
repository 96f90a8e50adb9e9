"""Finished parts of long work, kept in a folder: what is there is not computed again."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from metamarl.algorithms.solution import Trace
from metamarl.bounds import Bound
from metamarl.comparison import Row
from metamarl.distances import Similarity
from metamarl.envs.checks import check_kind
from metamarl.files import check_folder, write_text

Found = TypeVar("Found")


class Kept:
    """Parts of long work in a folder, each in a file of its own, whole or not at all.

    Several processes may use one folder: they write the same parts, each in one step.

    Args:
        folder: where; made where it is not there.
        where: the function that errors name.

    Raises:
        ValueError, OSError: a folder that cannot be written into.
    """

    def __init__(self, folder: str | os.PathLike[str], where: str = "compare") -> None:
        check_kind(folder, (str, os.PathLike), "keep", where, "a folder's path")
        self.folder = check_folder(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest[:32]}.json"

    def find(self, digest: str, read: Callable[[Any], Found]) -> Found | None:
        """What `read` makes of a part's content, or None where it is not there.

        Raises:
            ValueError: a file that is not what was written.
        """
        path = self._path(digest)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["digest"] != digest:
                raise ValueError
            return read(content["part"])
        except FileNotFoundError:
            return None
        except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError):
            raise ValueError(
                f"{path} is damaged. Remove it, and its part is computed again."
            ) from None

    def put(self, digest: str, part: Any) -> None:
        """Keep a part's content: lists, dicts, numbers and strings."""
        write_text(self._path(digest), json.dumps({"digest": digest, "part": part}))


def plain_rows(rows: list[Row]) -> list[dict[str, Any]]:
    """Rows of `compare` as they are kept."""
    return [_plain(row) for row in rows]


def read_rows(part: list[dict[str, Any]]) -> list[Row]:
    """Rows of `compare` as they were."""
    return [_read(row) for row in part]


def _plain(row: Row) -> dict[str, Any]:
    trace = row["trace"]
    arrays = {field.name: getattr(trace, field.name) for field in fields(trace)}
    plain = {
        **row,
        "trace": {k: None if a is None else a.tolist() for k, a in arrays.items()},
    }
    for name in ("bound", "similarity"):
        if row.get(name) is not None:
            plain[name] = asdict(row[name])
    return plain


def _read(plain: dict[str, Any]) -> Row:
    arrays: dict[str, Any] = {
        name: None if column is None else np.array(column, float)
        for name, column in plain["trace"].items()
    }
    arrays["iteration"] = np.array(plain["trace"]["iteration"], np.int64)
    row = {**plain, "trace": Trace(**arrays)}
    for name, kind in (("bound", Bound), ("similarity", Similarity)):
        if plain.get(name) is not None:
            row[name] = kind(**plain[name])
    return row
