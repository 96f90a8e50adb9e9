"""The state of an environment as something hashable: all its attributes, but for a few."""

import enum
import pickle
import types
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pettingzoo.utils.wrappers.base import BaseWrapper
from pettingzoo.utils.wrappers.base_parallel import BaseParallelWrapper

from metamarl.envs.branching import ContinuousDrawError, Uniform
from metamarl.envs.object_parts import KINDS, SLOTS, Kind

BOOKKEEPING = frozenset(
    {
        *("rewards", "_cumulative_rewards", "infos", "metadata", "render_mode", "renderOn"),
        *("_ezpickle_args", "_ezpickle_kwargs", "_skip_agent_selection", "np_random_seed"),
        *("screen", "clock", "window", "window_surface", "viewer", "font", "fig", "ax"),
        *("possible_agents", "action_spaces", "observation_spaces", "state_space"),
    }
)
"""Attributes that say what was paid or shown, or never change: nothing of what comes."""


def core_of(env: Any) -> Any:
    """The environment inside PettingZoo's own wrappers, which only check and translate."""
    while isinstance(env, (BaseWrapper, BaseParallelWrapper)):
        if not type(env).__module__.startswith("pettingzoo.utils.wrappers"):
            break
        env = env.env
    return env


ATOMS = frozenset({int, str, bytes, bool, type(None)})


class Freezer:
    """`Freezer(ignore)(value)`: a hashable picture of `value`, equal for equal contents.

    Attributes and keys named in `ignore` are left out, and so are generators, spaces and pictures.
    Objects of compiled libraries count by what they print, or else by what they would be pickled
    as.
    """

    def __init__(self, ignore: Iterable[str] = ()) -> None:
        self._ignore = frozenset(ignore)
        self._active: set[int] = set()
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._by_type: dict[type, Callable[[Any], Hashable]] = {}
        self._by_kind: dict[Kind, Callable[[Any], Hashable]] = {
            Kind.CONSTANT: self._constant,
            Kind.GENERATOR: lambda _: None,
            Kind.LIST: self._sequence,
            Kind.TUPLE: self._sequence,
            Kind.DICT: self._mapping,
            Kind.SET: lambda group: frozenset(map(self, group)),
            Kind.ARRAY: self._array,
            Kind.OBJECT: self._object,
            Kind.OPAQUE: _print_opaque,
        }

    def __call__(self, value: Any) -> Hashable:
        """What `value` is now."""
        if type(value) in ATOMS:
            return value
        found = self._by_type.get(type(value))
        if found is None:
            found = self._by_type[type(value)] = self._by_kind[KINDS[type(value)]]
        return found(value)

    def _constant(self, value: Any) -> Any:
        if isinstance(value, float):
            return value if value == value else "nan"
        if isinstance(value, np.generic):
            return self(value.item())
        if isinstance(value, types.FunctionType):
            return value.__code__
        if isinstance(value, types.MethodType):
            return getattr(value.__func__, "__code__", type(value))
        if isinstance(value, (int, str, bytes, complex, enum.Enum, type, range)):
            return value
        return type(value)

    def _sequence(self, items: Any) -> Hashable:
        if isinstance(items, frozenset):
            return frozenset(map(self, items))
        if id(items) in self._active:
            return "itself"
        self._active.add(id(items))
        found = tuple([x if type(x) in ATOMS else self(x) for x in items])
        self._active.discard(id(items))
        return found

    def _mapping(self, items: dict[Any, Any]) -> Hashable:
        if id(items) in self._active:
            return "itself"
        self._active.add(id(items))
        ignore = self._ignore
        found = frozenset(
            [
                (key if type(key) in ATOMS else self(key), x if type(x) in ATOMS else self(x))
                for key, x in items.items()
                if key not in ignore
            ]
        )
        self._active.discard(id(items))
        return found

    def _array(self, array: NDArray[Any]) -> Hashable:
        if array.dtype == object:
            return (array.shape, self._sequence(array.ravel().tolist()))
        return (array.shape, array.tobytes())

    def _kept(self, names: tuple[str, ...]) -> tuple[str, ...]:
        kept = self._names.get(names)
        if kept is None:
            kept = self._names[names] = tuple(x for x in names if x not in self._ignore)
        return kept

    def _object(self, value: Any) -> Hashable:
        if type(value) is Uniform:
            raise ContinuousDrawError("a uniform random number that is kept")
        if id(value) in self._active:
            return "itself"
        self._active.add(id(value))
        ignore = self._ignore
        found: list[Any] = [type(value)]
        if hasattr(value, "__dict__"):
            attributes = vars(value)
            found += [
                x if type(x) in ATOMS else self(x)
                for name, x in attributes.items()
                if name not in ignore
            ]
            found.append(self._kept(tuple(attributes)))
        found += [self(getattr(value, name, None)) for name in SLOTS[type(value)]]
        self._active.discard(id(value))
        return tuple(found)


def _print_opaque(value: Any) -> Any:
    if type(value).__repr__ is not object.__repr__:
        text = repr(value)
        if " at 0x" not in text:
            return text
    try:
        return pickle.dumps(value)
    except Exception:
        return type(value)
