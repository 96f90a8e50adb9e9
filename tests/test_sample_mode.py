"""Mode "sample" of `from_pettingzoo`: environments that are estimated, and said to be."""

import random

import numpy as np
import pettingzoo
import pytest
from gymnasium.utils import seeding
from pettingzoo.utils import parallel_to_aec
from small_environments import Parallel
from test_playing import Bet, Race

import metamarl as mm
from metamarl.envs.sampled_game import SampledGame


class Noisy(Bet):
    """The same, paid with noise from a normal distribution: no table has all its outcomes."""

    def pay(self, actions):
        paid = super().pay(actions)
        noise = 0.5 * self.rng.normal()
        return {7: paid[7] + noise, 3: paid[3] - noise}


NORMAL, UNIFORM = np.random.normal, random.random


class Global(Bet):
    """Draws from the global generators, old and new, in a way that only seeds can tame."""

    def begin(self, seed):
        self.luck = 0
        self.rng = self

    def random(self):
        return UNIFORM()

    def pay(self, actions):
        paid = super().pay(actions)
        noise = 0.5 * NORMAL()
        return {7: paid[7] + noise, 3: paid[3] - noise}


def _sampled(make, **options):
    return mm.from_pettingzoo(make, "sample", **options)


def test_continuous_chance_falls_back_to_an_estimate_and_says_so():
    exact = mm.solve(mm.from_pettingzoo(Bet))
    with pytest.raises(ValueError, match="cannot be had exactly: its chance is continuous"):
        mm.from_pettingzoo(Noisy, "exact")
    game = mm.from_pettingzoo(Noisy, samples=60)
    assert isinstance(game, SampledGame)
    report = game.report()
    assert not report.exact
    assert report.mode == "sample"
    assert "not exact: its chance is continuous" in report.why
    solution = mm.solve(game)
    assert solution.width is not None
    assert 0 < solution.width[0] < 1
    assert abs(solution.value[0] - exact.value[0]) <= solution.width[0]
    assert mm.inspect(Noisy).mode == "sample"
    assert mm.solve(mm.from_pettingzoo(Bet)).width is None


@pytest.mark.parametrize("make", [Bet, Race, lambda: parallel_to_aec(Bet())])
def test_estimates_are_close_and_their_width_covers(make):
    exact = mm.solve(mm.from_pettingzoo(make))
    covered = []
    for seed in range(3):
        solution = mm.solve(_sampled(make, samples=24, seed=seed))
        covered.append(abs(solution.value[0] - exact.value[0]) <= solution.width[0])
        assert solution.width[0] < 0.8
    assert all(covered)


def test_what_is_not_random_is_known_after_one_draw():
    game = _sampled(lambda: pettingzoo.make("aec", "classic/rps-v2", max_cycles=2))
    assert game.plug_in.joined
    assert game.drawn.certain.all()
    assert (game.counts == 1).all()
    solution = mm.solve(game)
    np.testing.assert_allclose(solution.value, 0.0, atol=1e-12)
    np.testing.assert_array_equal(solution.width, 0.0)
    assert "are not random" in game.report().facts["draws"]


def test_rows_are_drawn_where_it_matters_within_the_budget():
    game = _sampled(Noisy, samples=30)
    counts = game.counts[~game.drawn.certain]
    assert counts.min() >= 15
    assert counts.max() > 30
    assert counts.sum() <= 30 * len(counts)
    more = mm.refine(game, 10)
    assert more.counts.sum() > game.counts.sum()
    assert more.plug_in.report.facts["draws"] != game.plug_in.report.facts["draws"]
    assert _sampled(Noisy, samples=3).counts.max() == 3


def test_the_seed_decides_all():
    one, two, other = (_sampled(Noisy, samples=6, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.table.reward, two.table.reward)
    np.testing.assert_array_equal(one.table.probabilities, two.table.probabilities)
    assert (
        one.table.reward.shape != other.table.reward.shape
        or (one.table.reward != other.table.reward).any()
    )


def test_global_generators_are_seeded_and_afterwards_as_they_were():
    before = (np.random.get_state()[1].copy(), random.getstate())  # noqa: NPY002
    one, two = _sampled(Global, samples=8), _sampled(Global, samples=8)
    np.testing.assert_array_equal(one.table.reward, two.table.reward)
    assert not one.drawn.certain[:-1].any()
    assert mm.from_pettingzoo(Global, samples=8).report().mode == "sample"
    mm.refine(one, 2)
    np.testing.assert_array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert random.getstate() == before[1]
    exact = mm.solve(mm.from_pettingzoo(Bet))
    solution = mm.solve(_sampled(Global, samples=60))
    assert abs(solution.value[0] - exact.value[0]) <= solution.width[0]


def test_estimated_games_play_in_their_environment():
    solution = mm.solve(_sampled(Noisy, samples=60))
    found = mm.rollouts(Noisy, solution, 300, seed=1)
    wide = 2 * (found.intervals[0].high - found.mean[0])
    assert abs(found.mean[0] - solution.value[0]) <= wide + solution.width[0]


class Hidden(Parallel):
    """A coin that nobody sees decides who wins."""

    def begin(self, seed):
        if seed is not None or not hasattr(self, "rng"):
            self.rng, _ = seeding.np_random(seed)
        self.coin = int(self.rng.integers(2))

    def pay(self, actions):
        won = float(self.rng.normal() + (actions["a"] == self.coin))
        return {"a": won, "b": -won}


class Drifting(Noisy):
    """Keeps the noise as a part of its state: no state ever comes back."""

    def pay(self, actions):
        self.kept = super().pay(actions)
        return self.kept


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(ValueError, match="in mode 'sample': the observation is not the state"):
        _sampled(Hidden)
    with pytest.raises(ValueError, match=r"draws led to more than max_states = 50 states"):
        _sampled(Drifting, max_states=50)
    game = _sampled(Drifting, samples=4, state=lambda env: (env.t, env.luck))
    assert game.n_states == 6
    assert game.states[-1] == "end"


def test_there_and_back():
    game = mm.make("pursuit", size=2, horizon=3)
    found = _sampled(
        lambda: mm.to_pettingzoo(game), state=lambda env: tuple(env.state()), samples=12
    )
    solution = mm.solve(found)
    value = mm.solve(game).value[0]
    assert abs(solution.value[0] - value) <= max(solution.width[0], 0.05)
