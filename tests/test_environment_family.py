"""Families over the arguments of an environment's constructor, from Python and the command line."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from small_environments import Parallel, Slippery
from typer.testing import CliRunner

import metamarl as mm
from metamarl import _cli_support as support
from metamarl.cli import app

OWN = '''
"""An environment of one's own, in a file outside the package."""

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv


class Flag(ParallelEnv):
    metadata = {"name": "flag"}
    render_mode = None

    def __init__(self, slip=0.1, prize=1.0):
        self.possible_agents = ["red", "blue"]
        self.slip, self.prize = slip, prize

    def action_space(self, agent):
        return spaces.Discrete(2)

    def observation_space(self, agent):
        return spaces.Discrete(10)

    def look(self):
        return {agent: np.int64(3 * self.t + self.ahead + 1) for agent in self.agents}

    def reset(self, seed=None, options=None):
        self.rng = np.random.default_rng(seed)
        self.agents, self.t, self.ahead = self.possible_agents[:], 0, 0
        return self.look(), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.t += 1
        if self.rng.random() >= self.slip:
            self.ahead = (actions["red"] == actions["blue"]) - (actions["red"] < actions["blue"])
        over = self.t == 3
        pay = self.prize * self.ahead * over
        agents, seen = self.agents, self.look()
        self.agents = [] if over else agents
        return (
            seen,
            {"red": pay, "blue": -pay},
            dict.fromkeys(agents, over),
            dict.fromkeys(agents, False),
            {agent: {} for agent in agents},
        )


number = 3
'''
runner = CliRunner()


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_flag.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield "./own_flag.py:Flag"
    sys.modules.pop("own_flag", None)


def test_tasks_differ_in_what_is_varied_and_in_nothing_else():
    tasks = mm.environment_tasks(Slippery, {"slip": (0.1, 0.3)}, n=4, seed=1)
    again = mm.environment_tasks(Slippery, {"slip": (0.1, 0.3)}, n=3, seed=1)
    slips = {round(float(t.table.probabilities.min()), 12) for t in tasks}
    assert len(slips) == 4
    assert 0.1 <= min(slips) <= max(slips) <= 0.3
    for task, twin in zip(tasks[:3], again, strict=True):
        np.testing.assert_array_equal(task.table.probabilities, twin.table.probabilities)
    assert len({(t.n_states, t.n_actions) for t in tasks}) == 1
    for task in tasks:
        alone = mm.from_pettingzoo(task.plug_in.make)
        np.testing.assert_allclose(
            mm.evaluate(task, mm.JointPolicy.uniform(task)),
            mm.evaluate(alone, mm.JointPolicy.uniform(alone)),
        )
        assert task.report().exact


def test_tasks_can_be_compared():
    tasks = mm.environment_tasks(Slippery, {"slip": (0.1, 0.15)}, n=3)
    comparison = mm.compare(tasks, tol=0.05, n_jobs=2)
    assert all(row["converged"] for row in comparison.rows)
    assert comparison.config["game"] == "parallel"


class Sized(Parallel):
    def __init__(self, length=2):
        super().__init__()
        self.length = length


@pytest.mark.parametrize(
    ("make", "vary", "options", "error", "words"),
    [
        (3, {}, {}, TypeError, "'make' parameter of environment_tasks"),
        (Slippery, 3, {}, TypeError, "'vary' parameter of environment_tasks"),
        (Slippery, {"slip": (0.2, 0.1)}, {}, ValueError, "smallest, largest"),
        (Slippery, {"slip": (0.2,)}, {}, ValueError, "a sequence of 2 numbers"),
        (Sized, {"length": (2, 5)}, {}, ValueError, "the same states and possible moves"),
        (Slippery, {"slip": (0.1, 0.2)}, {"max_states": 3}, ValueError, "cannot be had exactly"),
        (Slippery, {"slip": (0.1, 0.2)}, {"n": 0}, ValueError, "'n' parameter"),
    ],
)
def test_bad_families(make, vary, options, error, words):
    with pytest.raises(error, match=words):
        mm.environment_tasks(make, vary, **options)


def test_whole_numbers_stay_whole():
    tasks = mm.environment_tasks(Sized, {"length": (3, 3)}, n=2)
    assert [task.n_states for task in tasks] == [4, 4]


# --- the command line


def test_compare_from_a_file_outside_the_package(own, tmp_path):
    command = ["compare", "--env", own, "--vary", "slip=0.05:0.15", "--tasks", "3", "--seeds", "1"]
    done = runner.invoke(app, [*command, "-o", "prize=2", "--jobs", "1", "--out", "found"])
    assert done.exit_code == 0, done.output
    assert "times fewer iterations" in done.output or "as many" in done.output
    config = json.loads((tmp_path / "found" / "config.json").read_text())
    assert config["game"] == "flag"
    for words in ("--env ./own_flag.py:Flag", "--vary slip=0.05:0.15", "-o prize=2"):
        assert words in config["command"]


@pytest.mark.usefixtures("own")
def test_compare_in_other_processes():
    command = [sys.executable, "-m", "metamarl", "compare", "--env", "own_flag:Flag"]
    options = ["--vary", "slip=0.05:0.15", "--tasks", "2", "--seeds", "1", "--jobs", "2"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Written to runs/compare-Flag" in done.stdout


def test_inspect(own):
    done = runner.invoke(app, ["inspect", "--env", own, "-o", "slip=0.2"])
    assert done.exit_code == 0, done.output
    assert "exact: every state" in done.output
    assert "flag, parallel" in done.output
    done = runner.invoke(app, ["inspect", "--env", own, "--max-states", "2"])
    assert done.exit_code == 1
    assert "not exact: it has more than max_states = 2" in done.output
    done = runner.invoke(app, ["inspect", "--env", "aec:classic/rps-v2", "-o", "max_cycles=2"])
    assert done.exit_code == 0, done.output
    assert "joined" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inspect", "--env", "flag"], "--env wants package.module:MyEnv"),
        (["inspect", "--env", "./nothing.py:Flag"], "There is no file nothing.py"),
        (["inspect", "--env", "no_such_module:Flag"], "no_such_module cannot be imported"),
        (["inspect", "--env", "own_flag:Flog"], "did you mean 'Flag'"),
        (["inspect", "--env", "own_flag:number"], "makes no environment"),
        (["inspect", "--env", "own_flag:Flag", "-o", "slop=1"], "unexpected keyword argument"),
        (["inspect", "--env", "builtins:dict"], "one that makes builtins.dict"),
        (["compare"], "Name a benchmark game"),
        (["compare", "rps", "--env", "own_flag:Flag"], "Name a benchmark game"),
        (["compare", "rps", "--vary", "slip=0:1"], "go with --env"),
        (["compare", "--env", "own_flag:Flag"], "say what differs"),
        (["compare", "--env", "own_flag:Flag", "--vary", "slip=0.1"], "--vary wants"),
        (["compare", "--env", "own_flag:Flag", "--vary", "slip=a:b"], "--vary wants"),
        (
            ["compare", "--env", "own_flag:Flag", "--vary", "slip=0:1", "-o", "slip=0"],
            "'slip' is given by -o and by --vary",
        ),
    ],
)
@pytest.mark.usefixtures("own")
def test_bad_commands(arguments, words):
    done = runner.invoke(app, arguments)
    assert done.exit_code == 2, done.output
    assert words in " ".join(done.output.split())


@pytest.mark.parametrize("name", ["queue.py", "my.env.py", "my-env.py", "numpy.py"])
@pytest.mark.usefixtures("own")
def test_files_of_any_name_hide_no_module(name, tmp_path):
    import queue

    (tmp_path / name).write_text("from own_flag import Flag\n")
    before = sys.path[:]
    done = runner.invoke(app, ["inspect", "--env", f"./{name}:Flag"])
    assert done.exit_code == 0, done.output
    assert sys.modules["queue"] is queue
    assert sys.modules["numpy"] is np
    assert sys.path == [*before, str(tmp_path)]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("self.t += 1", "self.t += 1 / 0", r"raised ZeroDivisionError: .* \(Flag.step, .*:32\)"),
        ("self.t += 1", "{}['x']", "raised KeyError: 'x' "),
        ("self.t += 1", "raise ValueError", r"raised ValueError: \(Flag.step"),
        ("self.rng = ", "assert seed is None, 'no seeds'; self.rng = ", "AssertionError: no seeds"),
        ("import numpy as np", "import numpy as np\nnothing()", "cannot be imported: NameError"),
        ("import numpy as np", "import no_numpy", "cannot be imported: No module named"),
        ("class Flag", "class class", "cannot be imported: SyntaxError"),
    ],
)
@pytest.mark.parametrize(
    "command", [["inspect"], ["compare", "--vary", "slip=0.1:0.2"]], ids=lambda command: command[0]
)
def test_what_an_environment_raises_is_one_sentence(command, old, new, words, tmp_path, own):
    (tmp_path / "own_flag.py").write_text(OWN.replace(old, new, 1))
    done = runner.invoke(app, [*command, "--env", own])
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert re.search(words, done.stderr), done.stderr
    assert "Traceback" not in done.output


def test_defects_of_metamarl_keep_their_traceback():
    with pytest.raises(KeyError), support.plain_errors():
        {}["x"]
