"""`metamarl tiered`: what it prints and writes, its exit codes, bad input."""

import csv
import json
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import metamarl as mm
from metamarl._tiered_plan import outcome
from metamarl.cli import app
from metamarl.tier_agents import TIER_AGENTS
from metamarl.tier_drawing import read_agents
from metamarl.tiers import BONUSES

FILES = {"figure.png", "rows.csv", "regret.csv", "states.csv", "table.txt", "config.json"}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Every test runs in an empty folder: `tiered` writes below the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args):
    return CliRunner().invoke(app, ["tiered", *map(str, args)])


def numbers_of(folder):
    with (folder / "rows.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_help_names_everything():
    words = " ".join(run("--help").stdout.split())
    for name in (*mm.tier_families(), *TIER_AGENTS, *BONUSES):
        assert re.search(rf"\b{name}\b", words), name
    assert "metamarl tiered permuted" in words
    assert "tiered" in CliRunner().invoke(app, ["--help"]).stdout


def test_writes_and_repeats_itself(own_folder):
    args = ["--episodes", 2000, "--seeds", 2, "--agents", "none,robust(evidence=none, delay=100)"]
    result = run("permuted", "--sources", 2, "--models", 2, *args)
    assert result.exit_code == 0, result.output
    folder = own_folder / "runs/tiered-permuted"
    assert {p.name for p in folder.iterdir()} == FILES
    assert len(numbers_of(folder)) == 2 * 2 * 2
    table = (folder / "table.txt").read_text()
    assert result.stdout.startswith(table)
    assert "robust(delay=100, evidence=None)" in table
    assert "over 2 models." in result.stdout
    assert "Optimal Value Dominance holds in all of them." in result.stdout
    assert "the regret of 'none'" in result.stdout
    words = shlex.split(json.loads((folder / "config.json").read_text())["command"])
    assert words[:3] == ["metamarl", "tiered", "permuted"]
    again = CliRunner().invoke(app, [*words[1:], "--jobs", "1", "--out", "again"])
    assert again.exit_code == 0
    assert numbers_of(own_folder / "again") == numbers_of(folder)


def test_says_where_dominance_is_violated():
    result = run("violating", "--episodes", 500, "--seeds", 1, "--shift", 0.3)
    assert "Optimal Value Dominance is violated at 15 pairs (100%), by up to 1.5" in result.stdout
    several = run("violating", "--episodes", 200, "--seeds", 1, "--models", 2)
    assert "Optimal Value Dominance is violated in 2 of them, by up to 1." in several.stdout


def test_sizes_and_bonus():
    sizes = ["--states", 2, "--actions", 4, "--horizon", 3, "--gap", 0.05, "--episodes", 200]
    bonus = ["--bonus", "strong-euler", "--coefficient", 0.25]
    agents = ["--agents", "naive", "--agents", "oracle", "--jobs", 1]
    result = run("shifted", *sizes, *bonus, *agents)
    assert result.exit_code == 0
    assert "0 of 6 (step, state) pairs are transferable (0%)." in result.stdout
    assert "'oracle' had " in result.stdout


def test_one_agent_and_one_episode():
    result = run("identical", "--episodes", 1, "--agents", "robust", "--seeds", 1)
    assert result.exit_code == 0
    assert "15 of 15" in result.stdout or "(step, state) pairs are transferable" in result.stdout


def test_agents_from_text():
    found = read_agents(["none, robust(delay=5,evidence=None)", "oracle(slack=0.5)"])
    assert found == [
        mm.NoTransfer(),
        mm.RobustTransfer(delay=5, evidence=None),
        mm.OracleTransfer(slack=0.5),
    ]
    labels = [agent.label for agent in found]
    assert [agent.label for agent in read_agents([",".join(labels)])] == labels


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["permutet"], "did you mean 'permuted'?"),
        (["permuted", "--agents", "robusd"], "did you mean 'robust'?"),
        (["permuted", "--agents", ""], "--agents wants names"),
        (["permuted", "--agents", "robust(delay=5"], "--agents wants names"),
        (["permuted", "--agents", "robust(delya=5)"], "did you mean 'delay'?"),
        (["permuted", "--agents", "robust(delay=-5)"], "'delay'"),
        (["permuted", "--agents", "none,none"], "different agents"),
        (["permuted", "--bonus", "hoeffding"], "'bonus'"),
        (["permuted", "--coefficient", "0"], "'coefficient'"),
        (["permuted", "--jobs", "0"], "'jobs'"),
        (["permuted", "--backend", "spark"], "'backend'"),
        (["permuted", "--scheduler", "tcp://127.0.0.1:1"], "left out for backend 'threads'"),
        (["permuted", "--gap", "0.9"], "'gap'"),
        (["permuted", "--states", "1000000"], "needs about"),
        (["permuted", "--seeds", "100000"], "are refused"),
        (["permuted", "--episodes", "0"], "--episodes"),
        (["permuted", "--out", ""], "a folder needs a name"),
    ],
)
def test_bad_input_is_one_sentence(args, says, own_folder):
    result = run(*args)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(own_folder.iterdir())


def test_outcome_without_anything_finished():
    def stop(*_):
        raise KeyboardInterrupt

    found = mm.compare_tiers(mm.tier_tasks(), ["none", "robust"], 10**6, progress=stop)
    assert list(outcome(found)) == list(found.runs[0, 0, "none"].diagnosis.sentences())


@pytest.mark.parametrize("send", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_keeps_what_was_finished(send, tmp_path):
    out = tmp_path / "out"
    words = "tiered permuted --episodes 60000 --seeds 400 --agents none,robust --jobs 2 --out"
    command = [sys.executable, "-m", "metamarl", *words.split(), str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        began = time.monotonic()
        while not out.exists():
            assert process.poll() is None
            assert time.monotonic() - began < 120
            time.sleep(0.05)
        time.sleep(4.0)
        process.send_signal(send)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert {p.name for p in out.iterdir()} == FILES
    assert "Interrupted: " in err
    assert json.loads((out / "config.json").read_text())["interrupted"] is True
    assert 1 <= len(numbers_of(out)) < 800
