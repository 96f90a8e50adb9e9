"""The generators of NumPy and Python, old and new, asking a `Branch` for every outcome."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.utils import seeding

from metamarl.envs.branching import REAL_RANDOM, REAL_STATE, Branch, ContinuousDrawError, Uniform
from metamarl.envs.object_parts import KINDS, Kind


class _Draws:
    """Discrete draws under the names that NumPy gives them; `size` as there."""

    branch: Branch
    kind: type

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        if out is not None:
            raise ContinuousDrawError("'random' with 'out'")
        del dtype
        return _sized(size, lambda: Uniform(self.branch))

    def uniform(self, low: float = 0.0, high: float = 1.0, size: Any = None) -> Any:
        return _sized(size, lambda: low + (high - low) * Uniform(self.branch))

    def integers(
        self, low: int, high: int | None = None, size: Any = None, dtype: Any = np.int64,
        endpoint: bool = False,
    ) -> Any:  # fmt: skip
        low, high = (0, low) if high is None else (low, high)
        if np.ndim(low) or np.ndim(high):
            raise ContinuousDrawError("'integers' with arrays of bounds")
        count = int(high) - int(low) + bool(endpoint)
        if count < 1:
            raise ValueError("low >= high")
        return _sized(size, lambda: np.dtype(dtype).type(int(low) + self.branch.index(count)))

    def choice(
        self, a: Any, size: Any = None, replace: bool = True, p: Any = None, axis: int = 0,
        shuffle: bool = True,
    ) -> Any:  # fmt: skip
        del shuffle
        items = np.arange(a) if np.ndim(a) == 0 else np.asarray(a)
        left = list(range(items.shape[axis]))
        weights = [1.0 / len(left)] * len(left) if p is None else [float(x) for x in p]
        picked = []
        for _ in range(1 if size is None else int(np.prod(size))):
            total = sum(weights)
            k = self.branch.pick([w / total for w in weights])
            picked.append(left[k])
            if not replace:
                del left[k], weights[k]
        if size is None:
            return np.take(items, picked[0], axis)
        found = np.take(items, picked, axis)
        return found.reshape(size) if items.ndim == 1 else found

    def shuffle(self, x: Any, axis: int = 0) -> None:
        if axis:
            raise ContinuousDrawError("shuffle along another axis")
        for i in range(len(x) - 1, 0, -1):
            j = self.branch.index(i + 1)
            if j != i:
                x[i], x[j] = (x[j].copy(), x[i].copy()) if np.ndim(x) > 1 else (x[j], x[i])

    def permutation(self, x: Any, axis: int = 0) -> Any:
        found = np.arange(x) if np.ndim(x) == 0 else np.array(x)
        self.shuffle(found, axis)
        return found

    def binomial(self, n: int, p: float, size: Any = None) -> Any:
        if np.ndim(n) or np.ndim(p):
            raise ContinuousDrawError("'binomial' with arrays")
        chances = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(int(n) + 1)]
        return _sized(size, lambda: self.branch.pick(chances))

    def seed(self, *_: Any) -> None:
        """Nothing is drawn, so there is nothing to seed."""

    def randint(self, low: int, high: int | None = None, size: Any = None, dtype: Any = int) -> Any:
        return self.integers(low, high, size, dtype)

    def rand(self, *size: int) -> Any:
        return self.random(size or None)

    random_sample = ranf = sample = random


def _sized(size: Any, draw: Callable[[], Any]) -> Any:
    if size is None:
        return draw()
    found = [draw() for _ in range(int(np.prod(size)))]
    whole = all(isinstance(x, (int, np.integer)) for x in found)
    return np.array(found, np.int64 if whole else object).reshape(size)


def _refusing(name: str) -> Callable[..., Any]:
    def draw(*_: Any, **__: Any) -> Any:
        raise ContinuousDrawError(f"'{name}', which is continuous or has no end of outcomes")

    return draw


def _real_when_sampling(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, but for a branch that samples the real generator's."""

    def draw(self: Any, *args: Any, **options: Any) -> Any:
        if self.branch.real and name != "seed":
            self.branch.asked += 1
            return getattr(self.branch.real[self.kind], name)(*args, **options)
        return method(self, *args, **options)

    return draw


KEPT = {"bit_generator", "spawn", "get_state", "set_state", "_bit_generator"}


def _methods(kind: type) -> dict[str, Any]:
    """A stand-in for every method of NumPy's class: branching, or refusing."""
    found: dict[str, Any] = {}
    for name in dir(kind):
        if not name.startswith("_") and name not in KEPT:
            method = getattr(_Draws, name, None) or _refusing(name)
            found[name] = _real_when_sampling(name, method)
    found["set_state"] = lambda *_: None
    found["__init__"] = lambda self, *_: kind.__init__(self, np.random.PCG64(0))  # type: ignore[misc]
    found["__deepcopy__"] = lambda self, *_: self
    found["__reduce__"] = lambda self: (type(self), ())
    return found


class BranchingRandom(random.Random):
    """Python's generator: all its methods come down to these three."""

    branch: Branch

    def __init__(self, *_: Any) -> None:
        super().__init__(0)

    def random(self) -> Any:
        """A number in [0, 1), undecided."""
        if self.branch.real:
            self.branch.asked += 1
            return self.branch.real[REAL_RANDOM].random()
        return Uniform(self.branch)

    def _randbelow(self, n: int) -> int:
        if self.branch.real:
            self.branch.asked += 1
            return self.branch.real[REAL_RANDOM].randrange(n)
        return self.branch.index(n)

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """Continuous, and kept in pairs: the real generator's, or refused."""
        if self.branch.real:
            self.branch.asked += 1
            return self.branch.real[REAL_RANDOM].gauss(mu, sigma)
        raise ContinuousDrawError("'gauss', which is continuous")

    def getrandbits(self, k: int) -> int:
        """One of 2ᵏ numbers."""
        return self._randbelow(2**k)

    def seed(self, *_: Any, **__: Any) -> None:
        """Nothing is drawn, so there is nothing to seed."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "BranchingRandom":
        return self


NUMPY_KINDS = (np.random.Generator, REAL_STATE)


def bound_classes(branch: Branch) -> tuple[type, type, type]:
    """Generator, RandomState and Random that ask `branch`, whatever seed they are made with."""
    numpy_classes = [
        type(kind.__name__, (_Draws, kind), {**_methods(kind), "branch": branch, "kind": kind})
        for kind in NUMPY_KINDS
    ]
    python = type("Random", (BranchingRandom,), {"branch": branch})
    return (*numpy_classes, python)  # type: ignore[return-value]


class Patch:
    """While entered, generators made the usual ways are stand-ins that ask `branch`."""

    def __init__(self, branch: Branch) -> None:
        self._generator, self._old, self._python = bound_classes(branch)
        self._places: list[tuple[Any, str, Any]] = [
            (seeding, "RandomNumberGenerator", self._generator),
            (np.random, "default_rng", self._generator),
            (np.random, "RandomState", self._old),
            (random, "Random", self._python),
        ]
        self._before: list[Any] = []

    def __enter__(self) -> None:
        self._before = [getattr(module, name) for module, name, _ in self._places]
        for module, name, stand_in in self._places:
            setattr(module, name, stand_in)

    def __exit__(self, *_: object) -> None:
        for place, original in zip(self._places, self._before, strict=True):
            setattr(place[0], place[1], original)

    def follow_global(self) -> None:
        """Also put stand-ins for the functions `random.…` and `numpy.random.…` of the modules."""
        for module, made in ((random, self._python()), (np.random, self._old())):
            for name in dir(module):
                owner = getattr(getattr(module, name), "__self__", None)
                if isinstance(owner, (REAL_RANDOM, REAL_STATE)) or name == "seed":
                    self._places.append((module, name, getattr(made, name)))

    @property
    def stand_ins(self) -> tuple[type, ...]:
        """The classes of the stand-ins."""
        return (self._generator, self._old, self._python)

    def stand_in(self, real: Any) -> Any:
        """What takes the place of a generator that is there already."""
        if isinstance(real, REAL_STATE):
            return self._old()
        return self._python() if isinstance(real, REAL_RANDOM) else self._generator()


KINDS[Patch] = Kind.CONSTANT
