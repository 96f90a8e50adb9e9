"""How episodes end in neural self-play: cut off, left early, longer than what is looked at."""

import numpy as np
import pytest
from gymnasium import spaces
from small_environments import Parallel, Turns

import metamarl as mm

torch = pytest.importorskip("torch")

from metamarl.algorithms import self_play  # noqa: E402
from metamarl.algorithms._learning_run import make_stepper  # noqa: E402
from metamarl.algorithms.learner import Learner  # noqa: E402
from metamarl.algorithms.weight_learning import SelfPlayWeights  # noqa: E402
from metamarl.envs.environment import Environment  # noqa: E402

OPTIONS = mm.NeuralMirrorDescent(hidden=(8,), share=False, copies=2, rollout=6, minibatch=16)


def gathered(monkeypatch, env, options=OPTIONS):
    """A learner, its batches of one rollout, and what the advantages were found from."""
    kept = {}
    plain = self_play.advantages

    def keeping(rewards, values, moves, ended, beyond, after, known, discount, trace):
        kept.update(rewards=rewards, moves=moves, ended=ended, beyond=beyond, known=known)
        return plain(rewards, values, moves, ended, beyond, after, known, discount, trace)

    monkeypatch.setattr(self_play, "advantages", keeping)
    learner = Learner(make_stepper(env, options), options, env.discount, seed=0)
    learner.play.begin()
    batches = learner.gather()
    learner.stepper.close()
    return learner, batches, kept


# --- cut off


class Masked(Parallel):
    """One of five actions is legal, which depends on the time; cut off after three steps."""

    actions = (5,)
    first = (0,)

    def __init__(self):
        super().__init__(("a",))

    def observation_space(self, agent):
        mask = spaces.MultiBinary(5)
        return spaces.Dict(observation=spaces.Discrete(5), action_mask=mask)

    def see(self, agent):
        return {"observation": np.int64(self.t), "action_mask": np.eye(5, dtype=np.int8)[self.t]}

    def ended(self):
        return False

    def cut(self):
        return self.t == 3


def test_what_was_cut_off_is_worth_its_legal_actions(monkeypatch):
    env = mm.EpisodicEnvironment(Masked, discount=0.9)
    learner, _, kept = gathered(monkeypatch, env)
    with torch.no_grad():
        worth = learner.networks.groups[0].critic(torch.eye(5)[None, 3])[0, 3].item()
    wanted = np.zeros((6, 2, 1))
    wanted[[2, 5]] = worth
    np.testing.assert_allclose(kept["beyond"], wanted, rtol=1e-6)


def test_the_last_state_of_arrays_shows_what_is_legal_there():
    legal = [np.array([[1, 0, 0], [0, 1, 1]], bool), np.array([[1, 1], [0, 1]], bool)]
    onward = np.zeros((2, 3, 2, 2))
    onward[0, ..., 1] = onward[1, ..., 0] = 1  # there and back
    reward = np.zeros((2, 2, 3, 2))
    game = mm.MarkovGame(onward, reward, discount=0.9, legal=legal)
    env = mm.EpisodicEnvironment(lambda: mm.to_pettingzoo(game, max_steps=3))
    stepper = make_stepper(env, OPTIONS)
    stepper.reset(np.random.default_rng(0))
    for _ in range(3):
        states = stepper.state
        actions = np.stack([mask[states].argmax(1) for mask in legal], axis=1)
        outcome = stepper.step(actions)
    assert outcome.cut.all()
    assert not stepper.gone.any()
    copies = np.arange(2)
    for i in range(2):
        inputs, masks = stepper.last(copies, np.full(2, i))
        np.testing.assert_array_equal(masks, legal[i][inputs[:, 0]])
        np.testing.assert_array_equal(inputs[:, 0], 1 - states)


class Short(Parallel):
    """b is cut off after its second step, a after its fourth; both are paid until then."""

    def observation_space(self, agent):
        return spaces.Box(0, 9, (2,))

    def see(self, agent):
        return np.array([1, self.t / 4], np.float32)

    def pay(self, actions):
        return dict.fromkeys(self.agents, 1.0)

    def step(self, actions):
        agents, self.t = self.agents, self.t + 1
        rewards, seen = self.pay(actions), self.observe_all()
        cut = {agent: self.t >= (2 if agent == "b" else 4) for agent in agents}
        self.agents = [agent for agent in agents if not cut[agent]]
        return seen, rewards, dict.fromkeys(agents, False), cut, {agent: {} for agent in agents}


def test_a_player_that_is_cut_off_on_its_own_is_worth_what_it_saw_then(monkeypatch):
    env = mm.EpisodicEnvironment(Short, discount=0.9)
    learner, batches, kept = gathered(monkeypatch, env)
    wanted = np.zeros((6, 2, 2))
    for t, i in ((3, 0), (1, 1), (5, 1)):
        x = torch.tensor([[1.0, (t % 4 + 1) / 4]])
        with torch.no_grad():
            network = learner.networks.groups[i]
            policy = network.log_policy(x, torch.ones(1, 2, dtype=torch.bool)).exp()
            wanted[t, :, i] = (policy * network.critic(x)).sum().item()
    np.testing.assert_allclose(kept["beyond"], wanted, rtol=1e-6)
    np.testing.assert_array_equal(kept["ended"][:, 0, 1], [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(kept["ended"][:, 0, 0], [0, 0, 0, 1, 0, 0])
    assert len(batches[1]) == 2 * 4
    assert len(learner.play.earned) == 2  # an episode is over when it is for all


class ShortTurns(Turns):
    """b is cut off with its first move, and removed at once; a plays on."""

    length = 100

    def play(self, agent, action):
        self.truncations["b"] = "b" in self.truncations and agent == "b"

    def following(self, agent):
        return self.agents[-1] if agent == "a" else "a"

    def step(self, action):
        if self.terminations[self.agent_selection] or self.truncations[self.agent_selection]:
            self._was_dead_step(action)
            return
        if "b" in self.agents:
            super().step(action)
            return
        self._clear_rewards()
        self.t += 1
        self.terminations["a"] = self.t >= 4


def worth_of(learner, player, x, legal=(True, True)):
    """What a player's critic says of an input, under its policy."""
    with torch.no_grad():
        network = learner.networks.groups[player]
        policy = network.log_policy(x, torch.tensor([legal])).exp()
        return (policy * network.critic(x)).sum().item()


def test_a_player_that_is_cut_off_and_removed_in_turns_is_worth_what_it_saw_then(monkeypatch):
    env = mm.EpisodicEnvironment(ShortTurns, discount=0.9)
    learner, batches, kept = gathered(monkeypatch, env)
    worth = worth_of(learner, 1, torch.eye(100)[None, 2])  # it chose by 1, and saw 2 after it
    np.testing.assert_allclose(kept["beyond"][:, 0, 1], [0, worth, 0, 0, 0, worth], rtol=1e-6)
    assert not kept["beyond"][..., 0].any()
    assert len(batches[1]) == 2 * 2


class MaskedTurns(ShortTurns):
    """The same, with masks: what b may do when it is cut off is not what it could choose from."""

    def observation_space(self, agent):
        mask = spaces.MultiBinary(2)
        return spaces.Dict(observation=spaces.Discrete(100), action_mask=mask)

    def observe(self, agent):
        assert agent in self.agents, "one that is gone"
        mask = np.array([self.t != 2, 1], np.int8)
        return {"observation": np.int64(self.t), "action_mask": mask}


class MaskedByInfo(ShortTurns):
    """The masks lie in the infos."""

    def play(self, agent, action):
        super().play(agent, action)
        self.infos = {
            other: {"action_mask": np.array([other != "b", 1], np.int8)} for other in self.agents
        }


@pytest.mark.parametrize("make", [MaskedTurns, MaskedByInfo])
def test_masks_count_for_who_is_cut_off_and_removed_in_turns(make, monkeypatch):
    learner, _, kept = gathered(monkeypatch, mm.EpisodicEnvironment(make, discount=0.9))
    worth = worth_of(learner, 1, torch.eye(100)[None, 2], (False, True))
    np.testing.assert_allclose(kept["beyond"][:, 0, 1], [0, worth, 0, 0, 0, worth], rtol=1e-6)


def test_who_was_cut_off_in_turns_has_a_parting_sight_for_one_step():
    view = Environment(ShortTurns(), 0)
    assert view.parting == {}
    view.step({0: 0})
    assert view.parting == {}
    view.step({1: 0})
    assert view.truncated == [False, True]
    assert view.parting == {1: (2, {})}
    assert view.observation(1) is None
    view.step({0: 0})
    assert view.parting == {}
    view.reset(0)
    view.step({0: 0})
    view.step({1: 0})
    view.reset(0)
    assert view.parting == {}


class Unseen(Short):
    """b is shown nothing when it is cut off."""

    def step(self, actions):
        seen, *rest = super().step(actions)
        return {agent: seen[agent] for agent in self.agents}, *rest


def test_who_is_cut_off_and_shown_nothing_is_worth_what_it_last_chose_by(monkeypatch):
    learner, _, kept = gathered(monkeypatch, mm.EpisodicEnvironment(Unseen, discount=0.9))
    worth = worth_of(learner, 1, torch.tensor([[1.0, 0.25]]))
    np.testing.assert_allclose(kept["beyond"][:, 0, 1], [0, worth, 0, 0, 0, worth], rtol=1e-6)


# --- left early


class Leaving(Parallel):
    """a leaves with its first step, paid for its second action; b plays on for long."""

    length = 100
    word = True

    def step(self, actions):
        seen, rewards, terminated, cut, infos = super().step(actions)
        if "a" in self.agents:
            self.agents.remove("a")
            terminated["a"] = self.word
        return seen, rewards, terminated, cut, infos

    def pay(self, actions):
        return {agent: float(agent == "a" and a) for agent, a in actions.items()}


class LeavingSilently(Leaving):
    word = False


@pytest.mark.parametrize("make", [Leaving, LeavingSilently])
@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_who_leaves_early_learns_from_its_last_choice(make, discount, monkeypatch):
    env = mm.EpisodicEnvironment(make, discount=discount)
    learner, batches, kept = gathered(monkeypatch, env)
    assert len(batches[0]) == 2
    scale = learner.play.scale.now()[0]
    np.testing.assert_allclose(batches[0].returns * scale, batches[0].actions, atol=1e-6)
    assert kept["known"].all()
    assert not kept["ended"].any()


# --- longer than what is looked at


class Round(Turns):
    """Eight agents in turn, for long."""

    length = 1000
    actions = (2,) * 8
    first = (0,) * 8

    def __init__(self):
        super().__init__(tuple("abcdefgh"))


def test_a_rollout_too_short_to_learn_from_is_said():
    env = mm.EpisodicEnvironment(Round)
    with pytest.raises(ValueError, match=r"'rollout' parameter of learn must be larger.* Got 6 "):
        mm.learn(env, OPTIONS, 24, device="cpu")
    for method in ("reptile", "fomaml"):
        with pytest.raises(ValueError, match=r"'rollout' parameter of learn_start must be larger"):
            mm.learn_start([env], OPTIONS, method, rounds=1, steps=24)
    weights = SelfPlayWeights(OPTIONS)
    with pytest.raises(ValueError, match=r"'rollout' parameter of learn_start must be larger"):
        weights.loss(env, weights.networks([env], 0), 0)
    enough = mm.NeuralMirrorDescent(hidden=(8,), copies=2, rollout=9)
    assert mm.learn(env, enough, 18, device="cpu").steps == 18
