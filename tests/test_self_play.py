"""Neural self-play: the parts against plain loops, real learning, resuming, and bad input."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces
from small_environments import Parallel, Turns

import metamarl as mm

torch = pytest.importorskip("torch")

from metamarl.algorithms import learning  # noqa: E402
from metamarl.algorithms._learning_run import make_stepper  # noqa: E402
from metamarl.algorithms.learner import Learner, mirror_descent_loss  # noqa: E402
from metamarl.algorithms.networks import ActorCritic, InputLayer, Networks  # noqa: E402
from metamarl.algorithms.reward_scale import Scale  # noqa: E402
from metamarl.algorithms.self_play import Batch, advantages  # noqa: E402
from metamarl.algorithms.stepping import TabularStepper, make_layout  # noqa: E402
from metamarl.algorithms.stepping_environments import Eyes  # noqa: E402

TINY = mm.NeuralMirrorDescent(hidden=(8,), copies=4, rollout=5, minibatch=16)


def weights(solution):
    return solution.policy.networks.state_dict()


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


# --- the parts


def test_an_input_layer_takes_the_places_of_ones():
    layer = InputLayer(7, 3)
    places = torch.tensor([[0, 4], [2, 6]])
    rows = torch.zeros(2, 7).scatter(1, places, 1.0)
    torch.testing.assert_close(layer(places), layer(rows))


def test_networks_have_bodies_and_heads_by_name_and_leave_the_generator_alone():
    before = torch.random.get_rng_state()
    networks = Networks([4, 3], [2, 5], [8, 6], seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    names = dict(networks.named_parameters())
    assert names["groups.0.actor.body.0.weight"].shape == (8, 4)
    assert names["groups.1.actor.head.weight"].shape == (5, 6)
    assert names["groups.1.critic.head.bias"].shape == (5,)
    assert same(networks.state_dict(), Networks([4, 3], [2, 5], [8, 6], seed=1).state_dict())


def test_players_share_where_spaces_agree():
    layout = make_layout(["x", "y", "x"], [4, 3, 4], [2, 5, 2], share=True)
    assert layout.group == (0, 1, 0)
    assert layout.sizes == (6, 3)
    assert layout.n_actions == (2, 5)
    alone = make_layout(["x", "y", "x"], [4, 3, 4], [2, 5, 2], share=False)
    assert alone.group == (0, 1, 2)
    assert alone.sizes == (4, 3, 4)


def plain_advantages(rewards, values, moves, ended, beyond, after, known, discount, trace):
    """Of one player in one copy, choice by choice, forwards: sums of λ-weighted errors."""
    T, found, sure = len(rewards), np.zeros(len(rewards)), np.zeros(len(rewards), bool)
    chosen = [t for t in range(T) if moves[t]]
    for k, first in enumerate(chosen):
        weight, total, complete = 1.0, 0.0, True
        for j in range(k, len(chosen)):
            t = chosen[j]
            until = chosen[j + 1] if j + 1 < len(chosen) else T
            follow, fade, over = 0.0, 1.0, False
            for u in range(t, until):
                follow += fade * rewards[u]
                fade *= discount
                if ended[u]:
                    follow, over = follow + fade * beyond[u], True
                    break
            if not over and until == T and not known:
                complete = j > k
                break
            if not over:
                follow += fade * (values[until] if until < T else after)
            total += weight * (follow - values[t])
            if over or until == T:
                break
            weight *= fade * trace
        found[first], sure[first] = total, complete
    return found, sure


@pytest.mark.parametrize("seed", range(5))
def test_advantages_are_what_a_plain_loop_finds(seed):
    rng = np.random.default_rng(seed)
    shape = (12, 3, 2)
    rewards, values = rng.normal(size=shape), rng.normal(size=shape)
    moves, ended = rng.random(shape) < 0.6, rng.random(shape) < 0.2
    moves[0] = True
    beyond = rng.normal(size=shape) * (rng.random(shape) < 0.5)
    after, known = rng.normal(size=shape[1:]), rng.random(shape[1:]) < 0.5
    found, sure = advantages(rewards, values, moves, ended, beyond, after, known, 0.9, 0.7)
    for n, i in np.ndindex(shape[1:]):
        one = [x[:, n, i] for x in (rewards, values, moves, ended, beyond)]
        wanted, complete = plain_advantages(*one, after[n, i], known[n, i], 0.9, 0.7)
        np.testing.assert_array_equal(sure[:, n, i], complete)
        np.testing.assert_allclose(found[complete, n, i], wanted[complete], atol=1e-12)


def test_the_scale_is_that_of_discounted_sums():
    rng = np.random.default_rng(0)
    scale, sums = Scale(2, 0.5), np.zeros((3, 2))
    assert scale.now().tolist() == [1.0, 1.0]
    rewards, ended = rng.normal(size=(50, 3, 2)) * [1, 10], rng.random((50, 3, 1)) < 0.2
    ended = np.broadcast_to(ended, rewards.shape)
    seen, now = [], np.zeros((3, 2))
    for reward, end in zip(rewards, ended, strict=True):
        now = 0.5 * now + reward
        seen.append(now)
        now = np.where(end, 0, now)
    for part in (slice(0, 20), slice(20, 50)):
        sums = scale.update(rewards[part], ended[part], sums)
    np.testing.assert_allclose(scale.now(), np.array(seen).std((0, 1)))


def test_the_loss_is_least_at_the_next_policy_of_mirror_descent():
    """π⁺ ∝ [π e^{ηq} ρ^{ηα}]^{1/(1+ηα)}, where the critic knows what the actions are worth."""
    rng = np.random.default_rng(3)
    eta, alpha, A = 0.7, 0.3, 4
    q, rho = rng.normal(size=A), rng.dirichlet(np.ones(A))
    pi = rng.dirichlet(np.ones(A))
    wanted = (pi * np.exp(eta * q) * rho ** (eta * alpha)) ** (1 / (1 + eta * alpha))
    wanted /= wanted.sum()
    network = ActorCritic(1, [1], A).double()
    for parameter in network.actor.parameters():
        torch.nn.init.zeros_(parameter)
    rows = torch.from_numpy(np.stack([np.log(pi)] * A))
    batch = Batch(
        inputs=torch.zeros(A, 1, dtype=torch.float64),
        masks=torch.ones(A, A, dtype=torch.bool),
        actions=torch.arange(A),
        log_policy=rows,
        values=torch.from_numpy(np.stack([q] * A)),
        returns=torch.from_numpy(q),
        unit=torch.ones(A, dtype=torch.float64),
    )
    magnet = torch.from_numpy(np.stack([np.log(rho)] * A))
    optimiser = torch.optim.LBFGS(
        [network.actor.head.bias], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-15
    )

    def closure():
        optimiser.zero_grad()
        loss = mirror_descent_loss(network, batch, eta, alpha, magnet).policy
        loss.backward()
        return loss

    optimiser.step(closure)
    found = network.actor.head.bias.detach().softmax(0).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("normalise", [True, False])
def test_advantages_are_divided_by_their_root_mean_square(normalise):
    """Which is the same as η divided, and α multiplied by it."""
    options = mm.NeuralMirrorDescent(hidden=(8,), copies=4, rollout=6, normalise=normalise)
    env = mm.EpisodicEnvironment(lambda: mm.to_pettingzoo(mm.make("rps", rounds=3)))
    learner = Learner(make_stepper(env, options), options, 1.0, seed=0)
    learner.play.begin()
    (batch,) = learner.gather()
    worth = (batch.log_policy.exp() * batch.values).sum(1)
    root = (batch.returns - worth).square().mean().sqrt()
    wanted = root if normalise else torch.ones(())
    torch.testing.assert_close(batch.unit, wanted.expand(len(batch)))
    network = learner.networks.groups[0]
    plain = replace(batch, unit=torch.ones(len(batch)))
    scaled = mirror_descent_loss(network, plain, 0.5 / wanted.item(), 0.1 * wanted.item())
    torch.testing.assert_close(mirror_descent_loss(network, batch, 0.5, 0.1).total, scaled.total)


def test_advantages_of_nothing_are_not_divided_by_nothing():
    learner = Learner(make_stepper(mm.EpisodicEnvironment(Parallel), TINY), TINY, 1.0, seed=0)
    for parameter in learner.networks.parameters():
        torch.nn.init.zeros_(parameter)
    learner.play.begin()
    (batch,) = learner.gather()
    assert batch.unit.unique().tolist() == [pytest.approx(1e-3)]
    assert np.isfinite(list(learner.update([batch], 0.0).values())).all()


def test_losses_can_be_taken_of_other_parameters():
    game = mm.make("rps", rounds=3)
    env = mm.EpisodicEnvironment(lambda: mm.to_pettingzoo(game))
    learner = Learner(make_stepper(env, TINY), TINY, 1.0, seed=0)
    learner.play.begin()
    (batch,) = learner.gather()
    network = learner.networks.groups[0]
    own = mirror_descent_loss(network, batch, 1.0, 0.1).total
    moved = {name: p + 0.1 for name, p in network.named_parameters()}

    class Other(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self):
            return mirror_descent_loss(self.network, batch, 1.0, 0.1).total

    named = {f"network.{name}": p for name, p in moved.items()}
    other = torch.func.functional_call(Other(), named, ())
    assert own.item() != other.item()
    gradients = torch.autograd.grad(other, list(moved.values()))
    assert all(torch.isfinite(g).all() for g in gradients)


# --- the copies


@pytest.mark.parametrize("name", ["soccer", "pursuit", "tictactoe", "stag-hunt"])
def test_arrays_step_as_the_environment_does(name):
    """Same observations, masks, rewards and ends, where chance is told what to do."""
    game = mm.make(name)
    env = mm.EpisodicEnvironment(lambda: mm.to_pettingzoo(game))
    stepper = TabularStepper(game, 1, learning.step_limit(env), share=True)
    stepper.reset(np.random.default_rng(0))
    eyes = Eyes(env.open(0), share=True)
    assert eyes.layout == stepper.layout
    made = mm.to_pettingzoo(game)
    made.reset(seed=0)
    rng = np.random.default_rng(1)
    zero = np.zeros(1, np.int64)
    ends = 0
    for _ in range(300):
        made._state = int(stepper.state[0])  # wherever the arrays stand
        made._step = int(stepper.time[0])
        actions = np.zeros((1, game.n_players), np.int64)
        for i in range(game.n_players):
            inputs, mask = stepper.see(zero, zero + i)
            seen = made.observe(i)
            row = np.zeros(stepper.layout.sizes[stepper.layout.group[i]], np.float32)
            row[inputs[0]] = 1
            np.testing.assert_array_equal(row, eyes.row(i, seen))
            np.testing.assert_array_equal(mask[0], seen["action_mask"].astype(bool))
            actions[0, i] = rng.choice(np.flatnonzero(mask[0]))
        outcome = stepper.step(actions)
        following = int(stepper._last_state[0])
        made._draw = lambda weights: None  # noqa: ARG005
        before = dict(zip(made.possible_agents, actions[0].tolist(), strict=True))
        reachable = _successors(game, made, before)
        assert following in reachable
        rewards, over = reachable[following]
        np.testing.assert_allclose(outcome.rewards[0], rewards)
        limit = stepper._last_time[0] >= stepper.max_steps
        assert bool(outcome.ended[0, 0]) == (over or bool(limit))
        assert bool(outcome.cut[0, 0]) == (bool(limit) and not over)
        ends += outcome.ended[0, 0]
    assert ends


def _successors(game, made, actions):
    """What a step from where `made` stands can lead to: {state: (rewards, terminated)}."""
    found = {}
    state, step = made._state, made._step
    table = game.table
    row = int(table.rows[state])
    digits = [int(m[state, :a].sum()) for m, a in zip(table.legal, actions.values(), strict=True)]
    row += int(np.ravel_multi_index(digits, table.counts[state]))
    at = row + step * table.transition_stride
    span = slice(table.indptr[at], table.indptr[at + 1])
    for k, following in enumerate(table.indices[span].tolist()):
        made._state, made._step = state, step
        made.agents = made.possible_agents[:]
        made._draw = lambda weights, k=k: k  # noqa: ARG005
        _, rewards, terminated, _, _ = made.step(actions)
        found[following] = (list(rewards.values()), all(terminated.values()))
    made._state, made._step = state, step
    return found


def test_successors_are_drawn_with_their_probabilities():
    game = mm.make("pursuit", size=2, horizon=3)
    stepper = TabularStepper(game, 20_000, 100, share=False)
    stepper.reset(np.random.default_rng(0))
    stepper.step(np.zeros((20_000, 2), np.int64))
    table, first = game.table, int(np.flatnonzero(game.initial)[0])
    row = int(table.rows[first])
    span = slice(table.indptr[row], table.indptr[row + 1])
    wanted = np.bincount(table.indices[span], table.probabilities[span], game.n_states)
    found = np.bincount(stepper._last_state, minlength=game.n_states) / 20_000
    np.testing.assert_allclose(found, wanted, atol=0.015)


# --- learning


def test_weighted_rock_paper_scissors_is_learned_in_the_last_iterate():
    game = mm.make("rps", weights=(2, 1, 1), rounds=2)
    options = mm.NeuralMirrorDescent(
        hidden=(16,), share=False, copies=512, rollout=2, minibatch=512, trace=0.5,
        learning_rate=(3e-3, 3e-4), step_size=(1.0, 0.1), temperature=(0.5, 0.07),
    )  # fmt: skip
    found = mm.learn(game, options, steps=200_000, checks=1)
    first = mm.nash_gap(game, mm.JointPolicy.uniform(game)) / mm.value_span(game)
    assert first > 0.15
    assert found.relative_gap < 0.05
    assert found.gap == mm.nash_gap(game, found.joint)
    np.testing.assert_allclose(found.joint[0][0, 0], [0.25, 0.5, 0.25], atol=0.1)


@pytest.mark.parametrize("share", [True, False])
def test_seeds_reproduce_and_differ(share):
    game = mm.make("soccer", rows=2, columns=3)
    options = mm.NeuralMirrorDescent(hidden=(8,), copies=4, rollout=5, share=share)
    first, again, other = (mm.learn(game, options, 200, seed=s, device="cpu") for s in (1, 1, 2))
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))
    assert first.gap == again.gap
    assert first.steps == 200
    assert len(first.trace) == 10  # updates: fewer than checks


class Bandits(Parallel):
    """Three runners on a wheel of five places that turns at random; one leaves early, masks move.

    "a" sees a dictionary with a mask, "b" a tuple, "c" a box and its mask in the info.
    """

    length = 6
    actions = (3, 2, 2)
    first = (0, 1, 0)

    def __init__(self):
        super().__init__(("a", "b", "c"))

    def observation_space(self, agent):
        return {
            "a": spaces.Dict(
                observation=spaces.Discrete(5), action_mask=spaces.Box(0, 1, (3,), np.int8)
            ),
            "b": spaces.Tuple((spaces.Discrete(5, start=2), spaces.Box(0, 9, (2,)))),
            "c": spaces.Box(-np.inf, np.inf, (2, 2)),
        }[agent]

    def begin(self, seed):
        if seed is not None or not hasattr(self, "rng"):
            self.rng = np.random.default_rng(seed)
        self.place = int(self.rng.integers(5))

    def mask(self):
        return np.array([1, self.place % 2, (self.place + 1) % 2], np.int8)

    def see(self, agent):
        return {
            "a": {"observation": np.int64(self.place), "action_mask": self.mask()},
            "b": (np.int64(self.place + 2), np.full(2, self.t, np.float32)),
            "c": np.full((2, 2), self.place, np.float32),
        }[agent]

    def inform(self, agent):
        return {"action_mask": np.array([1, 1], np.int8)} if agent == "c" else {}

    def pay(self, actions):
        self.place = (self.place + int(self.rng.integers(1, 4))) % 5
        return {agent: float(a == self.place % 2) for agent, a in actions.items()}

    def step(self, actions):
        if "a" in actions:
            assert self.mask()[actions["a"]], "an illegal action"
        result = super().step(actions)
        if self.t == 3:
            result[2]["b"] = True
            self.agents = [agent for agent in self.agents if agent != "b"]
        return result


class Steps(Turns):
    """In turn, three moves each; the second of two actions pays; masks in the observation."""

    length = 6

    def observation_space(self, agent):
        return spaces.Dict(
            observation=spaces.MultiBinary(6), action_mask=spaces.Box(0, 1, (2,), np.int8)
        )

    def observe(self, agent):
        mask = np.array([1, 1], np.int8) * (agent == self.agent_selection)
        seen = np.arange(6) < self.t
        return {"observation": seen.astype(np.int8), "action_mask": mask}

    def play(self, agent, action):
        self.rewards[agent] = float(action)


ENVIRONMENTS = {
    "masks, and one who leaves": Bandits,
    "turns": Steps,
    "arrays": lambda: mm.to_pettingzoo(mm.make("soccer", rows=2, columns=3)),
    "turns of ours": lambda: mm.to_pettingzoo(mm.make("pursuit", size=2, horizon=3), api="aec"),
}


@pytest.mark.parametrize("magnet", ["uniform", "moving"])
@pytest.mark.parametrize("make", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_a_run_that_was_interrupted_goes_on_exactly(make, magnet, tmp_path, monkeypatch):
    options = mm.NeuralMirrorDescent(hidden=(8,), copies=3, rollout=7, minibatch=16, magnet=magnet)
    whole = mm.learn(make, options, 10 * 21, device="cpu", checks=5)
    assert not whole.interrupted
    monkeypatch.setattr(Learner, "gather", stop_at(Learner.gather, 6))
    part = mm.learn(make, options, 10 * 21, device="cpu", checks=5, folder=tmp_path)
    assert part.interrupted
    assert part.steps == 5 * 21  # it keeps what it has; the checkpoint is of four updates
    assert not same(weights(part), weights(whole))
    monkeypatch.undo()
    rest = mm.learn(make, options, 10 * 21, device="cpu", checks=5, folder=tmp_path)
    assert same(weights(rest), weights(whole))
    assert rest.steps == whole.steps
    np.testing.assert_array_equal(rest.trace.gap, whole.trace.gap)
    np.testing.assert_array_equal(rest.trace.iteration, whole.trace.iteration)
    assert len(whole.returns)
    for name in ("steps", "episodes", "mean"):
        found, wanted = getattr(rest.returns, name), getattr(whole.returns, name)
        np.testing.assert_array_equal(found, wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


class Wages(Parallel):
    """Whatever is played, "a" earns 1 and 2 in episodes of two steps, and "b" a tenth of it."""

    length = 2

    def pay(self, actions):
        return {"a": float(self.t), "b": self.t / 10}


def test_returns_are_means_of_the_episodes_that_ended_since_the_last_check():
    """Ten copies in three updates of five steps, all begun anew after the first and the last."""
    options = mm.NeuralMirrorDescent(hidden=(8,), copies=10, rollout=5)
    returns = mm.learn(Wages, options, 150, device="cpu", checks=2).returns
    assert len(returns) == 2
    np.testing.assert_array_equal(returns.steps, [100, 150])
    np.testing.assert_array_equal(returns.episodes, [50, 20])
    np.testing.assert_allclose(returns.mean, [[3, 0.3], [3, 0.3]])
    short = mm.learn(Wages, mm.NeuralMirrorDescent(hidden=(8,), copies=10, rollout=1), 10)
    assert short.returns.mean.shape == (0, 2)  # no episode ended


def stop_at(function, at):
    calls = []

    def stopping(*args):
        calls.append(args)
        if len(calls) == at:
            raise KeyboardInterrupt
        return function(*args)

    return stopping


def test_turns_are_learned_in():
    options = mm.NeuralMirrorDescent(
        hidden=(16,), copies=8, rollout=30, minibatch=64, temperature=(0.1, 0.01)
    )
    found = mm.learn(Steps, options, 6000)
    assert found.gap is None
    assert found.joint is None
    assert mm.rollouts(None, found, 50).mean.min() > 2.5  # of 3; 1.5 at random


def test_agents_that_leave_and_masks_are_learned_with():
    found = mm.learn(Bandits, TINY, 400)
    env = Bandits()
    seen, infos = env.reset(seed=0)
    while env.agents:
        live = list(env.agents)
        seen, *_, infos = env.step({a: found.act(a, seen[a], infos[a]) for a in live})
    legal, chances = found.policy.probabilities("a", Bandits.see(env, "a"))
    assert chances.sum() == pytest.approx(1)
    assert len(legal) == 2
    played = mm.rollouts(Bandits, found, 5)
    assert played.returns.shape == (5, 3)
    assert (played.steps == 6).all()


def test_rewards_count_in_the_environment_as_in_arrays():
    """Networks play as their policy in arrays is worth."""
    found = mm.learn(mm.make("soccer", rows=2, columns=3), TINY, 200)
    played = mm.rollouts(None, found, 400)
    interval = played.intervals[0]
    middle = (interval.high - interval.low) / 2
    assert abs(interval.mean - found.value[0]) < 2 * middle


def test_starting_from_weights():
    game = mm.make("rps", rounds=2)
    first = mm.learn(game, TINY, 200)
    slow = mm.NeuralMirrorDescent(
        hidden=(8,), copies=4, rollout=5, learning_rate=(1e-12, 1e-12), magnet="moving"
    )
    for init in (first, first.policy, weights(first)):
        again = mm.learn(game, slow, 20, init=init)
        for name, tensor in weights(again).items():
            torch.testing.assert_close(tensor, weights(first)[name], atol=1e-9, rtol=0)


def test_scalars_for_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    mm.learn(mm.make("rps", rounds=2), TINY, 100, tensorboard=tmp_path)
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    tags = set(read.Tags()["scalars"])
    assert {"gap/relative", "loss/policy", "policy/entropy", "return/player_0"} <= tags
    assert len(read.Scalars("gap/relative")) == 5


def scalars_in(folder):
    """Steps and values by tag, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {
        tag: [(event.step, event.value) for event in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def test_scalars_of_a_run_that_went_on_are_there_once(tmp_path, monkeypatch):
    """What was written after the last checkpoint is written again, and shown once."""
    pytest.importorskip("tensorboard")
    game, per_update = mm.make("rps", rounds=2), TINY.copies * TINY.rollout
    options = {"steps": 10 * per_update, "device": "cpu", "checks": 2}
    mm.learn(game, TINY, **options, tensorboard=tmp_path / "whole")
    kept = {"folder": tmp_path / "run", "tensorboard": tmp_path / "run"}
    monkeypatch.setattr(Learner, "gather", stop_at(Learner.gather, 9))
    assert mm.learn(game, TINY, **options, **kept).steps == 8 * per_update
    monkeypatch.undo()
    mm.learn(game, TINY, **options, **kept)
    whole, run = scalars_in(tmp_path / "whole"), scalars_in(tmp_path / "run")
    assert [step for step, _ in run["loss/policy"]] == [per_update * (k + 1) for k in range(10)]
    assert run == whole
    mm.learn(game, TINY, **options, **kept)  # nothing is left to do, and nothing is lost
    assert scalars_in(tmp_path / "run") == whole


def test_no_tensorboard_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        ImportError, match=r"'tensorboard' of learn .*pip install 'metamarl\[torch\]'"
    ):
        mm.learn(Steps, TINY, 20, tensorboard=tmp_path)


def test_spans_of_values():
    assert mm.value_span(mm.make("rps", rounds=4)) == pytest.approx(8)
    assert mm.value_span(mm.make("tictactoe")) == pytest.approx(2)
    assert mm.value_span(mm.make("pursuit", size=2, horizon=2, slip=0.0)) == pytest.approx(1)
    still = mm.MarkovGame(np.ones((1, 1, 1)), np.ones((1, 1, 1)), discount=0.5)
    assert mm.value_span(still) == 0
    assert mm.learn(still, TINY, 20).gap < 1e-12  # one state, one action, one player


# --- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": ()}, "'hidden' parameter of NeuralMirrorDescent must be a sequence"),
        ({"hidden": 8}, "'hidden' parameter"),
        ({"hidden": np.array([])}, "'hidden' parameter .* a sequence of layer widths, not empty"),
        ({"hidden": np.array(16)}, "'hidden' parameter .* a sequence of layer widths"),
        ({"hidden": np.ones((2, 2), int)}, "'hidden' parameter .* a sequence of layer widths"),
        ({"hidden": np.array([16.0])}, "'hidden' parameter .* an integer"),
        ({"hidden": "64"}, "'hidden' parameter .* a sequence of layer widths"),
        ({"hidden": (0,)}, "'hidden' parameter"),
        ({"share": 1}, "'share' parameter"),
        ({"normalise": 1}, "'normalise' parameter .* True or False"),
        ({"copies": 0}, "'copies' parameter"),
        ({"temperature": 0.1}, "'temperature' parameter .* a pair"),
        ({"temperature": (0.1, 0.0)}, "'temperature' parameter .* above 0"),
        ({"magnet": "iron"}, "one of uniform, moving"),
        ({"trace": 1.5}, "'trace' parameter"),
        ({"largest_gradient": 0}, "'largest_gradient' parameter"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        mm.NeuralMirrorDescent(**options)


def test_layer_widths_of_an_array():
    assert mm.NeuralMirrorDescent(hidden=np.array([16])).hidden == (16,)
    assert mm.NeuralMirrorDescent(hidden=np.array([16, 8])).hidden == (16, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": 3}, "'env' parameter of learn must be a MarkovGame"),
        ({"options": "fast"}, "'options' parameter of learn"),
        ({"steps": 0}, "'steps' parameter of learn"),
        ({"seed": -1}, "'seed' parameter of learn"),
        ({"checks": 0}, "'checks' parameter of learn"),
        ({"device": "tpu"}, "'device' parameter of learn must be 'auto' or a device"),
        ({"folder": 3}, "'folder' parameter of learn"),
        ({"init": 3}, "'init' parameter of learn"),
        ({"init": {"a": 1}}, "'init' parameter of learn must be a NeuralSolution"),
        ({"init": {"x": "y"}}, "'init' parameter of learn must be a NeuralSolution"),
        ({"init": {1: torch.zeros(1)}}, "'init' parameter of learn must be a NeuralSolution"),
        ({"init": {"a": torch.zeros(1)}}, "'init' parameter of learn must be weights of the same"),
        ({"init": mm.HeadAdapter()}, "'init' parameter of learn must be a NeuralSolution"),
        ({"env": mm.EpisodicEnvironment(Steps, timed=True)}, "not timed"),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        mm.learn(**{"env": Steps, "options": TINY, "steps": 20, **arguments})


def test_no_torch_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'metamarl\[torch\]'"):
        mm.learn(Steps)


class Continuous(Parallel):
    def action_space(self, agent):
        return spaces.Box(-1, 1, (2,))


class Multi(Parallel):
    def action_space(self, agent):
        return spaces.MultiDiscrete([2, 2])


class Graphs(Parallel):
    def observation_space(self, agent):
        return spaces.Sequence(spaces.Discrete(3))


class Growing(Parallel):
    episodes = 0

    def begin(self, seed):
        self.episodes += 1

    def observation_space(self, agent):
        return spaces.Discrete(100 + (self.episodes > 2))

    def see(self, agent):
        return np.int64(self.t)


class Blind(Parallel):
    def see(self, agent):
        return np.float64(np.nan)

    def observation_space(self, agent):
        return spaces.Box(-1, 1, ())


class Stuck(Steps):
    """Nothing is legal for whose turn it is."""

    def observe(self, agent):
        return {**super().observe(agent), "action_mask": np.zeros(2, np.int8)}


class Outside(Parallel):
    def see(self, agent):
        return np.int64(500)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Continuous, "Discrete actions for every agent"),
        (Multi, "Discrete actions for every agent"),
        (Graphs, "observations can be flattened"),
        (Growing, "agents and spaces stay as they are"),
        (Blind, "observations lie in"),
        (Outside, "observations lie in"),
        (Stuck, "a legal action"),
        (lambda: 3, "makes a PettingZoo environment"),
    ],
)
def test_environments_that_cannot_be_learned_in(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        mm.learn(make, TINY, 100)


def test_a_parallel_player_with_nothing_legal_waits():
    class Waits(Bandits):
        def mask(self):
            return super().mask() * (self.t % 2)

        def step(self, actions):
            if not self.mask().any():
                assert actions.get("a", 0) == 0
                actions = {**actions, "a": 0}
            return Parallel.step(self, actions)

    assert mm.learn(Waits, TINY, 100).steps == 100


class Vanishing(Bandits):
    """An agent is gone without a word; the spaces lie in dictionaries, PettingZoo's old way."""

    def __init__(self):
        super().__init__()
        self.action_spaces = {a: super(Vanishing, self).action_space(a) for a in "abc"}
        self.observation_spaces = {a: super(Vanishing, self).observation_space(a) for a in "abc"}

    action_space = Parallel.__mro__[1].action_space
    observation_space = Parallel.__mro__[1].observation_space

    def step(self, actions):
        result = Parallel.step(self, actions)
        if self.t == 2 and "c" in self.agents:
            self.agents.remove("c")
            for part in result:
                part.pop("c")
        return result

    def pay(self, actions):
        return super().pay(dict.fromkeys(self.agents, 1) | actions)


def test_agents_may_vanish_without_a_word():
    found = mm.learn(Vanishing, TINY, 200)
    assert mm.rollouts(Vanishing, found, 3).steps.tolist() == [6, 6, 6]


def test_folders_of_other_runs_are_left_alone(tmp_path):
    mm.learn(Steps, TINY, 20, folder=tmp_path)
    with pytest.raises(ValueError, match="a run with other seed"):
        mm.learn(Steps, TINY, 20, seed=1, folder=tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        mm.learn(Steps, TINY, 20, folder=tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == b"nothing"


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


def test_checkpoints_run_no_code(tmp_path, capsys):
    torch.save({"format": 1, "x": Bomb()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        mm.learn(Steps, TINY, 20, folder=tmp_path)
    assert "boom" not in capsys.readouterr().out


# --- on the command line


def run_command(*words):
    from typer.testing import CliRunner

    from metamarl.cli import app

    return CliRunner().invoke(app, ["learn", *words])


def test_the_command_learns_and_goes_on(tmp_path):
    pytest.importorskip("tensorboard")
    words = ["rps", "-o", "rounds=2", "--steps", "200", "--out", str(tmp_path), "--device", "cpu"]
    small = ["-s", "hidden=8", "-s", "copies=4", "-s", "rollout=5"]
    done = run_command(*words, *small)
    assert done.exit_code == 0, done.output
    assert "of the span of values" in done.output
    assert (tmp_path / "checkpoint.pt").is_file()
    again = run_command(*words, *small)
    assert again.exit_code == 0
    assert run_command(*words, *small, "--seed", "1").exit_code == 2  # the folder of another run


def test_the_command_takes_environments():
    words = ["--env", "parallel:metamarl/pursuit-v0", "-o", "size=2", "--steps", "64"]
    done = run_command(*words, "-s", "hidden=8", "-s", "copies=4", "-s", "rollout=5")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "and not both"),
        (["rps", "--env", "parallel:metamarl/rps-v0"], "and not both"),
        (["rps", "-s", "shar=false"], "did you mean 'share'"),
        (["rps", "--device", "tpu"], "a device that PyTorch finds here"),
        (["chess"], "chess"),
    ],
)
def test_the_command_says_what_is_wrong(words, message):
    done = run_command(*words)
    assert done.exit_code == 2
    assert message in done.output
