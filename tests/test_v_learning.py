"""V-learning: the kernel against plain Python, its stages and restarts, known equilibria, laws."""

import math
import re

import numpy as np
import pytest
from test_evaluation import CLOCKS, random_game, random_policy

import metamarl as mm
from metamarl.algorithms import _v_learning as kernels
from metamarl.algorithms.evaluation import effective_horizon, evaluate
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.v_learning import VLearning
from metamarl.envs import MarkovGame, make, tasks
from metamarl.envs.clock import at_rest

PUBLISHED = VLearning.published(bonus=0.1)
OPTIONS = {
    "default": VLearning(),
    "published": PUBLISHED,
    "near": VLearning(distance=0.1, first_values="optimistic", bonus=0.2, growth=0.5),
}
SENTENCE = r"The '\S+' parameter of \w+ must be .+\. Got .+ instead\."


def begin(game, options, seed=0, init=None):
    run = options.start(game, (init or JointPolicy.uniform(game)).flat(game))
    run.seed(seed)
    return run


def advance(run, episodes):
    while episodes:
        episodes -= run.advance(episodes)
    return run


# --- the same in plain Python


class PlainLearner:
    """One player at one slot."""

    def __init__(self, start, length, largest, smallest, options):
        self.start, self.length, self.options = np.maximum(start, 1e-15), length, options
        self.A = len(start)
        self.largest, self.range = largest, (largest - smallest) or 1.0
        self.optimistic = options.first_values == "optimistic"
        self.value = largest if self.optimistic else None
        self.D = (options.distance or 1.0) * math.log(self.A)
        self.visits = self.earlier = self.last_length = 0
        self.targets, self.spread, self.last_spread = 0.0, 0.0, 0.0
        self.gain, self.total, self.last_total = (np.zeros(self.A) for _ in range(3))
        self.mean, self.weight = np.zeros(self.A), np.zeros(self.A)
        self.lengths = [length]

    def step_size(self):
        if self.options.step_size == "theory":
            return self.options.factor * math.sqrt(self.D / (self.A * self.length))
        spread = self.spread + self.last_spread
        return self.options.factor * math.sqrt(self.D / spread) if spread > 0 else 0.0

    def policy(self):
        log = np.log(self.start) + self.step_size() * self.gain
        weight = np.exp(log - log.max())
        return weight / weight.sum()

    def choose(self, rng):
        """An action, its chance, the policy."""
        if self.A == 1:
            return 0, 1.0, np.ones(1)
        x = self.policy()
        wild = self.options.exploration * (1 + (self.earlier + self.visits) / 100) ** (-1 / 3)
        chances = (1 - wild) * x + wild / self.A
        u = rng.random()
        a = min(int((np.cumsum(chances) <= u).sum()), self.A - 1)
        return a, chances[a], x

    def learn(self, a, chance, x, target):
        self.visits += 1
        self.targets += target
        drawn = np.arange(self.A) == a
        if self.A > 1 and self.options.step_size == "adaptive":
            surprise = target - self.mean[a]
            estimate = self.mean + drawn * surprise / (chance + self.options.implicit)
            gain = estimate - x @ estimate
            self.gain += gain
            self.spread += (x + 1e-6) @ gain**2
            self.weight[a] += 1
            self.mean[a] += surprise / self.weight[a]
        elif self.A > 1:
            loss = (self.largest - target) / self.range
            gamma = self.options.implicit * self.step_size()
            self.gain -= drawn * loss / (chance + gamma)
        self.total += x
        if self.visits < self.length:
            return
        self.value = self.targets / self.length
        self.earlier += self.length
        root = math.sqrt(self.A * math.log(2 * self.A * self.earlier) / self.length)
        self.value += self.options.bonus * self.range * root
        if self.optimistic:
            self.value = min(self.value, self.largest)
        self.last_spread, self.last_length = self.spread / self.length, self.length
        self.last_total, self.total = self.total, np.zeros(self.A)
        self.gain, self.weight = np.zeros(self.A), self.weight / 2
        self.visits, self.targets, self.spread = 0, 0.0, 0.0
        growth, before = self.options.growth, self.length
        grown = self.length * (1 + growth if growth != "theory" else 1 + 1 / self.lengths[0])
        self.length = max(self.length + 1, math.floor(grown * (1 + 1e-12)))
        self.lengths.append(self.length)
        doubt = self.D * (self.length / before) ** kernels.DOUBT
        self.D = min(doubt, max(self.D, math.log(self.A)))

    def mean_policy(self):
        count = self.visits + self.last_length
        return (self.total + self.last_total) / count if count else self.start


def plain_run(game, options, rng, init, episodes):
    """Learners by (player, step or 0, state) after these episodes."""
    table, n, S = game.table, game.n_players, game.n_states
    H, timed = effective_horizon(game), game.horizon is not None
    learners = {}
    low, high = table.reward.min(1), table.reward.max(1)
    for i in range(n):
        span = high[i] - low[i]
        for h in range(game.horizon or 1):
            for s in range(S):
                x = init[i][h, s] if timed else init[i][s]
                left = H - h
                learners[i, h, s] = PlainLearner(
                    x[game.legal[i][s]], H, left * max(high[i], 0) / span,
                    left * min(low[i], 0) / span, options,
                )  # fmt: skip
    rest = at_rest(table)
    if table.reward_stride or table.transition_stride:
        rest[:] = False

    def draw(weights):
        if len(weights) == 1:
            return 0
        return min(int((np.cumsum(weights) <= rng.random()).sum()), len(weights) - 1)

    starts = np.flatnonzero(game.initial)
    for _ in range(episodes):
        s, h = starts[draw(game.initial[starts])], 0
        over = stopped = rest[s]
        story = []
        while not stopped:
            layer = h if timed else 0
            chosen = [learners[i, layer, s].choose(rng) for i in range(n)]
            row = np.ravel_multi_index([c[0] for c in chosen], table.counts[s]) + table.rows[s]
            pay = table.reward[:, row + layer * table.reward_stride] / (high - low)
            story.append((layer, s, chosen, pay))
            r = row + layer * table.transition_stride
            span = slice(table.indptr[r], table.indptr[r + 1])
            s = table.indices[span][draw(table.probabilities[span])]
            h += 1
            over = rest[s] or h == game.horizon
            stopped = over or (not timed and game.discount < 1 and rng.random() >= game.discount)
        all_targets = []
        for i in range(n):
            following, known, targets = 0.0, over, []
            if not over:
                value = learners[i, h if timed else 0, s].value
                following, known = value or 0.0, value is not None
            for layer, state, _, pay in reversed(story):
                fade = game.discount if timed or known else 1.0
                target = pay[i] + fade * following
                targets.append(target)
                value = learners[i, layer, state].value
                following, known = (target, False) if value is None else (value, True)
            all_targets.append(targets[::-1])
        for t, (layer, state, chosen, _) in enumerate(story):
            for i in range(n):
                learners[i, layer, state].learn(*chosen[i], all_targets[i][t])
    return learners


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", CLOCKS)
def test_the_kernel_against_plain_python(kind, options):
    for n_actions in ((2, 3), (3,), (2, 1, 2)):
        arguments = random_game(kind, n_actions, len(n_actions))
        game, init = MarkovGame(**arguments), random_policy(arguments, 5)
        run = advance(begin(game, options, 7, JointPolicy(init)), 120)
        plain = plain_run(game, options, np.random.default_rng(7), init, 120)
        mine, nodes = run.learners, game.nodes
        policy, k = mine.policy(), 0
        for i in range(game.n_players):
            for step, state in zip(nodes.steps, nodes.states, strict=True):
                other = plain[i, step, state]
                assert mine.tally[k, kernels.LENGTH] == other.length
                assert mine.tally[k, kernels.VISITS] == other.visits
                span = slice(mine.first[k], mine.first[k + 1])
                np.testing.assert_allclose(policy[span], other.mean_policy(), atol=1e-8)
                if other.value is not None:
                    value = mine.worth[k, kernels.VALUE]
                    assert value == pytest.approx(other.value, rel=1e-8, abs=1e-8)
                k += 1
        assert max(len(other.lengths) for other in plain.values()) > 3


def test_the_answer_is_the_mean_product_of_the_policies_played():
    game = MarkovGame(**random_game("steps", (2, 3), 1))
    run = begin(game, VLearning(), 3)
    sums, lengths = {}, {}
    for _ in range(150):
        before = run.learners.tally.copy()
        run.advance(1)
        play, first = run.learners.act[:, kernels.PLAY], run.learners.first
        N = len(game.nodes.states)
        visited = np.flatnonzero((before != run.learners.tally)[:N].any(1))
        for j in visited:
            x, y = (play[first[i * N + j] : first[i * N + j + 1]] for i in (0, 1))
            x, y = (z if len(z) > 1 else np.ones(1) for z in (x, y))
            stage = before[j, kernels.STAGES]
            sums.setdefault((j, stage), []).append(np.outer(x, y).ravel())
            lengths[j] = stage
    flat, joints = run.policy(), game.nodes.joints
    for j, stage in lengths.items():
        plays = [p for (k, t), ps in sums.items() if k == j and t >= stage - 1 for p in ps]
        if run.learners.tally[j, kernels.VISITS] == 0:  # the stage has just ended
            plays = sums[j, stage]
        np.testing.assert_allclose(flat[joints[j] : joints[j + 1]], np.mean(plays, 0), atol=1e-12)


# --- stages


@pytest.mark.parametrize("horizon", [1, 2, 3, 7])
def test_stages_have_the_published_lengths(horizon):
    game = MarkovGame(np.ones((1, 2, 2, 1)), np.zeros((2, 1, 2, 2)) + np.eye(2), horizon=horizon)
    run = begin(game, PUBLISHED)
    lengths = [horizon]
    for _ in range(12):
        lengths.append(lengths[-1] * (horizon + 1) // horizon)
    seen = []
    for length in lengths[:-1]:
        seen.append(int(run.learners.tally[0, kernels.LENGTH]))
        advance(run, length - 1)
        assert run.learners.tally[0, kernels.STAGES] == len(seen) - 1
        advance(run, 1)
        assert run.learners.tally[0, kernels.STAGES] == len(seen)
    assert seen == lengths[:-1]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_stage_restarts_from_the_initial_policy(options):
    game = make("rps", rounds=1, weights=(3, 1, 1))
    init = JointPolicy([[[[0.7, 0.2, 0.1]]], [[[0.1, 0.3, 0.6]]]])
    run = begin(game, options, 2, init)
    moved = 0.0
    for _ in range(300):
        fresh = run.learners.tally[0, kernels.VISITS] == 0
        advance(run, 1)
        played = run.learners.act[:, kernels.PLAY]
        if fresh:
            np.testing.assert_allclose(played, init.flat(game), atol=1e-12)
        moved = max(moved, np.abs(played - init.flat(game)).max())
    assert run.learners.tally[0, kernels.STAGES] >= 8
    assert moved > 0.05


def test_a_nearer_start_is_left_less():
    game = make("rps", rounds=1)
    moved = []
    for distance in (0.01, 0.1, 1.0):
        runs = [advance(begin(game, VLearning(distance=distance), s), 100) for s in range(5)]
        moved.append(np.mean([np.abs(run.policy() - 1 / 3).max() for run in runs]))
    assert moved[0] < moved[1] < moved[2]


def test_a_distance_that_was_too_small_is_forgotten():
    game = make("rps", rounds=1, weights=(2, 1, 1))
    run = begin(game, VLearning(distance=0.001))
    known = run.learners.worth[:, kernels.DIVERGENCE].copy()
    np.testing.assert_allclose(known, 0.001 * math.log(3))
    advance(run, 10_000)
    growth = (run.learners.tally[:, kernels.LENGTH] / 1) ** kernels.DOUBT
    np.testing.assert_allclose(run.learners.worth[:, kernels.DIVERGENCE], known * growth)
    run = advance(begin(game, VLearning(distance=0.5)), 10_000)
    np.testing.assert_allclose(run.learners.worth[:, kernels.DIVERGENCE], math.log(3))


# --- known equilibria


def two_states():
    """Weighted matching pennies, in the second state for double; what A plays is the next state."""
    pennies = np.array([[2.0, -1.0], [-1.0, 1.0]])
    reward = np.stack([pennies, 2 * pennies])
    move = np.zeros((2, 2, 2, 2))
    move[:, 0, :, 0] = move[:, 1, :, 1] = 1.0
    return MarkovGame(move, np.stack([reward, -reward]), horizon=4)


def one_player():
    return MarkovGame(**random_game("steps", (3,), 4))


def three_players():
    return MarkovGame(**random_game("timed", (2, 3, 2), 4))


def one_action():
    return MarkovGame(**random_game("discounted", (1, 1), 4))


LEVELS = {  # gap to reach, and with how many episodes at most
    "weighted rps": (lambda: make("rps", rounds=1, weights=(2, 1, 1)), 0.03, 20_000),
    "rps": (lambda: make("rps", rounds=6, weights=(2, 1, 1)), 0.5, 100_000),
    "two states": (two_states, 0.4, 100_000),
    "pursuit": (lambda: make("pursuit", size=3, horizon=6), 0.15, 600_000),
    "stopping": (lambda: make("stopping"), 0.05, 100_000),
    "prisoners": (lambda: make("prisoners"), 0.2, 50_000),
    "stag hunt": (lambda: make("stag-hunt"), 0.1, 50_000),
    "three players": (three_players, 0.2, 100_000),
    "bargaining": (lambda: make("bargaining"), 0.05, 100_000),
    "one player": (one_player, 0.05, 20_000),
    "one action": (one_action, 1e-9, 1),
}


@pytest.mark.parametrize("case", LEVELS.values(), ids=LEVELS)
def test_it_comes_to_an_equilibrium(case):
    build, level, most = case
    game = build()
    solution = mm.solve(game, "v-learning", tol=level, max_iterations=most, seed=1)
    assert solution.converged
    assert solution.gap <= level
    if game.kind == "zero-sum":
        assert solution.correlated is None
        assert solution.gap == mm.nash_gap(game, solution.policy)
        exact = mm.solve(game, "exact").value[0]
        assert abs(solution.value[0] - exact) <= solution.gap + 1e-9
    else:
        assert solution.gap == mm.cce_gap(game, solution.correlated)
        np.testing.assert_array_equal(solution.value, evaluate(game, solution.correlated))
    uniform = Evaluator(game).nash_gap(JointPolicy.uniform(game).flat(game))
    assert uniform > level or game.n_actions == (1, 1)


def test_the_published_form_learns_too():
    game = make("rps", rounds=1, weights=(2, 1, 1))
    for bonus in (0.0, 11.0):
        solution = mm.solve(game, VLearning.published(bonus), tol=0.12, max_iterations=100_000)
        assert solution.gap <= 0.12


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", CLOCKS)
def test_certified_on_every_clock(kind, options):
    for n_actions, zero_sum in (((3, 4), True), ((2, 1, 2), False)):
        game = MarkovGame(**random_game(kind, n_actions, 2, zero_sum=zero_sum))
        solution = mm.solve(game, options, tol=1e-9, max_iterations=500, throw=False)
        assert solution.iterations == 500
        gap = mm.nash_gap(game, solution.policy) if zero_sum else mm.cce_gap(
            game, solution.correlated
        )  # fmt: skip
        assert solution.gap == gap
        assert "500 episodes" in solution.note
        for array, mask in zip(solution.policy, game.legal, strict=True):
            assert (array[..., ~mask] == 0).all()
            np.testing.assert_allclose(array.sum(-1), 1.0, atol=1e-9)


def test_values_are_those_of_the_clock():
    """One player with one action: the values are the game's, however play is stopped."""
    for kind in CLOCKS:
        game = MarkovGame(**random_game(kind, (1,), 3))
        run = advance(begin(game, VLearning(), 4), 20_000)
        judge = Evaluator(game)
        judge.value(JointPolicy.uniform(game).flat(game), 0, respond=False)
        done = run.learners.tally[:, kernels.STAGES] > 12
        assert done.any()
        found = run.learners.worth[done, kernels.VALUE] / run.scale[0]
        np.testing.assert_allclose(found, judge.values[done], atol=0.25)


# --- laws


def test_the_same_seed_gives_the_same_bits():
    game = make("pursuit", size=2)
    one, same, other = (
        mm.solve(game, "v-learning", tol=1e-9, max_iterations=3000, seed=s, throw=False)
        for s in (3, 3, 4)
    )
    assert one.gap == same.gap != other.gap
    np.testing.assert_array_equal(one.policy[0], same.policy[0])
    np.testing.assert_array_equal(one.trace.gap, same.trace.gap)


def test_how_often_it_is_measured_changes_nothing():
    game = make("pursuit", size=2)
    once, often = advance(begin(game, VLearning()), 1000), begin(game, VLearning())
    for _ in range(1000):
        often.advance(1)
    np.testing.assert_array_equal(once.policy(), often.policy())


def test_a_player_learns_from_its_own_rewards_alone():
    arguments = random_game("steps", (3, 1), 6, masked=False)
    other = arguments | {"reward": arguments["reward"] * np.array([1.0, -7.0])[:, None, None, None]}
    one, two = (advance(begin(MarkovGame(**a), VLearning(), 5), 500) for a in (arguments, other))
    K = len(one.game.nodes.states)
    np.testing.assert_array_equal(one.learners.worth[:K], two.learners.worth[:K])
    assert (one.learners.worth[K:] != two.learners.worth[K:]).any()


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_rewards_in_any_units(scale):
    arguments = random_game("discounted", (3, 3), 1, zero_sum=True)
    scaled = MarkovGame(**arguments | {"reward": scale * arguments["reward"]})
    for options in OPTIONS.values():
        one = advance(begin(MarkovGame(**arguments), options, 5), 300).policy()
        np.testing.assert_allclose(advance(begin(scaled, options, 5), 300).policy(), one, atol=1e-6)


def test_games_without_rewards_or_without_play():
    for clock in ({"horizon": 3}, {"discount": 0.9}, {"discount": 0.0}):
        game = MarkovGame(np.full((2, 2, 2, 2), 0.5), np.zeros((2, 2, 2, 2)), **clock)
        for options in OPTIONS.values():
            assert mm.solve(game, options).gap == 0.0
    over = MarkovGame(np.ones((1, 2, 2, 1)), np.zeros((2, 1, 2, 2)))
    assert mm.solve(over, "v-learning").gap == 0.0


def test_long_episodes_are_learned_from_in_parts():
    game = MarkovGame(**random_game("ending", (2, 3), 1))
    whole, parts = (begin(game, VLearning(first_values="optimistic"), 3) for _ in range(2))
    parts.room = tuple(array[:2] for array in parts.room)
    advance(whole, 400)
    advance(parts, 400)
    assert parts.episodes == whole.episodes == 400
    assert parts.steps > 400 * 2
    gaps = [Evaluator(game).cce_gap(run.policy()) for run in (whole, parts)]
    np.testing.assert_allclose(*gaps, atol=0.5)


def test_a_call_of_the_kernel_is_short(monkeypatch):
    monkeypatch.setattr("metamarl.algorithms._v_learning_run.MOST_STEPS", 50)
    run = begin(make("pursuit", size=2), VLearning())
    assert 5 <= run.advance(10**9) <= 51


def test_interrupted(monkeypatch):
    import metamarl.algorithms._v_learning_run as module

    real, calls = module.VLearningRun.advance, []

    def advance_twice(self, iterations):
        calls.append(iterations)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return real(self, iterations)

    monkeypatch.setattr(module.VLearningRun, "advance", advance_twice)
    solution = mm.solve(make("pursuit", size=2), "v-learning", throw=False)
    assert solution.status is mm.Status.INTERRUPTED
    assert solution.iterations == 2


# --- comparisons


def test_comparisons_count_episodes_and_read_no_model():
    games = tasks("pursuit", 3, 0.0, size=2)
    found = mm.compare(games, ["robust", "average"], "v-learning", tol=0.1)
    assert found.arms == ["none", "robust(certificate='past')", "average"]
    assert "episodes per task" in found.table()
    assert found.unit == found.config["unit"] == "episodes"
    assert all(row["converged"] for row in found.rows)
    assert found.speedup > 1.5
    again = mm.compare(games, ["robust", "average"], "v-learning", tol=0.1, n_jobs=2)
    drop = [{k: v for k, v in row.items() if k != "seconds"} for row in found.rows]
    assert drop == [{k: v for k, v in row.items() if k != "seconds"} for row in again.rows]


def test_learned_starts_come_with_learned_step_sizes(monkeypatch):
    from metamarl import playing

    told = []

    def solve(game, options, start, *rest, **more):
        told.append((start is not None, options.distance))
        return mm.solve(game, options, start, *rest, **more)

    monkeypatch.setattr(playing, "solve", solve)
    mm.compare(tasks("rps", 3, 0.5, rounds=2), "average", VLearning(), tol=0.2)
    assert [learned for learned, _ in told].count(True) == 2
    for learned, distance in told:
        assert (distance is not None) == learned
        assert distance is None or 0 < distance <= 1
    told.clear()
    mm.compare(tasks("rps", 2, 0.5, rounds=2), "average", VLearning(distance=0.5), tol=0.2)
    assert {distance for _, distance in told} == {0.5}


# --- errors


@pytest.mark.parametrize(
    "bad",
    [
        {"step_size": "fast"},
        {"step_size": 1.0},
        {"factor": 0.0},
        {"factor": math.nan},
        {"implicit": -0.1},
        {"exploration": 1.5},
        {"first_values": "zero"},
        {"bonus": -1.0},
        {"growth": 0.0},
        {"growth": "fast"},
        {"distance": 0.0},
        {"distance": "near"},
        {"resolution": -1.0},
    ],
    ids=str,
)
def test_bad_options_get_one_sentence(bad):
    with pytest.raises((TypeError, ValueError)) as error:
        VLearning(**bad)
    assert re.fullmatch(SENTENCE, str(error.value))
