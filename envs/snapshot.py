"""True copies of an environment's state, written back in place.

`copy.deepcopy` rebuilds most environments from their constructor's arguments (they are `EzPickle`)
and loses where they stand. A `Snapshot` instead notes the contents of every container that can be
reached from an object, and writes them back into the very same containers. Objects of compiled
libraries, which cannot be written to, are copied and put back as copies.
"""

import copy
from collections import deque
from typing import Any

import numpy as np

from metamarl.envs.branching import REAL_RANDOM, REAL_STATE
from metamarl.envs.object_parts import KINDS, SLOTS, Kind

CONSTANT, DICT, LIST, TUPLE = Kind.CONSTANT, Kind.DICT, Kind.LIST, Kind.TUPLE
OBJECT, ARRAY, OPAQUE, GENERATOR = Kind.OBJECT, Kind.ARRAY, Kind.OPAQUE, Kind.GENERATOR


class NoCopyError(Exception):
    """Something in the environment cannot be copied; the message says what."""


class Snapshot:
    """The state of `root` and all that it holds, as it is now; `restore()` brings it back."""

    __slots__ = ("_arrays", "_dicts", "_foreign", "_generators", "_lists", "_sets", "_slots")

    def __init__(self, root: Any) -> None:
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._lists: list[tuple[Any, list[Any]]] = []
        self._arrays: list[tuple[Any, Any]] = []
        self._sets: list[tuple[set[Any], set[Any]]] = []
        self._slots: list[tuple[Any, dict[str, Any]]] = []
        self._generators: list[tuple[Any, Any]] = []
        self._foreign: list[tuple[Any, Any, Any]] = []
        self._walk(root)

    def _walk(self, root: Any) -> None:
        seen: set[int] = set()
        copies: dict[int, Any] = {}
        waiting = [root]
        while waiting:
            value = waiting.pop()
            kind = KINDS[type(value)]
            if kind is CONSTANT or id(value) in seen:
                continue
            seen.add(id(value))
            if kind is OBJECT:
                if hasattr(value, "__dict__"):
                    attributes = vars(value)
                    self._dicts.append((attributes, dict(attributes)))
                    self._wait(attributes, attributes.items(), waiting, copies)
                names = SLOTS[type(value)]
                if names:
                    filled = {name: getattr(value, name) for name in names if hasattr(value, name)}
                    self._slots.append((value, filled))
                    waiting.extend(filled.values())
            elif kind is DICT:
                self._dicts.append((value, dict(value)))
                self._wait(value, value.items(), waiting, copies)
            elif kind is LIST:
                self._lists.append((value, list(value)))
                self._wait(value, enumerate(value), waiting, copies)
            elif kind is TUPLE:
                waiting.extend(value)
            elif kind is ARRAY:
                if value.flags.writeable:
                    self._arrays.append((value, value.copy()))
                if value.dtype == object:
                    waiting.extend(value.flat)
            elif kind is GENERATOR:
                self._generators.append((value, _generator_state(value)))
            elif kind is Kind.SET:
                self._sets.append((value, set(value)))
            if kind is not OBJECT and kind is not OPAQUE and hasattr(value, "__dict__"):
                waiting.append(_Attributes(value))  # of a subclass of list, dict, …

    def _wait(self, place: Any, items: Any, waiting: list[Any], copies: dict[int, Any]) -> None:
        for key, part in items:
            kind = KINDS[type(part)]
            if kind is OPAQUE:
                if id(part) not in copies:
                    copies[id(part)] = _copied(part)
                self._foreign.append((place, key, copies[id(part)]))
            elif kind is not CONSTANT:
                waiting.append(part)

    def restore(self) -> None:
        """Bring everything back to where it was; as often as wanted."""
        for mapping, content in self._dicts:
            mapping.clear()
            mapping.update(content)
        for sequence, items in self._lists:
            if type(sequence) is deque:
                sequence.clear()
                sequence.extend(items)
            else:
                sequence[:] = items
        for array, numbers in self._arrays:
            array[...] = numbers
        for group, members in self._sets:
            group.clear()
            group.update(members)
        for value, filled in self._slots:
            for name in SLOTS[type(value)]:
                if name in filled:
                    setattr(value, name, filled[name])
                elif hasattr(value, name):
                    delattr(value, name)
        for generator, state in self._generators:
            _set_generator(generator, state)
        again: dict[int, Any] = {}
        for place, key, original in self._foreign:
            if id(original) not in again:
                again[id(original)] = _copied(original)
            place[key] = again[id(original)]


class _Attributes:
    """The attributes of an object that is also a container."""

    def __init__(self, value: Any) -> None:
        self.__dict__ = vars(value)


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception as error:
        what = f"{type(value).__module__}.{type(value).__qualname__}"
        raise NoCopyError(f"{what} cannot be copied ({error})") from error


def _generator_state(generator: Any) -> Any:
    if isinstance(generator, REAL_STATE):
        return generator.get_state(legacy=False)
    if isinstance(generator, REAL_RANDOM):
        return generator.getstate()
    bits = generator.bit_generator if isinstance(generator, np.random.Generator) else generator
    return bits.state


def _set_generator(generator: Any, state: Any) -> None:
    if isinstance(generator, REAL_STATE):
        generator.set_state(state)
    elif isinstance(generator, REAL_RANDOM):
        generator.setstate(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.state = state
