"""Where tensors are put: the same names and the same sentence behind every door."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from small_environments import Parallel

import metamarl as mm

torch = pytest.importorskip("torch")

from metamarl.algorithms.torch_extra import find_device, one_thread  # noqa: E402

TINY = mm.NeuralMirrorDescent(hidden=(8,), copies=4, rollout=5, minibatch=16)
DOORS = {
    "learn": lambda device: mm.learn(mm.make("rps", rounds=2), TINY, 20, device=device),
    "solve_many": lambda device: mm.solve_many([mm.make("rps")], device=device),
}
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu")])
def test_names_of_the_cpu(device):
    assert find_device(device, "learn") == "cpu"


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("device", ["auto", "cpu", torch.device("cpu")])
def test_every_door_takes_every_name(door, device):
    door(device)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("device", "error"),
    [
        ("abacus", ValueError),
        ("cuda:x", ValueError),
        ("meta", ValueError),
        ("hpu", ValueError),
        ("", ValueError),
        pytest.param("cuda", ValueError, marks=without_cuda),
        pytest.param("cuda:1", ValueError, marks=without_cuda),
        (3, TypeError),
        (None, TypeError),
        (np.array(["cpu", "cpu"]), TypeError),
    ],
)
def test_what_is_no_device_here_is_said_in_one_sentence(door, device, error):
    sentence = rf"^The 'device' parameter of {door} must be 'auto' or a device that PyTorch finds "
    with pytest.raises(error, match=sentence + r"here \('cpu'.*\)\. Got .* instead\.$"):
        DOORS[door](device)


def test_auto_takes_cuda_where_it_is_there(monkeypatch):
    for count in (0, 2):
        monkeypatch.setattr(torch.cuda, "is_available", lambda count=count: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert find_device("auto", "learn") == ("cuda" if count else "cpu")
    with pytest.raises(ValueError, match=r"\('cpu', 'cuda', 'cuda:0', 'cuda:1'\)\. Got 'cuda:2'"):
        find_device("cuda:2", "learn")


def test_one_thread_for_the_cpu_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        with one_thread("cuda:1"):
            assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), one_thread():
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# --- what the caller has set for torch


@pytest.fixture(params=["double precision", "a device without numbers"])
def defaults(request):
    """Defaults that would break whatever relies on the usual ones."""
    before = torch.get_default_dtype()
    if request.param == "double precision":
        torch.set_default_dtype(torch.float64)
    else:
        torch.set_default_device("meta")
    yield
    torch.set_default_dtype(before)
    torch.set_default_device(None)


class Cut(Parallel):
    """Cut off after two steps; what is seen is a real number."""

    def observation_space(self, agent):
        return spaces.Box(0, 9, ())

    def see(self, agent):
        return np.float64(self.t)

    def ended(self):
        return False

    def cut(self):
        return self.t >= 2


ENVIRONMENTS = {
    "a game": lambda: mm.EpisodicEnvironment(lambda: mm.to_pettingzoo(mm.make("rps", rounds=2))),
    "cut off": lambda: mm.EpisodicEnvironment(Cut, discount=0.9),
}


@pytest.mark.usefixtures("defaults")
@pytest.mark.parametrize("magnet", ["uniform", "moving"])
@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_learning_does_not_ask_for_defaults(env, magnet, tmp_path):
    options = replace(TINY, magnet=magnet)
    for _ in range(2):  # begun, and gone on with
        learned = mm.learn(env(), options, 40, device="cpu", folder=tmp_path)
        assert mm.rollouts(None, learned, 2).returns.shape == (2, 2)


@pytest.mark.usefixtures("defaults")
@pytest.mark.parametrize("adapter", ["all", "colora"])
def test_starts_do_not_ask_for_defaults(adapter, tmp_path):
    game = mm.make("rps", rounds=2)
    for method in ("reptile", "fomaml"):
        start = mm.learn_start([game], TINY, method, adapter, rounds=2, steps=20)
    start = mm.load_start(start.save(tmp_path / "start.pt"))
    assert all(value.dtype == torch.float32 for value in start.weights.values())
    assert len(mm.compare([game], start, TINY, tol=1e-9, max_iterations=20).rows) == 2


@pytest.mark.usefixtures("defaults")
def test_solving_and_training_do_not_ask_for_defaults():
    games = mm.tasks("random", 2, 0.1)
    solvers = [mm.OptimisticMirrorDescent(regularizer=name) for name in ("entropy", "euclidean")]
    for solver in solvers:
        mm.solve_many(games, solver, tol=0.5)
    mm.train_network(games, steps=2)


# --- as on a CUDA device


def test_nothing_is_mixed_with_tensors_of_the_cpu(tmp_path):
    """On a device that only pretends to be elsewhere, in a process of its own."""
    root, script = Path(mm.__file__).parents[1], Path(__file__).with_name("pretended_device.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.stdout.startswith("skipped"):
        pytest.skip(done.stdout)
    assert (done.returncode, done.stdout) == (0, "alike\n"), done.stdout + done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_learning_on_a_cuda_device(tmp_path):
    game = mm.make("soccer", rows=2, columns=3)
    for magnet in ("uniform", "moving"):
        options, folder = replace(TINY, magnet=magnet), tmp_path / magnet
        for _ in range(2):  # begun, and gone on with
            learned = mm.learn(game, options, 60, device="cuda", folder=folder)
        assert next(learned.policy.networks.parameters()).is_cuda
        again = mm.learn(game, options, 60, device="cpu")
        np.testing.assert_allclose(learned.gap, again.gap, rtol=0.1)
