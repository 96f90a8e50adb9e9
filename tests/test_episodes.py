"""Learning in environments that are only reset and stepped: grades, masks, deaths, hidden cards."""

import itertools
import re

import numpy as np
import pytest
from small_environments import Parallel, Turns

import metamarl as mm
from metamarl.algorithms import _v_learning as kernels
from metamarl.algorithms._v_learning_episodes import EpisodesRun
from metamarl.algorithms.observation_policy import Layout
from metamarl.algorithms.rollouts import play_episode
from metamarl.algorithms.v_learning import VLearning
from metamarl.envs import make

COARSE = VLearning(resolution=0.3)
SENTENCE = r"The '\S+' parameter of \w+(\.\w+)? must be .+\. Got .+ instead\."


class Pennies(Parallel):
    """Weighted matching pennies, twice: A wins 2 or 1."""

    def pay(self, actions):
        won = actions["a"] == actions["b"]
        prize = 2.0 if won and actions["a"] == 0 else 1.0 if won else -1.0
        return {"a": prize, "b": -prize}


class Kuhn(Turns):
    """Kuhn's poker (1950) with three cards: a player sees its own card and what was bet."""

    def begin(self, seed):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.cards = self.rng.permutation(3)[:2]
        self.bets = ""

    def observe(self, agent):
        return np.array([self.cards[self.possible_agents.index(agent)], *map(ord, self.bets)])

    def play(self, agent, action):
        self.bets += "pb"[action]
        higher = 1 if self.cards[0] > self.cards[1] else -1
        won = {"pp": higher, "pbp": -1, "bp": 1, "pbb": 2 * higher, "bb": 2 * higher}
        if self.bets in won:
            self.rewards = {"a": float(won[self.bets]), "b": -float(won[self.bets])}
            self.terminations = dict.fromkeys(self.agents, True)


class Race(Turns):
    """B may play 0 alone at first, by a mask; who plays 1 has won and leaves; the rest go on."""

    length, actions, first = 6, (2, 3), (4, 1)

    def begin(self, seed):
        self.gone = set()

    def observe(self, agent):
        size = self.actions[self.possible_agents.index(agent)]
        mask = np.ones(size, np.int8)
        if agent == "b" and self.t < 3:
            mask[1:] = 0
        return {"observation": np.array([self.t]), "action_mask": mask}

    def play(self, agent, action):
        assert action in self.action_space(agent)
        k = action - self.first[self.possible_agents.index(agent)]
        if agent == "b" and self.t <= 3:
            assert k == 0
        self.rewards[agent] = float(k == 1)
        if k == 1:
            self.terminations[agent] = True


class Endless(Parallel):
    """One of two agents' rewards is 1 in every step; cut off after five steps."""

    length = 10**9

    def pay(self, actions):
        return {"a": 1.0, "b": 0.0}

    def cut(self):
        return self.t >= 5

    def see(self, agent):
        return np.int64(0)


def pursuit():
    return mm.to_pettingzoo(make("pursuit", size=2, horizon=4))


# --- what is learned, and its grade


def test_it_learns_what_the_exact_game_grades():
    env = mm.EpisodicEnvironment(pursuit)
    solution = mm.solve(env, COARSE, tol=0.25, max_iterations=20_000)
    assert solution.converged
    assert solution.exact
    assert solution.estimate is None
    game = make("pursuit", size=2, horizon=4)
    assert mm.nash_gap(game, mm.JointPolicy.uniform(game)) > 0.5
    # The same policy, asked for state by state.
    arrays = [np.array(array) for array in mm.JointPolicy.uniform(game)]
    for i, (step, state) in itertools.product(range(2), np.ndindex(4, game.n_states)):
        observation = {
            "observation": np.array([state, step]),
            "action_mask": game.legal[i][state].astype(np.int8),
        }
        legal, chances = solution.policy.probabilities(f"player_{i}", observation)
        arrays[i][step, state] = 0.0
        arrays[i][step, state, legal] = chances
    assert mm.nash_gap(game, mm.JointPolicy(arrays)) == pytest.approx(solution.gap, abs=1e-12)
    np.testing.assert_allclose(solution.value, mm.evaluate(game, mm.JointPolicy(arrays)))
    assert "exact" in repr(solution)


def test_an_enumerated_game_grades_too():
    game = mm.from_pettingzoo(Pennies)
    env = mm.EpisodicEnvironment(Pennies, game=game)
    solution = mm.solve(env, COARSE, tol=0.4, max_iterations=20_000, seed=1)
    assert solution.converged
    assert solution.exact
    exact = mm.solve(game, "exact").value[0]
    assert exact == pytest.approx(2 * (2 * 1 - 1 * 1) / 5)
    assert abs(solution.value[0] - exact) <= solution.gap


def test_without_a_model_the_gap_is_estimated_and_said_to_be():
    env = mm.from_pettingzoo(Kuhn, mode="trajectories")
    assert env.game is None
    assert "trajectories" in str(env.report())
    solution = mm.solve(env, tol=0.3, max_iterations=4000, throw=False)
    assert not solution.exact
    assert solution.gap == solution.estimate.gap
    assert solution.status in (mm.Status.ESTIMATED, mm.Status.MAX_ITERATIONS)
    assert solution.converged == (solution.estimate.high <= 0.3)
    assert "estimated lower bound" in repr(solution)
    assert "estimated" in solution.note
    assert [len(table) for table in solution.policy.tables] == [6, 6]  # Kuhn's information sets
    # Never bet on the middle card first, always call with the best, never with the worst.
    king = np.array([2, ord("b")])
    assert solution.policy.probabilities("b", king)[1][1] > 0.9
    assert solution.policy.probabilities("b", np.array([0, ord("b")]))[1][1] < 0.1


def test_masks_deaths_and_numbers_that_do_not_start_at_0():
    env = mm.EpisodicEnvironment(Race)
    assert (env.n_actions, env.starts) == ((2, 3), (4, 1))
    solution = mm.solve(env, tol=0.2, max_iterations=1000, throw=False)
    assert solution.value == pytest.approx((1.0, 1.0), abs=0.1)  # both find their 1
    late = {"observation": np.array([3]), "action_mask": np.ones(3, np.int8)}
    early = {"observation": np.array([1]), "action_mask": np.array([1, 0, 0], np.int8)}
    assert solution.policy.act("b", early) == 1
    drawn = [solution.policy.act("b", late) for _ in range(50)]
    assert set(drawn) <= {1, 2, 3}
    assert np.mean(np.array(drawn) == 2) > 0.6


def test_the_policy_plays_in_the_environment():
    env = mm.EpisodicEnvironment(pursuit)
    policy = mm.solve(env, COARSE, tol=0.4, max_iterations=2000, throw=False).policy
    world, earned = pursuit(), []
    for k in range(300):
        observations, infos = world.reset(seed=k)
        total = 0.0
        while world.agents:
            actions = {a: policy.act(a, observations[a], infos[a]) for a in world.agents}
            observations, rewards, _, _, infos = world.step(actions)
            total += rewards["player_0"]
        earned.append(total)
    found = mm.earnings(env, policy, 300)
    assert np.mean(earned) == pytest.approx(found[:, 0].mean(), abs=0.15)
    np.testing.assert_allclose(found.sum(1), 0.0, atol=1e-12)


def test_rps_of_pettingzoo():
    pytest.importorskip("pygame")
    from pettingzoo.classic.rps.rps import parallel_env

    env = mm.EpisodicEnvironment(lambda: parallel_env(max_cycles=1))
    solution = mm.solve(env, tol=0.5, max_iterations=2000, throw=False)
    for agent in env.agents:
        chances = solution.policy.probabilities(agent, np.array(3))[1]
        np.testing.assert_allclose(chances, 1 / 3, atol=0.2)


# --- laws


def test_the_same_seed_gives_the_same_bits():
    env = mm.EpisodicEnvironment(Kuhn)
    runs = [EpisodesRun(VLearning(), env, None, seed) for seed in (1, 1, 2)]
    for run in runs:
        run.advance(200)
    flats = [run.learners.policy() for run in runs]
    np.testing.assert_array_equal(flats[0], flats[1])
    assert len(flats[0]) != len(flats[2]) or (flats[0] != flats[2]).any()


def test_every_stage_restarts_from_the_initial_policy():
    env = mm.EpisodicEnvironment(Pennies)
    slots = [{env.slot(np.int64(t), {}, t): np.array([0.8, 0.2]) for t in range(2)}] * 2
    run = EpisodesRun(VLearning(), env, mm.ObservationPolicy(env, slots), 0)
    moved = 0.0
    for _ in range(60):
        fresh = not run.learners.size or run.learners.tally[0, kernels.VISITS] == 0
        run.advance(1)
        played = run.learners.act[:2, kernels.PLAY]
        if fresh:
            np.testing.assert_allclose(played, [0.8, 0.2], atol=1e-12)
        moved = max(moved, abs(played[0] - 0.8))
    assert run.learners.tally[0, kernels.STAGES] >= 3
    assert moved > 0.01


def test_stories_hold_what_came_between_a_players_choices():
    class Paying(Turns):
        def play(self, agent, action):
            self.rewards = {"a": float(self.t), "b": 10.0 * self.t}

    env = mm.EpisodicEnvironment(Paying, discount=0.5)
    a, b = play_episode(env, env.open(0), 0, lambda *_: 0)
    assert (a.pay, a.fade) == ([1 + 0.5 * 2, 3 + 0.5 * 4], [0.25, 0.25])
    assert (b.pay, b.fade) == ([20 + 0.5 * 30, 40.0], [0.25, 0.5])
    assert a.earned == 1 + 0.5 * 2 + 0.25 * 3 + 0.125 * 4
    assert a.over


def test_episodes_that_are_cut_off_go_on_where_there_is_a_discount():
    env = mm.EpisodicEnvironment(Endless, discount=0.9)
    run = EpisodesRun(VLearning(), env, None, 0)
    run.advance(2000)
    value = run.learners.worth[next(iter(run.index[0].values())), kernels.VALUE]
    assert value == pytest.approx(10.0, rel=0.15)  # 1 / (1 - γ), as stages pass it on
    assert value > 1 + 0.9 + 0.81 + 0.73 + 0.66


def test_time_tells_choices_apart():
    env = mm.EpisodicEnvironment(Endless, timed=True)
    run = EpisodesRun(VLearning(), env, None, 0)
    run.advance(100)
    assert [len(index) for index in run.index] == [5, 5]
    values = [run.learners.worth[k, kernels.VALUE] for k in run.index[0].values()]
    np.testing.assert_allclose(values, [5, 4, 3, 2, 1])
    policy = run.policy()
    assert policy.act("a", np.int64(0), step=2) in (0, 1)
    with pytest.raises(ValueError, match="'step' parameter"):
        policy.act("a", np.int64(0))


def test_long_episodes_are_cut():
    env = mm.EpisodicEnvironment(Endless, max_steps=3)
    assert mm.earnings(env, mm.ObservationPolicy.uniform(env), 2).tolist() == [[3.0, 0.0]] * 2


# --- the estimate


def test_the_estimate_is_a_lower_bound_that_finds_what_there_is():
    env = mm.EpisodicEnvironment(pursuit)
    uniform = mm.ObservationPolicy.uniform(env)
    exact = mm.nash_gap(env.game, mm.JointPolicy.uniform(env.game))
    found = mm.estimate_gap(env, uniform, episodes=1500, trials=400)
    assert found.low <= exact
    assert found.high >= 0.8 * exact
    assert found.gap == pytest.approx(sum(found.gains))
    assert found.episodes == 400 + 2 * 1900
    assert "at least about" in str(found)
    again = mm.estimate_gap(env, uniform, episodes=1500, trials=400)
    assert again == found


# --- comparisons


def test_a_family_of_environments_is_compared_in_episodes(tmp_path):
    exact = mm.from_pettingzoo(Pennies)
    envs = [mm.EpisodicEnvironment(Pennies, game=exact) for _ in range(3)]
    found = mm.compare(envs, ["robust", "average"], COARSE, tol=0.5, max_iterations=20_000)
    assert all(row["converged"] for row in found.rows)
    assert found.arms == ["none", "robust(certificate='past')", "average"]
    assert "episodes per task" in found.table()
    assert found.speedup > 1.5
    assert not found.similarity
    found.save(tmp_path)
    assert "episodes" in (tmp_path / "table.txt").read_text()
    again = mm.compare(
        envs, ["robust", "average"], COARSE, tol=0.5, max_iterations=20_000, n_jobs=2
    )
    for one, other in zip(found.rows, again.rows, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_layouts_put_policies_side_by_side():
    env = mm.EpisodicEnvironment(Pennies)
    one = mm.ObservationPolicy(env, [{("x",): np.array([0.9, 0.1])}, {}])
    two = mm.ObservationPolicy(env, [{("y",): np.array([0.3, 0.7])}, {("x",): np.array([1.0, 0])}])
    layout = Layout(env, [one, two])
    assert layout.flat(one).tolist() == [0.9, 0.1, 0.5, 0.5, 0.5, 0.5]
    assert layout.flat(two).tolist() == [0.5, 0.5, 0.3, 0.7, 1.0, 0.0]
    assert layout.uniform().tolist() == [0.5] * 6
    assert layout.most == pytest.approx(3 * np.log(2))
    back = layout.policy(layout.flat(two))
    assert back.tables[1]["x",].tolist() == [1.0, 0.0]


# --- errors


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: mm.EpisodicEnvironment(3), TypeError),
        (lambda: mm.EpisodicEnvironment(lambda: 3), TypeError),
        (lambda: mm.EpisodicEnvironment(Kuhn, timed=1), TypeError),
        (lambda: mm.EpisodicEnvironment(Kuhn, discount=2.0), ValueError),
        (lambda: mm.EpisodicEnvironment(Kuhn, max_steps=0), ValueError),
        (lambda: mm.EpisodicEnvironment(Kuhn, game=make("rps")), TypeError),
        (lambda: mm.EpisodicEnvironment(pursuit, discount=0.5), ValueError),
        (lambda: mm.solve(mm.EpisodicEnvironment(Kuhn), "omd"), ValueError),
        (lambda: mm.solve(mm.EpisodicEnvironment(Kuhn), VLearning.published()), ValueError),
        (lambda: mm.solve(mm.EpisodicEnvironment(Kuhn), init=3), TypeError),
        (lambda: mm.solve(Kuhn()), TypeError),
        (lambda: mm.compare([mm.EpisodicEnvironment(Kuhn), make("rps")]), TypeError),
        (
            lambda: mm.compare([mm.EpisodicEnvironment(k) for k in (Kuhn, Race)], solver="auto"),
            ValueError,
        ),
        (lambda: mm.estimate_gap(Kuhn, None), TypeError),
        (
            lambda: mm.ObservationPolicy.uniform(mm.EpisodicEnvironment(Kuhn)).act("z", 0),
            ValueError,
        ),
        (lambda: mm.ObservationPolicy(Kuhn(), []), TypeError),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence(call, error):
    with pytest.raises(error) as found:
        call()
    assert re.fullmatch(SENTENCE, str(found.value)), str(found.value)


class Guess(Turns):
    """Two rounds of pennies, asked for in turns: `b` does not see what `a` has done."""

    def play(self, agent, action):
        if agent == "a":
            self.chosen = action
        else:
            won = 1.0 if action == self.chosen else -1.0
            self.rewards = {"a": -won, "b": won}

    def observe(self, agent):
        return np.int64(self.t // 2)


@pytest.mark.parametrize("clock", [{"discount": 0.9}, {"horizon": 1}])
def test_joined_moves_are_not_graded_by_another_clock(clock):
    game = mm.from_pettingzoo(Guess, **clock)
    assert game.plug_in.joined
    with pytest.raises(ValueError, match="neither horizon nor discount") as found:
        mm.EpisodicEnvironment(Guess, game=game)
    assert re.fullmatch(SENTENCE, str(found.value))
    assert mm.EpisodicEnvironment(Guess, game=mm.from_pettingzoo(Guess)).game is not None


def test_masks_that_nothing_tells_are_refused():
    env = mm.EpisodicEnvironment(Pennies)
    run = EpisodesRun(VLearning(), env, None, 0)
    run.advance(1)
    run.legal[0] = np.array([0])  # as if another mask had come with the same sight
    with pytest.raises(ValueError, match="tell which actions are legal"):
        run.advance(1)
