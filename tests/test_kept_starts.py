"""Comparisons with networks, kept part by part: killed, gone on with, and told apart."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import metamarl as mm
from metamarl.fingerprint import fingerprint

torch = pytest.importorskip("torch")

TINY = mm.NeuralMirrorDescent(hidden=(8,), copies=8, rollout=4, minibatch=64)
KNOBS = {"kind": "potential", "states": 2, "actions": (3, 3), "horizon": 2}
TERMS = {"tol": 0.1, "max_iterations": 256}


def family(n=4):
    return mm.tasks("random", n, 0.1, 0, **KNOBS)


@pytest.fixture(scope="module")
def starts():
    """Of two kinds, learned on the first two games."""
    return [
        mm.learn_start(family(2), TINY, adapter=adapter, rounds=2, steps=64)
        for adapter in ("all", "colora")
    ]


@pytest.fixture(scope="module")
def plain(starts):
    """What compare finds without a folder."""
    return mm.compare(family()[2:], starts, TINY, **TERMS)


def check_alike(found, plain):
    for one, other in zip(found.rows, plain.rows, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert found.traces.keys() == plain.traces.keys()
    for key, trace in found.traces.items():
        np.testing.assert_array_equal(trace.iteration, plain.traces[key].iteration)
        np.testing.assert_array_equal(trace.gap, plain.traces[key].gap)


def parts(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*.json")}


def test_kept_comparisons_are_not_done_again(starts, plain, tmp_path, monkeypatch):
    found = mm.compare(family()[2:], starts, TINY, **TERMS, keep=tmp_path)
    check_alike(found, plain)
    assert len(parts(tmp_path)) == 2 * 3
    monkeypatch.setattr("metamarl.arms.NeuralArm", None)  # nothing is played
    again = mm.compare(family()[2:], starts, TINY, **TERMS, keep=tmp_path)
    assert again.rows == found.rows  # the seconds too
    check_alike(again, plain)
    assert again.table() == found.table()
    described = json.loads(json.dumps(again.config))["meta"]["reptile, all"]
    assert described["checksum"] == starts[0].checksum


def test_interrupted_and_gone_on_with_by_two_processes(starts, plain, tmp_path):
    def stop(done, total):
        assert total == 6
        if done == 2:
            raise KeyboardInterrupt

    some = mm.compare(family()[2:], starts, TINY, **TERMS, keep=tmp_path, progress=stop)
    assert some.interrupted
    before = parts(tmp_path)
    assert len(before) == 2
    found = mm.compare(family()[2:], starts, TINY, **TERMS, keep=tmp_path, n_jobs=2)
    check_alike(found, plain)
    assert before.items() <= parts(tmp_path).items()
    assert len(parts(tmp_path)) == 6


KILLED = """
import os, signal, sys
import metamarl as mm

def die(done, total):
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)

how = mm.NeuralMirrorDescent(hidden=(8,), copies=8, rollout=4, minibatch=64)
games = mm.tasks("random", 4, 0.1, 0, kind="potential", states=2, actions=(3, 3), horizon=2)
starts = [mm.load_start(path) for path in sys.argv[2:]]
mm.compare(
    games[2:], starts, how, tol=0.1, max_iterations=256, keep=sys.argv[1], progress=die
)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX")
def test_killed_and_gone_on_with(starts, plain, tmp_path):
    """By another process, with starts from files."""
    folder = tmp_path / "parts"
    files = [start.save(tmp_path / f"{k}.pt") for k, start in enumerate(starts)]
    root = str(Path(mm.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, folder, *files],
        env={**os.environ, "PYTHONPATH": root}, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    before = parts(folder)
    assert len(before) == 3
    found = mm.compare(family()[2:], starts, TINY, **TERMS, keep=folder)
    check_alike(found, plain)
    assert before.items() <= parts(folder).items()  # nothing was done again
    assert len(parts(folder)) == 6


def test_what_tells_starts_apart(starts, tmp_path):
    start, games = starts[0], family(1)
    assert start.options is not None
    moved = {name: value.clone() for name, value in start.weights.items()}
    next(iter(moved.values())).view(-1)[0] += 1e-6
    others = [
        start,
        replace(start, weights=moved),
        replace(start, adapter=mm.HeadAdapter()),
        replace(start, adapter=mm.CoLoRA(rank=1)),
        replace(start, options=None),
        replace(start, options=replace(start.options, epochs=3)),
        replace(start, seed=start.seed + 1),
        mm.Scratch(),
    ]
    found = [fingerprint(games, other) for other in others]
    assert len(set(found)) == len(found)
    assert fingerprint(games, mm.load_start(start.save(tmp_path / "start.pt"))) == found[0]
    assert fingerprint(games, start, TINY) != fingerprint(games, start, replace(TINY, epochs=3))


def test_changed_weights_are_played_anew(starts, tmp_path):
    start, game = starts[0], family()[2:3]
    mm.compare(game, start, TINY, **TERMS, keep=tmp_path)
    other = mm.learn_start(family(2), TINY, rounds=3, steps=64)
    assert other.label == start.label
    found = mm.compare(game, other, TINY, **TERMS, keep=tmp_path)
    assert len(parts(tmp_path)) == 3  # "none", and both starts
    check_alike(found, mm.compare(game, other, TINY, **TERMS))


def test_tasks_that_are_only_played_are_not_kept(starts, tmp_path):
    env = mm.EpisodicEnvironment(lambda: mm.to_pettingzoo(family(1)[0]))
    with pytest.raises(TypeError, match="'tasks' parameter of compare must be MarkovGames, to be"):
        mm.compare([env], starts, TINY, **TERMS, keep=tmp_path)


def test_the_initialiser_of_stages_is_kept_too(tmp_path):
    games = mm.tasks("random", 2, 0.1)
    weights = mm.StageNetwork.untrained().save(tmp_path / "network.npz")
    metas = [mm.Neural(steps=5), mm.Neural(weights=weights)]
    first, again = (mm.compare(games, metas, tol=0.05, keep=tmp_path / "parts") for _ in range(2))
    assert first.rows == again.rows
    assert len(parts(tmp_path / "parts")) == 2 + 2  # "none" task by task, learners as a whole
    check_alike(first, mm.compare(games, metas, tol=0.05))
