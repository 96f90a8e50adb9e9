"""What all entries of a study's file are checked for: keys, and names that can be folders'."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metamarl.envs.checks import complaint

PARTS = "parts"  # the folder of finished parts


def check_label(label: str, where: str) -> None:
    """Raise ValueError where no folder of results can have the name."""
    if Path(label).name != label or label in (PARTS, ".", ".."):
        raise ValueError(complaint("name", where, "a name that can be a folder's", label))


def check_keys(given: dict[str, Any], known: Sequence[str], what: str) -> None:
    """Raise ValueError for an unknown key, with the nearest known one."""
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f" Did you mean '{near[0]}'?" if near else f" Known are {', '.join(known)}."
            raise ValueError(f"{what} has an unknown key '{key}'.{hint}")
