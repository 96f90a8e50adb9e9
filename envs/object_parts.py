"""What Python objects consist of, as far as an environment's state goes.

Every object is of one `Kind`. Containers have parts that change in place; constants never change,
or are not the environment's own (spaces, classes, functions, pictures); generators draw numbers;
what is left is opaque: an object of a compiled library that shows nothing of its inside.
"""

import enum
import functools
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from metamarl.envs.branching import REAL_RANDOM, REAL_STATE, Branch
from metamarl.envs.game import MarkovGame

CONSTANTS = (
    *(int, float, complex, str, bytes, bool, type(None), type(...), type(NotImplemented), range),
    *(np.generic, np.dtype, spaces.Space, enum.Enum, type, types.ModuleType, types.FunctionType),
    *(types.BuiltinFunctionType, types.MethodType, property, functools.partial, MarkovGame, Branch),
)
GENERATORS = (np.random.Generator, REAL_STATE, REAL_RANDOM, np.random.BitGenerator)
COMPILED_FUNCTIONS = ("cython_function_or_method", "fused_cython_function")
PICTURES = ("pygame.", "pyglet.", "matplotlib.", "PIL.")  # render, and are no part of the state


class Kind(enum.Enum):
    """How an object's parts are read and written."""

    CONSTANT = enum.auto()
    GENERATOR = enum.auto()
    LIST = enum.auto()
    DICT = enum.auto()
    SET = enum.auto()
    TUPLE = enum.auto()
    ARRAY = enum.auto()
    OBJECT = enum.auto()
    OPAQUE = enum.auto()


class _Kinds(dict[type, Kind]):
    """The kind of every class met so far: `KINDS[type(x)]`."""

    def __missing__(self, cls: type) -> Kind:
        kind = self[cls] = _find_kind(cls)
        return kind


KINDS = _Kinds()


def _find_kind(cls: type) -> Kind:
    if issubclass(cls, GENERATORS):
        return Kind.GENERATOR
    if issubclass(cls, CONSTANTS) or cls.__name__ in COMPILED_FUNCTIONS:
        return Kind.CONSTANT
    if f"{cls.__module__}.".startswith(PICTURES):
        return Kind.CONSTANT
    for kind, classes in (
        (Kind.LIST, (list, deque, bytearray)),
        (Kind.DICT, dict),
        (Kind.SET, set),
        (Kind.TUPLE, (tuple, frozenset)),
        (Kind.ARRAY, np.ndarray),
    ):
        if issubclass(cls, classes):
            return kind
    return Kind.OBJECT if _is_plain(cls) else Kind.OPAQUE


def _is_plain(cls: type) -> bool:
    """Whether objects of this class hold nothing but attributes."""
    size = object.__basicsize__ + 8 * len(SLOTS[cls])
    size += 8 * (cls.__dictoffset__ > 0) + 8 * (cls.__weakrefoffset__ > 0)
    return cls.__basicsize__ <= size and (cls.__dictoffset__ != 0 or bool(SLOTS[cls]))


class _Slots(dict[type, tuple[str, ...]]):
    """Names of the attributes kept in `__slots__`, of every class met so far: `SLOTS[type(x)]`."""

    def __missing__(self, cls: type) -> tuple[str, ...]:
        names = self[cls] = _find_slots(cls)
        return names


SLOTS = _Slots()


def _find_slots(cls: type) -> tuple[str, ...]:
    found: list[str] = []
    for base in cls.__mro__:
        names = vars(base).get("__slots__", ())
        names = (names,) if isinstance(names, str) else names
        private = base.__name__.lstrip("_")
        for name in names:
            if name not in ("__dict__", "__weakref__"):
                hidden = name.startswith("__") and not name.endswith("__")
                found.append(f"_{private}{name}" if hidden else name)
    return tuple(found)


def parts_of(value: Any, kind: Kind) -> Iterator[Any]:
    """The objects directly inside a container."""
    if kind is Kind.DICT:
        yield from value.values()
    elif kind in (Kind.LIST, Kind.TUPLE) or (kind is Kind.ARRAY and value.dtype == object):
        yield from (value.flat if kind is Kind.ARRAY else value)
    if kind is not Kind.ARRAY and hasattr(value, "__dict__"):
        yield from vars(value).values()
    for name in SLOTS[type(value)] if kind is Kind.OBJECT else ():
        if hasattr(value, name):
            yield getattr(value, name)


def holds_generator(root: Any, stand_ins: tuple[type, ...]) -> bool:
    """Whether a generator that is no stand-in is left inside `root`, its tuples and methods."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        kind = KINDS[type(value)]
        if id(value) in seen or isinstance(value, (*stand_ins, spaces.Space)):
            continue
        seen.add(id(value))
        if kind is Kind.GENERATOR:
            return True
        if isinstance(value, (types.MethodType, types.BuiltinFunctionType)):
            owner = value.__self__
            if KINDS[type(owner)] is Kind.GENERATOR:
                waiting.append(owner)
        elif kind not in (Kind.CONSTANT, Kind.OPAQUE):
            waiting.extend(parts_of(value, kind))
    return False


def swap_generators(root: Any, stand_in: Callable[[Any], Any]) -> list[str]:
    """Replace every generator inside `root`, also in its spaces; the names they had."""
    names: list[str] = []
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        kind = KINDS[type(value)]
        inside = isinstance(value, spaces.Space)
        if id(value) in seen or (kind in (Kind.CONSTANT, Kind.OPAQUE) and not inside):
            continue
        seen.add(id(value))
        places: list[dict[Any, Any]] = [vars(value)] if hasattr(value, "__dict__") else []
        places += [value] if kind is Kind.DICT else []
        for place in places:
            for name, part in list(place.items()):
                if KINDS[type(part)] is Kind.GENERATOR:
                    place[name] = stand_in(part)
                    if not inside:
                        names.append(str(name))
        if isinstance(value, list):
            for k, part in enumerate(value):
                if KINDS[type(part)] is Kind.GENERATOR:
                    value[k] = stand_in(part)
                    names.append(f"[{k}]")
        for name in SLOTS[type(value)] if kind is Kind.OBJECT else ():
            if KINDS[type(getattr(value, name, None))] is Kind.GENERATOR:
                setattr(value, name, stand_in(getattr(value, name)))
                names.append(name)
        waiting.extend(parts_of(value, kind if not inside else Kind.OBJECT))
    return sorted(set(names))
