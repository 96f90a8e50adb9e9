"""The command line: what it prints and writes, its exit codes, and that nobody sees a traceback."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from metamarl import _cli_support as support
from metamarl._compare_plan import outcome
from metamarl.algorithms.solvers import SOLVERS
from metamarl.cli import app
from metamarl.comparison import Comparison
from metamarl.envs import family, games
from metamarl.files import made_folder
from metamarl.learners import META_LEARNERS

FILES = {"figure.png", "rows.csv", "traces.csv", "table.txt", "config.json"}
QUICK = ["--tasks", "3", "--seeds", "2", "--jobs", "1"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Every test runs in an empty folder: `compare` writes below the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args):
    return CliRunner().invoke(app, list(map(str, args)))


def listen():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*args, **options):
    """The command in a process of its own, as from a shell in the foreground.

    Where the tests themselves run in the background, Ctrl-C is ignored, and that is inherited.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "metamarl", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen if os.name == "posix" else None,
        **options,
    )


def end(process, timeout=60):
    out, err = process.communicate(timeout=timeout)
    assert "Traceback" not in out + err, err
    return process.returncode, out, err


def numbers_of(folder):
    """The rows of rows.csv but for the seconds, which no two runs share."""
    with (folder / "rows.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


# --- help


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_help(args):
    result = run(*args)
    assert result.exit_code == 0
    for command in ("games", "solve", "compare"):
        assert f"metamarl {command}" in result.stdout


@pytest.mark.parametrize("command", ["games", "solve", "compare"])
def test_help_of_each_command_has_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"\n  metamarl {command} soccer\n" in result.stdout


def test_help_names_every_solver_and_meta_learner():
    words = set(run("compare", "--help").stdout.replace(",", " ").replace(";", " ").split())
    assert set(META_LEARNERS) <= words
    assert {name.rstrip(".") for name in SOLVERS} <= {word.rstrip(".") for word in words}


def test_help_says_what_the_numbers_mean():
    assert "1 solve did not reach the tolerance" in " ".join(run("--help").stdout.split())
    words = " ".join(run("compare", "--help").stdout.split())
    assert "at most 4 per core" in words
    assert "The seconds are summed over the workers." in words


def test_version():
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("metamarl ")


def test_solvers_that_only_play_count_episodes():
    result = run("solve", "rps", "--solver", "v-learning", "-s", "growth=theory", "--tol", 5)
    assert result.exit_code == 0
    assert re.search(r"^episodes +[\d,]+$", result.stdout, re.MULTILINE)
    assert "Learned from" in result.stdout


def test_help_imports_nothing_heavy():
    heavy = {"numpy", "numba", "scipy", "matplotlib", "pettingzoo", "rich.progress"}
    code = f"import sys, metamarl.cli; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


# --- games


def test_games_lists_them_all():
    result = run("games")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *games()]
    for line, name in zip(lines[1:], games(), strict=True):
        assert line.endswith(family(name).summary)


@pytest.mark.parametrize("name", games())
def test_games_shows_knobs_as_they_can_be_typed(name):
    result = run("games", name)
    assert result.exit_code == 0
    shown = [line.strip() for line in result.stdout.splitlines() if line.startswith("    ")]
    typed = support.parse_pairs([x for x in shown if x.split("=")[0] in family(name).knobs], "-o")
    assert typed == family(name).knobs


# --- solve


def test_solve_prints_the_answer():
    result = run("solve", "stopping")
    assert result.exit_code == 0
    assert result.stderr == ""
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines()[:7])
    assert facts["value"] == "1.6906 (player 0), -1.6906 (player 1)"
    assert facts["status"] == "converged"
    assert "first in state play (probability 1):" in result.stdout


def test_solve_names_actions():
    weights = run("solve", "rps", "-o", "rounds=1", "-o", "weights=2,1,1").stdout
    assert "  player 0  rock: 0.250, paper: 0.500, scissors: 0.250" in weights


def test_solve_shows_few_initial_states_and_legal_actions_only():
    assert "(and 5 more initial states)" in run("solve", "random").stdout
    assert "  player 1  wait: 1.000" in run("solve", "tictactoe").stdout


def test_solve_writes_files(tmp_path):
    out = tmp_path / "a" / "b"
    options = ["--solver", "omd", "-s", "regularizer=euclidean", "--tol", 0.05, "--out", out]
    result = run("solve", "rps", "-o", "rounds=2", "-o", "weights=2,1,1", *options)
    assert result.exit_code == 0, result.stderr
    assert {p.name for p in out.iterdir()} == {"policy.npz", "trace.csv", "solution.json"}
    with np.load(out / "policy.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["player_0", "player_1"]
        assert arrays["player_0"].shape == (2, 1, 3)
        np.testing.assert_allclose(arrays["player_0"].sum(-1), 1.0)
    found = json.loads((out / "solution.json").read_text())
    assert found["knobs"] == {"rounds": 2, "weights": [2, 1, 1]}
    assert found["solver"]["regularizer"] == "euclidean"
    assert found["converged"] is True
    assert found["gap"] <= 0.05
    with (out / "trace.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["iteration", "gap", "seconds"]
    assert int(rows[-1]["iteration"]) == found["iterations"]


def test_solve_exits_with_1_where_the_tolerance_is_not_reached(tmp_path):
    args = ["--solver", "omd", "--max-iterations", 3, "--out", tmp_path / "out"]
    result = run("solve", "stopping", *args)
    assert result.exit_code == 1
    assert result.stderr.startswith("The gap is still above 'tol'")
    assert (tmp_path / "out" / "policy.npz").exists()


# --- compare


def test_compare_writes_and_says_what_came_out(tmp_path):
    result = run("compare", "stopping", *QUICK, "--meta", " last, average", "--meta", "robust")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["start", "none", "last", "average", "robust"]
    assert sum(line.startswith("From meta-learned starts (") for line in lines) == 3
    folder = tmp_path / "runs" / "compare-stopping"
    shown = Path("runs") / "compare-stopping"
    names = "figure.png, rows.csv, traces.csv, table.txt, config.json"
    assert lines[-1] == f"Written to {shown}: {names}."
    assert {p.name for p in folder.iterdir()} == FILES
    assert len(numbers_of(folder)) == 2 * 3 * 4
    assert (folder / "table.txt").read_text() in result.stdout


def test_compare_can_be_repeated_from_its_config(tmp_path):
    options = ["-o", "payoff=((1,0),(0,3))", "--spread", 0.1, "--seed", 5, "--meta", "last"]
    options += ["-s", "factor=0.5", "--tol", 0.05, "--max-iterations", 500, "--solver", "omd"]
    first = run("compare", "stopping", *QUICK, *options, "--out", tmp_path / "one")
    assert first.exit_code == 0, first.stderr
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    assert config["interrupted"] is False
    name, *args = shlex.split(config["command"])
    assert name == "metamarl"
    second = run(*args, "--jobs", 2, "--out", tmp_path / "two")  # and with other workers
    assert second.exit_code == 0, second.stderr
    assert numbers_of(tmp_path / "one") == numbers_of(tmp_path / "two")
    assert {row["seed"] for row in numbers_of(tmp_path / "one")} == {"5", "6"}


def test_compare_without_meta_learner():
    result = run("compare", "rps", *QUICK, "--meta", "none")
    assert result.exit_code == 0
    assert "Every game was solved from scratch ('none')" in result.stdout


def test_compare_says_what_did_not_converge():
    result = run("compare", "stopping", *QUICK, "--max-iterations", 2)
    assert result.exit_code == 0
    assert "12 of 12 solves did not reach the gap 0.01" in result.stdout
    assert "about as many iterations as from scratch" in result.stdout


def comparison_of(none, robust, value=0.0):
    """One task per seed; `value` is reached from the learned starts, 0 from scratch."""
    rows = [
        {"seed": k, "task": 0, "arm": arm, "iterations": n, "value": v, "converged": True}
        for arm, found, v in (("none", none, 0.0), ("robust", robust, value))
        for k, n in enumerate(found)
    ]
    return Comparison(rows=rows, traces={}, arms=["none", "robust"], config={"tol": 0.1})


@pytest.mark.parametrize(
    ("none", "robust", "words"),
    [
        ([400], [100], "needed 4.0 times fewer iterations than from scratch."),
        ([100], [200], "needed 2.00 times more iterations than from scratch."),
        ([100], [100], "needed about as many iterations as from scratch."),
        ([400, 400], [100, 100], "(95 % interval 4.0 to 4.0, over 2 seeds)."),
        ([400, 100], [100, 200], "needed 1.67 times fewer iterations"),
        ([5_000], [1], "needed 5,000 times fewer"),
        ([], [100], "No game was solved both from scratch and from the starts of 'robust'."),
        ([400, 400, 9], [100, 100], "over 2 seeds)."),
    ],
)
def test_outcome(none, robust, words):
    (sentence,) = outcome(comparison_of(none, robust))
    assert words in sentence
    assert ("could be chance" in sentence) == (none == [400, 100])


def test_outcome_tells_of_other_equilibria():
    _, sentence = outcome(comparison_of([100, 100], [50, 50], 0.11))
    assert "'robust' is worth 0.11 to a player on average, from scratch 0." in sentence
    assert len(list(outcome(comparison_of([100, 100], [50, 50], -0.09)))) == 1  # the tolerance


# --- bad input


BAD = {
    "unknown game": (["solve", "socer"], "did you mean 'soccer'"),
    "unknown game to show": (["games", "chess"], "must be one of"),
    "unknown game to compare": (["compare", ""], "must be one of"),
    "unknown knob": (["solve", "soccer", "-o", "rwos=3"], "no knob 'rwos' (did you mean 'rows'?)"),
    "reserved knob": (["solve", "soccer", "-o", "name=3"], "no knob 'name'"),
    "no knob syntax": (["solve", "soccer", "-o", "rows"], "wants name=value"),
    "empty knob": (["solve", "soccer", "-o", "=3"], "wants name=value"),
    "knob twice": (["solve", "soccer", "-o", "rows=3", "-o", "rows=4"], "given twice"),
    "bad knob type": (["solve", "soccer", "-o", "rows=many"], "'rows' parameter of soccer"),
    "bad knob value": (["compare", "soccer", "-o", "slip=2,0"], "slip"),
    "game too large": (["solve", "soccer", "-o", "rows=1000000"], "memory"),
    "seed as a knob": (["compare", "random", "-o", "seed=3"], "--seed"),
    "tol 0": (["solve", "rps", "--tol", "0"], "'tol' parameter"),
    "tol nan": (["compare", "rps", "--tol", "nan"], "'tol' parameter"),
    "negative spread": (["compare", "rps", "--spread", "-1"], "'spread' parameter"),
    "unknown meta": (["compare", "rps", "--meta", "robust,foo"], "'meta' parameter"),
    "empty meta": (["compare", "rps", "--meta", ""], "'meta' parameter"),
    "unknown solver": (["compare", "rps", "--solver", "foo"], "'solver' parameter of compare"),
    "unknown solver option": (
        ["solve", "rps", "--solver", "omd", "-s", "stp_size=1"],
        "did you mean 'step_size'",
    ),
    "option of a solver without": (["solve", "rps", "-s", "a=1"], "The solver 'exact' has no"),
    "bad solver option": (["compare", "rps", "-s", "step_size=-1"], "'step_size' parameter"),
    "no jobs": (["compare", "rps", "--jobs", "0"], "'jobs' parameter"),
}
BAD_FOR_TYPER = [
    ["play"],
    ["solve"],
    ["solve", "rps", "--tol", "small"],
    ["solve", "rps", "--max-iterations", "0"],
    ["solve", "rps", "--seed", "-1"],
    ["compare", "rps", "--tasks", "0"],
    ["compare", "rps", "--seeds", "x"],
    ["compare", "rps", "--foo"],
]


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(case, tmp_path):
    args, words = BAD[case]
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("args", BAD_FOR_TYPER, ids=" ".join)
def test_bad_usage(args):
    result = run(*args)
    assert result.exit_code == 2
    assert "Error: " in result.stderr


@pytest.mark.parametrize("command", ["solve", "compare"])
def test_unwritable_folder_is_found_out_first(command, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")

    def never(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("metamarl._compare_plan.compare", never)
    monkeypatch.setattr("metamarl._cli_solve.solve", never)
    result = run(command, "rps", "--out", tmp_path / "file" / "below")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: Cannot write into")
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("command", ["solve", "compare"])
@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("file", "Cannot write into file: {}/file is not a folder."),
        ("", "Cannot write into '': a folder needs a name."),
        ("out", "Cannot write out/{}: it is a folder."),
    ],
)
def test_folders_that_cannot_be_ones(command, out, words, tmp_path):
    (tmp_path / "file").write_text("")
    name = {"solve": "trace.csv", "compare": "figure.png"}[command]
    (tmp_path / "out" / name).mkdir(parents=True)
    result = run(command, "rps", "--out", out)
    assert result.exit_code == 2
    assert result.stderr == f"Error: {words.format(name if out == 'out' else tmp_path)}\n"
    assert not list((tmp_path / "out" / name).iterdir())


def test_folder_that_looks_writable_but_is_not():
    with (
        pytest.raises(OSError, match="Cannot write into /proc/metamarl"),
        made_folder(Path("/proc/metamarl")),
    ):
        pass


def test_no_empty_folder_stays_behind(tmp_path, monkeypatch):
    nothing = Comparison(rows=[], traces={}, arms=["none"], config={}, interrupted=True)
    monkeypatch.setattr("metamarl._compare_plan.Plan._get_ready", lambda *_: None)
    monkeypatch.setattr("metamarl._compare_plan.compare", lambda *_, **__: nothing)
    result = run("compare", "rps", *QUICK)
    assert result.exit_code == 130
    assert result.stderr == "Interrupted before the first solve was finished.\n"
    assert not list(tmp_path.iterdir())


def test_sizes_are_refused_before_the_work(monkeypatch):
    def never(*_, **__):
        raise AssertionError("the games have been built")

    monkeypatch.setattr("metamarl._compare_plan.Plan._get_ready", never)
    monkeypatch.setattr("metamarl._compare_plan.available_memory", lambda: 1e8)
    for args, words in (
        (["--tasks", 10**9], "1,000,000,000 tasks for 3 seeds would be 6,000,000,000 solves"),
        (["--seeds", 10**12], "would be 40,000,000,000,000 solves, and more than 1,000,000 are"),
        (["--tasks", 5000, "--seeds", 1], "GiB of memory, and 0.1 GiB are available"),
    ):
        result = run("compare", "soccer", *args)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        assert words in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["solve", "stag-hunt", "--solver", "exact"],
        ["compare", "stag-hunt", "--solver", "exact"],
        ["solve", "random", "-o", "kind=general-sum", "--solver", "q-ascent"],
        ["compare", "random", "-o", "kind=general-sum", "-s", "regularizer=euclidean"],
    ],
)
def test_game_that_is_not_for_the_solver(args):
    result = run(*args)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("game", "concept"),
    [("prisoners", "coarse correlated"), ("stag-hunt", "Nash"), ("bargaining", "Nash")],
)
def test_solve_says_what_the_gap_is_to(game, concept, tmp_path):
    result = run("solve", game, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert f"{concept} equilibrium" in result.stdout
    with np.load(tmp_path / "out" / "policy.npz") as arrays:
        assert ("joint" in arrays.files) == (concept != "Nash")


@pytest.mark.parametrize("game", ["prisoners", "stag-hunt", "routing"])
def test_compare_of_games_that_are_not_zero_sum(game, tmp_path):
    result = run("compare", game, *QUICK, "--out", tmp_path)
    assert result.exit_code == 0
    solver = json.loads((tmp_path / "config.json").read_text())["solver"]["name"]
    assert solver == ("omd" if game == "prisoners" else "q-ascent")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("0.5", 0.5), ("1,2", (1, 2)), ("(1, 2)", (1, 2)), ("None", None),
        ("True", True), ("descending", "descending"), ("'3'", "3"), ("", ""), ("a=b", "a=b"),
        ("1e-3", 1e-3), (" 4 ", 4), ("1,", (1,)), ("[", "["), ("1 2", "1 2"), ("1if", "1if"),
        ("true", True), ("FALSE", False), ("nOnE", None), ("'none'", "none"), ("nones", "nones"),
        ("__import__('os')", "__import__('os')"), ("(" * 300, "(" * 300), ("\0", "\0"),
    ],
)  # fmt: skip
def test_values_are_literals_or_strings(text, value):
    assert support.parse_pairs([f" x ={text}"], "-o") == {"x": value}


# --- as from a shell


def test_exit_codes_of_the_process():
    one = start("solve", "stopping", "--solver", "omd", "--max-iterations", 2)
    two = start("solve", "socer")
    zero = start("games")
    code, out, err = end(one)
    assert (code, err) == (
        1,
        "The gap is still above 'tol' after the largest number of iterations.\n",
    )
    assert "max iterations" in out
    assert end(two)[0] == 2
    assert end(zero)[0] == 0


def test_interrupted_solve_keeps_what_it_has(tmp_path):
    out = tmp_path / "out"
    process = start("solve", "soccer", "--solver", "omd", "--tol", "1e-9", "--out", out)
    wait_for(out, process)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    code, _, err = end(process)
    assert code == 130
    assert "interrupted" in err.lower()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are of POSIX")
@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupted_compare_keeps_what_it_has(jobs, tmp_path):
    out = tmp_path / "out"
    size = ["--tasks", 40, "--seeds", 1, "--tol", 0.05]
    process = start(
        "compare", "soccer", *size, "--meta", "none", "--jobs", jobs, "--out", out,
        start_new_session=True,
    )  # fmt: skip
    wait_for(out, process)
    time.sleep(2.5)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    code, _, err = end(process)
    assert code == 130
    assert err.startswith("Interrupted")
    if "of 40 solves were finished" in err:
        assert {p.name for p in out.iterdir()} == FILES
        assert 1 <= len(numbers_of(out)) < 40
        assert json.loads((out / "config.json").read_text())["interrupted"] is True


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are of POSIX")
def test_sigterm_leaves_no_workers(tmp_path):
    out = tmp_path / "out"
    args = ["--tasks", 60, "--seeds", 1, "--tol", 0.01, "--meta", "none", "--jobs", 2]
    process = start("compare", "soccer", *args, "--out", out, start_new_session=True)
    wait_for(out, process)
    time.sleep(6.0)
    process.terminate()  # the parent alone, as `kill` and `timeout` do
    code, _, err = end(process)
    assert code == 130
    assert err.startswith("Interrupted")
    if "of 60 solves were finished" in err:
        assert 1 <= len(numbers_of(out)) < 60
    else:
        assert not out.exists()
    began = time.monotonic()
    while is_alive(process.pid):
        assert time.monotonic() - began < 20, "a worker outlives the command"
        time.sleep(0.1)


def is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("args", [["solve", "rps"], ["games"]])
def test_closed_output_is_quiet(args):
    command = shlex.join([sys.executable, "-m", "metamarl", *args])
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} >&-"], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
def test_full_disk_is_one_sentence():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "metamarl", "games", "soccer"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def wait_for(path, process, seconds=60.0):
    """Until `path` is there: the imports and the checks are then over."""
    began = time.monotonic()
    while not path.exists():
        assert process.poll() is None, end(process)
        assert time.monotonic() - began < seconds
        time.sleep(0.02)


def test_broken_pipe_is_quiet():
    process = start("games", "soccer")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (support.BROKEN_PIPE, "")
