"""PettingZoo environments as games: known answers, and the thirteen traps on the way."""

import gc
import itertools
import pickle
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
        mm.from_pettingzoo(make, mode="exact", simultaneous=False)


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


def test_an_environment_that_ages_is_not_enumerated():
    played = itertools.count()

    class Ageing(Parallel):
        def pay(self, actions):
            return dict.fromkeys(actions, float(next(played)))

    with pytest.raises(ValueError, match="something that cannot be followed"):
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
        mm.from_pettingzoo(Deck, mode="exact")
    played = mm.from_pettingzoo(Deck)  # "auto" says that it is not exact, and why
    assert isinstance(played, mm.EpisodicEnvironment)
    assert not played.report().exact
    assert "not exact: the observation is not the state" in played.report().why

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
    before = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    game = mm.from_pettingzoo(Here, "exact")
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before  # noqa: NPY002
    np.testing.assert_allclose(value(game), value(mm.from_pettingzoo(Slippery)))


@pytest.mark.parametrize("draw", [random.random, np.random.random])
def test_trap_13_draws_from_a_global_generator_that_cannot_be_followed(draw):
    class ByName(Slippery):
        def pay(self, actions):
            return {"a": float(draw() < 0.5), "b": 0.0}

    report = mm.inspect(ByName)
    assert report.mode == "sample"
    assert "global generator" in report.why
    with pytest.raises(ValueError, match="one of its own"):
        mm.from_pettingzoo(ByName, "exact")


def test_a_constructor_that_draws_numbers_is_remarked_on():
    class Made(Parallel):
        def __init__(self):
            super().__init__()
            self.prize = int(np.random.default_rng().integers(5))

        def pay(self, actions):
            return {"a": float(self.prize), "b": 0.0}

    report = mm.from_pettingzoo(Made).report()
    assert report.warnings == (
        "numbers are drawn while the environment is made: this is one of many",
    )


def test_sights_that_are_drawn_at_random_are_refused():
    class Foggy(Turns):
        def begin(self, seed):
            self.np_random = np.random.default_rng(seed)

        def observe(self, agent):
            return np.int64(self.np_random.integers(2))

    with pytest.raises(ValueError, match="what players see is drawn at random"):
        mm.from_pettingzoo(Foggy, mode="exact")


# --- modes, limits, and what may be given


class Wide(Parallel):
    """More states than anybody wants."""

    length = 40

    def begin(self, seed):
        self.sum = 0

    def pay(self, actions):
        self.sum = 3 * self.sum + actions["a"] + actions["b"]
        return dict.fromkeys(actions, 0.0)

    def see(self, agent):
        return np.array([self.sum, self.t])


def test_too_many_states_end_with_the_alternatives():
    with pytest.raises(ValueError, match=r"more than max_states = 300 states\. Raise") as caught:
        mm.from_pettingzoo(Wide, mode="exact", max_states=300)
    for word in ("'state'", "'ignore'", "'model'", "'trajectories'"):
        assert word in str(caught.value)
    report = mm.inspect(Wide, max_states=300)
    assert (report.exact, report.mode) == (False, "trajectories")


@pytest.mark.parametrize("kind", ["drawn", "kept", "seen"])
def test_continuous_chance_is_no_table(kind):
    class Noisy(Parallel):
        def begin(self, seed):
            self.np_random = np.random.default_rng(seed)
            self.kept = 0.0

        def pay(self, actions):
            if kind == "kept":
                self.kept = self.np_random.random()
            return dict.fromkeys(actions, self.np_random.normal() if kind != "kept" else 0.0)

        def observation_space(self, agent):
            return spaces.Box(-np.inf, np.inf, (1,)) if kind == "seen" else spaces.Discrete(9)

        def see(self, agent):
            return self.np_random.normal(size=1) if kind == "seen" else np.int64(self.t)

    report = mm.inspect(Noisy)
    assert not report.exact
    assert report.mode == ("neural" if kind == "seen" else "sample")
    assert "continuous" in report.why or "way back" in report.why


def test_an_interrupt_keeps_the_count():
    class Stopped(Wide):
        steps = itertools.count()

        def pay(self, actions):
            if next(self.steps) == 3000:
                raise KeyboardInterrupt
            return super().pay(actions)

    collecting = gc.isenabled()
    with pytest.raises(mm.EnumerationInterrupted, match="expanded") as caught:
        mm.from_pettingzoo(Stopped)
    assert caught.value.states > caught.value.expanded > 100
    assert gc.isenabled() == collecting
    assert isinstance(caught.value, KeyboardInterrupt)
    assert np.random.default_rng.__module__ != "metamarl.envs.branching_generators"


def walk(state, joint):
    """The model of `Slippery`: (place, t)."""
    (place, t), won = state, float(joint[0] == joint[1])
    pay = [1 - won, won - 1]
    moved = [(0.75, place + 1), (0.25, place)] if won else [(1.0, place)]
    return [(p, (there, t + 1), pay, there == 3 or t == 5) for p, there in moved]


def test_a_model_may_be_given():
    options = {"state": lambda env: (env.place, env.t)}
    game = mm.from_pettingzoo(Slippery, model=walk, **options)
    assert "agreed with 60 random steps" in game.report().facts["model"]
    np.testing.assert_allclose(value(game), value(mm.from_pettingzoo(Slippery)))
    with pytest.raises(ValueError, match=r"'model' parameter .* agrees with the environment"):
        mm.from_pettingzoo(Slippery, model=lambda s, _: [(1.0, s, [0, 0], True)], **options)
    with pytest.raises(TypeError, match=r"list of \(probability, next state"):
        mm.from_pettingzoo(Slippery, model=lambda _, __: [3], **options)
    with pytest.raises(ValueError, match=r"the number of states\. Got 5"):
        mm.from_pettingzoo(Slippery, model=walk, max_states=5, **options)


def test_actions_for_which_the_model_has_no_outcome_are_illegal():
    def model(state, joint):
        return [(1.0, state, [joint[0], 0.0], True)] if joint[1] == 1 else []

    class Once(Parallel):
        length = 1

        def inform(self, agent):
            return {"action_mask": np.array([1, 1] if agent == "a" else [0, 1], np.int8)}

        def pay(self, actions):
            return {"a": float(actions["a"]), "b": 0.0}

    game = mm.from_pettingzoo(Once, model=model, state=lambda env: env.t)
    assert game.legal[1].tolist() == [[False, True], [True, False]]


def test_a_way_back_may_be_given():
    def restore(env, state):
        env.place, env.t = state
        env.agents = env.possible_agents[:]

    options = {"state": lambda env: (env.place, env.t), "restore": restore}
    game = mm.from_pettingzoo(Slippery, **options)
    assert game.report().facts["copies"] == "the given 'restore', tested"
    np.testing.assert_allclose(value(game), value(mm.from_pettingzoo(Slippery)))
    options["restore"] = lambda env, _: setattr(env, "place", 0)
    with pytest.raises(ValueError, match="no way back to a state"):
        mm.from_pettingzoo(Slippery, "exact", **options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"make": 3}, TypeError, "'make' parameter of from_pettingzoo must be a function"),
        ({"make": Parallel()}, TypeError, r"such as lambda: MyEnv\(slip=0.1\)"),
        ({"mode": "exakt"}, ValueError, "did you mean 'exact'"),
        ({"state": 3}, TypeError, "'state' parameter"),
        ({"model": walk}, ValueError, "given with 'restore' or 'model'"),
        ({"simultaneous": "no"}, ValueError, "'auto', True or False"),
        ({"horizon": 0}, ValueError, "'horizon' parameter"),
        ({"discount": 2}, ValueError, "between 0 and 1"),
        ({"ignore": "history"}, TypeError, "names of attributes"),
        ({"max_states": 0}, ValueError, "'max_states' parameter"),
        ({"samples": 0}, ValueError, "'samples' parameter"),
        ({"seed": -1}, ValueError, "'seed' parameter"),
    ],
)
def test_bad_parameters(options, error, words):
    with pytest.raises(error, match=words):
        mm.from_pettingzoo(**{"make": Parallel, **options})


def test_the_report_says_what_was_done():
    text = str(mm.from_pettingzoo(Slippery).report())
    for words in (
        "exact: every state and every outcome of chance was played",
        "a (2 actions), b (2 actions)",
        "15 told apart, 13 that differ (with the end)",
        "every player sees the state",
        "snapshots, tested",
    ):
        assert words in text
    assert "trajectories: not exact" in str(mm.inspect(Deck))


def test_the_way_back_to_the_environment():
    game = mm.from_pettingzoo(lambda: pettingzoo.make("aec", "classic/tictactoe-v3"))
    link = game.plug_in
    env = link.make()
    env.reset(seed=link.seed)
    rng, state = np.random.default_rng(0), int(np.argmax(game.initial))
    while not any(env.terminations.values()):
        i = link.agents.index(env.agent_selection)
        observation, _, _, _, info = env.last()
        assert state in link.shows[i][mm.sight(observation, info)]
        assert len(link.shows[i][mm.sight(observation, info)]) == 1
        action = int(rng.choice(np.flatnonzero(observation["action_mask"])))
        assert game.legal[i][state, action]
        row = int(game.table.rows[state] + game.legal[i][state, :action].sum())
        state = int(game.table.indices[game.table.indptr[row]])
        env.step(action + link.starts[i])
    assert game.table.indices[game.table.indptr[game.table.rows[state]]] == state  # it is over


def test_a_game_may_go_to_other_processes():
    class Here(Slippery):
        """Known to this function alone."""

    game = mm.from_pettingzoo(Here)
    again = pickle.loads(pickle.dumps(game))
    assert str(again.report()) == str(game.report())
    np.testing.assert_allclose(value(again), value(game))
    assert again.plug_in.make is None


def test_a_coarse_state_is_looked_at_on_every_visit():
    class Twofaced(Endless):
        """The same over again, but for what is seen; and, if wanted, for what is legal."""

        narrow = False

        def see(self, agent):
            return np.int64(self.t)

        def inform(self, agent):
            return {"action_mask": np.array([1, self.t < 4 or not self.narrow], np.int8)}

    class Narrow(Twofaced):
        narrow = True

    options = {"state": lambda _: 0, "discount": 0.5}
    game = mm.from_pettingzoo(Twofaced, **options)
    assert set(game.plug_in.shows[0].values()) == {(0,)}
    assert len(game.plug_in.shows[0]) > 1
    with pytest.raises(ValueError, match="other actions are legal on a second visit"):
        mm.from_pettingzoo(Narrow, "exact", state=lambda env: min(env.t, 3), discount=0.5)


def test_a_state_that_is_wrong_late_in_an_episode_is_found():
    class Late(Endless):
        """All is the same over and over again, but for one prize."""

        def pay(self, actions):
            return {"a": 5.0 * (self.t == 4), "b": 0.0}

    with pytest.raises(ValueError, match="random play pays what the enumeration did not"):
        mm.from_pettingzoo(Late, "exact", state=lambda _: 0, discount=0.5)

    class Stairs(Late):
        def pay(self, actions):
            return dict.fromkeys(actions, 0.0)

    with pytest.raises(ValueError, match="random play leads where the enumeration did not"):
        mm.from_pettingzoo(Stairs, "exact", state=lambda env: env.t > 2, discount=0.5)


@pytest.mark.parametrize("base", [Parallel, Turns])
def test_one_player_and_a_hundred_actions(base):
    class Alone(base):
        length, actions, first = 1, (100,), (0,)

        def pay(self, actions):
            return {"a": float(actions["a"])}

        def play(self, agent, action):
            self.rewards["a"] = float(action)

    game = mm.from_pettingzoo(lambda: Alone(("a",)))
    assert (game.n_players, game.n_actions, game.n_states) == (1, (100,), 2)
    assert mm.solve(game).value.tolist() == [99.0]
