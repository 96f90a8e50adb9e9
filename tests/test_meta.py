"""Meta-learners: the formulae by hand, and that the robust one learns and never hurts."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_evaluation import random_game, random_policy

import metamarl as mm
from metamarl.algorithms.evaluation import nash_gap
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solve import solve
from metamarl.envs import MarkovGame, make, tasks
from metamarl.learners import META_LEARNERS
from metamarl.meta import Average, Last, MetaLearner, Oracle, Robust, Scratch

FAST = settings(deadline=None, max_examples=40, derandomize=True)
KINDS = ["steps", "timed-discounted", "discounted", "acyclic"]


def matrix_game(Q):
    """One state, one round."""
    Q = np.array(Q, float)
    return MarkovGame(np.ones((1, *Q.shape, 1)), [[Q], [-Q]], horizon=1)


def play(*rows):
    """A policy of a one-round game with one state."""
    return JointPolicy([np.array(row, float).reshape(1, 1, -1) for row in rows])


def rows_of(policy):
    return [array.reshape(-1).tolist() for array in policy]


def duel(kind="steps", seed=0, sizes=(3, 4)):
    arguments = random_game(kind, sizes, seed, zero_sum=True)
    return arguments, MarkovGame(**arguments)


def policies(arguments, count):
    return [JointPolicy(random_policy(arguments, seed)) for seed in range(count)]


def mixture(game, past, part):
    """(1 - part)·mean of `past` + part·uniform, as arrays."""
    uniform = list(JointPolicy.uniform(game))
    return [
        (1 - part) * np.mean([policy[i] for policy in past], 0) + part * uniform[i]
        for i in range(game.n_players)
    ]


def assert_same(policy, arrays, game):
    np.testing.assert_allclose(policy.flat(game), JointPolicy(arrays).flat(game), atol=1e-14)


# --- formulae


def test_names():
    names = ["none", "last", "average", "robust", "select", "neural", "oracle"]
    assert list(META_LEARNERS) == names
    for name, learner in META_LEARNERS.items():
        assert learner.name == learner().label == name
    assert (mm.Robust, mm.Scratch, mm.MetaLearner) == (Robust, Scratch, MetaLearner)


def test_labels_tell_options_apart():
    assert Robust(caution=5.0).label == "robust(caution=5.0)"
    assert Last(smoothing=0.05).label == "last"
    assert Average(smoothing=0.0).label == "average(smoothing=0.0)"


@pytest.mark.parametrize("name", META_LEARNERS)
def test_without_a_past_there_is_nothing_to_start_from(name):
    _, game = duel()
    start = META_LEARNERS[name]().start(game, [])
    assert (start is None) == (name != "oracle")


@pytest.mark.parametrize("kind", KINDS)
def test_scratch_last_and_average(kind):
    arguments, game = duel(kind)
    past = policies(arguments, 4)
    kept = [[array.copy() for array in policy] for policy in past]
    assert Scratch().start(game, past) is None
    assert_same(Last().start(game, past), mixture(game, past[-1:], 0.05), game)
    assert_same(Average().start(game, past), mixture(game, past, 0.05), game)
    assert_same(Last(smoothing=0.3).start(game, past), mixture(game, past[-1:], 0.3), game)
    assert_same(Average(smoothing=0.0).start(game, past), mixture(game, past, 0.0), game)
    assert_same(Average(smoothing=1.0).start(game, past), list(JointPolicy.uniform(game)), game)
    Robust().start(game, past)
    for policy, arrays in zip(past, kept, strict=True):  # the past is not written to
        for i in (0, 1):
            np.testing.assert_array_equal(policy[i], arrays[i])


def test_by_hand():
    game = matrix_game([[1, 0], [0, 3]])
    past = [play([1, 0], [0.5, 0.5]), play([0.5, 0.5], [0.25, 0.75])]
    assert rows_of(Last(smoothing=0.2).start(game, past)) == [
        pytest.approx([0.5, 0.5]),
        pytest.approx([0.3, 0.7]),
    ]
    assert rows_of(Average(smoothing=0.2).start(game, past)) == [
        pytest.approx([0.7, 0.3]),
        pytest.approx([0.4, 0.6]),
    ]


@pytest.mark.parametrize(("caution", "least"), [(15.0, 0.01), (1.0, 0.0), (0.0, 0.2), (1e9, 0.01)])
def test_robust_by_hand(caution, least):
    Q = np.array([[1.0, 0.0], [0.0, 3.0]])
    game = matrix_game(Q)
    past = [play([1, 0], [0.5, 0.5]), play([0.6, 0.4], [0.9, 0.1])]
    x, y = np.array([0.8, 0.2]), np.array([0.7, 0.3])  # their mean
    learned = (Q @ y).max() - (x @ Q).min()  # 0.9 - 0.6
    uniform = (Q @ [0.5, 0.5]).max() - ([0.5, 0.5] @ Q).min()  # 1.5 - 0.5
    ratio = learned / uniform
    assert ratio == pytest.approx(0.3)
    part = max(least, caution * ratio**2 / (1 + caution * ratio**2))
    start = Robust(caution=caution, least=least).start(game, past)
    assert rows_of(start) == [
        pytest.approx((1 - part) * row + part / 2, abs=1e-9) for row in (x, y)
    ]


def test_robust_decides_state_by_state():
    """Two unconnected matrix games; in the second one the past is of no use."""
    R = np.zeros((2, 2, 2, 2))
    R[0] = [[1, 0], [0, 3]], [[1, 0], [0, 3]]
    R[1] = -R[0]
    P = np.zeros((2, 2, 2, 2))
    P[0, :, :, 0] = P[1, :, :, 1] = 1.0
    game = MarkovGame(P, R, horizon=1)
    good, bad = [0.75, 0.25], [0.0, 1.0]
    past = [JointPolicy([[[good, bad]], [[good, bad]]])]
    start = Robust().start(game, past)
    np.testing.assert_allclose(start[0][0, 0], 0.99 * np.array(good) + 0.005, atol=1e-9)
    odds = Robust().caution * 9  # gaps 3 and 1
    part = odds / (1 + odds)
    np.testing.assert_allclose(start[0][0, 1], [part / 2, 1 - part / 2], atol=1e-9)


def test_robust_stays_near_the_mean_where_it_is_an_equilibrium():
    for kind in KINDS:
        _, game = duel(kind, sizes=(3, 3))
        equilibrium = solve(game, tol=1e-9).policy
        start = Robust().start(game, [equilibrium] * 3)
        judge = mm.nash_gap(game, JointPolicy.uniform(game))
        assert nash_gap(game, start) < 0.05 * judge
        flat, uniform = equilibrium.flat(game), JointPolicy.uniform(game).flat(game)
        np.testing.assert_allclose(start.flat(game), 0.99 * flat + 0.01 * uniform, atol=1e-7)


def test_robust_stays_near_uniform_where_tasks_have_nothing_in_common():
    start = []
    for seed in range(10):
        game, *rest = (make("random", seed=100 * seed + k) for k in range(3))
        past = [solve(other, tol=1e-9).policy for other in rest]
        flat, uniform = (
            Robust().start(game, past).flat(game),
            JointPolicy.uniform(game).flat(game),
        )
        mean = np.mean([policy.flat(game) for policy in past], 0)
        start.append(np.abs(flat - uniform).sum() / np.abs(mean - uniform).sum())
    assert np.mean(start) < 0.15  # the part that is kept of the past


def test_an_action_that_cannot_matter_is_no_division_by_zero():
    for game in (matrix_game(np.zeros((2, 3))), matrix_game([[2.0]])):
        start = Robust().start(game, [JointPolicy.uniform(game)])
        assert_same(start, list(JointPolicy.uniform(game)), game)


@FAST
@given(
    st.sampled_from(KINDS), st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([0.01, 0.2])
)
def test_no_legal_action_is_excluded(kind, seed, count, least):
    arguments, game = duel(kind, seed)
    past = [JointPolicy(random_policy(arguments, seed + k, pure=True)) for k in range(count)]
    mean = JointPolicy(mixture(game, past, 0.0)).flat(game)
    uniform = JointPolicy.uniform(game).flat(game)
    for learner in (Robust(least=least), Average(smoothing=least), Last(smoothing=least)):
        flat = learner.start(game, past).flat(game)
        assert (flat >= least * uniform * (1 - 1e-12)).all()
        if not isinstance(learner, Last):  # between the mean and uniform
            assert (flat >= np.minimum(mean, uniform) - 1e-12).all()
            assert (flat <= np.maximum(mean, uniform) + 1e-12).all()
        for array, mask in zip(learner.start(game, past), game.legal, strict=True):
            np.testing.assert_allclose(array.sum(-1), 1.0, atol=1e-12)
            assert (array[..., ~mask] == 0).all()


def test_the_oracle_starts_at_equilibrium():
    for name in ("soccer", "pursuit", "random", "tictactoe"):
        game = make(name)
        start = Oracle().start(game, [])
        assert nash_gap(game, start) < 1e-9
        solution = solve(game, "omd", init=start, tol=1e-6)
        assert solution.iterations == 1
        mixed = Oracle(smoothing=0.5).start(game, [])
        assert_same(mixed, mixture(game, [start], 0.5), game)


def test_the_oracle_of_a_game_with_large_rewards():
    arguments = random_game("discounted", (3, 3), 1, zero_sum=True)
    game = MarkovGame(**arguments | {"reward": 1e13 * arguments["reward"]})
    assert solve(game, throw=False).gap > 1e-3  # rounding error
    assert nash_gap(game, Oracle().start(game, [])) < 1.0


@pytest.mark.parametrize("learner", [Last, Average, Oracle])
def test_bad_smoothing(learner):
    for value in (-0.1, 1.1, np.nan, "x", None, True):
        with pytest.raises(
            (TypeError, ValueError), match=f"^The 'smoothing' parameter of {learner.__name__}"
        ):
            learner(smoothing=value)


def test_bad_options_of_robust():
    for name, values in {"caution": [-1, np.nan, np.inf, "x"], "least": [-0.1, 1.5, None]}.items():
        for value in values:
            with pytest.raises((TypeError, ValueError), match=f"^The '{name}' parameter of Robust"):
                Robust(**{name: value})


def test_a_past_of_other_games_is_refused():
    _, game = duel()
    _, other = duel(sizes=(2, 2))
    for learner in (Last(), Average(), Robust()):
        with pytest.raises(ValueError, match="policy"):
            learner.start(game, [JointPolicy.uniform(other)])


# --- what they are for


@dataclass(frozen=True, kw_only=True)
class FirstOnly(MetaLearner):
    """A meta-learner of the user's own: always starts from the first solution."""

    name: ClassVar[str] = "first"
    smoothing: float = 0.1

    def start(self, game, past):
        return Average(smoothing=self.smoothing).start(game, past[:1])


def test_a_learner_of_ones_own():
    games = tasks("random", 3, spread=0.01, states=3, actions=(3, 3), horizon=3)
    arms = [FirstOnly(), FirstOnly(smoothing=0.5), "last"]
    found = mm.compare(games, arms, tol=0.05)
    assert found.arms == ["none", "first", "first(smoothing=0.5)", "last"]
    assert found.speedup > 1
    assert found.config["meta"]["first(smoothing=0.5)"] == {"name": "first", "smoothing": 0.5}
    elsewhere = mm.compare(games, arms, tol=0.05, n_jobs=2)  # in other processes
    for one, other in zip(found.rows, elsewhere.rows, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


@pytest.fixture(scope="module")
def study():
    """Speed-ups of the robust start by spread: in total, and {(seed, task): speed-up}."""
    found = {}
    for spread in (0.0, 0.02, 0.3, 1.0):
        families = {seed: tasks("random", 8, spread, seed) for seed in range(3)}
        comparison = mm.compare(families, ["robust", "average"], tol=1e-2)
        assert all(row["converged"] for row in comparison.rows)
        count = {(r["seed"], r["task"], r["arm"]): r["iterations"] for r in comparison.rows}
        found[spread] = (
            comparison.speedup,
            {
                (seed, task): count[seed, task, "none"] / iterations
                for (seed, task, arm), iterations in count.items()
                if arm == "robust"
            },
        )
    return found


def test_robust_pays_where_games_are_alike(study):
    assert study[0.02][0] > 2
    assert study[0.0][0] > 5
    assert min(ratio for (_, task), ratio in study[0.0][1].items() if task) > 10


@pytest.mark.parametrize("spread", [0.02, 0.3, 1.0])
def test_robust_never_hurts(study, spread):
    speedup, singles = study[spread]
    assert speedup > 0.95
    assert min(singles.values()) >= 0.75
    assert all(ratio == 1.0 for (_, task), ratio in singles.items() if task == 0)


# --- starts for games that can only be played


def test_past_solutions_say_how_much_to_smooth():
    game = MarkovGame(**random_game("steps", (4, 4), zero_sum=True, masked=False))
    learner = Robust(certificate="past")
    assert Robust().without_model() == learner.without_model() == learner
    assert Average().without_model() == Average()
    uniform = list(JointPolicy.uniform(game))
    rng = np.random.default_rng(0)

    def pure():
        return JointPolicy([np.eye(4)[rng.integers(4, size=array.shape[:2])] for array in uniform])

    one = pure()
    assert_same(learner.start(game, [one]), mixture(game, [one], 0.1), game)
    alike = [one] * 3
    assert_same(learner.start(game, alike), mixture(game, alike, 0.01), game)
    unlike = [pure() for _ in range(6)]
    start = learner.start(game, unlike).flat(game)
    assert np.abs(start - 0.25).max() < 0.08  # what differs at random predicts nothing


@pytest.mark.parametrize("kind", KINDS)
def test_the_smoothing_is_the_likeliest(kind):
    arguments, game = duel(kind, 3)
    common, *own = policies(arguments, 5)
    past = [JointPolicy([0.7 * a + 0.3 * b for a, b in zip(common, p, strict=True)]) for p in own]
    learner = Robust(certificate="past", least=0.0)
    start = learner.start(game, past).flat(game)
    mean, uniform = np.mean([p.flat(game) for p in past], 0), JointPolicy.uniform(game).flat(game)
    far = np.argmax(np.abs(uniform - mean))
    part = (start - mean)[far] / (uniform - mean)[far]

    def likelihood(part):
        total = 0.0
        for j, policy in enumerate(past):
            others = np.mean([p.flat(game) for k, p in enumerate(past) if k != j], 0)
            total += policy.flat(game) @ np.log((1 - part) * others + part * uniform)
        return total

    assert 0.0 < part < 1.0
    assert all(likelihood(part) >= likelihood(x) - 1e-4 for x in np.linspace(0.01, 1.0, 100))


def test_no_model_is_read_with_certificates_from_the_past(monkeypatch):
    monkeypatch.setattr("metamarl.meta.Evaluator", None)
    arguments, game = duel()
    assert Robust(certificate="past").start(game, policies(arguments, 3)) is not None
    with pytest.raises(ValueError, match="one of exact, past"):
        Robust(certificate="none")


def test_one_action_needs_no_smoothing():
    game = MarkovGame(**random_game("steps", (1, 1)))
    past = [JointPolicy.uniform(game)] * 2
    assert (Robust(certificate="past").start(game, past).flat(game) == 1.0).all()
