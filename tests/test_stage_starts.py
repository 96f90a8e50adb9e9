"""Policies for every stage: certificates, the last plays, the network, and its training."""

import pickle
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metamarl as mm
from metamarl.algorithms.solvers import SOLVERS
from metamarl.algorithms.stage_starts import certified_plays, matrix_gaps
from metamarl.learners import find_meta

FEW = {"tol": 0.05, "max_iterations": 20_000}


def random_network(seed, steps=3, hidden=5):
    rng = np.random.default_rng(seed)
    shapes = {
        "weights": (8, hidden), "biases": (hidden,), "readout": (hidden,), "gate": (2,),
        "rates": (steps, 3), "slopes": (steps, 3),
    }  # fmt: skip
    drawn = {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}
    return mm.StageNetwork(parameters=drawn)


def drawn_plays(rng, n, A, B):
    return rng.dirichlet(np.ones(A), n), rng.dirichlet(np.ones(B), n)


SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31))


# --- the certificate


def test_a_certificate_by_hand():
    pennies = np.array([[[1.0, -1.0], [-1.0, 1.0]], [[3.0, 0.0], [0.0, 1.0]]])
    x = np.array([[0.5, 0.5], [0.25, 0.75]])
    np.testing.assert_allclose(matrix_gaps(pennies, (x, x)), [0.0, 0.0], atol=1e-15)
    # In the second game x is the equilibrium and uniform has the gap 1.5 - 0.5.
    half = np.full((2, 2), 0.5)
    np.testing.assert_allclose(matrix_gaps(pennies, (half, half)), [0.0, 1.0])
    found, _ = certified_plays(pennies[1:], (x[1:], x[1:]), 25.0, 0.01)
    np.testing.assert_allclose(found, 0.99 * x[1:] + 0.01 * 0.5)
    # A play as bad as uniform: c / (1 + c) of the uniform policy.
    pure = np.array([[1.0, 0.0]])
    gap = matrix_gaps(pennies[1:], (pure, pure))[0]
    assert gap == 3.0
    found, _ = certified_plays(pennies[1:], (pure, pure), 25.0, 0.01)
    part = 25 * 9 / (1 + 25 * 9)
    np.testing.assert_allclose(found, (1 - part) * pure + part * 0.5, rtol=1e-9)


def test_no_numbers_are_uniform():
    Q = np.random.default_rng(0).random((1, 2, 3))
    broken = np.array([[np.nan, 1.0]]), np.array([[1.0, 0.0, 0.0]])
    x, y = certified_plays(Q, broken, 25.0, 0.01)
    np.testing.assert_array_equal(x, [[0.5, 0.5]])
    np.testing.assert_array_equal(y, np.full((1, 3), 1 / 3))


@given(SHAPES)
@settings(deadline=None, max_examples=50)
def test_proposals_are_policies_and_cost_little(drawn):
    A, B, seed = drawn
    rng = np.random.default_rng(seed)
    Q, plays = rng.standard_normal((4, A, B)), drawn_plays(rng, 4, A, B)
    Q[0] = 7.0  # constant
    for start in (mm.LastPlays(), random_network(seed)):
        found = start.propose(Q, plays)
        for policy, k in zip(found, (A, B), strict=True):
            np.testing.assert_allclose(policy.sum(1), 1.0, atol=1e-12)
            assert (policy >= 0.01 / k - 1e-15).all()
        scratch = matrix_gaps(Q, (np.full((4, A), 1 / A), np.full((4, B), 1 / B)))
        # Convex in the part of uniform, which is 1 - 1/(1 + 25 g²) at least: g/(1 + 25 g²) ≤ 0.1.
        assert (matrix_gaps(Q, found) <= 1.1 * scratch + 1e-9).all()
    assert Q[0, 0, 0] == 7.0


# --- the network: symmetries


@given(SHAPES)
@settings(deadline=None, max_examples=50)
def test_permuted_actions_and_exchanged_players(drawn):
    A, B, seed = drawn
    rng, network = np.random.default_rng(seed), random_network(seed)
    Q, (x0, y0) = rng.standard_normal((3, A, B)), drawn_plays(rng, 3, A, B)
    x, y = network.predict(Q, (x0, y0))
    rows, columns = rng.permutation(A), rng.permutation(B)
    u, v = network.predict(Q[:, rows][:, :, columns], (x0[:, rows], y0[:, columns]))
    np.testing.assert_allclose(u, x[:, rows], atol=1e-9)
    np.testing.assert_allclose(v, y[:, columns], atol=1e-9)
    u, v = network.predict(-Q.swapaxes(1, 2), (y0, x0))
    np.testing.assert_allclose(u, y, atol=1e-9)
    np.testing.assert_allclose(v, x, atol=1e-9)


@given(SHAPES, st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=50)
def test_shifted_and_scaled_payoffs(drawn, shift, scale):
    A, B, seed = drawn
    rng, network = np.random.default_rng(seed), random_network(seed)
    Q, plays = rng.standard_normal((3, A, B)), drawn_plays(rng, 3, A, B)
    for ask in (network.predict, network.propose):
        for one, other in zip(ask(Q, plays), ask(scale * Q + shift, plays), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5 if shift else 1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (100, 3)])
def test_unusual_shapes(shape):
    rng = np.random.default_rng(0)
    Q, plays = rng.random((2, *shape)), drawn_plays(rng, 2, *shape)
    x, y = mm.StageNetwork.untrained().propose(Q, plays)
    assert x.shape == (2, shape[0])
    assert y.shape == (2, shape[1])
    np.testing.assert_allclose(x.sum(1), 1.0)
    np.testing.assert_allclose(y.sum(1), 1.0)
    assert np.isfinite(x).all()


def test_steps_lower_the_gap():
    Q = np.random.default_rng(0).random((200, 4, 5))
    half = np.full((200, 4), 0.25), np.full((200, 5), 0.2)
    before = matrix_gaps(Q, half).mean()
    assert matrix_gaps(Q, mm.StageNetwork.untrained().predict(Q)).mean() < 0.5 * before


def test_a_network_that_overflows_does_no_harm():
    network = mm.StageNetwork.untrained()
    huge = {**network.parameters, "rates": np.full((8, 3), 1e3)}
    Q, plays = np.random.default_rng(0).random((3, 2, 2)), (np.full((3, 2), 0.5),) * 2
    x, y = mm.StageNetwork(parameters=huge).propose(Q, plays)
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
    np.testing.assert_allclose(x.sum(1), 1.0)


def test_the_kernel_is_what_was_trained():
    torch = pytest.importorskip("torch")
    from metamarl.network_training import _normalised, refine

    rng = np.random.default_rng(0)
    for seed, (A, B) in enumerate([(2, 3), (5, 4), (1, 6), (8, 8)]):
        network = random_network(seed)
        Q, plays = rng.standard_normal((6, A, B)), drawn_plays(rng, 6, A, B)
        weights = {name: torch.tensor(array) for name, array in network.parameters.items()}
        theirs = refine(weights, _normalised(torch.tensor(Q)), [torch.tensor(p) for p in plays])
        for one, other in zip(network.predict(Q, plays), theirs, strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-10)


# --- solving with them


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("random", {}),
        ("random", {"actions": (1, 4)}),
        ("random", {"horizon": None, "discount": 0.8}),
        ("goofspiel", {"cards": 3}),
        ("pursuit", {"size": 2}),
    ],
)
@pytest.mark.parametrize("first_values", ["zero", "policy"])
def test_solves_with_a_certified_gap(name, options, first_values):
    game = mm.make(name, **options)
    solver = mm.OptimisticMirrorDescent(first_values=first_values)
    scratch = mm.solve(game, solver, **FEW)
    for start in (mm.LastPlays(), mm.StageNetwork.untrained()):
        found = mm.solve(game, solver, start, **FEW)
        assert found.converged
        assert found.gap == pytest.approx(mm.nash_gap(game, found.policy), abs=1e-12)
        assert found.init is None
        assert found.iterations <= scratch.iterations
        assert mm.convergence_bound(game, found) is None


def test_fewer_iterations_and_the_euclidean_regularizer():
    game = mm.make("random", states=5)
    for regularizer in ("entropy", "euclidean"):
        solver = mm.OptimisticMirrorDescent(regularizer=regularizer)
        scratch = mm.solve(game, solver, tol=0.02)
        for start in (mm.LastPlays(), mm.StageNetwork.untrained()):
            assert 3 * mm.solve(game, solver, start, tol=0.02).iterations < scratch.iterations


def test_every_stage_is_asked_of_every_node():
    asked = []

    class Uniform(mm.StageStart):
        def propose(self, matrices, plays):
            asked.append((matrices.copy(), [play.copy() for play in plays]))
            return tuple(np.full(play.shape, 1.0 / play.shape[1]) for play in plays)

    game = mm.make("random", states=4, actions=(2, 3), horizon=3)
    scratch = mm.solve(game, "omd", tol=1e-9, max_iterations=40, throw=False)
    found = mm.solve(game, "omd", Uniform(), tol=1e-9, max_iterations=40, throw=False)
    np.testing.assert_allclose(scratch.policy.flat(game), found.policy.flat(game), atol=1e-12)
    assert {Q.shape[1:] for Q, _ in asked} == {(2, 3)}
    Q, (x, y) = asked[-1]
    last, end = game.nodes.groups[2:4]
    np.testing.assert_allclose(Q[last:end], game.dense()[1][0][game.nodes.states[last:end]])
    np.testing.assert_allclose(x.sum(1), 1.0)
    np.testing.assert_allclose(y.sum(1), 1.0)


@pytest.mark.parametrize("change", [lambda x: x[:, :1], lambda x: 2 * x, lambda x: x * np.nan])
def test_proposals_that_are_no_policies(change):
    class Broken(mm.StageStart):
        def propose(self, matrices, plays):
            return plays[0], change(plays[1])

    with pytest.raises(ValueError, match=r"'init'.*policies, here of shape"):
        mm.solve(mm.make("random", states=2, actions=(2, 3)), "omd", Broken())


@pytest.mark.parametrize(
    ("game", "solver"), [("random", "exact"), ("prisoners", "omd"), ("stag-hunt", "q-ascent")]
)
def test_what_they_are_not_for(game, solver):
    with pytest.raises(ValueError, match=r"'init'.*solver 'omd' on two-player zero-sum games"):
        mm.solve(mm.make(game), solver, mm.LastPlays())


@pytest.mark.parametrize("options", [{"caution": -1.0}, {"least": 2.0}])
def test_bad_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        mm.LastPlays(**options)


# --- files


def test_there_and_back(tmp_path):
    network = mm.StageNetwork(parameters=random_network(3).parameters, caution=5.0)
    path = network.save(tmp_path / "network.npz")
    again = mm.StageNetwork.load(path)
    assert (again.caution, again.least) == (5.0, 0.01)
    for name, array in network.parameters.items():
        assert (array == again.parameters[name]).all()
    assert [file.name for file in tmp_path.iterdir()] == ["network.npz"]


def write_other(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)


GOOD = mm.StageNetwork.untrained().parameters
ABOUT = '{"format": "metamarl stage network 1", "caution": 25.0, "least": 0.01}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 no more",
        b"something else",
        {"a": np.zeros(3)},
        {**GOOD, "about": np.array("{}")},
        {**GOOD, "about": np.array("[")},
        {**GOOD, "about": np.array(ABOUT.replace("1", "9", 1))},
        {**GOOD, "about": np.array(ABOUT), "gate": np.zeros(3)},
        {**GOOD, "about": np.array(ABOUT), "rates": np.full((8, 3), np.nan)},
        {**GOOD, "about": np.array(ABOUT), "slopes": np.zeros((7, 3))},
        {**GOOD, "about": np.array([None], object)},
    ],
    ids=range(11),
)
def test_files_that_are_something_else(tmp_path, content):
    path = tmp_path / "network.npz"
    write_other(path, content)
    with pytest.raises(ValueError, match="StageNetwork"):
        mm.StageNetwork.load(path)
    with pytest.raises(ValueError, match="StageNetwork"):
        mm.Neural(weights=str(path))


def test_a_file_cut_short(tmp_path):
    path = mm.StageNetwork.untrained().save(tmp_path / "network.npz")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match="StageNetwork"):
        mm.StageNetwork.load(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        mm.StageNetwork.load(tmp_path / "network.npz")
    with pytest.raises(TypeError, match="'path'"):
        mm.StageNetwork.load(3)
    with pytest.raises(FileNotFoundError):
        mm.StageNetwork.untrained().save(tmp_path / "nowhere" / "network.npz")


# --- the meta-learner


def test_weights_from_a_file_need_no_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = mm.StageNetwork.untrained().save(tmp_path / "network.npz")
    games = mm.tasks("random", 2, 0.3, 0, states=4)
    learner = mm.Neural(weights=str(path))
    assert learner.label == f"neural(weights={str(path)!r})"
    assert pickle.loads(pickle.dumps(learner)).checksum == learner.checksum
    found = mm.compare(games, learner, tol=0.05)
    rows = {(row["task"], row["arm"]): row["iterations"] for row in found.rows}
    assert all(2 * rows[task, learner.label] < rows[task, "none"] for task in (0, 1))


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'metamarl\[torch\]'"):
        mm.compare(mm.tasks("rps", 2, 0.1, 0), "neural")


def test_only_for_mirror_descent_on_zero_sum_games():
    for name, solver in (("prisoners", "omd"), ("stag-hunt", "q-ascent"), ("rps", "exact")):
        with pytest.raises(ValueError, match=r"'meta'.*'neural'"):
            mm.Neural().solve(mm.make(name), [], SOLVERS[solver](), 0.1, 10)
    with pytest.raises(ValueError, match=r"'meta'.*'neural'"):
        mm.compare(mm.tasks("soccer", 2, 0.1, 0), "neural", "v-learning")


@pytest.mark.parametrize(
    "options", [{"steps": -1}, {"seed": -1}, {"caution": -1.0}, {"least": 2.0}]
)
def test_bad_options_of_the_learner(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        mm.Neural(**options)


def test_the_same_in_two_processes_and_by_its_name():
    pytest.importorskip("torch")
    sequences = mm.tasks("random", 3, 0.3, 0, states=3)
    learner = mm.Neural(steps=3)
    one = mm.compare(sequences, learner, tol=0.1)
    two = mm.compare(sequences, learner, tol=0.1, n_jobs=2)
    facts = ("seed", "task", "arm", "iterations", "gap", "value")
    assert [[r[f] for f in facts] for r in one.rows] == [[r[f] for f in facts] for r in two.rows]
    assert one.arms == ["none", "neural(steps=3)"]
    assert one.config["meta"]["neural(steps=3)"]["steps"] == 3
    assert find_meta("neural") == mm.Neural()


# --- training


def test_the_same_seed_gives_the_same_bits():
    pytest.importorskip("torch")
    games = mm.tasks("random", 2, 0.3, 0, states=4, actions=(3, 4))
    found = [mm.train_network(games, steps=5, seed=seed) for seed in (1, 1, 2)]
    for name, array in found[0].parameters.items():
        assert array.tobytes() == found[1].parameters[name].tobytes()
    assert (found[0].parameters["weights"] != found[2].parameters["weights"]).any()
    more = mm.train_network(games, steps=5, network=found[0])
    assert (more.parameters["rates"] != found[0].parameters["rates"]).any()


def test_training_lowers_the_gap():
    pytest.importorskip("torch")
    games = mm.tasks("random", 3, 0.3, 0, actions=(4, 5))
    network = mm.train_network(games[:2], steps=40)
    Q = np.random.default_rng(0).random((500, 4, 5))
    trained = matrix_gaps(Q, network.predict(Q)).mean()
    assert trained < 0.95 * matrix_gaps(Q, mm.StageNetwork.untrained().predict(Q)).mean()


def test_games_with_nothing_to_learn_from():
    pytest.importorskip("torch")
    game = mm.MarkovGame(np.ones((1, 1, 2, 1)), np.zeros((2, 1, 1, 2)), horizon=2)
    network = mm.train_network([game], steps=5)
    untrained = mm.StageNetwork.untrained()
    assert all((a == untrained.parameters[k]).all() for k, a in network.parameters.items())


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"games": 3}, TypeError, "'games'"),
        ({"games": [mm.make("prisoners")]}, ValueError, "'games'.*zero-sum"),
        ({"steps": -1}, ValueError, "'steps'"),
        ({"seed": -1}, ValueError, "'seed'"),
        ({"solver": "omd"}, TypeError, "'solver'"),
        ({"network": 3}, TypeError, "'network'"),
    ],
)
def test_bad_input_to_training(options, error, words):
    pytest.importorskip("torch")
    with pytest.raises(error, match=words):
        mm.train_network(**{"games": [mm.make("rps")], **options})


def test_ctrl_c_while_training(monkeypatch):
    pytest.importorskip("torch")
    from metamarl import network_training

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(network_training, "_descend", interrupted)
    found = mm.compare(mm.tasks("random", 2, 0.3, 0, states=3), "neural", tol=0.1)
    assert found.interrupted
    assert [row["arm"] for row in found.rows] == ["none"]
