"""Solutions back in the environments their games came from, and what episodes are worth there."""

import numpy as np
import pettingzoo
import pytest
from gymnasium.utils import seeding
from small_environments import Parallel, Turns

import metamarl as mm


class Bet(Parallel):
    """Three rounds of unequal pennies with a coin; agents 7 and 3, actions from 2 and 5 on."""

    length = 3
    first = (2, 5)

    def __init__(self, coin=0.3):
        super().__init__((7, 3))
        self.coin = coin

    def begin(self, seed):
        if seed is not None or not hasattr(self, "rng"):
            self.rng, _ = seeding.np_random(seed)
        self.luck = 0

    def pay(self, actions):
        same = actions[7] - 2 == actions[3] - 5
        won = (2.0 if actions[7] == 2 else 1.0) * (1 if same else -1) * (1 + self.luck)
        self.luck = int(self.rng.random() < self.coin)
        return {7: won, 3: -won}

    def see(self, agent):
        return np.int64(10 * self.luck + self.t)


class Race(Turns):
    """In turn, who has thrown; a throw of two adds a random number, one adds 1; to 3 or more."""

    length = 6

    def begin(self, seed):
        if seed is not None or not hasattr(self, "rng"):
            self.rng, _ = seeding.np_random(seed)
        self.sums = [0, 0]

    def play(self, agent, action):
        i = self.agents.index(agent)
        self.sums[i] += int(self.rng.integers(3)) if action else 1
        if self.sums[i] >= 3:
            self.rewards = {a: 1.0 if a == agent else -1.0 for a in self.agents}
            self.terminations = dict.fromkeys(self.agents, True)

    def observe(self, agent):
        return np.int64(self.t + 10 * self.sums[0] + 100 * self.sums[1])

    def observation_space(self, agent):
        from gymnasium import spaces

        return spaces.Discrete(1000)


def _from(make, **options):
    return mm.solve(mm.from_pettingzoo(make, **options))


SOLVED = {
    "parallel": lambda: _from(Bet),
    "in turns": lambda: _from(Race),
    "hidden moves in turns": lambda: _from(
        lambda: pettingzoo.make("aec", "classic/rps-v2", max_cycles=3)
    ),
    "discount": lambda: _from(Bet, discount=0.5),
    "horizon": lambda: _from(Bet, horizon=2),
    "horizon, in turns": lambda: _from(Race, horizon=3),
    "soccer": lambda: mm.solve(mm.make("soccer")),
    "three players": lambda: mm.solve(mm.make("matching-pennies"), throw=False, max_iterations=300),
    "prisoners": lambda: mm.solve(mm.make("prisoners")),
    "tictactoe": lambda: mm.solve(mm.make("tictactoe")),
}


@pytest.mark.parametrize("name", SOLVED)
def test_episodes_are_worth_what_the_game_says(name):
    """The exact value lies within the interval, of 99.99 %, whatever the seed."""
    solution = SOLVED[name]()
    steps = solution.game.horizon if name.startswith("horizon") else None
    found = mm.rollouts(None, solution, 400, seed=1, max_steps=steps)
    wide = 2 * (np.array([i.high for i in found.intervals]) - found.mean)
    assert (abs(found.mean - solution.value) <= wide + 0.01).all()
    assert found.returns.shape == (400, len(solution.value))
    again = mm.rollouts(None, solution, 400, seed=1, max_steps=steps)
    np.testing.assert_array_equal(found.returns, again.returns)
    assert str(found).count("[") == len(found.agents) or found.returns.std() == 0


class Paid(Parallel):
    """Pays 1 five times."""

    length = 5

    def pay(self, actions):
        return {"a": 1.0, "b": -1.0}


@pytest.mark.parametrize(("most", "steps"), [(None, 3), (2, 2), (4, 3)])
def test_episodes_end_with_the_horizon(most, steps):
    found = mm.rollouts(None, _from(Paid, horizon=3), 2, max_steps=most)
    assert found.steps.tolist() == [steps] * 2
    np.testing.assert_array_equal(found.returns, [[steps, -steps]] * 2)


def test_episodes_of_joined_moves_end_with_the_horizon():
    solution = _from(lambda: pettingzoo.make("aec", "classic/rps-v2", max_cycles=5), horizon=3)
    assert mm.rollouts(None, solution, 3).steps.tolist() == [3] * 3


class Alternate(Turns):
    """In turns, seeing the last action; who moves at step 2 is paid for action 1, else for 0."""

    length = 6

    def begin(self, seed):
        self.before = 0

    def play(self, agent, action):
        self.before = action
        good = action == (self.t == 3)
        self.rewards = {a: float(good) if a == agent else -float(good) for a in self.agents}

    def observe(self, agent):
        return np.int64(2 * self.t + self.before)


def test_a_player_of_one_agent_is_told_the_step():
    solution = _from(Alternate, horizon=4)
    game = solution.game
    env, one = Alternate(), mm.Player(game, solution.policy)
    env.reset()
    played = []
    for step in range(4):
        agent = env.agent_selection
        action = 1
        if agent == "a":
            action = one.act("a", env.observe("a"), step=step)
            assert one.step == step
            played.append(action)
        env.step(action)
    assert played == [0, 1]
    one.begin()
    one.act("a", np.int64(0))  # then "b" moves
    with pytest.raises(ValueError, match="'step' parameter of act must be given where this Player"):
        one.act("a", np.int64(5))
    one.begin()
    with pytest.raises(ValueError, match="'step' parameter of act must be given"):
        one.act("b", np.int64(2))
    assert solution.act("b", np.int64(2), step=1) == 0
    for bad, kind in [(-1, ValueError), (0.5, TypeError)]:
        with pytest.raises(kind, match="'step' parameter of act"):
            one.act("a", np.int64(0), step=bad)


def test_an_observation_that_tells_the_step_is_believed():
    """One state, where only the step tells one agent's choice from another's."""
    game = mm.make("rps", rounds=3)
    player = mm.Player(game, mm.JointPolicy.uniform(game))
    player.act("player_0", {"observation": np.array([0, 0])})
    player.act("player_1", {"observation": np.array([0, 2])})
    assert player.step == 2


def test_intervals_cover_in_95_of_100_runs():
    solution = SOLVED["parallel"]()
    covered = []
    for seed in range(60):
        interval = mm.rollouts(Bet, solution, 60, seed=seed).intervals[0]
        covered.append(interval.low <= solution.value[0] <= interval.high)
    assert np.mean(covered) >= 0.88  # 3 standard errors below 0.95


@pytest.mark.parametrize("name", ["soccer", "tictactoe", "prisoners", "three players"])
def test_in_turns_and_at_once_the_same_is_played(name):
    solution = SOLVED[name]()
    found = [
        mm.rollouts(lambda api=api: mm.to_pettingzoo(solution.game, api=api), solution, 20, seed=3)
        for api in ("parallel", "aec")
    ]
    np.testing.assert_allclose(found[0].returns, found[1].returns)
    np.testing.assert_array_equal(found[0].steps, found[1].steps)


def test_the_loop_of_pettingzoo():
    solution = SOLVED["in turns"]()
    env, totals = Race(), np.zeros(2)
    for seed in range(50):
        env.reset(seed=seed)
        solution.player.begin()
        for agent in env.agent_iter():
            observation, reward, terminated, truncated, info = env.last()
            totals[env.possible_agents.index(agent)] += reward
            done = terminated or truncated
            action = None if done else solution.act(agent, observation, info)
            assert action is None or env.action_space(agent).contains(action)
            env.step(action)
    assert totals.sum() == 0
    assert abs(totals[0] / 50 - solution.value[0]) < 4 / np.sqrt(50)


def test_actions_are_those_of_the_policy():
    solution = SOLVED["parallel"]()
    game = solution.game
    player = mm.Player(game, solution.policy, seed=5)
    count = np.zeros(2)
    for _ in range(3000):
        player.begin()
        count[player.act(7, np.int64(0)) - 2] += 1
    (state,) = game.plug_in.shows[0][next(iter(game.plug_in.shows[0]))]
    first = solution.policy[0][int(game.initial.argmax())]
    assert 0 < first[0] < 1
    assert abs(count[0] / 3000 - first[0]) < 4 * np.sqrt(first[0] * first[1] / 3000)
    assert state == game.initial.argmax()


def test_a_correlated_policy_is_drawn_once_for_all():
    game = mm.make("prisoners")
    joint = np.zeros((game.horizon, game.n_states, 2, 2))
    joint[..., 0, 0] = joint[..., 1, 1] = 0.5
    player = mm.Player(game, mm.CorrelatedPolicy(joint), seed=2)
    for api in ("parallel", "aec"):
        env = mm.to_pettingzoo(game, api=api)
        seen = []
        env.reset(seed=0)
        player.begin()
        for step in range(game.horizon):
            observation = {"observation": np.array([0, step]), "action_mask": np.ones(2, np.int8)}
            seen.append([player.act(agent, observation) for agent in ("player_0", "player_1")])
        first, second = np.transpose(seen)
        assert (first == second).all()
        assert set(first) == {0, 1}


def test_seeds():
    game = mm.make("rps")
    policy = mm.JointPolicy.uniform(game)

    def play(player, seed=None):
        player.begin(seed)
        observations = [{"observation": np.array([0, step])} for step in range(15)]
        return [player.act("player_0", observation) for observation in observations]

    one, two, other = (mm.Player(game, policy, seed) for seed in (1, 1, 2))
    first = play(one)
    assert first == play(two)
    assert first != play(other)
    assert play(one) == play(two) != first  # the draws go on
    assert play(one, 7) == play(two, 7) == play(one, 7)


def test_the_state_follows_from_what_was_done():
    """Rock-paper-scissors counts rounds, which nobody sees: only the number of own moves tells."""
    solution = SOLVED["hidden moves in turns"]()
    assert not any(solution.game.plug_in.sees_state)
    env = pettingzoo.make("aec", "classic/rps-v2", max_cycles=3)
    for _ in range(3):
        env.reset(seed=0)
        solution.player.begin()
        moves = 0
        for agent in env.agent_iter():
            observation, _, terminated, truncated, info = env.last()
            if terminated or truncated:
                env.step(None)
                continue
            env.step(solution.act(agent, observation, info))
            moves += 1
        assert moves == 6
        assert solution.player.step == 2
    env.reset(seed=0)
    for _ in range(4):
        env.step(0)
    solution.player.begin()  # too late: play is in the third round
    with pytest.raises(ValueError, match=r"call begin\(\) at the start of every episode"):
        solution.act("player_0", env.observe("player_0"))


def test_who_has_nothing_legal_sends_anything():
    class Waiting(Bet):
        def inform(self, agent):
            asleep = agent == 3 and self.t == 1
            return {"action_mask": np.zeros(2, np.int8) if asleep else np.ones(2, np.int8)}

    solution = _from(Waiting)
    assert solution.act(3, np.int64(1), {"action_mask": np.zeros(2, np.int8)}) == 5
    found = mm.rollouts(Waiting, solution, 300, seed=1)
    assert abs(found.mean[0] - solution.value[0]) <= 2 * (found.intervals[0].high - found.mean[0])


def test_errors():
    solution = SOLVED["parallel"]()
    with pytest.raises(ValueError, match=r"'agent' parameter of act must be one of \[7, 3\]"):
        solution.act("a", np.int64(0))
    with pytest.raises(
        ValueError, match="'observation' parameter of act must be one that 7 can have"
    ):
        solution.act(7, np.int64(99))
    assert solution.act(7, None) is None
    ours = SOLVED["soccer"]()
    for seen in [np.zeros(2), np.array([10**6]), {"observation": None}, "x"]:
        with pytest.raises(
            ValueError, match="'observation' parameter of act must be one of to_petti"
        ):
            ours.act("player_0", seen)
    for call, kind, message in [
        (
            lambda: mm.rollouts(None, ours.policy),
            TypeError,
            "'policy' parameter of rollouts must be",
        ),
        (lambda: mm.rollouts(None, ours, 0), ValueError, "'episodes' parameter of rollouts"),
        (lambda: mm.rollouts(None, ours, 1, max_steps=0), ValueError, "'max_steps' parameter"),
        (lambda: mm.rollouts(None, ours, 1, seed=-1), ValueError, "'seed' parameter of rollouts"),
        (lambda: mm.rollouts(lambda: 3, ours, 1), TypeError, "a PettingZoo environment"),
        (lambda: mm.Player(ours.game, 3), TypeError, "'policy' parameter of Player must be"),
        (lambda: mm.Player("soccer", ours.policy), TypeError, "'game' parameter of Player"),
    ]:
        with pytest.raises(kind, match=message):
            call()
    three = mm.to_pettingzoo(mm.make("matching-pennies"))
    with pytest.raises(ValueError, match=r"'env' parameter of rollouts .* with 2 agents"):
        mm.rollouts(three, ours, 1)


def test_a_loaded_solution_plays_on(tmp_path):
    solution = SOLVED["parallel"]()
    path = solution.save(tmp_path / "bet.npz")
    again = mm.load(path, mm.from_pettingzoo(Bet))
    one, two = (mm.rollouts(Bet, s, 20, seed=4) for s in (solution, again))
    np.testing.assert_array_equal(one.returns, two.returns)
    alone = mm.load(path)
    with pytest.raises(ValueError, match="with its game"):
        alone.act(7, np.int64(0))
    with pytest.raises(ValueError, match=r"loaded with its game: load\(path, game\)"):
        mm.rollouts(Bet, alone, 1)
