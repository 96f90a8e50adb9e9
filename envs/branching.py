"""Random generators whose every outcome is played: exact chance from code that draws numbers.

A `Branch` runs a function once per outcome of the draws in it: the first run takes the first
outcome of every draw and notes how many there were, the next ones go through the rest, depth
first, each with its probability. The generators below ask the branch instead of drawing. A
uniform number is left undecided and **split** where it is compared (`random() < p`), truncated
or searched for in a list; wherever its value itself is needed, and for all continuous
distributions, `ContinuousDrawError` is raised: no table holds such chance.
"""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

REAL_STATE, REAL_RANDOM = np.random.RandomState, random.Random  # before anybody replaces them
MOST_OUTCOMES = 20_000  # of one step; a shuffled deck of eight cards has 40,320


def own_generator(*seed: int) -> np.random.Generator:
    """A real generator, also where the usual ways to make one lead to stand-ins."""
    return np.random.Generator(np.random.PCG64(seed))


class ContinuousDrawError(Exception):
    """A draw with more outcomes than can be listed; the message names it."""


class TooManyOutcomesError(Exception):
    """More outcomes than `MOST_OUTCOMES`; the message says how many, about."""


class Branch:
    """Which outcome of every draw is taken; real generators instead after `sample(seed)`."""

    def __init__(self) -> None:
        self.real: dict[type, Any] = {}
        self.asked = 0  # draws from the real ones
        self._begin([])

    def _begin(self, script: list[int]) -> None:
        self.script, self.position, self.probability = script, 0, 1.0
        self._widths: list[int] = []
        self.undecided = False  # whether there is a uniform number in this run

    def sample(self, seed: int) -> None:
        """From now on draw with real generators."""
        self.real = {
            np.random.Generator: np.random.Generator(np.random.PCG64(seed)),
            REAL_STATE: REAL_STATE(seed % 2**32),
            REAL_RANDOM: REAL_RANDOM(seed),
        }

    def outcomes(
        self, run: Callable[[], Any], before: Callable[[], Any] = lambda: None
    ) -> Iterator[tuple[float, Any]]:
        """(probability, what `run` returned) of every outcome of the draws in it.

        `before` is called before every run, to bring things back to where they were.
        """
        self.real = {}
        script: list[int] = []
        for count in itertools.count(1):
            before()
            self._begin(script)
            try:
                result = run()
            except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
                if not self.undecided:
                    raise
                raise ContinuousDrawError(Uniform.words) from error  # it was no number
            if count == 1 and math.prod(self._widths) > MOST_OUTCOMES:
                raise TooManyOutcomesError(f"about {float(math.prod(self._widths)):.2g}")
            if count > MOST_OUTCOMES:
                raise TooManyOutcomesError(f"more than {MOST_OUTCOMES:,}")
            taken = self.script[: self.position]
            yield self.probability, result
            script = taken
            while script and script[-1] == self._widths[len(script) - 1] - 1:
                script.pop()
            if not script:
                return
            script[-1] += 1

    def replay(self, script: Sequence[int]) -> None:
        """Take these outcomes in the next run."""
        self.real = {}
        self._begin(list(script))

    def pick(self, chances: Sequence[float]) -> int:
        """The outcome to take of one draw with these probabilities."""
        likely = [k for k, p in enumerate(chances) if p > 0]
        if self.position == len(self.script):
            self.script.append(0)
        taken = likely[self.script[self.position]]
        self.position += 1
        if self.position > len(self._widths):
            self._widths.append(len(likely))
        self.probability *= float(chances[taken])
        return taken

    def index(self, n: int) -> int:
        """One of 0, …, n - 1, all alike."""
        if n > MOST_OUTCOMES:
            raise TooManyOutcomesError(f"a draw with {n:,}")
        return self.pick([1.0 / n] * n)


class Uniform:
    """scale·U + shift, where all that is known of U is that it lies between `low` and `high`."""

    words = "a uniform random number whose value itself is used"
    __array_ufunc__ = None  # NumPy's numbers leave comparisons and arithmetic to this class
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, branch: Branch, scale: float = 1.0, shift: float = 0.0) -> None:
        self._branch, self._scale, self._shift = branch, scale, shift
        branch.undecided = True
        self._bounds = [0.0, 1.0]  # shared by all that is computed from one draw

    def _of_same(self, scale: float, shift: float) -> Any:
        if scale == 0.0:  # nothing is left of the draw
            return shift
        other = Uniform(self._branch, scale, shift)
        other._bounds = self._bounds
        return other

    def __add__(self, x: Any) -> "Uniform":
        return self._of_same(self._scale, self._shift + _number(x))

    def __mul__(self, x: Any) -> "Uniform":
        return self._of_same(self._scale * _number(x), self._shift * _number(x))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Uniform":
        return self * -1.0

    def __sub__(self, x: Any) -> "Uniform":
        return self + -_number(x)

    def __rsub__(self, x: Any) -> "Uniform":
        return -self + x

    def __truediv__(self, x: Any) -> "Uniform":
        return self * (1.0 / _number(x))

    def __lt__(self, x: Any) -> bool:
        if isinstance(x, Uniform) and x._bounds is self._bounds:  # NumPy's searches do that
            return self._of_same(self._scale - x._scale, self._shift - x._shift) < 0.0
        if self._scale == 0:
            return self._shift < _number(x)
        at = (_number(x) - self._shift) / self._scale
        below = self._below(at)
        return below if self._scale > 0 else not below

    def _below(self, at: float) -> bool:
        low, high = self._bounds
        if at >= high:
            return True
        if at <= low:
            return False
        p = (at - low) / (high - low)
        if self._branch.pick([p, 1.0 - p]) == 0:
            self._bounds[1] = at
            return True
        self._bounds[0] = at
        return False

    def __gt__(self, x: Any) -> bool:
        return not self < x

    __le__, __ge__ = __lt__, __gt__

    def __eq__(self, x: object) -> bool:
        return False  # with probability 1

    def __floor__(self) -> int:
        ends = sorted(self._scale * bound + self._shift for bound in self._bounds)
        whole = range(math.floor(ends[0]), math.ceil(ends[1]))
        for k in whole[:-1]:
            if self < k + 1:
                return k
        return whole[-1]

    def __int__(self) -> int:
        if self < 0:
            return -math.floor(-self)
        return math.floor(self)

    __trunc__ = __int__

    def __float__(self) -> float:
        raise ContinuousDrawError(self.words)

    def __bool__(self) -> bool:
        return True


def _number(x: Any) -> float:
    return float(x)  # a second draw raises ContinuousDrawError
