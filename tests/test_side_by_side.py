"""The benchmark beside other libraries: it runs, writes its files, and finds wrong answers out."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import side_by_side  # noqa: E402
from contests import exact, measuring, report  # noqa: E402
from contests.measuring import Contest, Contestant, NotOfferedError, Row, hold  # noqa: E402
from contests.sizes import Sizes  # noqa: E402

QUICK = Sizes(quick=True)


def contestant(name, answer=1.0, **options):
    return Contestant(name=name, prepare=lambda: lambda: answer, **options)


def contest(*contestants, **options):
    return Contest(
        name="one", title="One", contestants=contestants,
        error=lambda answer: abs(answer - 1.0), tolerance=1e-9, **options,
    )  # fmt: skip


def by_name(rows):
    return {row.name: row for row in rows}


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch):
    monkeypatch.setattr(measuring, "SHORTEST", 1e-6)
    monkeypatch.setattr(measuring, "BREATH", 0.0)


def test_the_driver_runs_and_writes_its_files(tmp_path):
    command = [sys.executable, "benchmarks/side_by_side.py", "--quick", "--out", str(tmp_path)]
    for name in ("large_actions", "gap"):
        command += ["--only", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "side_by_side.json").read_text(encoding="utf-8"))
    rows = {(row["contest"], row["name"]): row for row in found["rows"]}
    own = rows["8 actions", "metamarl auto"]
    assert own["status"] == "measured"
    assert own["ratio"] == 1.0
    highs = rows["8 actions", "scipy HiGHS"]
    assert highs["ratio"] == highs["minimum"] / own["minimum"]
    assert rows["gap, S=6", "numpy einsum"]["seconds"]
    assert found["versions"]["numpy"] == np.__version__
    assert found["machine"]["cores"] >= 1
    assert found["seed"] == 0
    assert (tmp_path / "side_by_side.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "side_by_side.md").read_text(encoding="utf-8").startswith("| |")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(side_by_side.FILES)


def test_a_wrong_answer_is_found_out(tmp_path, capsys):
    entered = [contest(contestant("metamarl"), contestant("wrong", 1.1))]
    assert side_by_side.run(entered, QUICK, tmp_path, as_markdown=False) == 1
    assert "disagrees: off by 0.1" in capsys.readouterr().out
    found = json.loads((tmp_path / "side_by_side.json").read_text(encoding="utf-8"))
    assert [row["status"] for row in found["rows"]] == ["measured", "disagrees"]
    assert found["rows"][1]["minimum"] is None


@pytest.mark.parametrize("answer", [np.nan, np.inf])
def test_no_number_is_a_wrong_answer(answer):
    rows = by_name(hold(contest(contestant("metamarl", answer)), 1, 0.1))
    assert rows["metamarl"].status == "disagrees"


def test_a_wrong_policy_of_a_markov_game_is_found_out():
    right = exact.contest(6, 3, 3, QUICK, python=True)
    x, y = right.contestants[0].prepare()()
    assert right.error((x, y)) <= right.tolerance
    assert right.error((np.full_like(x, 1 / 3), y)) > right.tolerance
    assert right.error((2 * x, y)) == np.inf


def test_who_is_missing_is_a_row():
    def refuse():
        raise NotOfferedError("no option 'threads'")

    def fail():
        raise ZeroDivisionError("by zero")

    rows = by_name(
        hold(
            contest(
                contestant("metamarl"),
                contestant("absent", needs=["no_such_module"]),
                Contestant(name="refuses", prepare=refuse),
                Contestant(name="fails", prepare=fail),
            ),
            2,
            0.1,
        )
    )
    assert report.said(rows["absent"]) == "not installed: no_such_module"
    assert report.said(rows["refuses"]) == "not offered: no option 'threads'"
    assert report.said(rows["fails"]) == "failed: ZeroDivisionError: by zero"
    assert rows["metamarl"].ratio == 1.0
    titles = {"one": "One"}
    text = report.markdown(titles, list(rows.values()))
    assert "Not measured (not installed: no_such_module): absent (one)." in text


def test_contestants_take_turns_and_begin_in_turn():
    calls = []

    def works(name):
        return lambda: lambda: calls.append(name) or 1.0

    both = [Contestant(name=name, prepare=works(name)) for name in ("metamarl", "other")]
    rows = hold(contest(*both), 4, 10.0)
    assert [row.rounds for row in rows] == [4, 4]
    turns = "".join(name[0] for name in calls)
    while "mm" in turns or "oo" in turns:
        turns = turns.replace("mm", "m").replace("oo", "o")
    assert len(turns) >= 5


def test_slow_contestants_leave_early_and_their_first_call_counts():
    rows = hold(contest(contestant("metamarl", compiled=False)), 5, 0.0)
    assert rows[0].rounds == 1
    assert rows[0].minimum == rows[0].median


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (2.0, "2 s"), (0.0123, "12.3 ms"), (4.56e-5, "45.6 µs"), (2e-10, "0.2 ns")],
)
def test_seconds_are_told_in_fitting_units(value, words):
    assert report.seconds(value) == words


def test_ratios():
    assert report.ratio(Row(contest="one", name="a")) == "–"
    assert report.ratio(Row(contest="one", name="a", ratio=1234.5)) == "1,234"
    assert report.ratio(Row(contest="one", name="a", ratio=0.456)) == "0.46"


def test_scaling_finds_slopes(tmp_path):
    import scaling

    assert scaling.slope([1, 2, 4, 8], [9.0, 8.0, 32.0, 128.0]) == pytest.approx(2.0)
    assert np.isnan(scaling.slope([1], [1.0]))
    sizes = [1, 10, 100]
    curve = scaling.Curve(axis="states S", work="gap", sizes=sizes, seconds=[1e-3, 1e-2, 0.1])
    scaling.draw(tmp_path / "scaling.png", [curve, scaling.Curve(**{**vars(curve), "axis": "A"})])
    assert (tmp_path / "scaling.png").stat().st_size > 1000
    game = scaling.sparse_game(10, (2, 3), 2, successors=4)
    assert game.kind == "zero-sum"
    assert len(game.table.indices) == 10 * 6 * 4


def test_unknown_contests_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["side_by_side.py", "--only", "nonsense"])
    with pytest.raises(SystemExit):
        side_by_side.main()
    assert "nonsense" in capsys.readouterr().err
