"""Comparisons: rows, pairing, speed-ups and intervals by hand, files, interruptions, errors."""

import csv
import json
import math
import os
import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from scipy.stats import ttest_1samp

import metamarl as mm
from metamarl import arms, comparing, workers
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.solution import Status, Trace
from metamarl.algorithms.solve import solve
from metamarl.comparison import Comparison
from metamarl.distances import potential_difference, similarity
from metamarl.envs import make, tasks
from metamarl.envs.files import write_atomically
from metamarl.files import made_folder, write_csv, write_text
from metamarl.meta import MetaLearner, Robust
from metamarl.statistics import Estimate, mean_interval, ratio_interval

COLUMNS = ["seed", "task", "arm", "iterations", "seconds", "gap", "value", "converged"]
ARMS = ["none", "robust", "average", "last", "oracle"]
TOL = 0.05
FILES = ["config.json", "figure.png", "rows.csv", "table.txt", "traces.csv"]


def family(n=4, spread=0.05, seed=0):
    return tasks("random", n, spread, seed, states=4, actions=(3, 4), horizon=3)


def compared(games=None, meta=tuple(ARMS[1:]), **options):
    return mm.compare(family() if games is None else games, meta, **{"tol": TOL, **options})


@pytest.fixture(scope="module")
def comparison():
    return compared({3: family(seed=3), 1: family(n=3, seed=1)})


def timeless(comparison):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in comparison.rows]


def count(comparison):
    return {(r["seed"], r["task"], r["arm"]): r["iterations"] for r in comparison.rows}


# --- rows


def test_rows(comparison):
    assert all(list(row) == COLUMNS for row in comparison.rows)
    assert comparison.arms == ARMS
    assert not comparison.interrupted
    keys = [(row["seed"], row["task"], row["arm"]) for row in comparison.rows]
    expected = [(s, k, arm) for s, n in ((1, 3), (3, 4)) for k in range(n) for arm in ARMS]
    assert keys == expected
    assert set(comparison.traces) == set(expected)
    for row in comparison.rows:
        assert type(row["iterations"]) is int
        assert row["converged"] is True
        assert 0 < row["gap"] <= TOL or row["arm"] == "oracle"
        assert 0 < row["seconds"] < 60
        trace = comparison.traces[row["seed"], row["task"], row["arm"]]
        assert trace.iteration[-1] == row["iterations"]
        assert trace.gap.min() == pytest.approx(row["gap"])


def test_rows_are_what_solve_finds(comparison):
    """The chain of the arm "average" by hand."""
    found, past = count(comparison), []
    for k, game in enumerate(family(seed=3)):
        scratch = solve(game, "omd", tol=TOL)
        assert found[3, k, "none"] == scratch.iterations
        start = mm.Average().start(game, past)
        solution = solve(game, "omd", init=start, tol=TOL)
        assert found[3, k, "average"] == solution.iterations
        past.append(solution.policy)


def test_the_first_task_is_the_same_for_all(comparison):
    found = count(comparison)
    for seed in (1, 3):
        assert len({found[seed, 0, arm] for arm in ARMS if arm != "oracle"}) == 1
        assert found[seed, 0, "oracle"] == 1


def test_the_oracle_needs_one_iteration(comparison):
    assert {r["iterations"] for r in comparison.rows if r["arm"] == "oracle"} == {1}


def test_identical_tasks_are_learned_once():
    found = compared(family(n=4, spread=0.0), tol=0.01)
    times = count(found)
    for arm in ("robust", "average", "last"):
        assert all(times[0, k, arm] < 0.2 * times[0, 0, arm] for k in range(1, 4))
        assert found.speedups()[arm].mean > 2
    exact = compared(family(n=3, spread=0.0), "robust", solver="exact")
    assert {row["iterations"] for row in exact.rows} == {1}


def test_the_seed_names_a_single_sequence():
    one, other = compared(meta="last", seed=7), compared({7: family()}, "last")
    assert {row["seed"] for row in one.rows} == {7}
    assert timeless(one) == timeless(other)
    assert one.config == other.config


def test_seeds_and_arms_do_not_disturb_each_other(comparison):
    alone = compared(family(n=3, seed=1), ["last"], seed=1)
    assert timeless(alone) == [
        row for row in timeless(comparison) if row["seed"] == 1 and row["arm"] in ("none", "last")
    ]


def test_any_number_of_workers(comparison):
    for n_jobs in (2, -1):
        found = compared({3: family(seed=3), 1: family(n=3, seed=1)}, n_jobs=n_jobs)
        assert timeless(found) == timeless(comparison)
        assert found.config == comparison.config
        assert list(found.traces) == list(comparison.traces)
        for key, trace in found.traces.items():
            np.testing.assert_array_equal(trace.gap, comparison.traces[key].gap)
            np.testing.assert_array_equal(trace.iteration, comparison.traces[key].iteration)


@pytest.mark.parametrize(("wanted", "most"), [(10**30, 4), (3, 3), (-1, 2)])
def test_no_more_workers_than_there_is_work_for(monkeypatch, wanted, most):
    asked = []

    class Sequential(joblib.Parallel):
        def __init__(self, n_jobs, **options):
            asked.append(n_jobs)
            super().__init__(n_jobs=1, **options)

    monkeypatch.setattr(workers, "Parallel", Sequential)
    monkeypatch.setattr(workers, "cpu_count", lambda: 1)
    monkeypatch.setattr(workers, "effective_n_jobs", lambda n: 2 if n < 0 else n)
    assert len(compared(family(n=8), "last", n_jobs=wanted).rows) == 16
    compared(family(n=1), "last", n_jobs=wanted)  # two parts of work
    assert asked == [most, 2]


def test_workers_play_a_little_before_they_are_timed(monkeypatch):
    """Once per solver, start and kind of games; it leaves no trace in the rows."""
    limits, solve_as_usual = [], MetaLearner.solve

    def counted(*args):
        limits.append(args[-1])
        return solve_as_usual(*args)

    monkeypatch.setattr(MetaLearner, "solve", counted)
    monkeypatch.setattr(arms, "_READY", set())
    games = family(n=2)
    learner, options = mm.Average(), OptimisticMirrorDescent()
    for expected in ([4, 4, None, None], [None, None]):  # the games take 3 steps
        _, rows = arms._run_part(0, arms.Part(0, games, learner), arms.Terms(options, TOL, None))
        assert limits == expected
        assert [row["task"] for row in rows] == [0, 1]
        limits.clear()


def test_tasks_that_are_not_solved_say_so():
    found = compared(meta="last", tol=1e-9, max_iterations=20)
    assert not any(row["converged"] for row in found.rows)
    assert {row["iterations"] for row in found.rows} == {20}
    assert re.search(r"^last .* 0% ", found.table(), re.MULTILINE)
    assert found.speedup == 1.0


def test_progress_counts_solves():
    seen = []
    compared(family(n=2), ["last"], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_options_of_the_solver_are_used():
    found = compared(family(n=1), solver=OptimisticMirrorDescent(regularizer="euclidean"))
    solution = solve(family(n=1)[0], OptimisticMirrorDescent(regularizer="euclidean"), tol=TOL)
    assert found.rows[0]["iterations"] == solution.iterations
    assert found.config["solver"]["regularizer"] == "euclidean"


# --- speed-ups


def made(iterations, arms=("none", "a", "b"), converged=True):
    """A comparison from {(seed, task, arm): iterations}."""
    rows = [
        dict(zip(COLUMNS, [seed, task, arm, n, 0.5, 0.01, 0.0, converged], strict=True))
        for (seed, task, arm), n in iterations.items()
    ]
    trace = Trace(iteration=np.array([1]), gap=np.array([0.01]), seconds=np.array([0.5]))
    traces = dict.fromkeys(iterations, trace)
    return Comparison(rows=rows, traces=traces, arms=list(arms), config={"tol": 0.02})


BY_HAND = {
    (0, 0, "none"): 100, (0, 0, "a"): 100, (0, 0, "b"): 100,
    (0, 1, "none"): 300, (0, 1, "a"): 60, (0, 1, "b"): 600,
    (1, 0, "none"): 80, (1, 0, "a"): 80, (1, 0, "b"): 80,
    (1, 1, "none"): 120, (1, 1, "a"): 20, (1, 1, "b"): 20,
}  # fmt: skip


def test_speedups_by_hand():
    found = made(BY_HAND)
    assert found.speedup == 600 / 260  # of the first meta-learner, in total
    speedups = found.speedups()
    assert list(speedups) == ["a", "b"]
    assert speedups["b"].mean == 600 / 800
    pairs = [(400, 160), (200, 100)]
    assert speedups["a"] == ratio_interval(pairs)
    assert speedups["a"].low < 600 / 260 < speedups["a"].high
    none, a, b = found.summary()
    assert [row["arm"] for row in (none, a, b)] == ["none", "a", "b"]
    assert none["speedup"] is None
    assert none["iterations"] == replace(mean_interval([200, 100]), low=0.0)
    assert a["iterations"].mean == (80 + 50) / 2
    assert (a["slower"], b["slower"]) == (0, 1 / 4)
    assert (a["converged"], a["seconds"]) == (1.0, 2.0)


def test_one_seed_has_no_interval():
    found = made({key: n for key, n in BY_HAND.items() if key[0] == 0})
    assert found.speedup == 400 / 160
    assert math.isnan(found.speedups()["a"].low)
    assert "[" not in found.table()


def test_only_what_every_arm_has_finished_is_compared():
    part = dict(BY_HAND)
    del part[1, 1, "a"]
    found = made(part)
    assert found.common() == [(0, 0), (0, 1), (1, 0)]
    assert found.speedup == (400 + 80) / (160 + 80)
    assert found.speedups()["b"].mean == (400 + 80) / (700 + 80)
    none, a, b = found.summary()
    assert [row["iterations"].mean for row in (none, a, b)] == [140, 80, 215]
    assert {row["seconds"] for row in (none, a, b)} == {1.5}
    assert (a["slower"], b["slower"]) == (0, 1 / 3)


def test_where_nothing_can_be_compared_the_table_has_no_numbers():
    for found in (made({}), made({(0, 0, "none"): 5, (0, 1, "a"): 5, (0, 0, "b"): 3})):
        assert "nan" not in found.table()
        none, a, b = (line.split() for line in found.table().splitlines()[1:])
        assert none == ["none", "-", "1", "(by", "definition)", "-", "-", "-"]
        assert (a, b) == (["a", *"-----"], ["b", *"-----"])


def test_intervals_of_iterations_do_not_go_below_0():
    found = made({(0, 0, "none"): 1, (1, 0, "none"): 1000}, ["none"])
    assert mean_interval([1, 1000]).low < 0
    (row,) = found.summary()
    assert row["iterations"].low == 0
    assert row["iterations"].high == mean_interval([1, 1000]).high


def test_a_comparison_introduces_itself_in_one_line():
    assert repr(made(BY_HAND)) == "<Comparison of none, a, b: 12 solves, speed-up 2.31>"
    stopped = replace(made({}), interrupted=True)
    assert repr(stopped) == "<Comparison of none, a, b: 0 solves, interrupted>"


def test_nothing_finished():
    found = made({})
    assert math.isnan(found.speedup)
    assert "none" in found.table()
    assert math.isnan(made({(0, 0, "none"): 5}, ["none"]).speedup)
    assert math.isnan(made({(0, 0, "none"): 5, (0, 1, "a"): 5}).speedup)


def test_table():
    lines = made(BY_HAND).table().splitlines()
    assert lines[0].split("  ")[0] == "start"
    assert [line.split()[0] for line in lines[1:]] == ["none", "a", "b"]
    assert "1 (by definition)" in lines[1]
    a = made(BY_HAND).speedups()["a"]
    assert f"{a.mean:.2f} [{a.low:.2f}, {a.high:.2f}]" in lines[2]
    assert " 25% " in lines[3]
    assert all(line == line.rstrip() for line in lines)
    columns = [line.index("100%") for line in lines[1:]]
    assert len(set(columns)) == 1
    long = made({(0, 0, "none"): 1_234_567, (0, 0, "a"): 1_000}, ["none", "a"])
    assert "1,234,567" in long.table()


# --- intervals


def test_means_against_scipy():
    rng = np.random.default_rng(0)
    for n in (2, 3, 10, 200):
        values = rng.normal(5.0, 2.0, n).tolist()
        found = mean_interval(values)
        interval = ttest_1samp(values, 0.0).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-12)
        assert found.mean == pytest.approx(np.mean(values))


def test_a_ratio_by_hand():
    """The jackknife: the logarithms of the ratios that leave one pair out."""
    pairs = [(10, 5), (20, 8), (30, 20), (7, 7)]
    found = ratio_interval(pairs)
    a, b = (sum(column) for column in zip(*pairs, strict=True))
    logs = [math.log((a - x) / (b - y)) for x, y in pairs]
    mean = sum(logs) / 4
    deviation = math.sqrt(3 / 4 * sum((x - mean) ** 2 for x in logs))
    factor = math.exp(student.ppf(0.975, 3) * deviation)
    assert found.mean == a / b == 67 / 40
    assert (found.low, found.high) == pytest.approx((a / b / factor, a / b * factor))


def test_intervals_of_few_observations():
    for interval in (mean_interval, ratio_interval):
        assert math.isnan(interval([]).mean)
    assert mean_interval([3.0]).mean == 3.0
    assert math.isnan(mean_interval([3.0]).high)
    assert ratio_interval([(6, 4)]).mean == 1.5
    assert math.isnan(ratio_interval([(6, 4)]).low)
    assert mean_interval([2.0, 2.0]) == Estimate(2.0, 2.0, 2.0)
    assert ratio_interval([(4, 2)] * 3) == Estimate(2.0, 2.0, 2.0)


def test_ratios_cover_the_truth():
    """95 % intervals of the ratio of means hold it nearly that often."""
    rng, hits = np.random.default_rng(1), 0
    for _ in range(1000):
        b = rng.gamma(8.0, size=12)
        a = 3.0 * b * rng.gamma(10.0, 0.1, size=12)
        found = ratio_interval(np.c_[a, b])
        hits += found.low <= 3.0 <= found.high
    assert 910 <= hits <= 980


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=2, max_size=20),
    st.floats(0.01, 100),
)
def test_laws_of_ratios(pairs, scale):
    found = ratio_interval(pairs)
    assert 0 < found.low <= found.mean * (1 + 1e-12)
    assert found.mean <= found.high * (1 + 1e-12)
    swapped = ratio_interval([(b, a) for a, b in pairs])
    assert swapped.mean == pytest.approx(1 / found.mean)
    assert swapped.low == pytest.approx(1 / found.high)
    scaled = ratio_interval([(scale * a, b) for a, b in pairs])
    assert scaled.high == pytest.approx(scale * found.high)
    assert ratio_interval(pairs[::-1]).low == pytest.approx(found.low)


def test_estimates_as_text():
    assert f"{Estimate(1234.5):,.0f}" == "1,234"
    assert f"{Estimate(2.0, 1.0, 4.0):.2f}" == "2.00 [1.00, 4.00]"


# --- files


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_save(comparison, tmp_path):
    folder = comparison.save(tmp_path / "deep" / "folder")
    assert sorted(path.name for path in folder.iterdir()) == FILES
    rows = read(folder / "rows.csv")
    assert list(rows[0]) == COLUMNS
    for text, row in zip(rows, comparison.rows, strict=True):
        assert text == {key: str(value) for key, value in row.items()}
    traces = read(folder / "traces.csv")
    assert list(traces[0]) == ["seed", "task", "arm", "iteration", "gap", "seconds", "bound"]
    assert len(traces) == sum(map(len, comparison.traces.values()))
    gaps = [
        float(r["gap"]) for r in traces if (r["seed"], r["task"], r["arm"]) == ("1", "2", "last")
    ]
    assert gaps == comparison.traces[1, 2, "last"].gap.tolist()  # to the last digit
    assert (folder / "table.txt").read_text(encoding="utf-8") == comparison.table() + "\n"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config == comparison.config
    assert config["tol"] == TOL
    assert config["solver"]["name"] == "omd"
    assert config["meta"]["robust"]["caution"] == Robust().caution
    assert list(config["meta"]) == ARMS
    assert (folder / "figure.png").read_bytes()[:4] == b"\x89PNG"


def test_saved_again_over_itself(comparison, tmp_path):
    comparison.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    comparison.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    assert (tmp_path / "rows.csv").read_bytes() == before["rows.csv"]


def test_nothing_finished_is_saved_too(tmp_path):
    made({}).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f for f in FILES if "png" not in f]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fails(temporary):
        temporary.write_text("half of the n")
        raise OSError("disk full")

    def stopped(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    for write, error in ((fails, OSError), (stopped, KeyboardInterrupt)):
        with pytest.raises(error):
            write_atomically(path, write)
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["file.txt"]

    def rows():
        yield {"a": 1}
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        write_csv(path, rows())
    with pytest.raises(ValueError, match="not in fieldnames"):
        write_csv(path, [{"a": 1}, {"b": 2}])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_folder_that_cannot_be_one_is_named_first(comparison, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "out" / "rows.csv").mkdir(parents=True)
    for name, error, words in (
        ("file", NotADirectoryError, r"^Cannot write into file: .*file is not a folder\.$"),
        ("out", IsADirectoryError, r"^Cannot write out.rows\.csv: it is a folder\.$"),
        ("", ValueError, r"^Cannot write into '': a folder needs a name\.$"),
    ):
        with pytest.raises(error, match=words):
            comparison.save(name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "out", "rows.csv"]


def test_errors_name_the_target_and_not_the_temporary_file(tmp_path):
    (tmp_path / "folder").mkdir()
    for path, kind in (
        (tmp_path / "folder", IsADirectoryError),
        (tmp_path / "no" / "file", FileNotFoundError),
    ):
        with pytest.raises(kind) as error:
            write_text(path, "text")
        assert error.value.filename == str(path)
        assert error.value.filename2 is None
    assert os.listdir(tmp_path) == ["folder"]


def test_a_made_folder_goes_when_it_stays_empty(tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("there", "there/new/deep"):
        with made_folder(tmp_path / name):
            assert (tmp_path / name).is_dir()
        assert os.listdir(tmp_path) == ["there"]
        assert not os.listdir(tmp_path / "there")
    with made_folder(tmp_path / "new" / "deep"):
        (tmp_path / "new" / "file").write_text("")
    assert os.listdir(tmp_path / "new") == ["file"]


def test_a_save_that_fails_leaves_the_old_files(comparison, tmp_path, monkeypatch):
    comparison.save(tmp_path)
    before = (tmp_path / "figure.png").read_bytes()

    def fails(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", fails)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fails)
    with pytest.raises(OSError, match="disk full"):
        comparison.save(tmp_path)
    assert (tmp_path / "figure.png").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def test_files_are_written_as_ordinary_ones(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("x")
    write_text(tmp_path / "ours", "µ ≥ 0")
    assert (tmp_path / "ours").stat().st_mode == ordinary.stat().st_mode
    assert (tmp_path / "ours").read_bytes() == "µ ≥ 0".encode()


@dataclass(frozen=True, kw_only=True)
class Odd(MetaLearner):
    """Options that JSON does not know."""

    name: ClassVar[str] = "odd"
    option: Any = None

    def start(self, *_):
        return None


def test_options_that_are_no_json_are_saved_as_text(tmp_path):
    found = compared(family(n=1), Odd(option=1j))
    folder = found.save(tmp_path)
    assert json.loads((folder / "config.json").read_text())["meta"]["odd(option=1j)"] == {
        "name": "odd", "option": "1j"
    }  # fmt: skip


# --- interruptions


@pytest.mark.parametrize("stopped", [0, 1, 4, 7])
@pytest.mark.parametrize("how", ["raised", "returned"])
def test_interrupted_comparisons_keep_what_is_finished(
    monkeypatch, comparison, stopped, how, tmp_path
):
    calls, solve_as_usual = [], MetaLearner.solve

    def interrupted(*args):
        calls.append(1)
        solution = solve_as_usual(*args)
        if len(calls) > stopped:
            if how == "raised":
                raise KeyboardInterrupt
            return replace(solution, status=Status.INTERRUPTED)
        return solution

    monkeypatch.setattr(MetaLearner, "solve", interrupted)
    found = compared(family(n=3, seed=1), seed=1)
    assert found.interrupted
    assert len(found.rows) == len(found.traces) == stopped
    assert timeless(found) == timeless(comparison)[:stopped]
    assert found.save(tmp_path) == tmp_path
    assert found.table()


# --- what is refused


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tasks", [None, 3, "soccer", [], (), {}, {0: []}, [None], iter([]), {"a": [make("rps")]}]),
        ("tasks", [{0: make("rps")}, make("rps"), [[make("rps")]], {0.5: [make("rps")]}]),
        (
            "meta",
            [None, 3, "robst", "", [], [3], ["last", "last"], ["none", "none"], Robust, {"a"}],
        ),
        ("tol", [0, -1, np.nan, "x", None]),
        ("seed", [-1, 0.5, "a", None]),
        ("n_jobs", [0, 1.5, "2", None, True]),
        ("max_iterations", [0, -1, 1.5, True]),
    ],
)
def test_bad_parameters_are_one_sentence(name, values):
    for value in values:
        with pytest.raises((TypeError, ValueError)) as error:
            mm.compare(**{"tasks": [make("rps")], name: value})
        pattern = rf"The '{name}' parameter of compare must be .+\. Got .+ instead\."
        assert re.fullmatch(pattern, str(error.value))


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean 'robust'\?"):
        mm.compare([make("rps")], "robusst")
    with pytest.raises(ValueError, match="parameter of compare must be one of auto, exact"):
        mm.compare([make("rps")], solver="adam")


@dataclass(frozen=True, kw_only=True)
class Impostor(MetaLearner):
    """Not the baseline it is named after."""

    name: ClassVar[str] = "none"

    def start(self, *_):
        return None


def test_the_baseline_cannot_be_replaced():
    with pytest.raises(ValueError, match="different learners"):
        mm.compare([make("rps")], Impostor())
    assert mm.compare([make("rps")], ["none", "last"]).arms == ["none", "last"]
    assert mm.compare([make("rps")], ["last", "none"]).arms == ["none", "last"]


def test_games_that_are_not_alike_are_refused():
    game = make("random", states=3, actions=(2, 3), horizon=3)
    for other in (
        make("random", states=4, actions=(2, 3), horizon=3),
        make("random", states=3, actions=(3, 2), horizon=3),
        make("random", states=3, actions=(2, 3), horizon=4),
        make("random", states=3, actions=(2, 3), horizon=None, discount=0.9),
    ):
        with pytest.raises(ValueError, match="games of the same shape, clock and legal actions"):
            compared([game, game, other])
        compared({0: [game], 1: [other]}, "last")  # sequences need not be
    forever = make("random", states=3, actions=(2, 3), horizon=None, discount=0.9)
    with pytest.raises(ValueError, match="games of the same shape, clock and legal actions"):
        compared([forever, make("random", states=3, actions=(2, 3), horizon=None, discount=0.8)])


def test_games_whose_legal_actions_differ_are_refused():
    P, R = np.ones((1, 2, 2, 1)), np.zeros((2, 1, 2, 2))
    masked = [np.array([[True, False]]), np.ones((1, 2), bool)]
    one, other = mm.MarkovGame(P, R, horizon=1), mm.MarkovGame(P, R, horizon=1, legal=masked)
    with pytest.raises(ValueError, match="as task 1 after"):
        compared([one, other])


def test_starts_that_are_no_policies_are_refused():
    @dataclass(frozen=True, kw_only=True)
    class Broken(MetaLearner):
        name: ClassVar[str] = "broken"

        def start(self, *_):
            return "uniform"

    with pytest.raises(TypeError, match="The 'init' parameter of solve must be a JointPolicy"):
        compared(meta=Broken())


def test_how_alike_the_games_were():
    games = {seed: tasks("random", n=3, spread=0.05, seed=seed) for seed in (0, 1)}
    found = [
        comparing.compare(games, ["robust", "last"], tol=TOL, n_jobs=jobs).similarity
        for jobs in (1, 2)
    ]
    assert found[0] == found[1]
    assert set(found[0]) == {0, 1}
    for seed, alike in found[0].items():
        only = similarity(games[seed])
        assert (alike.payoff, alike.transition) == (only.payoff, only.transition)
        assert alike.kl > 0 < alike.euclidean
        assert alike.potential is None
    common = tasks("random", n=3, spread=0.05, kind="potential")
    alike = comparing.compare(common, "average", solver="q-ascent", tol=TOL).similarity[0]
    assert alike.potential == pytest.approx(potential_difference(common))
    assert not comparing.compare(games, "oracle", tol=TOL).similarity
