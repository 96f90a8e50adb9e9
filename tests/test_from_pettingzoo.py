"""PettingZoo environments as games: known answers, and the thirteen traps on the way."""

import itertools
import random

import numpy as np
import pettingzoo
import pytest
from gymnasium import spaces
from gymnasium.utils import EzPickle, seeding
from pettingzoo.utils.conversions import parallel_to_aec, turn_based_aec_to_parallel
from pettingzoo.utils.wrappers import TerminateIllegalWrapper
from small_environments import Parallel, Slippery, Turns

import metamarl as mm


def value(game):
    return mm.solve(game, "exact").value


def pennies(actions):
    won = 2.0 * (actions["a"] == actions["b"]) - 1.0
    return {"a": won, "b": -won}


# --- environments of PettingZoo


def test_rock_paper_scissors():
    game = mm.from_pettingzoo(lambda: pettingzoo.make("parallel", "classic/rps-v2"), mode="exact")
    assert game.plug_in.agents == ("player_0", "player_1")
    assert game.report().exact
    assert game.report().found == 127  # the last moves are attributes too
    assert game.n_states == 16  # 15 rounds, and the end
    solution = mm.solve(game)
    np.testing.assert_allclose(solution.value, 0, atol=1e-12)
    np.testing.assert_allclose(solution.policy[0][:15], 1 / 3, atol=1e-9)


def test_trap_02_turns_that_hide_simultaneous_moves():
    def make():
        return pettingzoo.make("aec", "classic/rps-v2", max_cycles=3)

    game = mm.from_pettingzoo(make)
    assert game.plug_in.joined
    assert "joined" in game.report().facts["moves"]
    np.testing.assert_allclose(value(game), 0, atol=1e-12)
    np.testing.assert_allclose(value(mm.from_pettingzoo(make, simultaneous=True)), 0, atol=1e-12)
    # Read as turns, who moves second would win every round: the players cannot see that much.
    with pytest.raises(ValueError, match="the observation is not the state: 'player_1'"):
        mm.from_pettingzoo(make, simultaneous=False)


@pytest.mark.parametrize("wrap", [lambda env: env, turn_based_aec_to_parallel])
def test_tic_tac_toe(wrap):
    game = mm.from_pettingzoo(lambda: wrap(pettingzoo.make("aec", "classic/tictactoe-v3")))
    assert game.report().exact
    assert game.report().found == 4520  # 5478 positions, 958 of them finished
    np.testing.assert_allclose(value(game), 0)
    assert all(game.plug_in.sees_state)


@pytest.mark.parametrize("name", ["aec", "parallel"])
@pytest.mark.parametrize(
    ("game", "options"),
    [
        ("pursuit", {"size": 2, "horizon": 3}),
        ("rps", {}),
        ("prisoners", {"horizon": 3}),
        ("bargaining", {"rounds": 3}),
        ("matching-pennies", {"horizon": 2}),
    ],
)
def test_there_and_back(name, game, options):
    game = mm.make(game, **options)

    def make():
        env = mm.to_pettingzoo(game)
        return env if name == "parallel" else parallel_to_aec(env)

    again = mm.from_pettingzoo(make, "exact")
    assert again.report().exact
    uniform = [mm.evaluate(g, mm.JointPolicy.uniform(g)) for g in (game, again)]
    np.testing.assert_allclose(uniform[1], uniform[0], rtol=1e-9, atol=1e-12)
    if game.kind == "zero-sum":
        np.testing.assert_allclose(value(again), value(game), atol=1e-8)


@pytest.mark.parametrize("game", ["stopping", "big-match", "grid-game-2"])
def test_there_and_back_with_a_discount(game):
    game = mm.make(game)
    again = mm.from_pettingzoo(
        lambda: mm.to_pettingzoo(game),
        state=(lambda env: env.state()) if game.discount == 1 else None,
        discount=game.discount,
    )
    told = again.report().facts["told apart by"]
    assert told == ("what 'state' returns" if game.discount == 1 else "state() of the environment")
    uniform = [mm.evaluate(g, mm.JointPolicy.uniform(g)) for g in (game, again)]
    np.testing.assert_allclose(uniform[1], uniform[0], rtol=1e-9)
    if game.kind == "zero-sum":
        np.testing.assert_allclose(value(again), value(game), atol=1e-8)


# --- the traps


class Counting(Parallel, EzPickle):
    """Pays how often both have played 1 so far: a copy made by the constructor forgets that."""

    length = 3

    def __init__(self):
        EzPickle.__init__(self)
        Parallel.__init__(self)

    def begin(self, seed):
        self.count = 0

    def pay(self, actions):
        self.count += actions["a"] * actions["b"]
        return {"a": float(self.count), "b": -float(self.count)}

    def see(self, agent):
        return np.int64(10 * self.count + self.t)


def test_trap_01_copies_that_are_made_by_the_constructor():
    game = mm.from_pettingzoo(Counting)
    best, _ = mm.best_response(game, mm.JointPolicy.uniform(game), 0)
    # Player 1 plays 1 with ½ each time: ½·3 + ½·2 + ½·1.
    assert best == pytest.approx(3.0)


def test_state_that_no_copy_reaches_is_replayed():
    hidden = {}

    class Outside(Counting):
        """Keeps its count where no attribute leads: in what a function has closed over."""

        def begin(self, seed):
            hidden["count"] = 0

        def pay(self, actions):
            hidden["count"] += actions["a"] * actions["b"]
            return {"a": float(hidden["count"]), "b": -float(hidden["count"])}

        def see(self, agent):
            return np.int64(10 * hidden["count"] + self.t)

    game = mm.from_pettingzoo(Outside, state=lambda env: (env.t, hidden["count"]))
    assert "replays" in game.report().facts["copies"]
    best, _ = mm.best_response(game, mm.JointPolicy.uniform(game), 0)
    assert best == pytest.approx(3.0)


def test_an_environment_without_a_way_back_is_not_enumerated():
    played = itertools.count()

    class Ageing(Parallel):
        def pay(self, actions):
            return dict.fromkeys(actions, float(next(played)))

    with pytest.raises(ValueError, match="no way back to a state"):
        mm.from_pettingzoo(Ageing, "exact")


class Endless(Parallel):
    """Pays a 1 when both have played alike, and is cut off after 5 steps."""

    def pay(self, actions):
        return pennies(actions)

    def ended(self):
        return False

    def cut(self):
        return self.t >= 5

    def see(self, agent):
        return np.int64(0)


def test_trap_03_time_that_is_in_the_state_but_not_in_the_observation():
    game = mm.from_pettingzoo(Endless)
    assert game.n_states == 6
    assert game.report().facts["ends"] == "cut off (truncated)"
    assert "truncated" in game.report().warnings[0]
    assert "only by remembering" in game.report().facts["information"]


def test_trap_03_truncation_is_not_termination():
    with pytest.raises(ValueError, match="by a limit that is not in the state"):
        mm.from_pettingzoo(Endless, state=lambda env: env.t % 5)
    game = mm.from_pettingzoo(Endless, state=lambda _: 0, discount=0.5)
    assert game.n_states == 1  # it goes on for ever
    both = mm.JointPolicy([np.array([[1.0, 0.0]])] * 2)
    np.testing.assert_allclose(mm.evaluate(game, both), [2, -2])


def test_play_that_may_go_on_for_ever_needs_a_clock():
    class Circle(Endless):
        def cut(self):
            return False

    with pytest.raises(ValueError, match="'discount' parameter of from_pettingzoo must be below 1"):
        mm.from_pettingzoo(Circle, state=lambda env: env.t % 3)
    assert mm.from_pettingzoo(Circle, state=lambda env: env.t % 3, horizon=4).horizon == 4


class Drawing(Counting):
    """Keeps a list for drawing, and sums of what it paid."""

    def begin(self, seed):
        super().begin(seed)
        self.history, self.trail = [], []
        self.rewards = {"a": 0.0, "b": 0.0}

    def pay(self, actions):
        self.history.append(tuple(actions.values()))
        self.trail.append(tuple(actions.values()))
        self.rewards = super().pay(actions)
        return self.rewards


def test_trap_04_attributes_that_only_remember():
    game = mm.from_pettingzoo(Drawing, ignore=("history", "trail"))
    assert game.report().found == mm.from_pettingzoo(Counting).report().found
    longer = mm.from_pettingzoo(Drawing)
    assert longer.report().found > game.report().found
    assert longer.n_states == game.n_states  # what is alike is merged afterwards
    np.testing.assert_allclose(value(longer), value(game))


def test_trap_04_what_is_ignored_must_not_matter():
    with pytest.raises(
        ValueError, match="attributes of the environment without count do not tell the state"
    ):
        mm.from_pettingzoo(Counting, "exact", ignore=("count",))
    with pytest.raises(ValueError, match="what 'state' returns do not tell the state"):
        mm.from_pettingzoo(Counting, "exact", state=lambda env: env.t)


class Deck(Parallel):
    """A deck of three is shuffled at reset; a bets on its first card, seen only afterwards."""

    length = 2

    def begin(self, seed):
        self.np_random, _ = seeding.np_random(seed)
        self.deck = [1, 2, 3]
        self.np_random.shuffle(self.deck)

    def pay(self, actions):
        card = self.deck[self.t - 1]
        won = (2.0 - card) * (2 * actions["a"] - 1)
        return {"a": won, "b": -won}

    def see(self, agent):
        return np.array([self.t, *self.deck[: self.t], *[0] * (3 - self.t)])


def test_trap_05_chance_that_is_drawn_at_reset_and_hidden():
    report = mm.inspect(Deck)
    assert not report.exact
    assert report.mode == "trajectories"
    assert "something is drawn at reset and kept from it" in report.why
    with pytest.raises(ValueError, match="What fits: mode 'trajectories'"):
        mm.from_pettingzoo(Deck)

    class Open(Deck):
        def see(self, agent):
            return np.array([self.t, *self.deck])

    game = mm.from_pettingzoo(Open)
    assert np.count_nonzero(game.initial) == 6
    # First card 1 or 3: a wins 1; likewise the second: 2/3 each.
    np.testing.assert_allclose(value(game), [4 / 3, -4 / 3])


def test_hidden_moves_are_found_later_too():
    class Peek(Turns):
        """b moves after a, sees nothing of it, and then a again: nobody is asked in turn twice."""

        length = 3

        def begin(self, seed):
            self.kept = None

        def play(self, agent, action):
            if self.t == 1:
                self.kept = action
            if self.t == 3:
                self.rewards = {"a": 0.0, "b": float(action == self.kept)}

        def following(self, agent):
            return "b"

        def observe(self, agent):
            return np.int64(self.t if agent == "b" else 0)

    report = mm.inspect(Peek)
    assert "'b' cannot tell states" in report.why


class Restless(Slippery):
    """Makes a new generator at every reset, from the operating system where there is no seed."""

    def begin(self, seed):
        self.np_random = np.random.default_rng(seed)
        self.place = int(self.np_random.integers(2))

    def step(self, actions):
        if self.place == 1:
            self.extra = random.Random().random() < 0.5
        return super().step(actions)


def test_trap_06_random_first_states():
    game = mm.from_pettingzoo(Restless)
    assert sorted(game.initial[game.initial > 0]) == [0.5, 0.5]
    assert "2 first states" in game.report().facts["chance"]
    one, other = (mm.from_pettingzoo(Restless, seed=k) for k in (1, 2))
    np.testing.assert_array_equal(one.table.probabilities, other.table.probabilities)
    np.testing.assert_array_equal(one.initial, other.initial)


def test_chance_in_every_step_is_played_with_its_probability():
    for slip, cut in itertools.product((0.0, 0.25, 1.0), (6, 3)):

        class Walk(Slippery):
            def cut(self):
                return self.t >= cut and not self.ended()  # noqa: B023

        game = mm.from_pettingzoo(lambda: Walk(slip))  # noqa: B023
        # Uniform play matches with ½, and then moves on with 1 - slip.
        step, place, total = 0.5 * (1 - slip), np.array([1.0, 0, 0]), 0.0
        for _ in range(cut):
            total += place.sum() * 0.5
            place = (1 - step) * place + step * np.append(0, place[:-1])
        got = mm.evaluate(game, mm.JointPolicy.uniform(game))
        np.testing.assert_allclose(got, [total, -total])


class Leaving(Turns):
    """b leaves after its first move and is paid for it; a and c go on."""

    length, actions, first = 6, (2, 2, 2), (0, 0, 0)

    def __init__(self):
        super().__init__(("a", "b", "c"))

    def play(self, agent, action):
        if agent == "b":
            self.terminations["b"] = True
            self.rewards["b"] = 2.0 * action
        if self.t == self.length:
            self.rewards["c"] = 1.0 + action


def test_trap_07_agents_that_die_are_paid():
    game = mm.from_pettingzoo(Leaving, simultaneous=False)
    uniform = mm.JointPolicy.uniform(game)
    np.testing.assert_allclose(mm.evaluate(game, uniform)[:2], [0, 1])
    best = [mm.best_response(game, uniform, i)[0] for i in range(3)]
    np.testing.assert_allclose(best[:2], [0, 2])


def test_trap_08_agents_that_are_born_later():
    class Unknown(Parallel):
        def __init__(self):
            super().__init__()
            self.kinds = self.possible_agents
            del self.possible_agents

    class Growing(Parallel):
        def step(self, actions):
            self.agents = [*self.agents, f"c{self.t}"]
            return super().step(actions)

    with pytest.raises(ValueError, match="'possible_agents', known before it is played"):
        mm.from_pettingzoo(Unknown)
    with pytest.raises(ValueError, match="'c0', born later"):
        mm.from_pettingzoo(Growing)


class Forbidding(Turns):
    """a may not play 0; who moves against the mask would lose the game."""

    actions = (3, 2)

    def play(self, agent, action):
        assert agent != "a" or action != 0
        if self.t == self.length:
            self.rewards = {"a": 1.0, "b": -1.0}

    def observe(self, agent):
        mask = np.array([0, 1, 1] if agent == "a" else [1, 1], np.int8)
        if agent != self.agent_selection:
            mask[:] = 0
        return {"observation": np.array([self.t]), "action_mask": mask}


def test_trap_09_masks_stand_before_the_punishment():
    game = mm.from_pettingzoo(lambda: TerminateIllegalWrapper(Forbidding(), illegal_reward=-1))
    assert not game.legal[0][:-1, 0].any() or game.legal[0][:, 1:].any(1).sum() == 2
    assert game.table.reward.min() == -1
    np.testing.assert_allclose(value(game), [1, -1])


class Odd(Parallel):
    """Numbers as agents, actions from 5 and from -1, as many as they like, odd observations."""

    actions, first, length = (2, 4), (5, -1), 1

    def pay(self, actions):
        assert actions[7] in (5, 6)
        assert actions[3] in (-1, 0, 1, 2)
        return {7: float(actions[7] * 10 + actions[3]), 3: 0.0}

    def observation_space(self, agent):
        return spaces.Tuple((spaces.MultiBinary(2), spaces.Dict(x=spaces.Discrete(3))))

    def see(self, agent):
        return (np.array([0, 1], np.int8), {"x": np.int64(self.t)})


def test_trap_10_numbers_as_agents_and_actions_that_do_not_start_at_0():
    game = mm.from_pettingzoo(lambda: Odd((7, 3)))
    assert game.plug_in.agents == (7, 3)
    assert game.plug_in.starts == (5, -1)
    assert game.n_actions == (2, 4)
    pay = game.table.reward[0, :8].reshape(2, 4)
    np.testing.assert_array_equal(pay, np.add.outer([50, 60], [-1, 0, 1, 2]))


class Twice(Turns):
    """a moves twice in a row, then b; a wins 1 for (1, 0), and b guesses the first move."""

    length = 3

    def begin(self, seed):
        self.moves = []

    def play(self, agent, action):
        self.moves.append(action)
        if self.t == 3:
            won = float(self.moves[:2] == [1, 0]) - float(action == self.moves[0])
            self.rewards = {"a": won, "b": -won}

    def following(self, agent):
        return "a" if self.t < 2 else "b"

    def observe(self, agent):
        return np.array([self.t, *self.moves, *[0] * (3 - len(self.moves))])


def test_trap_11_an_agent_that_moves_twice_in_a_row():
    game = mm.from_pettingzoo(Twice)
    assert not game.plug_in.joined
    np.testing.assert_allclose(value(game), 0)  # (1, 0) pays 1, and b sees it: 1 - 1


class Shadowed(Counting):
    """`state` is an attribute here, as in rock-paper-scissors."""

    def begin(self, seed):
        super().begin(seed)
        self.state = {"a": 0}


def test_trap_12_a_state_that_cannot_be_called():
    game = mm.from_pettingzoo(Shadowed)
    assert game.n_states == mm.from_pettingzoo(Counting).n_states


class Global(Slippery):
    def pay(self, actions):
        self.np_random = np.random if self.source == "numpy" else random
        return super().pay(actions)


@pytest.mark.parametrize("source", ["numpy", "python"])
def test_trap_13_draws_from_a_global_generator(source):
    class Here(Global):
        pass

    Here.source = source
    report = mm.inspect(Here)
    assert report.mode == "sample"
    assert "global generator" in report.why
    with pytest.raises(ValueError, match=r"make one of its own|one of its own"):
        mm.from_pettingzoo(Here, "exact")
