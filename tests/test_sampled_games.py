"""Games estimated from draws: the estimate, what it says of its error, and where more is drawn."""

import contextlib
import functools
import pickle

import numpy as np
import pytest

import metamarl as mm
from metamarl.algorithms.refinement import refine
from metamarl.algorithms.value_width import optimism, row_variances, standard_error
from metamarl.envs.draws import Draws, TooManyDrawnError
from metamarl.envs.sampled_game import Drawn, SampledGame


class Table:
    """A simulator that draws from a game's own rows, with noise on the rewards."""

    def __init__(self, game, noise=0.0):
        self.game, self.noise, self.n_actions = game, noise, game.n_actions
        self.drawn = []

    def session(self):
        return contextlib.nullcontext()

    def first(self, seed):
        return int(np.random.default_rng(seed).choice(self.game.n_states, p=self.game.initial))

    def options(self, state):
        return [np.flatnonzero(mask[state]).tolist() for mask in self.game.legal]

    def draw(self, state, joint, seed):
        table, inside = self.game.table, 0
        self.drawn.append((state, joint, tuple(seed)))
        for i, action in enumerate(joint):
            inside = inside * table.counts[state, i] + table.legal[i][state, :action].sum()
        row = table.rows[state] + inside
        span = slice(*table.indptr[row : row + 2])
        chances, reward = table.probabilities[span], table.reward[:, row]
        if len(chances) == 1 and not self.noise:
            return int(table.indices[span][0]), reward.tolist(), True
        rng = np.random.default_rng(seed)
        target = int(table.indices[span][rng.choice(len(chances), p=chances)])
        signs = np.where(np.arange(len(reward)) % 2, -1.0, 1.0)
        return target, (reward + rng.normal(0, self.noise) * signs).tolist(), False


def _layers(seed=0, depth=8, width=10, actions=(2, 2)):
    """80 states in 8 layers: every step leads one layer on, to three states; the last one pays."""
    rng = np.random.default_rng(seed)
    S = depth * width + 1
    P, R = np.zeros((S, *actions, S)), np.zeros((S, *actions))
    for s in range(S - 1):
        for joint in np.ndindex(actions):
            if s >= (depth - 1) * width:
                P[(s, *joint, -1)] = 1.0
                R[(s, *joint)] = rng.uniform(-1, 1)
            else:
                targets = rng.choice(width, 3, replace=False) + width * (s // width + 1)
                P[(s, *joint, targets)] = rng.dirichlet(np.ones(3))
    P[-1, ..., -1] = 1.0
    rewards = np.stack([R, -R]) if len(actions) == 2 else R[None]
    return mm.MarkovGame(P, rewards, np.eye(S)[0], discount=1.0)


def _equal_actions(seed=0):
    """One player, 40 states, 8 actions that are worth the same: choosing among noise."""
    rng = np.random.default_rng(seed)
    P = np.zeros((40, 8, 40))
    for s in range(40):
        chances = rng.dirichlet(np.ones(5))
        for a in range(8):
            P[s, a, rng.choice(40, 5, replace=False)] = chances
    R = np.repeat(rng.uniform(0, 1, (40, 1)), 8, axis=1)
    return mm.MarkovGame(P, R[None], np.eye(40)[0], discount=0.9)


def _estimate(game, count, rng, horizon=None):
    """What `count` draws of every row give, all at once."""
    table = game.table
    rows = [slice(*table.indptr[r : r + 2]) for r in range(table.n_rows)]
    parts = [
        [rng.multinomial(n, table.probabilities[span]) for span in rows]
        for n in (count - count // 2, count // 2)
    ]
    hits = np.array([np.concatenate(part) for part in parts], float)
    seen = hits.any(0)
    row = np.repeat(np.arange(table.n_rows), np.diff(table.indptr))[seen]
    reward = table.reward[:, row]
    hits = hits[:, seen]
    drawn = Drawn(
        legal=game.legal,
        indptr=np.searchsorted(row, np.arange(table.n_rows + 1)),
        indices=table.indices[seen].astype(np.int64),
        hits=hits,
        pay=np.stack([hits[0] * reward, hits[1] * reward, hits.sum(0) * reward**2]),
        starts=np.stack([np.rint(game.initial * 10**6)] * 2).astype(np.int64),
        certain=np.diff(table.indptr) == 1,
    )
    return SampledGame.of(drawn, horizon, game.discount, {})


def _drawn(game, count, seed=0, noise=0.0, starts=1, **clock):
    draws = Draws(Table(game, noise), seed)
    draws.draw_starts(starts)
    draws.draw_all(count)
    return draws.game(**clock)


# --- the estimate


def test_a_deterministic_environment_is_drawn_once_and_known_exactly():
    game = mm.make("tictactoe")
    found = _drawn(game, 50)
    assert isinstance(found, SampledGame)
    assert found.n_states == game.n_states + 1  # and the end
    assert (found.counts == 1).all()
    assert found.drawn.certain.all()
    solution = mm.solve(found)
    assert solution.value.tolist() == [0.0, 0.0]
    assert solution.width.tolist() == [0.0, 0.0]
    assert mm.solve(game).width is None
    assert refine(found, 10) is found


def test_probabilities_are_frequencies_and_rewards_means():
    game = mm.MarkovGame([[[0.2, 0.8]], [[0.0, 1.0]]], [[[3.0], [0.0]]], [1, 0], discount=0.5)
    found = _drawn(game, 101, noise=1.0, discount=0.5)
    simulator = found.draws.simulator
    again = [simulator.draw(0, (0,), seed) for state, _, seed in [*simulator.drawn] if state == 0]
    P, R = found.dense()
    assert P[0, 0, 0] == pytest.approx(np.mean([target == 0 for target, _, _ in again]))
    assert R[0, 0, 0] == pytest.approx(np.mean([reward[0] for _, reward, _ in again]))
    assert found.counts.tolist() == [101, 101, 1]
    even, odd = found.halves()
    assert even.dense()[1][0, 0, 0] == pytest.approx(np.mean([r[0] for _, r, _ in again[::2]]))
    assert odd.dense()[1][0, 0, 0] == pytest.approx(np.mean([r[0] for _, r, _ in again[1::2]]))
    assert odd.dense()[0][0, 0, 0] == pytest.approx(np.mean([t == 0 for t, _, _ in again[1::2]]))


def test_the_seed_decides_each_draw_and_more_draws_go_on_from_there():
    game = _layers()
    few, many, other = _drawn(game, 4), _drawn(game, 9), _drawn(game, 4, seed=1)
    np.testing.assert_array_equal(few.dense()[0], _drawn(game, 4).dense()[0])
    assert (
        few.dense()[0].shape != other.dense()[0].shape or (few.dense()[0] != other.dense()[0]).any()
    )
    few.draws.draw_all(9)
    again = few.again()
    known = set(few.draws.simulator.drawn)
    assert len(known) == len(few.draws.simulator.drawn) == few.draws.n_draws
    assert again.counts.sum() == few.draws.n_draws + 1  # the end's own row
    assert sorted(again.counts) == sorted(many.counts)


def test_too_many_states_are_not_drawn():
    draws = Draws(Table(_layers()), max_states=30)
    with pytest.raises(TooManyDrawnError, match="more than 30 states"):
        draws.draw_starts(1), draws.draw_all(5)
    draws = Draws(Table(_layers()))
    draws.draw_starts(1)
    with pytest.raises(ValueError, match="Every row must have been drawn"):
        draws.game()


def test_values_come_closer_with_more_draws():
    game = _layers(1)
    value = mm.solve(game).value[0]
    errors = []
    for count in (5, 150):
        found = [_estimate(game, count, np.random.default_rng([k, count])) for k in range(12)]
        errors.append(max(abs(mm.solve(g).value[0] - value) for g in found))
    assert errors[1] < errors[0] < 0.2
    assert errors[1] < 0.04


# --- what is said of the error


@pytest.mark.parametrize("horizon", [None, 5])
def test_standard_errors_are_those_of_repeated_estimates(horizon):
    """A fixed policy, 300 estimates: the spread of its values, with rows shared by all steps."""
    game = mm.make("random", states=4, actions=(2, 2), horizon=horizon or 6, seed=3)
    P, R = game.dense()
    game = mm.MarkovGame(P[0] if P.ndim == 5 else P, R[:, 0] if R.ndim == 5 else R, np.eye(4)[0],
                         horizon=horizon, discount=0.8)  # fmt: skip
    policy = mm.JointPolicy.uniform(game)
    values, errors = [], []
    for k in range(300):
        found = _estimate(game, 200, np.random.default_rng(k), horizon)
        values.append(mm.evaluate(found, policy)[0])
        if k < 30:
            errors.append(standard_error(found, policy)[0])
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)  # 4 % is one deviation
    assert np.mean(values) == pytest.approx(mm.evaluate(game, policy)[0], abs=0.02)


def test_the_start_is_uncertain_too():
    game = mm.MarkovGame(np.eye(2)[:, None], [[[0.0], [1.0]]], [0.3, 0.7], horizon=1)
    found = _drawn(game, 1, starts=400, horizon=1)
    share = found.initial @ [1.0, 0.0, 0.0] if found.draws.keys[0] == 1 else 1 - found.initial[0]
    expected = np.sqrt(share * (1 - share) / 400)
    assert standard_error(found, mm.JointPolicy.uniform(found))[0] == pytest.approx(expected)


@pytest.mark.parametrize("count", [6, 30])
def test_the_width_covers_the_value_in_95_of_100_runs(count):
    """80 states, eight games, five estimates of each."""
    covered = []
    for k in range(40):
        game = _layers(k % 8)
        found = mm.solve(_estimate(game, count, np.random.default_rng([k, count])))
        covered.append(abs(found.value[0] - mm.solve(game).value[0]) <= found.width[0])
        assert found.width[0] < 0.4 * np.sqrt(6 / count)
    assert np.mean(covered) >= 0.95


def test_an_answer_that_is_fitted_to_noise_is_found_out():
    """Of eight equal actions the one with the luckiest draws looks best."""
    errors, found_out, covered = [], [], []
    for k in range(20):
        game = _equal_actions(k)
        found = _estimate(game, 10, np.random.default_rng([k, 7]))
        solution = mm.solve(found)
        errors.append(solution.value[0] - mm.solve(game).value[0])
        covered.append(abs(errors[-1]) <= solution.width[0])
        answers = [mm.solve(half).policy for half in found.halves()]
        found_out.append(optimism(found, answers)[0])
    assert np.mean(errors) > 3 * np.std(errors) / np.sqrt(20)  # a bias
    assert np.mean(found_out) > np.mean(errors)  # of half the draws: larger
    assert min(found_out) > 0
    assert np.mean(covered) >= 0.95


def test_rows_that_are_not_played_do_not_count():
    game = _layers()
    found = _estimate(game, 20, np.random.default_rng(0))
    policy = mm.solve(found).policy
    table, variances = found.table, row_variances(found, policy)
    owner = np.repeat(np.arange(found.n_states), np.diff(table.rows))
    assert (variances[:, (owner > 0) & (owner < 10)] == 0).all()  # play starts in state 0
    assert (variances[:, owner >= 70] == 0).all()  # certain
    assert (variances[:, owner == 0].sum(1) > 0).all()
    assert (row_variances(found, policy, explore=0.5) >= 0).all()
    np.testing.assert_allclose(variances[0], variances[1])  # zero-sum


def test_where_half_the_draws_make_no_game_nothing_is_promised():
    """A walk that ends with chance 1/20: half of few draws may never have ended."""
    game = mm.MarkovGame([[[0.95, 0.05]], [[0.0, 1.0]]], [[[1.0], [0.0]]], [1, 0])
    widths = set()
    for seed in range(40):
        with contextlib.suppress(ValueError):  # no end at all
            widths.add(bool(np.isinf(mm.solve(_drawn(game, 12, seed=seed)).width[0])))
    assert widths == {True, False}


def test_general_sum_and_more_players():
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(3), (3, 2, 2, 2))
    game = mm.MarkovGame(P, rng.uniform(size=(3, 3, 2, 2, 2)), discount=0.5)
    found = _estimate(game, 40, rng)
    solution = mm.solve(found, tol=0.05)
    assert solution.correlated is not None
    assert solution.width.shape == (3,)
    assert (solution.width > 0).all()
    true = mm.evaluate(game, solution.correlated)
    assert (abs(true - solution.value) <= solution.width).all()


# --- where more is drawn


def test_more_is_drawn_where_the_value_depends_on_it():
    errors, covered = {"alike": [], "where it matters": []}, []
    for k in range(20):
        game = _layers(k)
        value = mm.solve(game).value[0]
        alike = _drawn(game, 24, seed=k)
        better = refine(_drawn(game, 12, seed=k), 12)
        assert better.counts.sum() <= alike.counts.sum() * 1.02
        for name, found in zip(errors, (alike, better), strict=True):
            solution = mm.solve(found)
            covered.append(abs(solution.value[0] - value) <= solution.width[0])
            errors[name].append((abs(solution.value[0] - value), solution.width[0]))
    error, width = np.mean(errors["where it matters"], axis=0) / np.mean(errors["alike"], axis=0)
    assert error < 0.9
    assert width < 0.7
    assert np.mean(covered) >= 0.85  # of 40 runs: 3 standard errors below 0.95


def test_draws_are_shared_out_as_neyman_says():
    from metamarl.algorithms.refinement import _share_out

    counts = _share_out(np.array([4.0, 1.0, 0.0, 9.0]), np.array([2, 2, 2, 2]), 52)
    assert counts.tolist() == [19, 9, 2, 29]  # 2 : 1 : 3 of 58, and nothing for the third
    assert _share_out(np.zeros(3), np.array([1, 1, 1]), 6).tolist() == [3, 3, 3]
    assert _share_out(np.array([1.0, 1.0]), np.array([10, 0]), 4).tolist() == [10, 4]


def test_refining_is_reproducible_and_leaves_the_old_game_alone():
    game = _layers()
    first = _drawn(game, 6)
    before = first.counts.copy()
    one, two = refine(first, 6), refine(_drawn(game, 6), 6)
    np.testing.assert_array_equal(one.dense()[0], two.dense()[0])
    np.testing.assert_array_equal(first.counts, before)


def test_what_can_be_refined():
    game = _drawn(_layers(), 4)
    for bad, kind, message in [
        (_layers(), TypeError, "'game' parameter of refine must be a game that was estimated"),
        (pickle.loads(pickle.dumps(game)), ValueError, "in the process that made it"),
    ]:
        with pytest.raises(kind, match=message):
            refine(bad)
    with pytest.raises(ValueError, match="'samples' parameter of refine"):
        refine(game, 0)
    assert mm.solve(pickle.loads(pickle.dumps(game))).width == pytest.approx(mm.solve(game).width)


def test_widths_are_saved(tmp_path):
    solution = mm.solve(_drawn(_layers(), 4))
    again = mm.load(solution.save(tmp_path / "a"), solution.game)
    np.testing.assert_array_equal(again.width, solution.width)


_layers = functools.cache(_layers)
