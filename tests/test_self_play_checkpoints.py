"""Checkpoints of neural self-play: of this run and no other, whole, and nothing else."""

import json
import zipfile
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from gymnasium import spaces
from small_environments import Parallel, Slippery

import metamarl as mm

torch = pytest.importorskip("torch")

TINY = mm.NeuralMirrorDescent(hidden=(8,), copies=4, rollout=5, minibatch=16)


def learn(env, folder, **more):
    return mm.learn(env, TINY, 20, device="cpu", folder=folder, **more)


class Wide(Parallel):
    def __init__(self, width=2):
        super().__init__()
        self.width = width

    def observation_space(self, agent):
        return spaces.Box(0, 1, (self.width,))

    def see(self, agent):
        return np.zeros(self.width, np.float32)


def test_environments_are_told_apart_by_what_is_seen(tmp_path):
    learn(Wide, tmp_path)
    assert learn(Wide, tmp_path).steps == 20
    with pytest.raises(ValueError, match="of a run with other environment"):
        learn(lambda: Wide(3), tmp_path)


def test_environments_are_told_apart_by_the_parameters_of_a_partial(tmp_path):
    learn(partial(Slippery, slip=0.25), tmp_path)
    assert learn(partial(Slippery, slip=0.25), tmp_path).steps == 20
    with pytest.raises(ValueError, match="of a run with other environment"):
        learn(partial(Slippery, slip=0.5), tmp_path)


def test_values_of_a_partial_that_are_not_plain_are_told_by_their_types(tmp_path):
    def make(value):  # noqa: ARG001
        return Parallel()

    learn(partial(make, object()), tmp_path)
    assert learn(partial(make, object()), tmp_path).steps == 20
    with pytest.raises(ValueError, match="of a run with other environment"):
        learn(partial(make, np.zeros(2)), tmp_path)


def test_starts_are_told_apart_by_what_adapts_and_its_seed(tmp_path):
    game = mm.make("rps", rounds=2)
    start = mm.learn_start([game], TINY, rounds=1, steps=20)
    learn(game, tmp_path, init=start)
    for other in (replace(start, seed=9), replace(start, adapter=mm.HeadAdapter())):
        with pytest.raises(ValueError, match="of a run with other"):
            learn(game, tmp_path, init=other)


def test_the_command_tells_environments_apart(tmp_path):
    pytest.importorskip("tensorboard")
    from typer.testing import CliRunner

    from metamarl.cli import app

    (tmp_path / "mine.py").write_text("from small_environments import Slippery as A, Slippery as B")
    small = ["-s", "hidden=8", "-s", "copies=4", "-s", "rollout=5", "--steps", "20"]
    words = ["--env", f"{tmp_path / 'mine.py'}:A", *small, "--out", str(tmp_path / "run")]

    def run(*more):
        return CliRunner().invoke(app, ["learn", *words, *more, "--device", "cpu"])

    assert run("-o", "slip=0.25").exit_code == 0
    assert run("-o", "slip=0.25").exit_code == 0
    done = run("-o", "slip=0.5")
    assert done.exit_code == 2
    assert "other environment" in done.output


def test_what_is_no_checkpoint_is_said_in_one_sentence(tmp_path):
    learn(Wide, tmp_path)
    path = tmp_path / "checkpoint.pt"
    whole = torch.load(path, weights_only=True)
    about = whole["about"]
    for bad in (
        {"format": 1},
        {"format": whole["format"]},
        {"format": whole["format"], "about": about},
        {**whole, "about": 3},
        {**whole, "about": "x"},
        {**whole, "about": "[1]"},
        {**whole, "learner": 3},
        {**whole, "learner": {}},
        {**whole, "learner": {**whole["learner"], "generator": "x"}},
        {**whole, "records": 3},
        {**whole, "scalars": 3},
        [1],
    ):
        torch.save(bad, path)
        with pytest.raises(ValueError, match=r"^The 'folder' parameter of learn must be"):
            learn(Wide, tmp_path)
    torch.save(whole, path)
    assert learn(Wide, tmp_path).steps == 20
    assert json.loads(about)["seed"] == 0


def test_a_finished_run_that_is_called_again_says_the_same(tmp_path):
    game = mm.make("rps", rounds=2)
    first, again = learn(game, tmp_path), learn(game, tmp_path)
    assert first.losses
    assert again.losses == first.losses
    assert again.gap == first.gap


def test_the_archive_has_a_name(tmp_path):
    """torch names what it writes after the file, and files that begin with a dot after nothing."""
    learn(Wide, tmp_path)
    with zipfile.ZipFile(tmp_path / "checkpoint.pt") as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"archive"}
