"""Checks at the door: one error sentence for every bad parameter, and a look at the memory."""

import difflib
import os
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST = 1e150  # of rewards: sums and squares stay finite
FINITE = "finite numbers of at most 1e150"


def complaint(name: str, where: str, must: str, got: object) -> str:
    """The one error sentence: "The 'x' parameter of F must be … Got 3 instead."."""
    return f"The '{name}' parameter of {where} must be {must}. Got {_short(got)} instead."


def _short(got: object) -> str:
    if isinstance(got, np.ndarray):
        return f"an array of shape {got.shape} and type {got.dtype}"
    return shorten(str(got) if isinstance(got, _Said) else repr(got))


def shorten(text: str, width: int = 160) -> str:
    """Return `text` on one line, cut to `width` characters."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."


class _Said(str):
    """Words that say what was found, to be printed without quotation marks."""


said = _Said


def check_kind(value: Any, kind: type | tuple[type, ...], name: str, where: str, must: str) -> None:
    """Raise TypeError where `value` is no `kind`, which `must` puts into words."""
    if not isinstance(value, kind):
        raise TypeError(complaint(name, where, must, value))


def check_integer(value: Any, name: str, where: str, minimum: int = 1) -> int:
    """Return `value` as an int, or raise TypeError / ValueError."""
    must = f"an integer of at least {minimum}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(complaint(name, where, must, value))
    if value < minimum:
        raise ValueError(complaint(name, where, must, value))
    return int(value)


def check_real(
    value: Any,
    name: str,
    where: str,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    *,
    above: float | None = None,
) -> float:
    """Return `value` as a float in [minimum, maximum] (and > `above`), or raise."""
    if above is not None:
        must = f"a finite number above {above:g}"
    elif np.isfinite(minimum) and np.isfinite(maximum):
        must = f"a number between {minimum:g} and {maximum:g}"
    elif np.isfinite(minimum):
        must = f"a finite number of at least {minimum:g}"
    else:
        must = "a finite number"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(complaint(name, where, must, value))
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number) or not minimum <= number <= maximum:
        raise ValueError(complaint(name, where, must, value))
    if above is not None and number <= above:
        raise ValueError(complaint(name, where, must, value))
    return number


def check_choice(value: Any, name: str, where: str, choices: Iterable[str]) -> str:
    """Return `value` as a str if it is one of `choices`; the error names the nearest ones."""
    options = list(choices)
    if isinstance(value, str) and value in options:
        return str(value)
    near = difflib.get_close_matches(str(value), options, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(complaint(name, where, f"one of {', '.join(options)}{hint}", value))


def available_memory() -> float:
    """Bytes of memory that can still be had, as far as the system tells."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return 1024.0 * int(line.split()[1])
    except OSError:
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return np.inf


def check_memory(needed: float, what: str) -> None:
    """Raise ValueError before any work where `what` needs more memory than there is."""
    free = available_memory()
    if needed > free:
        raise ValueError(
            f"{what} needs about {needed / 2**30:,.1f} GiB of memory, and {free / 2**30:,.1f} GiB "
            "are available. Make the game smaller."
        )


def check_reals(
    value: Any,
    name: str,
    where: str,
    count: int | None = None,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    *,
    above: float | None = None,
) -> tuple[float, ...]:
    """Return `value`, a sequence of (`count`) numbers, as floats, each one checked."""
    must = f"a sequence of {'numbers' if count is None else f'{count} numbers'}"
    if not _is_sequence(value):
        raise TypeError(complaint(name, where, must, value))
    if len(value) == 0 or (count is not None and len(value) != count):
        raise ValueError(complaint(name, where, must + " (not empty)" * (count is None), value))
    return tuple(
        check_real(number, f"{name}[{k}]", where, minimum, maximum, above=above)
        for k, number in enumerate(value)
    )


def check_matrix(
    value: Any,
    name: str,
    where: str,
    shape: tuple[int, int] | None = None,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    *,
    above: float | None = None,
) -> np.ndarray:
    """Return `value`, rows of numbers, as a matrix (of `shape`); entries as for `check_real`."""
    must = (
        "rows of numbers of equal length" if shape is None else f"a {shape[0]} x {shape[1]} matrix"
    )
    if not _is_sequence(value):
        raise TypeError(complaint(name, where, must, value))
    if len(value) == 0 or (shape is not None and len(value) != shape[0]):
        raise ValueError(complaint(name, where, must, value))
    width = None if shape is None else shape[1]
    rows = [
        check_reals(row, f"{name}[{k}]", where, width, minimum, maximum, above=above)
        for k, row in enumerate(value)
    ]
    if len({len(row) for row in rows}) != 1:
        raise ValueError(complaint(name, where, must, value))
    return np.array(rows)


def check_array(value: Any, name: str, where: str) -> NDArray[np.float64]:
    """Return `value` as an array of floats (not copied if it is one), or raise TypeError."""
    try:
        array = np.asarray(value)
        if array.dtype == object and all(isinstance(x, Real) for x in array.flat):
            array = array.astype(np.float64)  # fractions, large integers
    except (TypeError, ValueError, OverflowError):  # ragged lists
        raise TypeError(complaint(name, where, "an array of numbers", value)) from None
    if array.dtype.kind not in "biuf":
        raise TypeError(complaint(name, where, "an array of numbers", value))
    return array.astype(np.float64, copy=False)


def check_legal(
    legal: Sequence[ArrayLike] | None, shape: tuple[int, ...]
) -> tuple[NDArray[np.bool_], ...]:
    """n masks `(S, A_i)` for the shape (S, A_1, …, A_n); TypeError, ValueError for bad ones."""
    where, n_states, n_actions = "MarkovGame", shape[0], shape[1:]
    if legal is None:
        return tuple(np.ones((n_states, k), bool) for k in n_actions)
    wanted = [(n_states, k) for k in n_actions]
    try:
        masks = tuple(np.array(mask) for mask in legal)
    except (TypeError, ValueError):  # no sequence, or ragged lists
        must = f"boolean arrays of shapes {wanted}"
        raise TypeError(complaint("legal", where, must, legal)) from None
    if [mask.shape for mask in masks] != wanted or any(mask.dtype != bool for mask in masks):
        got = said(f"{[(mask.shape, str(mask.dtype)) for mask in masks]}")
        raise ValueError(complaint("legal", where, f"boolean arrays of shapes {wanted}", got))
    for i, mask in enumerate(masks):
        empty = np.flatnonzero(~mask.any(1))
        if len(empty):
            got = said(f"none for player {i} in state {empty[0]}")
            must = "at least one legal action for every player in every state"
            raise ValueError(complaint("legal", where, must, got))
    return masks


def check_names(
    name: Any, states: Any, actions: Any, board: Any, legal: Sequence[NDArray[np.bool_]]
) -> None:
    """Raise where these do not name a game, its states and actions, or draw its states."""
    where, n_states, n_actions = "MarkovGame", len(legal[0]), [mask.shape[1] for mask in legal]
    check_kind(name, str, "name", where, "a string")
    if states is not None:
        must = f"names of the {n_states} states, all of them hashable"
        if not _has_length(states):
            raise TypeError(complaint("states", where, must, states))
        if len(states) != n_states:
            raise ValueError(complaint("states", where, must, said(f"{len(states)} names")))
        try:
            for state in states if isinstance(states, (list, tuple, np.ndarray)) else ():
                hash(state)
        except TypeError:
            raise TypeError(complaint("states", where, must, state)) from None
    if actions is not None:
        must = f"{n_actions} names, player by player"
        if not _has_length(actions) or not all(map(_has_length, actions)):
            raise TypeError(complaint("actions", where, must, actions))
        if [len(names) for names in actions] != list(n_actions):
            got = said(f"{[len(names) for names in actions]}")
            raise ValueError(complaint("actions", where, must, got))
    if board is not None and not callable(board):
        raise TypeError(complaint("board", where, "a function of a state's name, or None", board))


def _has_length(value: Any) -> bool:
    """Whether it is a sequence in the widest sense: also text, and arrays."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return hasattr(value, "__len__") and hasattr(value, "__getitem__")


def _is_sequence(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
