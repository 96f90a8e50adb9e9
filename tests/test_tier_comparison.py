"""Agents side by side: the same numbers on any number of threads, tables, files, figures."""

import csv
import json
import math
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import metamarl as mm
from metamarl.tier_plot import _draw, plot_tiers

MODELS = {seed: mm.tier_tasks("permuted", 2, seed) for seed in (7, 8)}
AGENTS = ["none", "robust", mm.RobustTransfer(evidence=None)]
FULL = mm.compare_tiers(MODELS, AGENTS, 2000, seeds=(0, 1, 2), n_jobs=2)
FILES = {"figure.png", "rows.csv", "regret.csv", "states.csv", "table.txt", "config.json"}


def without_seconds(comparison):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in comparison.rows]


def test_threads_do_not_change_the_numbers():
    again = mm.compare_tiers(MODELS, AGENTS, 2000, seeds=(0, 1, 2))
    assert without_seconds(again) == without_seconds(FULL)
    for key, run in FULL.runs.items():
        np.testing.assert_array_equal(run.regret_high, again.runs[key].regret_high)
    model, seed, agent = 8, 1, "robust"
    alone = mm.tiered(*MODELS[model], agent, 2000, seed)
    np.testing.assert_array_equal(alone.regret_high, FULL.runs[model, seed, agent].regret_high)


def test_rows():
    assert [(r["model"], r["seed"], r["agent"]) for r in FULL.rows] == list(FULL.runs)
    assert len(FULL.rows) == 18
    for row in FULL.rows:
        run = FULL.runs[row["model"], row["seed"], row["agent"]]
        assert row["regret"] == run.regret_high[-1]
        assert row["last_half"] == pytest.approx(run.regret_high[-1] - run.regret_high[999])
        assert row["low"] == pytest.approx(run.regret_low[:, -1].mean())
        assert row["trusting"] == pytest.approx((run.trust[-1] >= 0).mean())
        assert 0 < row["transferable"] < row["regret"]


def test_intervals_are_over_models_or_over_the_seeds_of_one():
    none = [r for r in FULL.rows if r["agent"] == "none"]
    means = [np.mean([r["regret"] for r in none if r["model"] == m]) for m in (7, 8)]
    found = FULL.summary()[0]["regret"]
    assert found.mean == pytest.approx(np.mean(means))
    half = 12.706 * np.std(means, ddof=1) / math.sqrt(2)  # Student's t, one degree of freedom
    assert found.high - found.mean == pytest.approx(half, rel=1e-3)
    one = mm.compare_tiers(MODELS[7], AGENTS, 2000, seeds=(0, 1, 2))
    regrets = [r["regret"] for r in one.rows if r["agent"] == "none"]
    found = one.summary()[0]["regret"]
    half = 4.3027 * np.std(regrets, ddof=1) / math.sqrt(3)
    assert found.high - found.mean == pytest.approx(half, rel=1e-3)


def test_table():
    lines = FULL.table().splitlines()
    assert lines[0].split("  ")[0] == "agent"
    assert "of none's" in lines[0]
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "none",
        "robust",
        "robust(evidence=None)",
    ]
    single = mm.compare_tiers(MODELS[7], "robust", 100)
    assert len(single.table().splitlines()) == 2
    nothing = mm.compare_tiers(mm.tier_tasks(actions=1), ["none", "robust"], 100).table()
    assert nothing.splitlines()[2].split()[:3] == ["robust", "0.0", "-"]


def test_save(tmp_path):
    folder = FULL.save(tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == FILES
    with (folder / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["regret"]) for r in rows] == [r["regret"] for r in FULL.rows]
    with (folder / "regret.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert last["episode"] == "2000"
    assert float(last["regret"]) == FULL.rows[-1]["regret"]
    together = float(last["regret_transferable"]) + float(last["regret_other"])
    assert together == pytest.approx(float(last["regret"]))
    with (folder / "states.csv").open() as file:
        states = list(csv.DictReader(file))
    assert len(states) == 3 * 2 * 15
    assert {r["comes"] for r in states} <= {"True", "False"}
    assert (folder / "table.txt").read_text() == FULL.table() + "\n"
    config = json.loads((folder / "config.json").read_text())
    assert config["episodes"] == 2000
    with Image.open(folder / "figure.png") as picture:
        assert picture.size == (1200, 500)


def test_a_run_saves_and_draws_itself(tmp_path):
    run = mm.tiered(*MODELS[7], episodes=300)
    assert {p.name for p in run.save(tmp_path / "run").iterdir()} == {
        "figure.png", "regret.csv", "states.csv", "config.json"
    }  # fmt: skip
    assert json.loads((tmp_path / "run/config.json").read_text())["played"] == 300
    for suffix in (".png", ".pdf", ".svg"):
        path = tmp_path / f"figure{suffix}"
        assert run.plot(path) == path
        assert path.stat().st_size > 5000


def texts(figure):
    found = [axes.get_title("left") for axes in figure.axes]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
    (legend,) = figure.legends
    return [*found, legend.get_title().get_text(), *(t.get_text() for t in legend.get_texts())]


def test_figure_shows_the_numbers():
    figure = _draw(FULL.by_agent(), "")
    assert {"none", "robust", "2 sources, 2,000 episodes"} <= set(texts(figure))
    curve = figure.axes[0].get_lines()[1]
    ends = [r["regret"] for r in FULL.rows if r["agent"] == "robust"]
    assert curve.get_xdata()[-1] == 2000
    assert curve.get_ydata()[-1] == pytest.approx(np.mean(ends))
    assert "What the high tier paid (mean of 6 runs, 95 % interval)" in texts(figure)
    (image,) = figure.axes[1].get_images()
    shares = np.array(image.get_array())
    assert shares.shape == (3, 5)
    assert 0 < shares.mean() < 1
    one = _draw({"robust": [FULL.runs[7, 0, "robust"]]}, "")
    (image,) = one.axes[1].get_images()
    rings = one.axes[1].collections[0].get_offsets()
    covered = FULL.runs[7, 0, "robust"].diagnosis.covered
    np.testing.assert_array_equal(sorted(map(tuple, rings)), np.argwhere(covered))


def test_an_agent_that_pays_far_more_does_not_hide_the_others():
    runs = FULL.by_agent()
    left = _draw(runs, "").axes[0]
    assert left.get_yscale() == "linear"
    assert left.yaxis.get_major_formatter()(12000, 0) == "12,000"
    (run,) = runs["robust"][:1]
    dear = [replace(low, values=50 * low.values) for low in run.increments]
    runs = {**runs, "naive": [replace(run, increments=dear)]}
    left = _draw(runs, "").axes[0]
    assert left.get_yscale() == "log"
    ends = [line.get_ydata()[-1] for line in left.get_lines()]
    assert left.get_ylim()[0] < min(ends) < max(ends) < left.get_ylim()[1]
    assert left.yaxis.get_major_formatter()(12000, 0) == "12,000"


def test_figure_of_whatever_was_found(tmp_path):
    big = mm.tier_tasks(states=30, horizon=20)
    cases = {
        "no trust": {"none": [FULL.runs[7, 0, "none"]]},
        "one episode": {"robust": [mm.tiered(*MODELS[7], episodes=1)]},
        "no regret": {"robust": [mm.tiered(*mm.tier_tasks(actions=1), episodes=5)]},
        "many states": {"naive": [mm.tiered(*big, "naive", episodes=50)]},
        "bandit": {"robust": [mm.tiered_bandits([[0.5, 0.1]], [0.5, 0.1], episodes=100)]},
        "odd name": {"$a_{": [FULL.runs[7, 0, "robust"]]},
    }
    for name, runs in cases.items():
        path = plot_tiers(runs, tmp_path / f"{name}.png")
        with Image.open(path) as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 10, name
    assert "nowhere" in texts(_draw(cases["no trust"], ""))
    with pytest.raises(ValueError, match="played episode"):
        plot_tiers({"robust": []}, tmp_path / "figure.png")
    with pytest.raises(ValueError, match="'path'"):
        plot_tiers(cases["no trust"], tmp_path / "figure.bmp")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_keeps_what_there_is(n_jobs, tmp_path):
    def stop(done, total):
        assert total == 12 * 30_000
        if done > 4.5 * 30_000 and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    calls = []

    def show(done, total):
        calls.append(done)
        stop(done, total)

    if n_jobs == 1:
        found = mm.compare_tiers(MODELS, ["none", "robust"], 30_000, (0, 1, 2), progress=show)
        assert found.interrupted
        assert found.finished() == [(7, 0), (7, 1)]
        assert len(found.runs) == 5
    else:
        with pytest.MonkeyPatch.context() as patch:
            from metamarl import tier_comparing

            real = tier_comparing.as_completed

            def few(futures):
                for k, future in enumerate(real(futures)):
                    if k == 4:
                        raise KeyboardInterrupt
                    yield future

            patch.setattr(tier_comparing, "as_completed", few)
            found = mm.compare_tiers(MODELS, ["none", "robust"], 30_000, (0, 1, 2), 2, show)
        assert found.interrupted
        assert 4 <= len(found.runs) < 12
    assert calls == sorted(calls)
    assert "robust" in found.table()
    found.save(tmp_path)
    assert (tmp_path / "figure.png").exists()


def test_a_run_that_fails_ends_the_others():
    def fail(done, _):
        raise RuntimeError(f"after {done}")

    for n_jobs in (1, 2):
        with pytest.raises(RuntimeError, match="after"):
            mm.compare_tiers(MODELS, AGENTS, 10**7, n_jobs=n_jobs, progress=fail)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tiers": {}}, "at least one high-tier task"),
        ({"tiers": MODELS[7].high}, r"\(sources, high-tier task\)"),
        ({"tiers": {0: MODELS[7].low[:1]}}, r"\(sources, high-tier task\)"),
        ({"tiers": ([], MODELS[7].high)}, "at least one source"),
        ({"agents": []}, "one or more different agents"),
        ({"agents": ["none", "none"]}, "one or more different agents"),
        ({"agents": ["nobody"]}, "'agent'"),
        ({"episodes": 0}, "'episodes'"),
        ({"seeds": []}, "'seeds'"),
        ({"seeds": [1, 1]}, "'seeds'"),
        ({"seeds": [-1]}, "'seeds'"),
        ({"seeds": 3}, "'seeds' parameter of compare_tiers must be a list of different seeds"),
        ({"seeds": "01"}, "'seeds' parameter of compare_tiers must be a list of different seeds"),
        ({"seed": 3}, "unexpected keyword argument 'seed'"),
        ({"foo": 3}, "unexpected keyword argument 'foo'"),
        ({"n_jobs": 0}, "'n_jobs'"),
        ({"bonus": "none"}, "'bonus'"),
        ({"reward_range": (0, 0.1)}, "rewards in"),
    ],
)
def test_bad_input(change, says):
    with pytest.raises((TypeError, ValueError), match=says):
        mm.compare_tiers(**{"tiers": MODELS, "episodes": 10} | change)


def test_processes_do_not_change_the_numbers():
    done = []
    found = mm.compare_tiers(
        MODELS, AGENTS, 2000, (0, 1, 2), 2, lambda *now: done.append(now), backend="processes"
    )
    assert without_seconds(found) == without_seconds(FULL)
    for key, run in FULL.runs.items():
        np.testing.assert_array_equal(run.regret_high, found.runs[key].regret_high)
        np.testing.assert_array_equal(run.trust, found.runs[key].trust)
        assert list(run.state_rows()) == list(found.runs[key].state_rows())
    assert done[-1] == (36_000, 36_000)
    assert len(done) == 18


def test_ctrl_c_between_runs_of_processes(tmp_path):
    def stop(done, _):
        if done >= 4000:
            raise KeyboardInterrupt

    found = mm.compare_tiers(
        MODELS, AGENTS, 2000, (0, 1, 2), 2, stop, backend="processes", keep=tmp_path
    )
    assert found.interrupted
    assert 1 <= len(found.runs) < 18
    assert len(list(tmp_path.iterdir())) == len(found.runs)
    again = mm.compare_tiers(MODELS, AGENTS, 2000, (0, 1, 2), keep=tmp_path)
    assert not again.interrupted
    assert without_seconds(again) == without_seconds(FULL)
    assert set(found.seconds.items()) <= set(again.seconds.items())  # not done again


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"backend": "spark"}, "'backend' parameter of compare_tiers"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "left out for backend 'threads'"),
        (
            {"backend": "processes", "scheduler": "tcp://127.0.0.1:1"},
            "'scheduler' parameter of compare_tiers must be left out for backend 'processes'",
        ),
        ({"backend": "processes", "n_jobs": 0}, "'n_jobs' parameter of compare_tiers"),
        ({"keep": ""}, "a folder needs a name"),
        ({"keep": 3}, "'keep' parameter of compare_tiers"),
    ],
)
def test_bad_workers_are_refused(options, match):
    with pytest.raises((TypeError, ValueError), match=match):
        mm.compare_tiers(MODELS, AGENTS, 10, **options)
