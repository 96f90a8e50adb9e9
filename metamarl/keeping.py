"""Finished parts of long work, kept in a folder: what is there is not computed again."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from metamarl.algorithms.solution import Trace
from metamarl.bounds import Bound
from metamarl.comparison import Row
from metamarl.distances import Similarity
from metamarl.files import check_folder, write_text


class Kept:
    """Parts of comparisons in a folder, each in a file of its own, whole or not at all.

    Several processes may use one folder: they write the same parts, each in one step.

    Args:
        folder: where; made where it is not there.

    Raises:
        ValueError, OSError: a folder that cannot be written into.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = check_folder(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest[:32]}.json"

    def find(self, digest: str) -> list[Row] | None:
        """Rows of a part, or None where it is not there.

        Raises:
            ValueError: a file that is not what was written.
        """
        path = self._path(digest)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["digest"] != digest:
                raise ValueError
            return [_read(row) for row in content["rows"]]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{path} is damaged. Remove it, and its part is computed again."
            ) from None

    def put(self, digest: str, rows: list[Row]) -> None:
        """Keep the rows of a part."""
        content = {"digest": digest, "rows": [_plain(row) for row in rows]}
        write_text(self._path(digest), json.dumps(content))


def _plain(row: Row) -> dict[str, Any]:
    trace = row["trace"]
    columns = ("iteration", "gap", "seconds", "potential")
    arrays = {name: getattr(trace, name) for name in columns}
    plain = {
        **row,
        "trace": {k: None if a is None else a.tolist() for k, a in arrays.items()},
    }
    for name in ("bound", "similarity"):
        if row.get(name) is not None:
            plain[name] = asdict(row[name])
    return plain


def _read(plain: dict[str, Any]) -> Row:
    trace = plain["trace"]
    potential = trace["potential"]
    row = {
        **plain,
        "trace": Trace(
            iteration=np.array(trace["iteration"], np.int64),
            gap=np.array(trace["gap"], float),
            seconds=np.array(trace["seconds"], float),
            potential=None if potential is None else np.array(potential, float),
        ),
    }
    for name, kind in (("bound", Bound), ("similarity", Similarity)):
        if plain.get(name) is not None:
            row[name] = kind(**plain[name])
    return row
