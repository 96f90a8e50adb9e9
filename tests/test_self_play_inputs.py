"""What self-play refuses: observations outside their spaces, and environments that change."""

import itertools

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from small_environments import Parallel, Turns

import metamarl as mm
from metamarl.algorithms.flattening import flat, lies_in, squashed

TINY = mm.NeuralMirrorDescent(hidden=(8,), copies=3, rollout=5, minibatch=16)
SENTENCE = r"^The 'env' parameter of learn must be a function that makes an environment whose "

INSIDE = [
    (spaces.Discrete(3), 2),
    (spaces.Discrete(3), np.int64(0)),
    (spaces.Discrete(3), np.array(1)),
    (spaces.Discrete(3, start=-1), -1),
    (spaces.Discrete(2), np.True_),
    (spaces.Discrete(2), np.array(False)),
    (spaces.MultiDiscrete([2, 3]), np.array([1, 2])),
    (spaces.MultiDiscrete([2, 3], start=[0, -3]), np.array([1, -3])),
    (spaces.MultiBinary(2), np.array([0, 1], bool)),
    (spaces.Box(0, 1, (2,)), np.array([0.5, 1.0])),
    (spaces.Box(0, 1, (2,)), np.array([-7.0, 2.0])),  # beyond the bounds: nothing breaks
    (spaces.Box(0, 9, (2,), np.int8), np.array([0.0, 9.0])),
    (spaces.Box(0, 1, (2,), np.int8), np.array([2, -1], np.int8)),
    (spaces.Box(0, 9, (2,), np.uint8), np.array([0, 255])),
    (spaces.Box(0, 1, (2,), bool), np.array([1, 0])),
    (spaces.Box(0, 9, (2, 2)), np.array([[1, 2], [3, 4]])),
    (spaces.Box(0, 1, ()), 0.25),
    (spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1, (1,)))), (1, np.zeros(1))),
    (spaces.Dict(a=spaces.Discrete(2), b=spaces.Discrete(2)), {"b": 1, "a": 0, "c": "more"}),
    (spaces.Text(3), "ab"),
]
OUTSIDE = [
    (spaces.Discrete(3), -1),
    (spaces.Discrete(3), 3),
    (spaces.Discrete(3), np.uint8(250)),
    (spaces.Discrete(3, start=1), 0),
    (spaces.Discrete(3, start=1), np.uint8(0)),
    (spaces.Discrete(3), None),
    (spaces.Discrete(3), 1.0),
    (spaces.Discrete(3), np.array([1])),
    (spaces.Discrete(3), "1"),
    (spaces.MultiDiscrete([2, 3]), np.array([-1, 0])),
    (spaces.MultiDiscrete([2, 3]), np.array([0, 3])),
    (spaces.MultiDiscrete([2, 3]), np.array([0, 1, 1])),
    (spaces.MultiDiscrete([2, 3]), np.array([[0, 1]])),
    (spaces.MultiBinary(2), np.array([0, 2])),
    (spaces.MultiBinary(2), np.array([0, 0.5])),
    (spaces.Box(0, 9, (2, 3)), np.zeros((3, 2))),
    (spaces.Box(0, 9, (2,)), np.zeros(3)),
    (spaces.Box(0, 9, (1,)), 3.0),
    (spaces.Box(0, 9, (2,)), np.array([0, np.nan])),
    (spaces.Box(0, 9, (2,)), np.array([0, np.inf])),
    (spaces.Box(0, 9, (2,)), [0.0, [1.0]]),
    (spaces.Box(0, 9, (2,)), np.array([0, None])),
    (spaces.Box(0, 9, (2,), np.int8), np.array([0, 300])),
    (spaces.Box(0, 9, (2,), np.int8), np.array([0.5, 0.0])),
    (spaces.Box(0, 9, (2,), np.int8), np.array([np.nan, 0.0])),
    (spaces.Box(0, 9, (2,), np.uint8), np.array([-1, 0])),
    (spaces.Box(0, 1, (2,), bool), np.array([2, 0])),
    (spaces.Box(0, 9, (2,), np.float64), np.array([1e300, 0.0])),
    (spaces.Box(0, 9, (2,)), None),
    (spaces.Tuple((spaces.Discrete(2),)), (1, 1)),
    (spaces.Tuple((spaces.Discrete(2),)), 1),
    (spaces.Dict(a=spaces.Discrete(2)), {"b": 1}),
    (spaces.Dict(a=spaces.Discrete(2)), {"a": -1}),
    (spaces.Dict(a=spaces.Discrete(2)), 3),
    (spaces.Text(3), "abcd"),
]


@pytest.mark.parametrize(("space", "seen"), INSIDE)
def test_what_lies_in_a_space_is_flattened(space, seen):
    row = flat(space, seen)
    assert row.dtype == np.float32
    np.testing.assert_array_equal(row, squashed(np.asarray(flatten(space, seen), np.float32)))
    assert row.shape == (flatdim(space),)


@pytest.mark.parametrize("kind", [spaces.Discrete(5, start=-2), spaces.MultiDiscrete([3, 2])])
def test_whatever_a_space_draws_lies_in_it(kind):
    kind.seed(0)
    assert all(lies_in(kind, kind.sample()) for _ in range(20))


@pytest.mark.parametrize(("space", "seen"), OUTSIDE)
def test_what_does_not_lie_in_a_space_is_said(space, seen):
    with pytest.raises(ValueError, match=SENTENCE + r"observations lie in .*Got .* instead\.$"):
        flat(space, seen)


def test_masks_are_left_out_and_shapes_are_told():
    masked = {"observation": np.int64(1), "action_mask": np.ones(2)}
    np.testing.assert_array_equal(flat(spaces.Discrete(2), masked), [0, 1])
    with pytest.raises(ValueError, match=r"observations lie in Discrete\(2\).* Got None"):
        flat(spaces.Discrete(2), {"action_mask": np.ones(2)})
    with pytest.raises(ValueError, match=r"Got an array of shape \(3,\) and type float64"):
        flat(spaces.Box(0, 1, (2,)), np.zeros(3))
    with pytest.raises(ValueError, match=r"Got array\(\[0, 7\]\)"):
        flat(spaces.MultiBinary(2), np.array([0, 7]))


def test_single_numbers_of_torch_are_numbers():
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(flat(spaces.Discrete(3), torch.tensor(1)), [0, 1, 0])
    with pytest.raises(ValueError, match=SENTENCE + r"observations lie in Discrete\(3\)"):
        flat(spaces.Discrete(3), torch.tensor(3))


# --- environments


class Parted(Parallel):
    """What is seen beside the mask has parts."""

    def observation_space(self, agent):
        parts = spaces.Dict(a=spaces.Discrete(2), observation=spaces.Discrete(3))
        return spaces.Dict(observation=parts, action_mask=spaces.MultiBinary(2))

    def see(self, agent):
        seen = {"a": self.t % 2, "observation": self.t}
        return {"observation": seen, "action_mask": np.ones(2, np.int8)}


def test_what_is_seen_beside_a_mask_may_have_parts():
    pytest.importorskip("torch")
    learned = mm.learn(Parted, TINY, 60)
    eyes = learned.policy.eyes
    np.testing.assert_array_equal(eyes.row(1, Parted().reset()[0]["b"]), [1, 0, 1, 0, 0, 0, 1])


class Later(Parallel):
    """What is seen from the second step on is `then`."""

    length = 4
    space = spaces.Box(0, 9, (2,))
    first_seen = np.zeros(2, np.float32)
    then = first_seen

    def observation_space(self, agent):
        return self.space

    def see(self, agent):
        return self.then if self.t else self.first_seen


class LaterTurns(Turns):
    """The same in turns."""

    space, first_seen, then = Later.space, Later.first_seen, Later.then

    def observation_space(self, agent):
        return self.space

    def observe(self, agent):
        return self.then if self.t else self.first_seen


DISCRETE = {"space": spaces.Discrete(4), "first_seen": np.int64(0)}


@pytest.mark.parametrize("kind", [Later, LaterTurns])
@pytest.mark.parametrize(
    "changes",
    [
        {"then": np.zeros(3, np.float32)},
        {"then": np.zeros((2, 1), np.float32)},
        {"then": None},
        {**DISCRETE, "then": np.int64(-1)},
        {**DISCRETE, "then": None},
        {**DISCRETE, "then": np.int64(4)},
    ],
)
def test_observations_that_leave_their_space_on_the_way(kind, changes):
    pytest.importorskip("torch")
    make = type("Made", (kind,), changes)
    with pytest.raises(ValueError, match=SENTENCE + r"observations lie in .*Got .* instead\.$"):
        mm.learn(make, TINY, 60)


class Varied(Parallel):
    """What instance number k is like is `kinds[k]`, the last for all that follow."""

    kinds = ()

    def __init__(self):
        made = next(self.count)
        self.kind = self.kinds[min(made, len(self.kinds) - 1)]
        super().__init__(self.kind.get("agents", ("a", "b")))
        self.actions = self.kind.get("actions", (2, 2))
        self.first = self.kind.get("first", (0, 0))

    def observation_space(self, agent):
        return spaces.Discrete(self.kind.get("seen", 10))


OTHERS = {
    "observations": {"seen": 11},
    "more actions": {"actions": (2, 3)},
    "fewer actions": {"actions": (1, 2)},
    "numbers of actions": {"first": (0, 1)},
    "agents": {"agents": ("a", "c")},
    "order of agents": {"agents": ("b", "a")},
    "another agent": {"agents": ("a", "b", "c"), "actions": (2, 2, 2), "first": (0, 0, 0)},
}


@pytest.mark.parametrize("plain", [1, 2, 4])
@pytest.mark.parametrize("other", OTHERS)
def test_instances_that_are_not_alike(other, plain):
    """The first, the second or the fourth one is followed by others."""
    pytest.importorskip("torch")
    if (other, plain) == ("observations", 1):
        return  # of the first one, only the agents and actions are looked at
    made = {"kinds": [{}] * plain + [OTHERS[other]], "count": itertools.count()}
    with pytest.raises(ValueError, match=SENTENCE + r"agents and spaces stay as they are\. Got "):
        mm.learn(type("Made", (Varied,), made), TINY, 60)


class Resetting(Varied):
    """What its third episode is like."""

    def __init__(self):
        self.episodes, self.count = 0, itertools.count()
        super().__init__()

    def begin(self, seed):
        self.episodes += 1
        if self.episodes > 3:
            self.kind = self.kinds[-1]
            self.actions = self.kind.get("actions", (2, 2))
            self.first = self.kind.get("first", (0, 0))


@pytest.mark.parametrize("name", ["observations", "more actions", "numbers of actions"])
def test_episodes_that_are_not_alike(name):
    pytest.importorskip("torch")
    make = type("Made", (Resetting,), {"kinds": [{}, OTHERS[name]]})
    with pytest.raises(ValueError, match=SENTENCE + r"agents and spaces stay as they are\. Got "):
        mm.learn(make, TINY, 60, checks=1)


@pytest.mark.parametrize("kind", [Parallel, Turns])
@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 2])])
def test_actions_that_are_not_discrete(kind, space):
    pytest.importorskip("torch")
    make = type("Made", (kind,), {"action_space": lambda self, agent: space})  # noqa: ARG005
    words = rf"Discrete actions for every agent\. Got {type(space).__name__}.* for 'a' instead\.$"
    for call in (mm.learn, lambda env, how, steps: mm.learn_start([env], how, steps=steps)):
        with pytest.raises(TypeError, match=words):
            call(make, TINY, 60)


@pytest.mark.parametrize("count", [1, 3])
def test_last_masks_of_another_shape(count):
    pytest.importorskip("torch")

    class Masks(Parallel):
        def inform(self, agent):
            return {"action_mask": np.ones(count if self.t == 3 else 2, np.int8)}

        def ended(self):
            return False

        def cut(self):
            return self.t == 3

    env = mm.EpisodicEnvironment(Masks, discount=0.9)
    words = rf"'action_mask' .* shape \(2,\).* Got shape \({count},\)"
    with pytest.raises(ValueError, match=words):
        mm.learn(env, TINY, 60)


def test_masks_of_another_shape():
    pytest.importorskip("torch")

    class Masks(Parallel):
        def inform(self, agent):
            return {"action_mask": np.ones(2 + self.t, np.int8)}

    with pytest.raises(ValueError, match=r"'action_mask' .* shape \(2,\).* Got shape \(3,\)"):
        mm.learn(Masks, TINY, 60)


def test_large_numbers_are_seen_as_their_logarithm():
    space = spaces.Box(-np.inf, np.inf, (7,), np.float32)
    seen = flat(space, np.array([0.0, 0.5, -1.0, 1.0, np.e, -np.e, 1e30], np.float32))
    expected = [0.0, 0.5, -1.0, 1.0, 2.0, -2.0, 1.0 + 30 * np.log(10.0)]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    x = np.sort(np.random.default_rng(0).normal(0.0, 3.0, 1000)).astype(np.float32)
    squashed = flat(spaces.Box(-np.inf, np.inf, (1000,), np.float32), x)
    assert (np.diff(squashed) >= 0).all()  # nothing changes its order
    np.testing.assert_array_equal(squashed[np.abs(x) <= 1], x[np.abs(x) <= 1])
    assert flat(spaces.Discrete(3), 2).tolist() == [0.0, 0.0, 1.0]
