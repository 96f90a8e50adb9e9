"""Correlated policies, their gaps, and the dynamics that find them, against plain NumPy."""

import itertools

import numpy as np
import pytest
from test_evaluation import CLOCKS, random_game, random_policy

from metamarl.algorithms._general_sum import _stationary
from metamarl.algorithms._general_sum_run import GeneralSumRun
from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.evaluation import cce_gap, ce_gap, effective_horizon, evaluate, nash_gap
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solve import solve
from metamarl.comparing import compare
from metamarl.envs import MarkovGame

SIZES = [(2, 3), (2, 2, 2), (3, 1, 2)]


def random_joint(game, seed=0):
    """A correlated policy that is no product."""
    counts = np.diff(game.nodes.joints)
    weight = np.random.default_rng(seed).exponential(size=int(game.nodes.joints[-1])) ** 3
    sums = np.add.reduceat(weight, game.nodes.joints[:-1])
    return CorrelatedPolicy.from_flat(game, weight / np.repeat(sums, counts))


def plain_gaps(arguments, joint):
    """(values, coarse gains, swap gains) per player, by backward induction or value iteration."""
    P, R = arguments["transition"], arguments["reward"]
    legal, horizon, gamma = arguments["legal"], arguments["horizon"], arguments["discount"]
    n, S = len(R), len(legal[0])
    values = np.zeros((n, 3, S))
    for k in range(horizon or 4000):
        h = horizon - 1 - k if horizon else 0
        fresh = np.zeros_like(values)
        move = P[h] if P.ndim == n + 3 else P
        for i, kind, s in itertools.product(range(n), range(3), range(S)):
            pay = R[i][h] if R[i].ndim == n + 2 else R[i]
            Q = np.moveaxis(pay[s] + gamma * move[s] @ values[i, kind], i, 0)
            sigma = np.moveaxis(joint[h][s] if horizon else joint[s], i, 0)
            gains = np.tensordot(Q, sigma, axes=(range(1, n), range(1, n)))  # (other, told)
            mine = legal[i][s]
            fresh[i, kind, s] = (
                np.trace(gains),
                gains.sum(1)[mine].max(),
                gains[mine].max(0)[mine].sum(),
            )[kind]
        done = np.abs(fresh - values).max() < 1e-14
        values = fresh
        if done and not horizon:
            break
    at_start = values @ arguments["initial"]
    return at_start[:, 0], at_start[:, 1] - at_start[:, 0], at_start[:, 2] - at_start[:, 0]


@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize("n_actions", SIZES)
def test_gaps_against_numpy(kind, n_actions):
    arguments = random_game(kind, n_actions)
    game = MarkovGame(**arguments)
    policy = random_joint(game)
    values, coarse, swapped = plain_gaps(arguments, policy.joint)
    np.testing.assert_allclose(evaluate(game, policy), values, atol=1e-9)
    assert cce_gap(game, policy) == pytest.approx(max(0, *coarse), abs=1e-9)
    assert ce_gap(game, policy) == pytest.approx(max(0, *swapped), abs=1e-9)
    assert ce_gap(game, policy) >= cce_gap(game, policy) - 1e-9


@pytest.mark.parametrize("kind", CLOCKS)
def test_independent_draws_are_no_correlation(kind):
    arguments = random_game(kind, (2, 3, 2))
    game, policy = MarkovGame(**arguments), JointPolicy(random_policy(arguments))
    joint = CorrelatedPolicy.product(game, policy)
    np.testing.assert_allclose(evaluate(game, joint), evaluate(game, policy), atol=1e-9)
    assert cce_gap(game, joint) == pytest.approx(nash_gap(game, policy), abs=1e-9)
    assert ce_gap(game, joint) == pytest.approx(nash_gap(game, policy), abs=1e-9)
    np.testing.assert_allclose(joint.marginals(game).flat(game), policy.flat(game), atol=1e-12)


@pytest.mark.parametrize("kind", CLOCKS)
def test_policies_dense_and_back(kind):
    game = MarkovGame(**random_game(kind, (2, 3)))
    policy = random_joint(game)
    joint = policy.joint
    steps = () if game.horizon is None else (game.horizon,)
    assert joint.shape == (*steps, game.n_states, 2, 3)
    np.testing.assert_allclose(joint.sum((-1, -2)), 1.0)
    illegal = ~(game.legal[0][:, :, None] & game.legal[1][:, None, :])
    assert not joint[..., illegal].any()
    np.testing.assert_array_equal(CorrelatedPolicy(joint).flat(game), policy.flat(game))


def test_bad_joint_policies_get_one_sentence():
    game = MarkovGame(**random_game("steps", (2, 3), masked=False))
    joint = random_joint(game).joint
    with pytest.raises(ValueError, match=r"of shape \(4, 4, 2, 3\)"):
        cce_gap(game, CorrelatedPolicy(joint[0]))
    for wrong in (joint * 1.1, joint - 0.5, np.full_like(joint, np.nan)):
        with pytest.raises(ValueError, match="distribution over the legal joint actions"):
            cce_gap(game, CorrelatedPolicy(wrong))
    with pytest.raises(TypeError, match="array of numbers"):
        CorrelatedPolicy("joint")


def test_draws_come_from_the_joint_distribution():
    game = MarkovGame(**random_game("steps", (2, 3)))
    policy, rng = random_joint(game), np.random.default_rng(0)
    count = np.zeros((2, 3))
    for _ in range(4000):
        count[policy.sample(rng, 2, 1)] += 1
    np.testing.assert_allclose(count / 4000, policy.joint[1, 2], atol=0.03)


def plain_run(game, start, eta, times, optimism=True, swap=False):
    """The staged algorithm on the dense arrays of a homogeneous game with a horizon.

    Per player explicit secondary iterates; with `swap` one of them per own action, and play is the
    stationary distribution of their policies. Returns the last stage's joint average.
    """
    P, R = game.dense()
    n, S, H = game.n_players, game.n_states, game.horizon
    sizes, letters = game.n_actions, "abcd"[: game.n_players]
    V, length, t = None, H, 0
    while True:
        Q = np.zeros((H, S, n, *sizes))
        if V is not None:
            for h, s, i in np.ndindex(H, S, n):
                Q[h, s, i] = R[i, s] + (P[s] @ V[h + 1, :, i] if h + 1 < H else 0.0)
        joint, V = np.zeros((H, S, *sizes)), np.zeros((H, S, n))
        played = min(length, times - t)
        for h, s in np.ndindex(H, S):

            def gradient(i, x, h=h, s=s, Q=Q):
                others = [x[j] for j in range(n) if j != i]
                spec = letters + "".join("," + letters[j] for j in range(n) if j != i)
                return np.einsum(f"{spec}->{letters[i]}", Q[h, s, i], *others)

            x = [start[i][h, s].copy() for i in range(n)]
            hat = [np.tile(x[i], (sizes[i], 1)) if swap else x[i][None] for i in range(n)]
            # What a learner sees is weighted by the probability of its action.
            share = [x[i][:, None] if swap else np.ones((1, 1)) for i in range(n)]
            seen = [share[i] * gradient(i, x) for i in range(n)]
            for _ in range(played):
                now = [climb(hat[i], eta * seen[i]) if optimism else hat[i] for i in range(n)]
                x = [fixed_point(w) if swap else w[0] for w in now]
                joint[h, s] += np.einsum(f"{','.join(letters)}->{letters}", *x)
                for i in range(n):
                    g = gradient(i, x)
                    V[h, s, i] += x[i] @ g
                    seen[i] = (x[i][:, None] if swap else 1.0) * g[None]
                    hat[i] = climb(hat[i], eta * seen[i])
        V, joint, t = V / played, joint / played, t + played
        if t == times:
            return joint
        length = length * (H + 1) // H


def climb(policy, step):
    weight = policy * np.exp(step - step.max(-1, keepdims=True))
    return weight / weight.sum(-1, keepdims=True)


def fixed_point(W):
    return np.linalg.lstsq(
        np.vstack([W.T - np.eye(len(W)), np.ones(len(W))]), np.eye(len(W) + 1)[-1], rcond=None
    )[0]


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("optimism", [True, False])
@pytest.mark.parametrize("n_actions", [(2, 3), (2, 2, 2)])
def test_iterates_against_numpy(n_actions, optimism, swap):
    arguments = random_game("steps", n_actions, n_states=3, masked=False)
    arguments["initial"] = np.full(3, 1 / 3)
    game = MarkovGame(**arguments)
    start = random_policy(arguments, seed=5)
    solver = OptimisticMirrorDescent(
        step_size=0.3, optimism=optimism, equilibrium="ce" if swap else "cce"
    )
    run = solver.start(game, JointPolicy(start).flat(game))
    done = 0
    for check in (3, 4, 9, 15, 22):  # ends of stages at 4, 9, 15, 22
        while done < check:
            done += run.advance(check - done)
        found = CorrelatedPolicy.from_flat(game, run.policy()).joint
        np.testing.assert_allclose(
            found, plain_run(game, start, 0.3, check, optimism, swap), atol=1e-10
        )


@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize("output", ["last-stage", "chained", "average"])
def test_zero_sum_games_take_the_same_path(kind, output):
    game = MarkovGame(**random_game(kind, (3, 2), zero_sum=True))
    if output == "chained" and game.nodes.cyclic:
        return
    solver = OptimisticMirrorDescent(step_size=0.4, output=output)
    uniform = JointPolicy.uniform(game).flat(game)
    one, other = solver.start(game, uniform), GeneralSumRun(solver, game, uniform)
    for _ in range(5 * effective_horizon(game)):
        assert one.advance(3) == other.advance(3)
    joint = CorrelatedPolicy.from_flat(game, other.policy())
    found = joint.marginals(game).flat(game)
    np.testing.assert_allclose(found, one.policy(), atol=1e-10)


def test_stationary_distributions():
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 40):
        W = rng.exponential(size=(size, size)) ** 4 + 1e-12
        W /= W.sum(1, keepdims=True)
        x = np.empty(size)
        _stationary(W.copy(), x)
        np.testing.assert_allclose(x @ W, x, atol=1e-14)
        assert x.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize("equilibrium", ["cce", "ce"])
def test_solutions_are_certified(kind, equilibrium):
    game = MarkovGame(**random_game(kind, (2, 3, 2)))
    solution = solve(game, OptimisticMirrorDescent(equilibrium=equilibrium), tol=0.02)
    assert solution.correlated is not None
    gap = {"cce": cce_gap, "ce": ce_gap}[equilibrium](game, solution.correlated)
    assert solution.gap == pytest.approx(gap, abs=1e-9)
    assert solution.gap <= 0.02
    np.testing.assert_allclose(solution.value, evaluate(game, solution.correlated), atol=1e-9)
    marginals = solution.correlated.marginals(game)
    np.testing.assert_array_equal(solution.policy.flat(game), marginals.flat(game))


@pytest.mark.parametrize("n_actions", [(3, 3), (2, 2, 2)])
@pytest.mark.parametrize("equilibrium", ["cce", "ce"])
def test_gap_times_iterations_stays_bounded(n_actions, equilibrium):
    """At a constant step size the gap falls like 1/T: slope -1 between T = 500 and 16,000."""
    slopes = []
    for seed in range(3):
        game = MarkovGame(**random_game("steps", n_actions, seed, masked=False))
        solver = OptimisticMirrorDescent(equilibrium=equilibrium)
        trace = solve(game, solver, tol=1e-12, max_iterations=16_000, throw=False).trace
        best = np.minimum.accumulate(trace.gap)
        late = trace.iteration >= 500
        slopes.append(np.polyfit(np.log(trace.iteration[late]), np.log(best[late]), 1)[0])
    assert np.mean(slopes) < -0.85


def test_the_published_step_size_is_slower():
    game = MarkovGame(**random_game("steps", (2, 2, 2), masked=False))
    found = {}
    for step in ("theory", "logarithmic", "adaptive"):
        solver = OptimisticMirrorDescent(step_size=step)
        found[step] = solve(game, solver, tol=1e-12, max_iterations=3000, throw=False).gap
    assert found["adaptive"] < 0.2 * found["theory"] < 0.2 * found["logarithmic"]


def test_the_dilemma_has_one_coarse_correlated_equilibrium():
    """To defect is dominant, so every (coarse) correlated equilibrium does."""
    dilemma = np.array([[3.0, 0.0], [5.0, 1.0]])
    game = MarkovGame(np.ones((1, 2, 2, 1)), np.stack([dilemma, dilemma.T])[:, None], horizon=5)
    for equilibrium in ("cce", "ce"):
        solution = solve(game, OptimisticMirrorDescent(equilibrium=equilibrium), tol=1e-3)
        np.testing.assert_allclose(solution.value, 5.0, atol=0.01)
        assert solution.correlated.joint[:, 0, 1, 1].min() > 0.99


def test_starts_are_learned_in_general_sum_games():
    rng = np.random.default_rng(0)
    arguments = random_game("steps", (2, 2, 2), masked=False)
    tasks = []
    for _ in range(5):
        noise = 0.005 * rng.uniform(-1, 1, arguments["reward"].shape)
        tasks.append(MarkovGame(**{**arguments, "reward": arguments["reward"] + noise}))
    comparison = compare(tasks, ["robust", "average"], tol=0.02)
    assert all(row["converged"] for row in comparison.rows)
    assert comparison.speedup > 1.5


@pytest.mark.parametrize("zero_sum", [True, False])
def test_chained_output_of_a_single_step(zero_sum):
    arguments = random_game("steps", (2, 3), zero_sum=zero_sum) | {"horizon": 1}
    solver = OptimisticMirrorDescent(output="chained")
    solution = solve(MarkovGame(**arguments), solver, tol=0.01)
    assert solution.converged


def test_draws_need_a_step_where_there_is_a_horizon():
    for kind, step in (("steps", None), ("discounted", 0)):
        policy = random_joint(MarkovGame(**random_game(kind, (2, 3))))
        with pytest.raises(ValueError, match="'step' parameter"):
            policy.sample(np.random.default_rng(0), 0, step)
