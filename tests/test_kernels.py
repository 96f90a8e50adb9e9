"""The kernels of mirror descent and of the stage games against plain NumPy and SciPy.

`Plain` is the algorithm as published (Mao et al., NeurIPS 2023), one node after another, with
secondary iterates of its own, softmax by `np.exp` and projections by sorting.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from quantecon.optimize import minmax
from scipy.optimize import linprog
from test_evaluation import CLOCKS, random_game, random_policy

from metamarl.algorithms import _mirror_descent as kernels
from metamarl.algorithms import _projected_descent as projected_descent
from metamarl.algorithms import _stage_games, _step_size
from metamarl.algorithms._vectors import LANE_BYTES, exponential, load, store
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solve import solve
from metamarl.envs import MarkovGame, make

LANES = projected_descent.LANES
FAST = settings(deadline=None, max_examples=60, derandomize=True)
REGULARIZERS = ["entropy", "euclidean"]


def sorted_projection(u):
    """Euclidean projection onto the simplex by sorting (Held, Wolfe and Crowder 1974)."""
    falling = np.sort(u)[::-1]
    excess = (np.cumsum(falling) - 1.0) / np.arange(1, len(u) + 1)
    kept = np.flatnonzero(falling > excess)[-1]
    return np.maximum(u - excess[kept], 0.0)


class Plain:
    """The staged algorithm on dense arrays; one node per (step, state), reachable or not."""

    def __init__(self, arguments, start, H, eta, regularizer, optimism, first_values="zero"):
        self.optimism, self.discount = optimism, arguments["discount"]
        self.entropy = regularizer == "entropy"
        self.P, self.R = arguments["transition"], arguments["reward"][0]
        self.timed = arguments["horizon"] is not None
        self.legal = [[np.flatnonzero(row) for row in mask] for mask in arguments["legal"]]
        n_states = len(self.legal[0])
        self.nodes = list(itertools.product(range(arguments["horizon"] or 1), range(n_states)))
        self.eta = dict(zip(self.nodes, np.broadcast_to(eta, len(self.nodes)), strict=True))
        self.start = {}
        for h, s in self.nodes:
            rows = [(a[h] if self.timed else a)[s] for a in start]
            self.start[h, s] = [row[self.legal[i][s]] for i, row in enumerate(rows)]
        self.Q = {
            (h, s): np.zeros((len(self.legal[0][s]), len(self.legal[1][s]))) for h, s in self.nodes
        }
        self.H, self.L, self.stage, self.t = H, H, 1, 0
        self.averages, self.plays = {}, []
        if first_values == "policy":
            V = dict.fromkeys(self.nodes, 0.0)
            for _ in range(300):
                self.take(V)
                V = {n: x @ self.Q[n] @ y for n, (x, y) in self.start.items()}
            self.take(V)
        self.begin()

    def begin(self):
        self.hat = {node: [x.copy(), y.copy()] for node, (x, y) in self.start.items()}
        self.play = self.hat.copy()
        self.stage_plays, self.stage_values = [], []

    def ascend(self, hat, gradient, eta):
        if not self.entropy:
            return sorted_projection(hat + eta * gradient)
        weight = hat * np.exp(eta * gradient - (eta * gradient).max())
        return weight / weight.sum()

    def step(self):
        """One iteration t of every node; at the end of a stage new matrices from the old ones."""
        if len(self.stage_plays) == self.L:
            self.end_stage()
        plays, values = {}, {}
        for node in self.nodes:
            Q, (x, y), (u, v), eta = self.Q[node], self.play[node], self.hat[node], self.eta[node]
            if self.optimism:
                x, y = self.ascend(u, Q @ y, eta), self.ascend(v, -Q.T @ x, eta)
            else:
                x, y = u, v
            self.hat[node] = [self.ascend(u, Q @ y, eta), self.ascend(v, -Q.T @ x, eta)]
            plays[node], values[node] = [x, y], x @ Q @ y
        self.play = plays
        self.stage_plays.append(plays)
        self.stage_values.append(values)
        self.plays.append(plays)

    def end_stage(self):
        self.averages[self.stage] = self.average(self.stage_plays)
        self.take({n: np.mean([v[n] for v in self.stage_values]) for n in self.nodes})
        self.L = int(np.floor((1 + 1 / self.H) * self.L + 1e-9))
        self.stage += 1
        self.begin()

    def take(self, V):
        """The matrices r + γ P V."""
        n_states = len(self.legal[0])
        for h, s in self.nodes:
            P = self.P[h] if self.P.ndim == 5 else self.P
            R = self.R[h] if self.R.ndim == 4 else self.R
            joint = np.ix_(self.legal[0][s], self.legal[1][s])
            following = h + 1 if self.timed else 0
            later = np.array([V.get((following, t), 0.0) for t in range(n_states)])
            self.Q[h, s] = R[s][joint] + self.discount * P[s][joint] @ later

    def average(self, plays):
        return {n: [np.mean([p[n][i] for p in plays], 0) for i in (0, 1)] for n in self.nodes}

    def policy(self, output, group_of):
        """What `output` means: {(h, s): [x, y]}."""
        if output == "average":
            return self.average(self.plays)
        now = self.average(self.stage_plays)
        if output == "last-stage":
            return now
        at = {self.stage: now, **self.averages}
        return {n: at.get(self.stage - group_of[n], self.start)[n] for n in self.nodes}


def compare_runs(
    arguments, checks, start=None, regularizer="entropy", optimism=True, eta=0.3, first="zero"
):
    """Run kernels and `Plain` side by side and compare all outputs after each of `checks`.

    `eta`: the step size of all nodes, or one for each node of `Plain`.
    """
    game = MarkovGame(**arguments)
    nodes = game.nodes
    start = start or list(JointPolicy.uniform(game))
    plain = Plain(arguments, start, effective_horizon(game), eta, regularizer, optimism, first)
    outputs = ["last-stage", "average"] + ["chained"] * (not nodes.cyclic)
    runs = {}
    for output in outputs:
        options = OptimisticMirrorDescent(
            regularizer=regularizer,
            step_size=float(np.mean(eta)),
            optimism=optimism,
            output=output,
            first_values=first,
        )
        runs[output] = options.start(game, JointPolicy(start).flat(game))
    group = np.repeat(np.arange(nodes.n_groups), np.diff(nodes.groups))
    keys = list(zip(nodes.steps.tolist(), nodes.states.tolist(), strict=True))
    group_of = dict.fromkeys(plain.nodes, 0) | dict(zip(keys, group.tolist(), strict=True))
    for run in runs.values():
        run.eta[run.layout.lane] = [plain.eta[key] for key in keys]
    done = 0
    for check in checks:
        while len(plain.plays) < check:
            plain.step()
        for output, run in runs.items():
            left = check - done
            while left:
                left -= run.advance(left)
            expected = plain.policy(output, group_of)
            flat = np.concatenate([expected[key][i] for i in (0, 1) for key in keys])
            np.testing.assert_allclose(run.policy(), flat, rtol=0, atol=1e-10, err_msg=output)
        done = check
    return plain, runs["last-stage"]


def stage_ends(H, stages):
    """Iterations at which the stages end: L = H, then ⌊(1 + 1/H) L⌋."""
    lengths = [H]
    while len(lengths) < stages:
        lengths.append(lengths[-1] * (H + 1) // H)
    return np.cumsum(lengths).tolist()


def around(H, stages=4):
    """Checks in mid-stage, at the ends of stages and just after them, in stages 1, 2, ..."""
    ends = stage_ends(H, stages)
    return sorted({1, *ends, *(e + 1 for e in ends[:-1]), ends[-1] - 1, ends[-1] + 2})


# --- mirror descent


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("optimism", [True, False])
@pytest.mark.parametrize("kind", CLOCKS)
def test_runs_against_numpy(kind, optimism, regularizer):
    for seed, sizes in enumerate([(3, 2), (4, 4)]):
        arguments = random_game(kind, sizes, seed, 5, zero_sum=True)
        H = effective_horizon(MarkovGame(**arguments))
        stages = 5 if H < 8 else 3
        start = random_policy(arguments, seed)
        plain, _ = compare_runs(arguments, around(H, stages), start, regularizer, optimism, 0.7)
        assert plain.stage == stages + 1
        moved = max(np.abs(plain.play[n][0] - plain.start[n][0]).max() for n in plain.nodes)
        assert moved > 0.05


@pytest.mark.parametrize("kind", CLOCKS)
def test_first_values_of_the_policy(kind):
    arguments = random_game(kind, (3, 2), 2, 5, zero_sum=True)
    H = effective_horizon(MarkovGame(**arguments))
    start, checks = random_policy(arguments, 3), around(H, 3)
    plain, _ = compare_runs(arguments, checks, start, first="policy")
    assert min(max(map(abs, v.values())) for v in plain.stage_values) > 0


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("n_states", [15, 16, 17, 35])
def test_lanes_are_padded(n_states, regularizer):
    """Games that fill less, exactly and more than one block of lanes; no masks: one shape."""
    rng = np.random.default_rng(n_states)
    reward = rng.normal(size=(n_states, 2, 3))
    arguments = {
        "transition": rng.dirichlet(np.full(n_states, 0.3), size=reward.shape),
        "reward": np.stack([reward, -reward]),
        "horizon": None,
        "discount": 0.5,
        "legal": [np.ones((n_states, 2), bool), np.ones((n_states, 3), bool)],
    }
    _, run = compare_runs(arguments, [1, 3, 9, 12], regularizer=regularizer)
    blocks, rest = run.layout.blocks, n_states % LANES
    least = n_states // LANES + (rest > 1)  # a single game may be laid out wide
    assert least <= len(blocks) <= -(-n_states // LANES)
    assert blocks[:, :2].tolist() == [[2, 3]] * len(blocks)
    assert len(run.layout.wide) == (0 if len(blocks) * LANES >= n_states else rest)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("sizes", [(1, 1), (1, 4), (5, 1), (2, 9)])
def test_any_counts_of_actions(sizes, regularizer):
    arguments = random_game("timed", sizes, 3, 6, zero_sum=True)
    compare_runs(arguments, around(4), regularizer=regularizer)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_every_node_has_its_own_step_size(regularizer):
    arguments = random_game("timed-discounted", (4, 3), 4, 6, zero_sum=True)
    eta = np.random.default_rng(0).uniform(0, 2, 4 * 6)
    compare_runs(arguments, around(4), random_policy(arguments, 9), regularizer, eta=eta)


def payoff_norm(Q, x, y, weighted):
    """Largest singular value of the payoff without the players' own parts, under x and y."""
    centred = Q - (Q @ y)[:, None] - x @ Q + x @ Q @ y
    return np.linalg.norm(centred * (np.sqrt(np.outer(x, y)) if weighted else 1.0), 2)


def adapted(Q, x, y, weighted=True, factor=0.5):
    """The adaptive step size of one matrix game, whatever its place."""
    (A, B), found = Q.shape, np.full(3, np.nan)
    for k, (row, column) in enumerate([(B, 1), (B * LANES, LANES), (1, A)]):
        numbers = np.full(A * row + B * column, np.nan)
        numbers[np.add.outer(row * np.arange(A), column * np.arange(B))] = Q
        plays = np.full((A + B) * column, np.nan)
        plays[column * np.arange(A + B)] = np.concatenate([x, y])
        places = ([0], [row], [column], [0], [A * column], [k])
        _step_size.adapt(
            np.array([0]), np.array([[A, B]]), *map(np.array, places), numbers, plays, found,
            factor, weighted,
        )  # fmt: skip
    assert (found == found[0]).all()
    return found[0]


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (4, 5), (8, 3), (20, 20)], ids=str)
def test_adaptive_step_sizes_against_numpy(shape, weighted):
    rng = np.random.default_rng(shape)
    for k in range(100):
        Q = rng.normal(size=shape) if k % 2 else rng.integers(-1, 2, shape).astype(float)
        Q[0, 0] = 2.0  # not constant
        x, y = (rng.dirichlet(np.ones(n)) if weighted else np.full(n, 1 / n) for n in shape)
        size, span = payoff_norm(Q, x, y, weighted), np.ptp(Q)
        found = 0.5 / adapted(Q, 300 * x, 300 * y, weighted)
        assert 0.85 * size <= found
        assert span / 16 * (1 - 1e-12) <= found <= max(size, span / 16) * (1 + 1e-9)


def test_adaptive_step_sizes_of_single_matrices():
    pennies, half = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([0.5, 0.5])
    first = np.array([1.0, 0.0])
    assert adapted(pennies, half, half) == pytest.approx(0.5)  # largest singular value 1
    assert adapted(pennies, half, half, weighted=False) == pytest.approx(0.25)  # 2
    assert adapted(pennies + 1e3, half, half) == pytest.approx(0.5)
    assert adapted(1e-9 * pennies, half, half) == pytest.approx(5e8)
    assert adapted(pennies, first, first) == 0.5 / (2.0 / 16.0)  # span / 16: nothing else to see
    for constant in (np.zeros((2, 2)), np.full((2, 2), 1e9), 1e9 + 0.5 * pennies):
        assert adapted(constant, half, half) == adapted(constant, half, half, False) == 0.0
    third = np.full(3, 1 / 3)  # singular vectors of small integers, which a plain start misses
    for v in itertools.permutations([1.0, -2.0, 1.0]):
        Q = np.outer([1.0, 1.0, -2.0], v)
        assert adapted(Q, third, third) == pytest.approx(0.5 / 2.0)
        assert adapted(Q, third, third, weighted=False) == pytest.approx(0.5 / 6.0)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_adaptive_step_sizes_follow_the_last_stage(regularizer):
    arguments = random_game("timed", (3, 4), 5, 6, zero_sum=True)
    game = MarkovGame(**arguments)
    start = JointPolicy(random_policy(arguments, 1)).flat(game)
    run = OptimisticMirrorDescent(regularizer=regularizer, factor=0.4).start(game, start)
    assert (run.eta == 0).all()  # the first stage's matrices are 0
    slots, counts = game.nodes.slots, game.table.counts[game.nodes.states]
    for _ in range(5):
        run.advance(10**9)
        flat = run.policy()
        run.advance(1)
        for j, (A, B) in enumerate(counts):
            x, y = (flat[slots[i, j] : slots[i, j + 1]] for i in (0, 1))
            rows, columns = run.layout.row_step[j], run.layout.column_step[j]
            within = np.add.outer(rows * np.arange(A), columns * np.arange(B))
            Q = run.Q[run.layout.cell[j] + within]
            expected = adapted(Q, x, y, regularizer == "entropy", 0.4)
            assert run.eta[run.layout.lane[j]] == pytest.approx(expected, rel=1e-9)
    assert len(np.unique(np.round(run.eta, 6))) > 10


def test_theory_step_sizes():
    game = make("pursuit", size=3, horizon=6)  # rewards 0 and 1, at most 5 x 5 joint actions
    most = game.table.counts.prod(1).max()
    for regularizer, root in (("entropy", 1.0), ("euclidean", most**0.5)):
        options = OptimisticMirrorDescent(regularizer=regularizer, step_size="theory")
        run = options.start(game, JointPolicy.uniform(game).flat(game))
        np.testing.assert_allclose(run.eta[run.layout.lane], 1 / (4 * 6 * root), rtol=1e-15)


def test_step_sizes_scale_with_the_rewards():
    """So that a game in other units is solved by the same policies."""
    arguments = random_game("steps", (3, 3), 2, zero_sum=True)
    scaled = arguments | {"reward": 1024.0 * arguments["reward"]}
    for regularizer, step_size in itertools.product(REGULARIZERS, ["theory", "adaptive"]):
        options = OptimisticMirrorDescent(regularizer=regularizer, step_size=step_size)
        policies = []
        for each in (arguments, scaled):
            game = MarkovGame(**each)
            run = options.start(game, JointPolicy.uniform(game).flat(game))
            for _ in range(8):
                run.advance(100)
            policies.append(run.policy())
        np.testing.assert_allclose(*policies, rtol=0, atol=1e-11)


@pytest.mark.parametrize("H", [1, 2, 3, 7])
def test_stage_lengths(H):
    arguments = random_game("steps", (2, 2), 1, zero_sum=True) | {"horizon": H}
    game = MarkovGame(**arguments)
    run = OptimisticMirrorDescent().start(game, JointPolicy.uniform(game).flat(game))
    done, found = 0, []
    while len(found) < 12:
        times = run.advance(10**9)
        done += times
        found.append(done)
    assert found == stage_ends(H, 12)
    lengths = np.diff([0, *found])
    assert lengths[0] == H
    assert (lengths[1:] == np.floor((1 + 1 / H) * lengths[:-1] + 1e-9)).all()


def test_how_a_run_is_cut_does_not_matter():
    arguments = random_game("timed", (3, 4), 7, zero_sum=True)
    game = MarkovGame(**arguments)
    for regularizer in REGULARIZERS:
        policies = []
        for portion in (1, 7, 10**9):
            run = OptimisticMirrorDescent(regularizer=regularizer).start(
                game, JointPolicy.uniform(game).flat(game)
            )
            left = 300
            while left:
                left -= run.advance(min(left, portion))
            policies.append(run.policy())
        np.testing.assert_array_equal(policies[0], policies[1])
        np.testing.assert_array_equal(policies[0], policies[2])


def test_policies_of_a_run_are_its_callers():
    """A policy that was handed out is not written to by going on."""
    game = make("pursuit", size=3, horizon=6)
    for output in ("last-stage", "chained", "average"):
        run = OptimisticMirrorDescent(output=output).start(
            game, JointPolicy.uniform(game).flat(game)
        )
        run.advance(6)
        run.advance(5)
        flat = run.policy()
        kept = flat.copy()
        for _ in range(20):
            run.advance(50)
        np.testing.assert_array_equal(flat, kept)


# --- their parts


@njit(fastmath=kernels.FAST)
def _exp_all(x, out, lanes):
    for k in range(0, len(x), lanes):
        store(out, k, exponential(load(x, k)))


def exps(x, kind=np.float64):
    lanes = LANE_BYTES // np.dtype(kind).itemsize
    padded = np.zeros(-(-len(x) // lanes) * lanes, kind)
    padded[: len(x)] = x
    found = np.empty_like(padded)
    _exp_all(padded, found, lanes)
    return found[: len(x)]


def test_exponential():
    rng = np.random.default_rng(0)
    spread = [rng.uniform(-700, 0, 100_000), -(rng.uniform(0, 1, 50_000) ** 8)]
    corners = [-0.0, 0.0, -1e-300, -np.log(2), -np.log(2) / 2, -700.0]
    halves = -(np.arange(1000) + 0.5) * np.log(2)
    x = np.concatenate([*spread, corners, halves[halves > -700]])
    assert (np.abs(exps(x) / np.exp(x) - 1) < 6e-16).all()
    assert exps([0.0]) == 1.0
    assert exps([-1e6]) == exps([-700.0]) == pytest.approx(np.exp(-700.0), rel=1e-15)
    small = x[x > -87].astype(np.float32)
    assert (np.abs(exps(small, np.float32) / np.exp(small.astype(float)) - 1) < 2e-7).all()
    assert exps([0.0], np.float32) == 1.0
    assert exps([-1e9], np.float32) == exps([-87.0], np.float32)


def projected(u, lane=5):
    """`_project` of a vector that is neither first nor last in its block; neighbours are noise."""
    U = np.random.default_rng(0).normal(size=(len(u) + 3, LANES))
    U[2:-1, lane] = u
    X = np.full(U.size, 7.0)
    projected_descent._project(U.ravel(), X, 2, len(u) + 2, lane)
    X = X.reshape(-1, LANES)
    assert (np.delete(X, lane, axis=1) == 7.0).all()
    assert (X[[0, 1, -1], lane] == 7.0).all()
    return X[2:-1, lane]


def check_projection(u, tolerance=1e-14):
    x = projected(u)
    assert (x >= 0).all()
    scale = max(1.0, np.abs(u).max())
    assert abs(x.sum() - 1) <= tolerance * scale * len(u)
    np.testing.assert_allclose(x, sorted_projection(u), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("size", [1, 2, 3, 16, 100])
@pytest.mark.parametrize("scale", [1e-9, 0.1, 1.0, 30.0])
def test_projection_against_sorting(size, scale):
    rng = np.random.default_rng(size)
    for _ in range(50):
        u = scale * rng.normal(size=size)
        check_projection(u)
        check_projection(u + 1e8)
        check_projection(np.round(u, 1))  # ties
        check_projection(rng.dirichlet(np.ones(size)) + u)


def test_projection_of_corner_cases():
    check_projection(np.zeros(4))
    check_projection(np.array([0.3, 0.3, 0.4]))  # on the simplex
    np.testing.assert_array_equal(projected(np.array([0.5, 0.5, -0.5])), [0.5, 0.5, 0.0])
    np.testing.assert_array_equal(projected(np.array([1.0, 0.0, 0.0])), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(projected(np.array([1e8, 0.0, -1e8])), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(projected(np.array([-37.0])), [1.0])


@FAST
@given(st.lists(st.floats(-1e8, 1e8), min_size=1, max_size=30))
def test_projection_of_anything(numbers):
    check_projection(np.array(numbers))


# --- stage games


def by_linprog(Q):
    """Value of a matrix game for the row player (HiGHS), scaled to [0, 1] before."""
    low, span = Q.min(), np.ptp(Q) or 1.0
    scaled, (A, B) = (Q - low) / span, Q.shape
    found = linprog(
        np.r_[np.zeros(A), -1.0],
        A_ub=np.c_[-scaled.T, np.ones(B)],
        b_ub=np.zeros(B),
        A_eq=np.r_[np.ones(A), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * A + [(None, None)],
        method="highs",
    )
    assert found.status == 0
    return low - span * found.fun


def solve_matrix(Q):
    x, y = np.full(Q.shape[0], np.nan), np.full(Q.shape[1], np.nan)
    floats, integers = _stage_games.room(*Q.shape)
    work, order = np.full(floats, np.nan), np.full(integers, -1)
    return _stage_games._solve_matrix(np.ascontiguousarray(Q), x, y, work, order), x, y


def check_matrix_game(Q, reference=True):
    value, x, y = solve_matrix(Q)
    for p in (x, y):
        assert (p >= 0).all()
        assert abs(p.sum() - 1) < 1e-13
    scale, span = np.abs(Q).max(), np.ptp(Q)
    slack = 1e-12 * span + 4e-15 * scale
    lower, upper = (x @ Q).min(), (Q @ y).max()  # a certificate that asks no other solver
    assert upper - lower <= slack
    assert lower - slack <= value <= upper + slack
    if reference:
        assert abs(value - by_linprog(Q)) <= 2e-9 * span + 4e-15 * scale


SHAPES = [(1, 1), (1, 7), (7, 1), (2, 2), (2, 5), (5, 2), (3, 3), (8, 8), (10, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_matrix_games_against_linprog(shape, scale):
    rng = np.random.default_rng(shape)
    for _ in range(3):
        check_matrix_game(scale * rng.normal(size=shape))
        check_matrix_game(scale * (rng.random(shape) - 100.0))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_degenerate_matrix_games(shape):
    rng = np.random.default_rng(shape)
    for k in range(60):
        reference = k < 4
        check_matrix_game(rng.integers(-1, 2, shape).astype(float), reference)
        check_matrix_game((rng.random(shape) < 0.3).astype(float), reference)
        Q = rng.normal(size=shape)
        Q[rng.integers(shape[0], size=shape[0])] = Q[0]  # equal rows
        Q[:, rng.integers(shape[1], size=shape[1])] = Q[:, :1]
        check_matrix_game(Q, reference)
        check_matrix_game(np.outer(rng.normal(size=shape[0]), rng.normal(size=shape[1])), reference)
        check_matrix_game(np.where(rng.random(shape) < 0.5, 1e-13, 1.0), reference)


def test_constant_matrix_games():
    for constant in (0.0, 1e-300, -3.0, 1e9, 1e300):
        value, x, y = solve_matrix(np.full((3, 4), constant))
        assert value == constant
        np.testing.assert_array_equal(x, 1 / 3)
        np.testing.assert_array_equal(y, 1 / 4)


def test_matrix_games_with_a_saddle_point():
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        Q = rng.normal(size=shape)
        row, column = rng.integers(shape[0]), rng.integers(shape[1])
        Q[:, column] -= Q[:, column].max() + 1.0  # every row's worst ...
        Q[row] = Q[row].clip(-1.0, None)
        Q[:, column] = np.minimum(Q[:, column], -10.0)
        Q[row, column] = -5.0  # ... and this row's is the best
        value, x, y = solve_matrix(Q)
        assert value == -5.0
        assert (x[row], y[column]) == (1.0, 1.0)
        check_matrix_game(Q)


@pytest.mark.parametrize("shape", [(64, 64), (40, 100)], ids=str)
def test_large_matrix_games(shape):
    rng = np.random.default_rng(0)
    check_matrix_game(rng.normal(size=shape))
    check_matrix_game(rng.integers(-1, 2, shape).astype(float))
    Q = rng.normal(size=shape)
    if shape[0] == shape[1]:
        check_matrix_game(Q - Q.T)
        assert abs(solve_matrix(Q - Q.T)[0]) < 1e-12


@FAST
@given(
    st.integers(1, 6).flatmap(
        lambda b: st.lists(
            st.lists(st.floats(-1e6, 1e6), min_size=b, max_size=b), min_size=1, max_size=6
        )
    )
)
def test_any_matrix_game(rows):
    check_matrix_game(np.array(rows), reference=False)


@pytest.mark.parametrize("size", [2, 3, 5, 10, 33])
def test_matrix_games_against_quantecon(size):
    rng = np.random.default_rng(size)
    for Q in (rng.random((size, size)), rng.integers(-1, 2, (size, size + 1)).astype(float)):
        assert abs(solve_matrix(Q)[0] - minmax(Q)[0]) < 1e-12


@pytest.mark.parametrize("noise", [1e-11, 1e-10, 1e-9, 1e-8, 1e-6])
@pytest.mark.parametrize("most", [12, 60])
def test_nearly_tied_matrix_games(most, noise):
    """Rows and columns that are equal up to noise: small pivots lose all digits."""
    rng = np.random.default_rng(0)
    for _ in range(300 if most < 20 else 20):
        A, B = rng.integers(most // 4, most + 1, 2)
        Q = rng.normal(size=(A, B))[rng.integers(0, A, A)][:, rng.integers(0, B, B)]
        Q += noise * rng.normal(size=(A, B))
        _, x, y = solve_matrix(Q)
        assert (Q @ y).max() - (x @ Q).min() < 1e-5 * (Q.max() - Q.min())


def test_a_basis_computed_anew_is_the_same():
    rng = np.random.default_rng(0)
    Q = rng.integers(-3, 4, (6, 8)).astype(float)
    low, scale = Q.min(), 1.0 / np.ptp(Q)
    T, again = np.empty((7, 10)), np.empty((7, 10))
    basic, free = np.arange(8, 14), np.arange(8)
    _stage_games._fill(T, Q, low, scale)
    _stage_games._simplex(T, basic, free, 0, _stage_games.PIVOT, _stage_games.OPTIMAL)
    x, y, u, w = (np.empty(k) for k in (6, 8, 6, 8))
    _stage_games._read_policies(T, basic, free, x, y)
    assert (y > 0).sum() > 1  # there was something to do
    basis = set(basic)
    _stage_games._return_to_basis(again, Q, low, scale, basic, free, np.full(14, -1))
    assert set(basic) == basis
    _stage_games._read_policies(again, basic, free, u, w)
    np.testing.assert_allclose(np.r_[u, w], np.r_[x, y], atol=1e-13)


@pytest.mark.parametrize("gaps", [False, True])
def test_backward_induction_against_quantecon(gaps):
    """Successors that are next to each other are read at one stretch, others one by one."""
    rng = np.random.default_rng(1)
    S, A, B, H = 6, 3, 4, 4
    R, P = rng.normal(size=(H, S, A, B)), rng.random((S, A, B, S))
    if gaps:
        P[..., 1] = 0.0
        P[:, 0, 0, 3:] = 0.0
    P /= P.sum(-1, keepdims=True)
    values = np.zeros(S)
    for h in range(H - 1, -1, -1):
        values = np.array([minmax(R[h, s] + 0.9 * P[s] @ values)[0] for s in range(S)])
    game = MarkovGame(P, np.stack([R, -R]), horizon=H, discount=0.9)
    assert abs(solve(game, "exact").value[0] - values.mean()) < 1e-12
