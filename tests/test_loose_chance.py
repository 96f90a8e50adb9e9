"""Chance and state where nobody looks: never called exact, and no width of 0 for what is random."""

import random
from random import Random

import numpy as np
import pytest
from numpy.random import default_rng
from small_environments import Parallel

import metamarl as mm


class Three(Parallel):
    """Three rounds; action 1 wins with probability 0.3 in each, as the subclass draws: 0.9."""

    length = 3

    def __init__(self):
        super().__init__(("a",))

    def begin(self, seed):
        self.won = 0
        self.make_generator(seed)

    def make_generator(self, seed):
        self.rng = np.random.default_rng(seed)

    def draw(self):
        return self.rng.random()

    def pay(self, actions):
        won = self.draw() < 0.3
        self.won += int(won)
        return {"a": float(won and actions["a"] == 1)}

    def see(self, agent):
        return np.array([self.t, self.won])


class ByName(Three):
    def make_generator(self, seed):
        self.rng = default_rng(seed)


class FromBits(Three):
    def make_generator(self, seed):
        self.rng = np.random.Generator(np.random.PCG64(seed))


class Old(Three):
    def make_generator(self, seed):
        self.rng = np.random.RandomState(seed)


class Python(Three):
    def make_generator(self, seed):
        self.rng = Random(seed)


class InClosure(Three):
    def make_generator(self, seed):
        rng = default_rng(seed)
        self.draw = lambda: rng.random()


class InTuple(Three):
    def make_generator(self, seed):
        self.kept = (default_rng(seed),)

    def draw(self):
        return self.kept[0].random()


class MadeOnce(InTuple):
    def __init__(self):
        super().__init__()
        self.kept = (default_rng(0),)

    def make_generator(self, seed):
        pass


class EveryStep(Three):
    def make_generator(self, seed):
        self.seed = seed

    def draw(self):
        return default_rng([self.seed or 0, self.t]).random()


class OfTheModule(Three):
    generator = default_rng(5)

    def make_generator(self, seed):
        pass

    def draw(self):
        return OfTheModule.generator.random()


class Rarely(Three):
    """The global generator, after two wins only."""

    def draw(self):
        return np.random.rand() if self.won == 2 else self.rng.random()  # noqa: NPY002


class RarelyPython(Three):
    def draw(self):
        return random.random() if self.won == 2 else self.rng.random()


@pytest.mark.parametrize("kind", [Three, ByName, FromBits, Old, Python])
def test_generators_that_are_attributes_are_followed(kind):
    game = mm.from_pettingzoo(kind, mode="exact")
    assert mm.solve(game).value[0] == pytest.approx(0.9)


@pytest.mark.parametrize("kind", [InClosure, InTuple, MadeOnce, EveryStep, OfTheModule])
def test_generators_that_cannot_be_followed(kind):
    for mode in ("exact", "sample"):
        with pytest.raises(ValueError, match="something that cannot be followed"):
            mm.from_pettingzoo(kind, mode=mode)
    assert "cannot be followed" in mm.from_pettingzoo(kind).report().why


@pytest.mark.parametrize("kind", [Rarely, RarelyPython])
def test_global_draws_in_rare_states(kind):
    with pytest.raises(ValueError, match="cannot be had exactly"):
        mm.from_pettingzoo(kind, mode="exact")


def test_rewards_alone_that_are_random():
    class Paid(Three):
        def pay(self, actions):
            return {"a": float(self.draw() < 0.3 and actions["a"] == 1)}

    assert mm.solve(mm.from_pettingzoo(Paid, mode="exact")).value[0] == pytest.approx(0.9)


def test_state_that_is_no_attribute():
    class Hidden(Three):
        total = 0

        def begin(self, seed):
            type(self).total = 0

        def pay(self, actions):
            type(self).total += actions["a"]
            return {"a": float(self.t == 3 and type(self).total == 2)}

        def see(self, agent):
            return np.array([self.t, 0])

    with pytest.raises(ValueError, match="do not tell the state"):
        mm.from_pettingzoo(Hidden, mode="exact")
    assert not mm.from_pettingzoo(Hidden).report().exact


def test_a_coarse_key_under_a_sight_that_comes_and_goes():
    class Foggy(Three):
        """Guess x, which is seen half of the time only."""

        def begin(self, seed):
            self.rng = np.random.default_rng(seed)
            self.x, self.clear = int(self.rng.integers(2)), int(self.rng.integers(2))

        def pay(self, actions):
            right = float(actions["a"] == self.x)
            self.x, self.clear = int(self.rng.integers(2)), int(self.rng.integers(2))
            return {"a": right}

        def see(self, agent):
            return np.array([self.t, self.x if self.clear else 3])

    with pytest.raises(ValueError, match="the observation is not the state"):
        mm.from_pettingzoo(Foggy, mode="exact", state=lambda env: (env.t, env.x))


def test_draws_that_nothing_is_left_of():
    class Still(Three):
        def draw(self):
            return 0.0 * self.rng.random()

    assert mm.solve(mm.from_pettingzoo(Still, mode="exact")).value[0] == 3.0


@pytest.mark.parametrize("how", ["out", "bounds", "chances"])
def test_draws_in_arrays_are_not_listed(how):
    class Arrays(Three):
        def draw(self):
            if how == "out":
                held = np.zeros(1)
                self.rng.random(out=held)
                return held[0]
            if how == "bounds":
                return float(self.rng.integers([2, 3])[0])
            return float(self.rng.binomial(2, [0.5, 0.5])[0])

    with pytest.raises(ValueError, match="its chance is continuous"):
        mm.from_pettingzoo(Arrays, mode="exact")
