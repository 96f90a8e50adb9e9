"""Many games at once: the same as one by one, and what is refused."""

import sys

import numpy as np
import pytest

import metamarl as mm
from metamarl.algorithms import many_games
from metamarl.algorithms._batch_shapes import bytes_per_game, shape_of
from metamarl.algorithms._batch_work import BatchWork

torch = pytest.importorskip("torch")
AGREE = 1e-10
OPTIONS = {
    "default": {},
    "euclidean": {"regularizer": "euclidean"},
    "policy-average": {"first_values": "policy", "output": "average"},
    "theory-plain": {"step_size": "theory", "optimism": False},
    "fixed-euclidean-plain": {
        "step_size": 0.3,
        "regularizer": "euclidean",
        "optimism": False,
        "resolution": 0.0,
    },
}
FAMILIES = {
    "horizon": ("random", {"horizon": 4}),
    "discounted": ("random", {"horizon": None, "discount": 0.7, "actions": (3, 2), "states": 4}),
    "both": ("random", {"horizon": 3, "discount": 0.5, "actions": (1, 4)}),
    "ragged-by-step": ("goofspiel", {"cards": 3}),
    "cyclic": ("soccer", {"rows": 2, "columns": 2}),
    "matrix": ("rps", {}),
    "levels": ("pursuit", {"size": 2}),
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def check_alike(games, solver, many):
    for game, found in zip(games, many, strict=True):
        alone = mm.solve(game, solver, tol=1e-9, max_iterations=60, throw=False)
        assert found.iterations == alone.iterations == 60
        assert found.trace.iteration.tolist() == alone.trace.iteration.tolist()
        np.testing.assert_allclose(found.trace.gap, alone.trace.gap, rtol=0, atol=AGREE)
        flats = found.policy.flat(game), alone.policy.flat(game)
        np.testing.assert_allclose(*flats, rtol=0, atol=AGREE)
        np.testing.assert_allclose(found.value, alone.value, rtol=0, atol=AGREE)
        assert found.gap == pytest.approx(mm.nash_gap(game, found.policy), abs=1e-12)
        assert found.status is alone.status is mm.Status.MAX_ITERATIONS


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", OPTIONS)
def test_the_same_as_one_by_one(family, options):
    name, knobs = FAMILIES[family]
    games = mm.tasks(name, 3, 0.2, 1, **knobs)
    solver = mm.OptimisticMirrorDescent(**OPTIONS[options])
    many = mm.solve_many(games, solver, tol=1e-9, max_iterations=60, throw=False)
    check_alike(games, solver, many)


def test_rewards_and_transitions_that_depend_on_the_step():
    rng = np.random.default_rng(0)
    games = []
    for _ in range(2):
        moves = rng.dirichlet(np.ones(3), (4, 3, 2, 3))
        reward = rng.random((4, 3, 2, 3))
        games.append(mm.MarkovGame(moves, np.stack([reward, -reward]), horizon=4))
    many = mm.solve_many(games, tol=1e-9, max_iterations=60, throw=False)
    check_alike(games, "omd", many)


def test_games_that_end_by_themselves_and_legal_actions():
    rng = np.random.default_rng(1)
    games = []
    for stay in (0.3, 0.5):  # state 1 is the end
        moves = np.zeros((2, 3, 3, 2))
        moves[0, ..., 0], moves[0, ..., 1], moves[1, ..., 1] = stay, 1 - stay, 1.0
        reward = rng.random((2, 3, 3))
        reward[1] = 0.0
        legal = [np.array([[True, True, False], [True, False, False]])] * 2
        games.append(mm.MarkovGame(moves, np.stack([reward, -reward]), legal=legal))
    check_alike(games, "omd", mm.solve_many(games, tol=1e-9, max_iterations=60, throw=False))


def test_any_shapes_in_any_order_reach_the_tolerance():
    kinds = [("random", {"horizon": 3}), ("random", {"horizon": 4}), ("rps", {})]
    games = [mm.tasks(name, 2, 0.2, 0, **knobs)[k] for k in (0, 1) for name, knobs in kinds]
    found = mm.solve_many(games, tol=0.05, batch_size=1)
    together = mm.solve_many(games, tol=0.05)
    for game, one, other in zip(games, found, together, strict=True):
        alone = mm.solve(game, "omd", tol=0.05)
        assert one.converged
        assert one.game is game
        assert one.iterations == other.iterations == alone.iterations
        assert one.gap == mm.nash_gap(game, one.policy) <= 0.05
        np.testing.assert_allclose(one.policy.flat(game), other.policy.flat(game), atol=AGREE)
    again = mm.solve_many(games, tol=0.05)
    for one, other in zip(together, again, strict=True):
        assert (one.policy[0] == other.policy[0]).all()
        assert one.gap == other.gap


def test_no_games():
    assert mm.solve_many([]) == []


def test_one_state_with_one_action():
    game = mm.MarkovGame(np.ones((1, 1, 1, 1)), [[[[2.0]]], [[[-2.0]]]], horizon=3)
    (found,) = mm.solve_many([game])
    assert found.gap == 0.0
    assert found.value.tolist() == [6.0, -6.0]


def test_failure_is_an_exception_that_has_everything():
    games = mm.tasks("random", 3, 0.3, 0)
    with pytest.raises(mm.SolveError, match=r"above 'tol'") as caught:
        mm.solve_many(games, tol=1e-6, max_iterations=10)
    assert len(caught.value.solutions) == 3
    assert caught.value.solution is caught.value.solutions[0]
    with pytest.raises(mm.SolveError) as caught:
        mm.solve(games[0], "omd", tol=1e-6, max_iterations=10)
    assert caught.value.solutions == [caught.value.solution]


def test_numbers_that_overflow_are_reported():
    games = mm.tasks("random", 2, 0.3, 0)
    solver = mm.OptimisticMirrorDescent(step_size=1e308)
    found = mm.solve_many(games, solver, max_iterations=50, throw=False)
    assert {solution.status for solution in found} <= {
        mm.Status.NONFINITE,
        mm.Status.MAX_ITERATIONS,
    }
    assert all(np.isfinite(solution.policy[0]).all() for solution in found)


def test_ctrl_c_keeps_what_there_is(monkeypatch):
    games = mm.tasks("random", 3, 0.3, 0)
    carry_out, calls = BatchWork.carry_out, []

    def interrupted(self, show):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        carry_out(self, show)

    monkeypatch.setattr(BatchWork, "carry_out", interrupted)
    found = mm.solve_many(games, tol=0.2, batch_size=1, throw=False)
    interrupted_ones = [mm.Status.INTERRUPTED] * 2
    assert [solution.status for solution in found] == [mm.Status.CONVERGED, *interrupted_ones]
    assert found[2].gap == mm.nash_gap(games[2], mm.JointPolicy.uniform(games[2]))
    calls.clear()
    with pytest.raises(mm.SolveInterrupted) as caught:
        mm.solve_many(games, tol=0.2, batch_size=1)
    assert caught.value.solutions[0].converged


def test_games_of_one_shape_share_a_batch():
    first, second = mm.tasks("random", 2, 0.3, 0)
    assert shape_of(first) == shape_of(second)
    assert shape_of(first) != shape_of(mm.make("random", horizon=4))
    assert shape_of(first) != shape_of(mm.make("random", actions=(5, 4)))


def test_batches_are_cut_to_the_memory(monkeypatch):
    games = mm.tasks("rps", 5, 0.1, 0)
    needed = bytes_per_game(games[0])
    monkeypatch.setattr(many_games, "_free_memory", lambda _: 5.0 * needed)
    sizes = [len(part) for part in many_games._batches(games, torch.device("cpu"), None)]
    assert sizes == [2, 2, 1]
    monkeypatch.setattr(many_games, "_free_memory", lambda _: 1.0 * needed)
    with pytest.raises(ValueError, match="Make the game smaller"):
        mm.solve_many(games)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"games": "soccer"}, TypeError, "'games'.*MarkovGames"),
        ({"games": [mm.make("prisoners")]}, ValueError, "zero-sum.*game 0"),
        ({"device": "abacus"}, ValueError, "'device'.*'abacus'"),
        ({"tol": 0.0}, ValueError, "'tol'"),
        ({"batch_size": 0}, ValueError, "'batch_size'"),
        ({"max_iterations": 0}, ValueError, "'max_iterations'"),
        ({"solver": "exact"}, ValueError, "'solver'"),
        ({"solver": 3}, TypeError, "'solver'"),
        ({"solver": mm.OptimisticMirrorDescent(output="chained")}, ValueError, "'output'"),
        ({"solver": mm.OptimisticMirrorDescent(equilibrium="ce")}, ValueError, "'equilibrium'"),
    ],
)
def test_bad_input(options, error, words):
    with pytest.raises(error, match=words):
        mm.solve_many(**{"games": [mm.make("rps")], **options})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_cuda_device():
    games = mm.tasks("random", 4, 0.3, 0)
    many = mm.solve_many(games, tol=1e-9, max_iterations=60, device="cuda", throw=False)
    check_alike(games, "omd", many)


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'metamarl\[torch\]'"):
        mm.solve_many([mm.make("rps")])
