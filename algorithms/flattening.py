"""What a player sees as one row of numbers: of which space it is, and whether it lies there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from numpy.typing import NDArray

from metamarl.envs._environment_checks import space_of
from metamarl.envs.checks import complaint, said

WHERE = "learn"


def seen_space(env: Any, agent: Any) -> spaces.Space:
    """The space of what an agent sees, its mask left out; a `Dict` where `flat` is to leave one."""
    space = space_of(env.observation_space, agent)
    if isinstance(space, spaces.Dict) and "action_mask" in space.spaces:
        rest = {key: part for key, part in space.spaces.items() if key != "action_mask"}
        plain = set(rest) == {"observation"} and not isinstance(rest["observation"], spaces.Dict)
        return rest["observation"] if plain else spaces.Dict(rest)
    return space


def flat(space: spaces.Space, observation: Any) -> NDArray[np.float32]:
    """What an agent sees as one row of numbers; ValueError where it does not lie in `space`.

    Numbers up to 1 stay as they are; beyond, they grow like their logarithm (see `squashed`).
    """
    seen = observation
    if isinstance(seen, Mapping) and "action_mask" in seen:
        rest = {key: part for key, part in seen.items() if key != "action_mask"}
        seen = rest if isinstance(space, spaces.Dict) else rest.get("observation")
    try:
        if lies_in(space, seen):
            with np.errstate(over="ignore"):  # what is not finite is looked for
                row = np.asarray(flatten(space, seen), np.float32)
            if row.shape == (flatdim(space),) and np.isfinite(row).all():
                return squashed(row)
        why = ""
    except (AssertionError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        why = f" ({error})"
    must = f"a function that makes an environment whose observations lie in {space}"
    got: Any = said(f"{seen!r}{why}")
    if isinstance(seen, np.ndarray) and seen.shape != space.shape:
        got = seen
    raise ValueError(complaint("env", WHERE, must, got))


def squashed(row: NDArray[np.float32]) -> NDArray[np.float32]:
    """x where |x| ≤ 1, else ±(1 + log |x|): pixels, and places far away, drown nothing else.

    Of the kind of Hafner et al.'s (2023) symlog, but without a change to what is small or one-hot.
    """
    size = np.abs(row)
    if size.max(initial=0.0) <= 1.0:
        return row
    return np.where(size > 1.0, np.copysign(1.0 + np.log(np.maximum(size, 1.0)), row), row)


def lies_in(space: spaces.Space, seen: Any) -> bool:
    """Whether an observation has the parts and shapes of its space, and whole numbers lie in range.

    What can do no harm passes: other types of numbers, and those beyond the bounds of a `Box` that
    its type can hold.
    """
    if isinstance(space, spaces.Dict):
        return isinstance(seen, Mapping) and all(
            key in seen and lies_in(part, seen[key]) for key, part in space.spaces.items()
        )
    if isinstance(space, spaces.Tuple):
        fine = isinstance(seen, (Sequence, np.ndarray)) and len(seen) == len(space.spaces)
        return fine and all(map(lies_in, space.spaces, seen))
    if isinstance(space, spaces.Discrete):
        # a number of NumPy, torch or JAX, truth values included
        number = seen.item() if getattr(seen, "shape", None) == () else seen
        return isinstance(number, int) and 0 <= number - space.start < space.n
    if not isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
        return bool(space.contains(seen))
    found = np.asarray(seen)
    if found.shape != space.shape or found.dtype.kind not in "biuf":
        return False
    if isinstance(space, spaces.MultiBinary):
        return bool(((found == 0) | (found == 1)).all())
    if isinstance(space, spaces.MultiDiscrete):
        if found.dtype.kind == "f":  # they would be the numbers of places
            return False
        return bool(((found >= space.start) & (found < space.start + space.nvec)).all())
    if space.dtype.kind == "f" or found.dtype == space.dtype:
        return True
    with np.errstate(invalid="ignore"):
        return bool((found.astype(space.dtype) == found).all())
