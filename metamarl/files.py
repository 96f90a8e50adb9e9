"""Files that are there whole or not at all."""

import csv
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from metamarl.envs.files import write_atomically


def check_folder(folder: str | os.PathLike[str], names: Iterable[str] = ()) -> Path:
    """Return `folder` as a path, without making it.

    Raises:
        ValueError: an empty name.
        OSError: files could not be written there, or one of `names` is a folder.
    """
    if not os.fspath(folder):
        raise ValueError(f"Cannot write into {folder!r}: a folder needs a name.")
    path = Path(folder)
    above = path.absolute()
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise NotADirectoryError(f"Cannot write into {path}: {above} is not a folder.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(f"Cannot write into {path}: {above} is not writable.")
    for name in names:
        if (path / name).is_dir():
            raise IsADirectoryError(f"Cannot write {path / name}: it is a folder.")
    return path


@contextmanager
def made_folder(path: Path) -> Iterator[None]:
    """Make a folder and try a file in it; what was made and is empty at the end is removed."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as error:
            raise OSError(f"Cannot write into {path}: {error.strerror}.") from None
        yield
    finally:
        with suppress(OSError):  # the first one that holds something ends it
            for folder in made:
                folder.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write dicts with the same keys as a CSV file, atomically."""

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer: csv.DictWriter[str] | None = None
            for row in rows:
                if writer is None:
                    writer = csv.DictWriter(file, list(row))
                    writer.writeheader()
                writer.writerow(row)

    write_atomically(path, write)
