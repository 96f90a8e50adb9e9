"""What plugging in is made of: snapshots, keys, branching chance, merging, knowledge."""

import collections
import enum
import itertools
import random

import numpy as np
import pytest
from gymnasium.utils import EzPickle, seeding
from hypothesis import given, settings
from hypothesis import strategies as st

import metamarl as mm
from metamarl.envs.branching import Branch, ContinuousDrawError, TooManyOutcomesError
from metamarl.envs.branching_generators import Patch
from metamarl.envs.enumeration import END, Explored, Row
from metamarl.envs.information import find_information
from metamarl.envs.merging import find_classes, merge
from metamarl.envs.object_parts import swap_generators
from metamarl.envs.simultaneous import join_hidden_moves
from metamarl.envs.snapshot import NoCopyError, Snapshot
from metamarl.envs.state_key import Freezer

# --- snapshots and keys


class Slotted:
    __slots__ = ("__hidden", "a", "b")

    def __init__(self):
        self.a, self.__hidden = [1], 2

    def change(self):
        self.a.append(2)
        self.b = 3
        self.__hidden = 4


class Row_(list):  # noqa: N801
    pass


class Colour(enum.Enum):
    RED = 1


class World(EzPickle):
    def __init__(self):
        EzPickle.__init__(self)
        self.list, self.deque = [1, [2, 3]], collections.deque([1, 2], 5)
        self.dict = collections.defaultdict(int, x=1)
        self.set, self.tuple = {1, 2}, (1, [5])
        self.array, self.objects = np.arange(4.0), np.array([[1], 2], object)
        self.fixed = np.arange(3)
        self.fixed.flags.writeable = False
        self.slotted, self.row, self.colour = Slotted(), Row_([1]), Colour.RED
        self.row.note = "x"
        self.same = self.list
        self.me = self
        self.iterator = iter([1, 2, 3])
        self.rng, self.old = np.random.default_rng(1), np.random.RandomState(1)
        self.python = random.Random(1)

    def change(self):
        self.list[1].append(4)
        self.list.append(self)
        self.deque.popleft()
        self.dict["y"] += 1
        del self.dict["x"]
        self.set.add(3)
        self.tuple[1][0] = 6
        self.array += 1
        self.objects[0].append(1)
        self.slotted.change()
        self.row.append(2)
        self.row.note = "y"
        self.new = 1
        del self.colour
        return (
            next(self.iterator), self.rng.random(), self.old.rand(), self.python.random()
        )  # fmt: skip


def test_snapshots_bring_everything_back_as_often_as_wanted():
    world, freeze = World(), Freezer()
    before, snapshot = freeze(world), Snapshot(world)
    first = world.change()
    assert freeze(world) != before
    for _ in range(2):
        snapshot.restore()
        assert freeze(world) == before
        assert world.same is world.list
        assert world.me is world
        assert not hasattr(world, "new")
        assert not hasattr(world.slotted, "b")
        assert world.change() == first


def test_what_cannot_be_copied_is_said():
    world = World()
    world.stuck = (x for x in range(3))
    with pytest.raises(NoCopyError, match="generator cannot be copied"):
        Snapshot(world)


def test_keys_are_equal_for_equal_contents_only():
    freeze = Freezer(["left_out"])
    assert freeze(World()) == freeze(World())
    for change in (
        lambda w: w.list[1].append(0),
        lambda w: w.array.__setitem__(0, 9.0),
        lambda w: w.dict.update(z=1),
        lambda w: w.tuple[1].append(1),
        lambda w: setattr(w, "colour", 3),
        lambda w: w.slotted.change(),
    ):
        world = World()
        change(world)
        assert freeze(world) != freeze(World())
    world = World()
    world.left_out = 3
    world.rng.random()
    assert freeze({"a": 1, "b": 2}) == freeze({"b": 2, "a": 1})
    assert freeze(np.float64("nan")) == freeze(float("nan"))
    assert freeze(np.arange(3)) != freeze(np.arange(3)[::-1])
    hash(freeze(World()))


# --- branching chance


def distribution(draw):
    branch, found = Branch(), collections.Counter()
    with Patch(branch):
        for p, outcome in branch.outcomes(draw):
            found[outcome] += p
    return dict(found)


UNIFORM = {k: pytest.approx(1 / 3) for k in range(3)}


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda: int(np.random.default_rng(0).integers(3)), UNIFORM),
        (lambda: int(np.random.default_rng(0).integers(1, 3, endpoint=True)) - 1, UNIFORM),
        (lambda: int(np.random.default_rng(0).choice(3)), UNIFORM),
        (lambda: np.random.RandomState(0).randint(3), UNIFORM),
        (lambda: random.Random(0).randrange(3), UNIFORM),
        (lambda: random.Random(0).randint(0, 2), UNIFORM),
        (lambda: random.Random(0).choice([0, 1, 2]), UNIFORM),
        (lambda: random.Random(0).choices([0, 1, 2])[0], UNIFORM),
        (lambda: random.Random(0).sample([0, 1, 2], 2)[0], UNIFORM),
        (lambda: int(random.Random(0).random() * 3), UNIFORM),
        (lambda: int(3 - 3 * np.random.default_rng(0).random()), UNIFORM),
        (lambda: int(np.random.default_rng(0).uniform(0, 6)) // 2, UNIFORM),
        (lambda: int(np.random.default_rng(0).permutation(3)[0]), UNIFORM),
        (
            lambda: int(
                np.cumsum([1.0, 1, 1]).searchsorted(3 * np.random.default_rng().random(), "right")
            ),
            UNIFORM,
        ),
        (
            lambda: bool(seeding.np_random(1)[0].random() < 0.25),
            {True: pytest.approx(0.25), False: pytest.approx(0.75)},
        ),
        (
            lambda: np.float64(0.25) > random.Random(0).random(),
            {True: pytest.approx(0.25), False: pytest.approx(0.75)},
        ),
        (
            lambda: np.random.default_rng(0).choice(["x", "y"], p=[0.0, 1.0]).item(),
            {"y": pytest.approx(1)},
        ),
        (
            lambda: int(np.random.default_rng(0).binomial(2, 0.5)),
            {0: pytest.approx(0.25), 1: pytest.approx(0.5), 2: pytest.approx(0.25)},
        ),
        (
            lambda: int((np.random.default_rng(0).random(2) < 0.5).sum()),
            {0: pytest.approx(0.25), 1: pytest.approx(0.5), 2: pytest.approx(0.25)},
        ),
    ],
    ids=itertools.count(),
)
def test_every_outcome_of_a_draw_is_played(draw, expected):
    assert distribution(draw) == expected


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.05, 0.95), min_size=1, max_size=4))
def test_several_draws_multiply(chances):
    def draw():
        rng = np.random.default_rng()
        return tuple(bool(rng.random() < p) for p in chances)

    for outcome, p in distribution(draw).items():
        expected = np.prod([c if hit else 1 - c for hit, c in zip(outcome, chances, strict=True)])
        assert p == pytest.approx(expected)


def test_one_draw_may_be_compared_twice():
    def draw():
        x = np.random.default_rng().random()
        return "low" if x < 0.2 else "middle" if x < 0.5 else "high"

    assert distribution(draw) == {
        "low": pytest.approx(0.2),
        "middle": pytest.approx(0.3),
        "high": pytest.approx(0.5),
    }


def test_shuffles_are_uniform():
    def draw():
        cards, rows = [1, 2, 3], np.arange(6).reshape(3, 2)
        rng = random.Random()
        rng.shuffle(cards)
        np.random.default_rng(0).shuffle(rows)
        return (*cards, *rows[:, 0].tolist())

    found = distribution(draw)
    assert len(found) == 36
    assert all(p == pytest.approx(1 / 36) for p in found.values())
    assert {k[:3] for k in found} == set(itertools.permutations([1, 2, 3]))
    assert {k[3:] for k in found} == set(itertools.permutations([0, 2, 4]))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: np.random.default_rng().normal(),
        lambda: np.random.RandomState().randn(2),
        lambda: random.Random().gauss(0, 1),
        lambda: float(np.random.default_rng().random()),
        lambda: abs(np.random.default_rng().uniform(-1, 1, 3)).max(),
        lambda: np.random.default_rng().poisson(2),
    ],
    ids=itertools.count(),
)
def test_continuous_draws_are_refused(draw):
    with pytest.raises(ContinuousDrawError):
        distribution(draw)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: np.random.default_rng().permutation(52),
        lambda: np.random.default_rng().integers(10**9),
    ],
)
def test_endless_lists_of_outcomes_are_refused(draw):
    with pytest.raises(TooManyOutcomesError):
        distribution(draw)


def test_sampling_is_reproducible_and_patches_are_taken_back():
    branch, before = Branch(), np.random.default_rng
    world = World()
    patch = Patch(branch)
    assert swap_generators(world, patch.stand_in) == ["old", "python", "rng"]
    numbers = []
    for _ in range(2):
        branch.sample(3)
        with patch:
            drawn = (world.rng.normal(), world.old.randn(), world.python.gauss(0, 1))
            numbers.append((*drawn, np.random.default_rng(5).random(), random.Random(2).random()))
    assert numbers[0] == numbers[1]
    assert np.random.default_rng is before


# --- merging


def test_states_that_are_alike_are_merged_and_nothing_else():
    rng, S, copies = np.random.default_rng(0), 4, 3
    P, pay = rng.dirichlet(np.ones(S), (S, 6)), rng.normal(size=(2, S, 6))
    twin = np.tile(np.arange(S), copies)
    rng.shuffle(twin)
    split = rng.dirichlet(np.ones(copies), (S * copies, P.shape[1], S))  # over the twins of a state
    big = np.zeros((S * copies, P.shape[1], S * copies))
    for s in range(S):
        big[:, :, twin == s] = P[twin][:, :, s, None] * split[:, :, s]
    shape = (S * copies, 2, 3)
    reward = pay[:, twin].reshape(2, *shape)
    whole = mm.MarkovGame(big.reshape(*shape, S * copies), reward, horizon=3)
    classes = find_classes([whole.table])
    assert classes.max() + 1 == S
    assert len(set(zip(classes.tolist(), twin.tolist(), strict=True))) == S
    merged = merge(whole.table, classes)
    assert merged.n_states == S
    start = np.bincount(classes, whole.initial)
    small = mm.MarkovGame.from_table(merged, start, 3)
    uniform = [mm.evaluate(g, mm.JointPolicy.uniform(g)) for g in (whole, small)]
    np.testing.assert_allclose(uniform[0], uniform[1])
    with pytest.raises(RuntimeError, match="taken for equivalent"):
        merge(whole.table, np.zeros(S * copies, np.int64))


def test_families_are_merged_by_what_holds_in_all_of_them():
    def line(last):
        P, R = np.zeros((3, 1, 3)), np.zeros((1, 3, 1))
        P[:, 0, 2] = 1
        R[0, :2, 0] = 1.0, last
        return mm.MarkovGame(P, R).table

    assert find_classes([line(1.0)]).tolist() == [0, 0, 1]
    assert find_classes([line(1.0), line(2.0)]).tolist() == [0, 1, 2]
    assert find_classes([line(1.0)], np.array([0, 1, 0])).tolist() == [0, 1, 2]


# --- who knows what


def explored(movers, choices, rows, seen):
    found = Explored(movers=movers, choices=choices, seen=seen, start={0: 1.0})
    found.keys = [(who, s) for s, who in enumerate(movers)]
    found.rows = [[Row(((1.0, t),), (0.0, pay)) for t, pay in here] for here in rows]
    return found


def guessing(sight):
    """Player 0 hides a coin (state 0), player 1 guesses; what it sees of states 1 and 2."""
    return explored(
        [(0,), (1,), (1,)],
        [((0, 1),)] * 3,
        [[(1, 0.0), (2, 0.0)], [(END, 1.0), (END, 0.0)], [(END, 0.0), (END, 1.0)]],
        [("start", "wait"), ("x", sight[0]), ("x", sight[1])],
    )


def test_hidden_states_are_found_and_seen_ones_are_not():
    classes = np.arange(3)
    assert find_information(guessing("ab"), classes).hidden is None
    hidden = find_information(guessing("aa"), classes)
    assert hidden.hidden in ((1, 1, 2), (1, 2, 1))
    assert not hidden.at_start
    assert (
        find_information(guessing("aa"), np.array([0, 1, 1])).hidden is None
    )  # it is all the same


def test_hidden_moves_are_joined_and_seen_ones_are_not():
    joined, count = join_hidden_moves(guessing("aa"), "auto")
    assert count == 1
    assert joined.movers == [(0, 1)]
    assert [row.reward[1] for row in joined.rows[0]] == [1.0, 0.0, 0.0, 1.0]
    assert joined.seen == [("start", "a")]
    apart, count = join_hidden_moves(guessing("ab"), "auto")
    assert (len(apart), count) == (3, 0)
    forced, count = join_hidden_moves(guessing("ab"), "always")
    assert (len(forced), count) == (1, 1)


def test_players_may_have_to_remember():
    # Player 0 sees only its own last move; state 1 and 2 differ by it, states 3 and 4 as well.
    found = explored(
        [(0,)] * 5,
        [((0, 1),)] * 5,
        [
            [(1, 0.0), (2, 0.0)],
            [(3, 0.0), (3, 0.0)],
            [(4, 0.0), (4, 0.0)],
            [(END, 1.0), (END, 0.0)],
            [(END, 0.0), (END, 1.0)],
        ],
        [("start", 0), ("nothing", 0), ("nothing", 0), ("nothing", 0), ("nothing", 0)],
    )
    known = find_information(found, np.arange(5))
    assert known.hidden is None
    assert known.memory == (0,)
