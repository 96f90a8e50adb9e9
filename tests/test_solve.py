"""One contract for every solver: known answers, certificates, statuses, errors, laws."""

import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_games import KNOWN_GAMES
from test_evaluation import CLOCKS, permuted_axes, plain, random_game, random_policy
from test_kernels import stage_ends

from metamarl.algorithms._zero_sum_run import ZeroSumRun
from metamarl.algorithms.evaluation import effective_horizon, evaluate, nash_gap
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.exact import Exact
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solution import SolveError, SolveInterrupted, Status
from metamarl.algorithms.solve import solve
from metamarl.algorithms.solvers import SOLVERS
from metamarl.envs import MarkovGame, make

FAST = settings(deadline=None, max_examples=40, derandomize=True)
SENTENCE = r"The '\S+' parameter of \w+ must be .+\. Got .+ instead\."
ZERO_SUM = ["exact", "omd"]  # what comes as close as wanted; the others have files of their own
LEARNERS = {
    "omd": OptimisticMirrorDescent(),
    "omd, euclidean": OptimisticMirrorDescent(regularizer="euclidean"),
}


def one_sentence(error):
    return re.fullmatch(SENTENCE, str(error.value)) is not None


def duel(n_actions=(3, 4), kind="steps", seed=0, **options):
    """A random zero-sum game."""
    return MarkovGame(**random_game(kind, n_actions, seed, zero_sum=True, **options))


def check_certificate(game, solution, tol):
    """What holds of every solution of a zero-sum game, whatever its status."""
    assert solution.gap == nash_gap(game, solution.policy) >= 0.0
    assert solution.value[0] == -solution.value[1]
    np.testing.assert_array_equal(solution.value, evaluate(game, solution.policy))
    assert solution.converged == (solution.status is Status.CONVERGED)
    if solution.converged:
        assert solution.gap <= tol
    trace = solution.trace
    assert len(trace) == len(trace.iteration) == len(trace.gap) == len(trace.seconds)
    assert (np.diff(trace.iteration) > 0).all()
    assert (np.diff(trace.seconds) >= 0).all()
    assert solution.gap <= trace.gap.min(initial=np.inf) + 1e-12 * np.abs(game.table.reward).max()
    assert 0 < solution.seconds < 60
    for i, mask in enumerate(game.legal):
        array = solution.policy[i]
        assert (array >= 0).all()
        assert (array[..., ~mask] == 0).all()
        np.testing.assert_allclose(array.sum(-1), 1.0, atol=1e-9)


# --- known answers


@pytest.mark.parametrize("known", KNOWN_GAMES, ids=lambda known: known.name)
def test_exact_finds_the_known_value(known):
    game = known.build()
    solution = solve(game, "exact", tol=1e-9)
    assert solution.value[0] == pytest.approx(known.value, rel=1e-11, abs=1e-12)
    assert solution.gap < 1e-9
    check_certificate(game, solution, 1e-9)
    if known.policy is not None:
        for i, row in enumerate(known.policy):
            first = solution.policy[i].reshape(-1, *game.legal[i].shape)[0, 0]
            np.testing.assert_allclose(first[game.legal[i][0]], row, atol=1e-7)


@pytest.mark.parametrize("solver", LEARNERS.values(), ids=LEARNERS)
@pytest.mark.parametrize("known", KNOWN_GAMES, ids=lambda known: known.name)
def test_learners_find_the_known_value(known, solver):
    game = known.build()
    tol = 0.01 * max(1.0, np.abs(game.table.reward).max(), known.value)
    solution = solve(game, solver, tol=tol)
    assert abs(solution.value[0] - known.value) <= solution.gap + 1e-12 <= tol + 1e-12
    check_certificate(game, solution, tol)


def test_learners_come_as_close_as_wanted():
    game = make("stopping")
    for solver in LEARNERS.values():
        solution = solve(game, solver, tol=1e-5)
        assert abs(solution.value[0] - (4 - 4 / 3**0.5)) <= solution.gap <= 1e-5


# --- the contract


@pytest.mark.parametrize("name", ZERO_SUM)
@pytest.mark.parametrize("kind", CLOCKS)
class TestContract:
    def test_certified(self, kind, name):
        for seed in range(3):
            game = duel((3, 4), kind, seed)
            solution = solve(game, name, tol=0.02)
            check_certificate(game, solution, 0.02)
            assert solution.status is Status.CONVERGED
            assert solution.solver == SOLVERS[name]()
            assert solution.iterations == solution.trace.iteration[-1]
            exact = solve(game, "exact", tol=1e-9)
            assert abs(solution.value[0] - exact.value[0]) <= solution.gap + 1e-9

    def test_the_same_call_gives_the_same_bits(self, kind, name):
        one, other = (solve(duel((2, 5), kind, 4), name, tol=0.05, seed=3) for _ in range(2))
        for i in (0, 1):
            np.testing.assert_array_equal(one.policy[i], other.policy[i])
        np.testing.assert_array_equal(one.trace.iteration, other.trace.iteration)
        np.testing.assert_array_equal(one.trace.gap, other.trace.gap)
        assert (one.gap, one.iterations) == (other.gap, other.iterations)

    def test_starts_where_it_is_told(self, kind, name):
        arguments = random_game(kind, (3, 4), 5, zero_sum=True)
        game, arrays = MarkovGame(**arguments), random_policy(arguments, 6)
        solution = solve(game, name, init=JointPolicy(arrays), tol=0.05)
        check_certificate(game, solution, 0.05)
        again = solve(game, name, init=solution.policy, tol=0.05)
        assert again.iterations <= solution.iterations
        check_certificate(game, again, 0.05)


@pytest.mark.parametrize("kind", ["steps", "discounted", "acyclic"])
@pytest.mark.parametrize("resolution", [0.05, 0.0, 0.5])
def test_the_trace_has_every_stage_end_and_resolves_iterations(kind, resolution):
    game = duel((3, 3), kind, 1)
    solution = solve(
        game, OptimisticMirrorDescent(resolution=resolution), tol=1e-12, max_iterations=4000,
        throw=False,
    )  # fmt: skip
    at = solution.trace.iteration
    ends = np.array(stage_ends(effective_horizon(game), 40))
    ends = ends[ends <= 4000]
    assert at[-1] == 4000
    assert np.isin(ends, at).all()
    if resolution == 0.0:
        assert set(at) == {*ends, 4000}
    else:
        assert at[0] == 1
        assert (np.diff(at) <= np.maximum(1, resolution * at[:-1])).all()


def test_auto_is_exact():
    assert solve(duel()).solver == Exact()
    assert solve(MarkovGame(**random_game("steps", (3,)))).solver == Exact()


def test_exact_goes_on_to_rounding_error():
    game = make("soccer", ball=1.0)
    assert solve(game, tol=1e9).gap < 1e-12


def test_progress_is_quiet_without_a_terminal(capsys):
    solve(duel(), "omd", tol=0.1, progress=True)
    assert capsys.readouterr() == ("", "")


def test_a_solution_says_what_it_is():
    text = repr(solve(make("rps")))
    assert text.startswith("Solution(converged, value=[")
    assert "Exact()" in text


# --- how a solve ends


@pytest.mark.parametrize("solver", LEARNERS.values(), ids=LEARNERS)
def test_too_few_iterations(solver):
    game = duel()
    with pytest.raises(SolveError, match="largest number of iterations") as error:
        solve(game, solver, tol=1e-6, max_iterations=3)
    solution = solve(game, solver, tol=1e-6, max_iterations=3, throw=False)
    for each in (error.value.solution, solution):
        assert each.status is Status.MAX_ITERATIONS
        assert not each.converged
        assert each.iterations == each.trace.iteration[-1] == 3
        check_certificate(game, each, 1e-6)
    assert f"The gap is {solution.gap:.3g}." in str(error.value)


def test_too_few_sweeps_of_the_exact_solver():
    game = make("soccer", ball=1.0)
    with pytest.raises(SolveError) as error:
        solve(game, "exact", max_iterations=1)
    assert error.value.solution.status is Status.MAX_ITERATIONS
    check_certificate(game, error.value.solution, 1e-3)
    enough = solve(game, "exact", max_iterations=10)  # to 'tol', if not to rounding error
    assert 1e-9 < enough.gap < 1e-3
    check_certificate(game, enough, 1e-3)


@pytest.mark.parametrize(
    ("rewards", "stays"),
    [
        ([[2, 5], [1, 1]], [[1, 0], [1, 1]]),
        ([[2, 3], [3, 0]], [[1, 0], [1, 1]]),
        ([[2, 0], [2, 2]], [[1, 1], [1, 0]]),
        ([[0, 3], [4, 2]], [[1, 1], [0, 1]]),
    ],
)
def test_games_on_which_evaluating_minimax_policies_cycles(rewards, stays):
    """Pollatschek and Avi-Itzhak's iteration alone never ends here (found by enumeration)."""
    R, P = np.zeros((2, 2, 2)), np.zeros((2, 2, 2, 2))
    R[0], P[0, :, :, 0], P[0, :, :, 1], P[1, :, :, 1] = rewards, stays, 1 - np.array(stays), 1
    game = MarkovGame(P, np.stack([R, -R]), initial=[1, 0], discount=0.75)
    solution = solve(game, "exact", tol=1e-10)
    check_certificate(game, solution, 1e-10)
    assert solution.iterations < 300
    (a, b), (c, d) = R[0] + 0.75 * P[0, :, :, 0] * solution.value[0]  # Shapley's equation
    lower, upper = max(min(a, b), min(c, d)), min(max(a, c), max(b, d))
    value = lower if lower == upper else (a * d - b * c) / (a + d - b - c)
    assert solution.value[0] == pytest.approx(value, abs=1e-10)


def test_a_tolerance_under_rounding_error():
    for game in (make("stopping"), duel((5, 5))):
        solution = solve(game, tol=1e-300, throw=False)
        assert solution.status is Status.STALLED
        assert solution.gap < 1e-12
        check_certificate(game, solution, 1e-300)
        with pytest.raises(SolveError, match="further iterations change nothing"):
            solve(game, tol=1e-300)


@pytest.mark.parametrize(("regularizer", "step_size"), [("euclidean", 1e17), ("entropy", 1e308)])
def test_numbers_that_are_none_are_no_answer(regularizer, step_size):
    game = make("rps", rounds=4, weights=(2, 1, 1))
    solver = OptimisticMirrorDescent(regularizer=regularizer, step_size=step_size)
    solution = solve(game, solver, throw=False)
    assert solution.status is Status.NONFINITE
    check_certificate(game, solution, 1e-3)
    with pytest.raises(SolveError, match="smaller step size"):
        solve(game, solver)


@pytest.mark.parametrize("kind", ["steps", "discounted"])
@pytest.mark.parametrize("finished", [0, 1, 5])
def test_interrupted_runs_keep_what_they_have(monkeypatch, kind, finished):
    game, advance, calls = duel((3, 3), kind, 2), ZeroSumRun.advance, []

    def interrupted(self, iterations):
        calls.append(iterations)
        if len(calls) > finished:
            raise KeyboardInterrupt
        return advance(self, iterations)

    monkeypatch.setattr(ZeroSumRun, "advance", interrupted)
    solution = solve(game, "omd", tol=1e-9, throw=False)
    assert solution.status is Status.INTERRUPTED
    assert len(solution.trace) == finished
    check_certificate(game, solution, 1e-9)
    if not finished:
        np.testing.assert_array_equal(
            solution.policy.flat(game), JointPolicy.uniform(game).flat(game)
        )
    calls.clear()
    with pytest.raises(KeyboardInterrupt, match="best policy it had") as error:
        solve(game, "omd", tol=1e-9)
    assert isinstance(error.value, SolveInterrupted)
    assert error.value.solution.gap == solution.gap


def test_interrupted_measurements_keep_what_they_have(monkeypatch):
    game, measure, calls = duel(), Evaluator.nash_gap, []

    def interrupted(self, flat):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measure(self, flat)

    monkeypatch.setattr(Evaluator, "nash_gap", interrupted)
    solution = solve(game, "omd", tol=1e-9, throw=False)
    assert solution.status is Status.INTERRUPTED
    assert len(solution.trace) == 3
    check_certificate(game, solution, 1e-9)


# --- what is refused


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tol", [0, 0.0, -1, np.nan, np.inf, "x", True, None, [1e-3]]),
        ("max_iterations", [0, -1, 1.5, True, "3"]),
        ("seed", [-1, 0.5, None, True]),
        ("init", ["uniform", 3, [np.ones((2, 2))]]),
        ("solver", ["exacct", "", 3, None, OptimisticMirrorDescent, Exact]),
        ("game", [None, "soccer", 3]),
    ],
)
def test_bad_parameters_are_one_sentence(name, values):
    for value in values:
        with pytest.raises((TypeError, ValueError), match=f"^The '{name}' parameter of solve") as e:
            solve(**{"game": duel(), name: value})
        assert one_sentence(e)


def test_an_unknown_solver_is_told_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'exact'"):
        solve(duel(), "exacct")


def test_bad_options_are_one_sentence():
    bad = {
        "regularizer": ["kl", None, 1],
        "output": ["last", None],
        "first_values": ["one", None],
        "step_size": [0, -1.0, np.nan, np.inf, "big", None, True],
        "factor": [0, -1, np.nan, "x", None],
        "resolution": [-1, np.nan, np.inf, "x", None],
        "optimism": [1, None, "yes"],
    }
    for name, values in bad.items():
        for value in values:
            with pytest.raises((TypeError, ValueError), match=f"^The '{name}' parameter of") as e:
                OptimisticMirrorDescent(**{name: value})
            assert one_sentence(e)
    with pytest.raises(TypeError):
        Exact(1)
    with pytest.raises(AttributeError):  # frozen
        OptimisticMirrorDescent().factor = 1.0
    with pytest.raises(ValueError, match="game with cycles") as e:
        solve(make("soccer"), OptimisticMirrorDescent(output="chained"))
    assert one_sentence(e)


def test_policies_of_other_games_are_refused():
    game = duel()
    for other in (
        duel((3, 5)),
        duel((3, 4), "discounted"),
        duel((3, 4), n_states=5),
        MarkovGame(**random_game("steps", (3,))),
        MarkovGame(**random_game("steps", (3, 4, 1))),
    ):
        with pytest.raises(ValueError, match=r"^The 'policy' parameter of solve") as e:
            solve(game, "omd", init=JointPolicy.uniform(other))
        assert one_sentence(e)
    masked = random_game("steps", (3, 4), zero_sum=True)
    masked["legal"] = [np.ones_like(mask) for mask in masked["legal"]]
    wider = MarkovGame(**masked)
    with pytest.raises(ValueError, match="distribution over the legal actions"):
        solve(game, "omd", init=JointPolicy.uniform(wider))
    arrays = [array.copy() for array in JointPolicy.uniform(game)]
    arrays[0][:] = np.nan
    with pytest.raises(ValueError, match="distribution over the legal actions"):
        solve(game, "omd", init=JointPolicy(arrays))


def test_options_that_do_not_fit_the_game_are_refused():
    general = MarkovGame(**random_game("steps", (2, 2)))
    for game, options, words in (
        (general, {"regularizer": "euclidean"}, "'regularizer'"),
        (duel(), {"step_size": "logarithmic"}, "'step_size'"),
        (duel(), {"equilibrium": "ce"}, "'equilibrium'"),
    ):
        with pytest.raises(ValueError, match=words) as e:
            solve(game, OptimisticMirrorDescent(**options))
        assert one_sentence(e)


# --- laws of exact values


@pytest.mark.parametrize("kind", CLOCKS)
def test_one_player_games_are_decision_problems(kind):
    for seed in range(4):
        arguments = random_game(kind, (3,), seed)
        game, arrays = MarkovGame(**arguments), random_policy(arguments, seed)
        solution = solve(game, tol=1e-9)
        best = plain(arguments, arrays, 0, respond=True)  # value iteration, or every plan
        assert solution.value == pytest.approx([best], abs=1e-10)
        assert solution.iterations == 1
        assert solution.gap == nash_gap(game, solution.policy) < 1e-9
        assert np.isin(solution.policy.flat(game), [0.0, 1.0]).all()


def value_of(arguments):
    solution = solve(MarkovGame(**arguments), "exact", tol=1e-8)
    assert solution.gap < 1e-8
    return solution.value[0]


@st.composite
def duels(draw, kinds=tuple(CLOCKS)):
    sizes = draw(st.sampled_from([(2, 2), (2, 3), (4, 3), (1, 3), (3, 1)]))
    seed, n_states = draw(st.integers(0, 10**6)), draw(st.integers(2, 5))
    return random_game(draw(st.sampled_from(kinds)), sizes, seed, n_states, zero_sum=True)


@FAST
@given(duels(), st.randoms(use_true_random=False))
def test_permuted_actions_keep_the_value(arguments, random):
    other = arguments | {"legal": []}
    for i, mask in enumerate(arguments["legal"]):
        order = random.sample(range(mask.shape[1]), mask.shape[1])
        other["legal"].append(mask[:, order])
        other["transition"] = other["transition"].take(order, other["transition"].ndim - 3 + i)
        other["reward"] = other["reward"].take(order, other["reward"].ndim - 2 + i)
    assert value_of(other) == pytest.approx(value_of(arguments), abs=1e-9)


@FAST
@given(duels())
def test_swapped_players_negate_the_value(arguments):
    other = arguments | {
        "legal": arguments["legal"][::-1],
        "transition": permuted_axes(arguments["transition"], 2, [1, 0], 1),
        "reward": permuted_axes(arguments["reward"][::-1], 2, [1, 0], 0),
    }
    assert value_of(other) == pytest.approx(-value_of(arguments), abs=1e-9)


@FAST
@given(
    duels(("steps", "timed", "timed-discounted", "discounted")),
    st.floats(-100, 100),
    st.floats(1e-3, 1e3),
)
def test_shifted_and_scaled_rewards(arguments, shift, scale):
    discount, horizon = arguments["discount"], arguments["horizon"]
    steps = 1 / (1 - discount) if horizon is None else sum(discount**h for h in range(horizon))
    move = np.array([shift, -shift]).reshape(2, *[1] * (arguments["reward"].ndim - 1))
    value, size = value_of(arguments), 1 + 100 * scale
    other = arguments | {"reward": arguments["reward"] + move}
    assert value_of(other) == pytest.approx(value + shift * steps, abs=1e-9)
    other = arguments | {"reward": scale * arguments["reward"]}
    solution = solve(MarkovGame(**other), "exact", tol=1e-9 * size)
    assert solution.value[0] == pytest.approx(scale * value, abs=1e-9 * size)


@FAST
@given(duels(), st.sampled_from(list(LEARNERS)))
def test_learners_agree_with_exact(arguments, name):
    game = MarkovGame(**arguments)
    tol = 0.05 * np.abs(game.table.reward).max()
    solution = solve(game, LEARNERS[name], tol=tol)
    assert abs(solution.value[0] - value_of(arguments)) <= solution.gap + 1e-8


@pytest.mark.parametrize("shape", [(1, 1), (1, 100), (100, 1), (2, 50), (100, 100)], ids=str)
def test_odd_shapes(shape):
    """One state and few or many actions: a matrix game, once or again and again."""
    Q = np.random.default_rng(shape).random(shape)
    P = np.ones((1, *shape, 1))
    once = MarkovGame(P, [[Q], [-Q]], horizon=1)
    value = solve(once, "exact", tol=1e-10).value[0]
    if 1 in shape:
        assert value == pytest.approx(Q.max() if shape[1] == 1 else Q.min(), abs=1e-12)
    for clock, steps in (({"horizon": 3}, 3), ({"discount": 0.75}, 4)):
        game = MarkovGame(P, [[Q], [-Q]], **clock)
        assert solve(game, "exact", tol=1e-10).value[0] == pytest.approx(steps * value, rel=1e-10)
        for solver in LEARNERS.values():
            solution = solve(game, solver, tol=0.3)
            assert abs(solution.value[0] - steps * value) <= solution.gap + 1e-9
            check_certificate(game, solution, 0.3)


def test_a_game_without_rewards():
    P = np.full((3, 2, 2, 3), 1 / 3)
    for clock in ({"horizon": 5}, {"discount": 0.9}):
        game = MarkovGame(P, np.zeros((2, 3, 2, 2)), **clock)
        for name in SOLVERS:
            solution = solve(game, name)
            assert (solution.gap, *solution.value) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_rewards_in_any_units(scale):
    arguments = random_game("discounted", (3, 3), 1, zero_sum=True)
    value = value_of(arguments)
    game = MarkovGame(**arguments | {"reward": scale * arguments["reward"]})
    assert solve(game, tol=1e-9 * scale).value[0] == pytest.approx(scale * value, rel=1e-9)
    for solver in LEARNERS.values():
        solution = solve(game, solver, tol=0.01 * scale)
        assert abs(solution.value[0] - scale * value) <= solution.gap
        check_certificate(game, solution, 0.01 * scale)


def test_large_games_take_memory_in_proportion_to_their_states():
    """All 45,553 reachable states of goofspiel with six cards, of value 0."""
    parts = {}
    solve(make("goofspiel", cards=3), "exact")  # imports and compiles
    for cards in (5, 6):
        game = make("goofspiel", cards=cards)
        tracemalloc.start()
        solution = solve(game, "exact", tol=1e-9)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert abs(solution.value[0]) < 1e-12
        assert solution.gap < 1e-9
        assert peak < game.table.n_bytes
        parts[cards] = peak / game.n_states
    assert game.n_states == 45_553
    assert parts[6] < 1.5 * parts[5]
