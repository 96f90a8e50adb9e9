"""Independent policy gradients: updates against plain NumPy, laws, known equilibria, errors."""

import re

import numpy as np
import pytest
from test_evaluation import CLOCKS, folded, random_game, random_policy, reached, solve_chain
from test_kernels import sorted_projection
from test_potential import hidden_game, still_game

from metamarl.algorithms.evaluation import evaluate, nash_gap
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.policy_gradient import (
    NaturalPolicyGradient,
    PolicyGradient,
    QAscent,
    potential_value,
)
from metamarl.algorithms.solution import Status
from metamarl.algorithms.solve import solve
from metamarl.algorithms.solvers import SOLVERS
from metamarl.envs import MarkovGame, make

SOLVER_TYPES = (QAscent, PolicyGradient, NaturalPolicyGradient)
NAMES = [solver.name for solver in SOLVER_TYPES]
SIZES = [(2, 3), (3, 2, 2)]
SENTENCE = r"The '\S+' parameter of \w+ must be .+\. Got .+ instead\."


def common_game(kind, n_actions, seed=0, **options):
    """Arguments of a random game of identical interests."""
    arguments = random_game(kind, n_actions, seed, **options)
    arguments["reward"][1:] = arguments["reward"][0]
    return arguments


def team(seed, n_players=3, n_states=3, n_actions=3, horizon=3, noise=0.0):
    """Identical interests as in the study: rewards U[0, 1], transitions U³, from the first state;
    `noise` ± is added to the rewards, which depend on the step.
    """
    rng = np.random.default_rng(seed)
    shape = (horizon, n_states, *[n_actions] * n_players)
    P = rng.random((*shape, n_states)) ** 3
    reward = rng.random(shape)
    reward = reward + noise * rng.uniform(-1, 1, shape)
    P /= P.sum(-1, keepdims=True)
    return MarkovGame(P, [reward] * n_players, np.eye(n_states)[0], horizon)


# --- the same in plain NumPy


def plain_gradients(arguments, arrays):
    """Q-bar `(H, S, A_i)` or `(S, A_i)` of every player, and visits `(H, S)` or `(S,)`."""
    horizon, discount = arguments["horizon"], arguments["discount"]
    start = arguments["initial"]
    n, n_states = len(arrays), len(start)
    if horizon is None:
        found = []
        for i in range(n):
            V = solve_chain(*folded(arguments, arrays, i, 0, False), discount)
            pay, move = folded(arguments, arrays, i, 0, True)
            found.append(pay + discount * move @ V)
        move = folded(arguments, arrays, 0, 0, False)[1]
        going = ~(
            (move.diagonal() == 1.0) & (arguments["reward"][0].reshape(n_states, -1) == 0).all(1)
        )
        visits = np.zeros(n_states)
        inner = np.eye(going.sum()) - discount * move[np.ix_(going, going)].T
        visits[going] = np.linalg.solve(inner, start[going])
        visits[~going] = np.nan  # at rest nothing counts
        return found, visits
    found = [np.zeros((horizon, *array.shape[1:])) for array in arrays]
    for i in range(n):
        V = np.zeros(n_states)
        for h in reversed(range(horizon)):
            pay, move = folded(arguments, arrays, i, h, True)
            found[i][h] = pay + discount * move @ V
            V = (found[i][h] * arrays[i][h]).sum(1)
    visits = np.zeros((horizon, n_states))
    visits[0] = start
    for h in range(horizon - 1):
        visits[h + 1] = discount * visits[h] @ folded(arguments, arrays, 0, h, False)[1]
    return found, visits


def plain_step(arguments, arrays, solver, eta):
    gradients, visits = plain_gradients(arguments, arrays)
    after = []
    for array, gradient, mask in zip(arrays, gradients, arguments["legal"], strict=True):
        new = array.copy()
        for at in np.ndindex(visits.shape):
            legal = mask[at[-1]]
            x, g = array[at][legal], gradient[at][legal]
            if np.isnan(visits[at]):
                continue
            if solver is NaturalPolicyGradient:
                y = x * np.exp(eta * (g - g.max()))
                new[at][legal] = y / y.sum()
            else:
                size = eta * visits[at] if solver is PolicyGradient else eta
                new[at][legal] = sorted_projection(x + size * g)
        after.append(new)
    return after


@pytest.mark.parametrize("n_actions", SIZES)
@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize("solver", SOLVER_TYPES)
def test_updates_against_numpy(solver, kind, n_actions):
    for seed, build in ((0, common_game), (1, lambda *a: still_game(*a)[0])):
        arguments = build(kind, n_actions, seed)
        game = MarkovGame(**arguments)
        arrays = random_policy(arguments, seed + 7)
        arrays = [0.9 * a + 0.1 * m / m.sum(1, keepdims=True) for a, m in
                  zip(arrays, arguments["legal"], strict=True)]  # fmt: skip
        run = solver(step_size=0.05).start(game, JointPolicy(arrays).flat(game))
        there = reached(game)
        for times in (1, 1, 2):
            done = run.advance(times)
            assert done == times or run.finished
            for _ in range(done):
                arrays = plain_step(arguments, arrays, solver, 0.05)
            mine = JointPolicy.from_flat(game, run.policy())
            for i in range(game.n_players):
                moving = there & ~np.broadcast_to(game_over(arguments), there.shape)
                np.testing.assert_allclose(mine[i][moving], arrays[i][moving], atol=1e-8)


def game_over(arguments):
    """`(S,)` where the last state is the end, of games that end."""
    n_states = len(arguments["initial"])
    ends = not arguments["reward"].reshape(len(arguments["reward"]), -1, n_states)[..., -1].any()
    last = arguments["transition"].reshape(-1, n_states)[-1]
    return (np.arange(n_states) == n_states - 1) & (ends or last[-1] == 1.0)


@pytest.mark.parametrize("kind", CLOCKS)
def test_the_potential_is_its_expected_sum(kind):
    arguments, potential = still_game(kind, (2, 3), 3)
    game, arrays = MarkovGame(**arguments, potential=potential), random_policy(arguments, 4)
    alone = MarkovGame(**arguments | {"reward": np.stack([potential] * 2)})
    value = evaluate(alone, JointPolicy(arrays))[0]
    assert potential_value(game, JointPolicy(arrays)) == pytest.approx(value, abs=1e-10)
    # One player's change of policy changes it as much as that player's value.
    other = [random_policy(arguments, 5)[0], arrays[1]]
    gain = evaluate(game, JointPolicy(other)) - evaluate(game, JointPolicy(arrays))
    risen = potential_value(game, JointPolicy(other)) - value
    assert risen == pytest.approx(gain[0], abs=1e-10)
    undeclared = MarkovGame(**arguments)
    risen = potential_value(undeclared, JointPolicy(other))
    risen -= potential_value(undeclared, JointPolicy(arrays))
    assert risen == pytest.approx(gain[0], abs=1e-10)


# --- laws


@pytest.mark.parametrize("step_size", ["theory", "safe", "adaptive"])
@pytest.mark.parametrize("kind", ["steps", "timed-discounted", "discounted", "ending", "acyclic"])
@pytest.mark.parametrize("solver", SOLVER_TYPES)
def test_the_potential_never_falls(solver, kind, step_size):
    for seed in range(2):
        shared, (still, _) = common_game(kind, (3, 2, 2), seed), still_game(kind, (2, 3), seed)
        for arguments in (shared, still):
            game = MarkovGame(**arguments)
            for init in (None, JointPolicy(random_policy(arguments, seed, pure=True))):
                solution = solve(
                    game, solver(step_size=step_size, resolution=1e-9), init=init, tol=1e-12,
                    max_iterations=60, throw=False,
                )  # fmt: skip
                risen = np.diff(solution.trace.potential)
                assert (risen >= -1e-9 * np.abs(game.table.reward).max()).all()


@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize("solver", SOLVER_TYPES)
def test_equilibria_are_found(solver, kind):
    for seed in range(3):
        for arguments in (common_game(kind, (3, 2, 2), seed), still_game(kind, (3, 4), seed)[0]):
            game = MarkovGame(**arguments)
            solution = solve(game, solver(), tol=1e-4, max_iterations=3000)
            assert solution.status is Status.CONVERGED
            assert solution.gap <= 1e-4
            assert nash_gap(game, solution.policy) == pytest.approx(solution.gap, abs=1e-9)
            assert solution.correlated is None
            assert len(solution.trace.potential) == len(solution.trace)
            expected = potential_value(game, solution.policy)
            at = int(solution.trace.gap.argmin())
            assert solution.trace.potential[at] == pytest.approx(expected, abs=1e-6)


def test_teams_are_solved_in_few_iterations():
    """(S, A, H) = (3, 3, 3), three players: measured at most 27, 30 and 1,089."""
    for solver, most in ((QAscent, 60), (PolicyGradient, 80), (NaturalPolicyGradient, 3000)):
        for seed in range(10):
            assert solve(team(seed), solver(), tol=1e-3).iterations <= most


@pytest.mark.parametrize("solver", SOLVER_TYPES)
def test_even_a_sharp_bound_moves_on(solver):
    """Both start where neither wants to be; at twice the safe step they would swap for ever."""
    payoff = np.eye(2)[None, None]
    game = MarkovGame(np.ones((1, 2, 2, 1)), np.concatenate([payoff, payoff]), horizon=1)
    apart = JointPolicy([[[[1.0, 0.0]]], [[[0.0, 1.0]]]])
    assert nash_gap(game, apart) == 1.0
    assert solve(game, solver(), init=apart).converged
    # In QAscent the step size that is just not safe: 4 / ((k-1)·σ·A) = 2.
    stuck = solve(game, QAscent(step_size=2.0), init=apart, max_iterations=50, throw=False)
    assert (stuck.trace.potential == 0.0).all()
    assert stuck.status is Status.MAX_ITERATIONS


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_holds_in_the_measured_run(seed):
    """Policies move no further than the potential gained, and the mean gap obeys the bound that
    follows: c·√N·(√2 + ηG)·√(2ΔΦ/(ηT)), with a mismatch of c in visits, N player-nodes and
    Q-values of norm G at most.
    """
    game, T = team(seed), 300
    for step_size in ("theory", "safe"):
        run = PolicyGradient(step_size=step_size).start(game, JointPolicy.uniform(game).flat(game))
        judge = Evaluator(game)
        gaps, moved, level, steps = [], 0.0, [], []
        flat = run.policy()
        for _ in range(T):
            gaps.append(judge.nash_gap(flat))
            level.append(run.potential(flat))
            run.advance(1)
            visits = run.trial.D  # of the policy left
            steps.append(run.eta_of[visits > 0] / visits[visits > 0])
            after = run.policy()
            moved += ((after - flat) ** 2).sum() / steps[-1].max()
            flat = after
        gained = run.potential(flat) - level[0]
        assert (np.diff(level) >= -1e-12).all()
        if step_size == "theory":
            assert moved <= 2.0 * gained + 1e-12
            eta = steps[0].max()
            assert all(
                step == pytest.approx(1 / (2 * 3 * 3 * 27) / span(game)) for step in steps[0]
            )
            P = game.table.probabilities
            mismatch = max(1.0, P.max() / P.min())
            nodes = game.n_players * len(game.nodes.states)
            slope = 3.0 * span(game) * np.sqrt(3)
            bound = mismatch * np.sqrt(nodes) * (np.sqrt(2) + eta * slope)
            assert np.mean(gaps) <= bound * np.sqrt(2 * gained / (eta * T))


def span(game):
    return np.ptp(game.table.reward)


def test_a_near_start_leaves_less_to_gain():
    """The last task's policy is a better start than none, when tasks are alike."""
    gaps = np.zeros((5, 2))
    for seed in range(5):
        before = solve(team(seed), tol=1e-6).policy
        for k, init in enumerate((None, before)):
            solver = QAscent(step_size="safe", resolution=1e-9)
            task = team(seed, noise=0.02)
            gaps[seed, k] = solve(
                task, solver, init=init, tol=1e-9, max_iterations=100, throw=False
            ).trace.gap.mean()
    alone, warm = gaps.mean(0)
    assert warm < alone / 4


# --- known games


@pytest.mark.parametrize("solver", NAMES)
def test_repeated_dilemma_and_stag_hunt(solver):
    P = np.ones((1, 2, 2, 1))
    dilemma = np.array([[[3.0, 0.0], [5.0, 1.0]], [[3.0, 5.0], [0.0, 1.0]]])
    solution = solve(MarkovGame(P, dilemma[:, None], horizon=4), solver, tol=1e-6)
    np.testing.assert_allclose(solution.value, [4.0, 4.0], atol=1e-5)  # both always defect
    stag = np.array([[[4.0, 0.0], [3.0, 2.0]], [[4.0, 3.0], [0.0, 2.0]]])
    game = MarkovGame(P, stag[:, None], discount=0.5)
    for share, value in ((0.9, 8.0), (0.4, 4.0), (2 / 3, None)):
        start = JointPolicy([np.array([[share, 1.0 - share]])] * 2)
        solution = solve(game, solver, init=start, tol=1e-6)
        if value is None:  # indifferent at 2/3: an equilibrium, and nothing moves
            assert solution.gap <= 1e-12
            np.testing.assert_allclose(solution.policy[0], start[0], atol=1e-12)
        else:
            np.testing.assert_allclose(solution.value, [value, value], atol=1e-4)


@pytest.mark.parametrize("solver", NAMES)
def test_decision_problems(solver):
    """One player: the best response to nobody."""
    for kind in ("steps", "discounted", "acyclic"):
        game = MarkovGame(**random_game(kind, (4,), 1))
        best = solve(game, "exact").value[0]
        solution = solve(game, solver, tol=1e-4)
        assert solution.value[0] == pytest.approx(best, abs=1e-4)


# --- the contract


def test_registered_and_automatic():
    assert [SOLVERS[name] for name in NAMES] == list(SOLVER_TYPES)
    assert solve(team(0)).solver == QAscent()
    declared, potential = still_game("discounted", (2, 3))
    assert solve(MarkovGame(**declared, potential=potential)).solver == QAscent()


@pytest.mark.parametrize("solver", NAMES)
def test_same_call_same_bits_and_a_good_start_is_kept(solver):
    arguments = common_game("timed", (3, 2), 4)
    game = MarkovGame(**arguments)
    one, other = (solve(game, solver, tol=1e-5) for _ in range(2))
    np.testing.assert_array_equal(one.policy.flat(game), other.policy.flat(game))
    np.testing.assert_array_equal(one.trace.potential, other.trace.potential)
    again = solve(game, solver, init=one.policy, tol=1e-4)
    assert again.iterations == 1
    flat = one.policy.flat(game).copy()
    solve(game, solver, init=one.policy, tol=1e-9, max_iterations=3, throw=False)
    np.testing.assert_array_equal(one.policy.flat(game), flat)


def test_a_standstill_is_said():
    """States that the others never let it visit do not learn by the exact gradient; here all do."""
    game = team(1)
    solution = solve(game, "q-ascent", tol=1e-300, throw=False)
    assert solution.status in (Status.CONVERGED, Status.STALLED)
    assert solution.gap <= 1e-10
    P = np.zeros((2, 2, 2, 2))
    P[0, 0, :, 0] = P[0, 1, :, 1] = P[1, ..., 1] = 1.0
    reward = np.zeros((2, 2, 2))
    reward[1] = [[0.0, 0.0], [0.0, 5.0]]
    game = MarkovGame(P, [reward, reward], [1.0, 0.0], horizon=2)
    away = JointPolicy([np.tile([1.0, 0.0], (2, 2, 1)) for _ in range(2)])
    stuck = solve(game, "pg", init=away, throw=False)  # nobody gains alone: an equilibrium
    assert stuck.gap == 0.0


@pytest.mark.parametrize("solver", NAMES)
def test_other_games_are_refused_before_any_work(solver):
    for game in (make("soccer"), make("rps"), MarkovGame(**random_game("steps", (2, 3)))):
        with pytest.raises(
            ValueError, match=rf"must be a potential game for solver '{solver}'"
        ) as e:
            solve(game, solver)
        assert re.fullmatch(SENTENCE, str(e.value))
    with pytest.raises(ValueError, match=r"in state 0|In state 0"):
        solve(make("rps"), solver)


@pytest.mark.parametrize("solver", NAMES)
def test_undecided_games_are_tried_and_said(solver):
    solution = solve(hidden_game(), solver)
    assert solution.converged
    assert "could not be decided" in solution.note
    assert solution.trace.potential is None
    arguments, potential = still_game("discounted", (2, 2), 1, masked=False)
    arguments["transition"] = random_game("discounted", (2, 2), 1)["transition"]
    game = MarkovGame(**arguments, potential=potential)
    solution = solve(game, solver, throw=False, max_iterations=200)
    assert "declared potential is one of the stage games" in solution.note
    assert solution.trace.potential is not None


def test_bad_options_and_potentials():
    for solver in SOLVER_TYPES:
        for name, values in (
            ("step_size", [0, -1.0, np.nan, np.inf, "big", None, True]),
            ("resolution", [-1, np.nan, "x", None]),
        ):
            for value in values:
                with pytest.raises((TypeError, ValueError), match=f"^The '{name}' parameter") as e:
                    solver(**{name: value})
                assert re.fullmatch(SENTENCE, str(e.value))
        with pytest.raises(AttributeError):
            solver().resolution = 1.0
    game = make("rps")
    with pytest.raises(ValueError, match="a game that declares a potential") as e:
        potential_value(game, JointPolicy.uniform(game))
    assert re.fullmatch(SENTENCE, str(e.value))


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_rewards_in_any_units(scale):
    arguments = common_game("discounted", (3, 3), 1)
    plain = solve(MarkovGame(**arguments), tol=1e-4)
    game = MarkovGame(**arguments | {"reward": scale * arguments["reward"]})
    solution = solve(game, tol=1e-4 * scale)
    np.testing.assert_allclose(solution.value, scale * plain.value, rtol=1e-6)


def test_huge_steps_are_best_responses():
    for solver in SOLVER_TYPES:
        solution = solve(team(0), solver(step_size=1e300), max_iterations=20, throw=False)
        assert solution.status is not Status.NONFINITE
        assert np.isfinite(solution.gap)
