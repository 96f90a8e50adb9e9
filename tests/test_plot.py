"""The figure of a comparison is drawn whatever was found, and is there whole or not at all."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from metamarl._ticks import round_numbers
from metamarl.algorithms.solution import Trace
from metamarl.comparison import Comparison
from metamarl.plot import _draw, _smallest_so_far, plot_comparison


def trace_of(gaps, every=1):
    gaps = np.array(gaps, float)
    iteration = every * np.arange(1, len(gaps) + 1)
    return Trace(iteration=iteration, gap=gaps, seconds=0.01 * iteration)


def comparison_of(runs, *, arms=("none", "robust"), tol=0.01, interrupted=False, name="soccer"):
    """A comparison from {(seed, task, arm): gaps}."""
    traces = {key: trace_of(gaps) for key, gaps in runs.items()}
    rows = [
        {
            "seed": seed,
            "task": task,
            "arm": arm,
            "iterations": int(trace.iteration[-1]),
            "seconds": 0.1,
            "gap": trace.gap[-1],
            "converged": trace.gap[-1] <= tol,
        }
        for (seed, task, arm), trace in traces.items()
    ]
    config = {"tol": tol, "game": name}
    return Comparison(
        rows=rows, traces=traces, arms=list(arms), config=config, interrupted=interrupted
    )


def falling(iterations, last=0.009):
    return np.geomspace(1.0, last, iterations)


FULL = {
    (seed, task, arm): falling((400 if arm == "none" else 40) + 7 * seed + 3 * task)
    for seed in range(3)
    for task in range(4)
    for arm in ("none", "robust")
}
CASES = {
    "full": comparison_of(FULL),
    "one task": comparison_of({k: v for k, v in FULL.items() if k[1] == 0}),
    "one seed": comparison_of({k: v for k, v in FULL.items() if k[0] == 0}),
    "one solve": comparison_of({(0, 0, "none"): falling(9)}, arms=["none"]),
    "only scratch": comparison_of({k: v for k, v in FULL.items() if k[2] == "none"}, arms=["none"]),
    "no pairs": comparison_of(
        {k: v for k, v in FULL.items() if (k[0] == 0) == (k[2] == "none")}, interrupted=True
    ),
    "holes": comparison_of(dict(list(FULL.items())[:11]), interrupted=True),
    "zero gaps": comparison_of({(0, t, a): [0.0] for t in (0, 1) for a in ("none", "robust")}),
    "infinite gaps": comparison_of({(0, 0, "none"): [np.inf, 1.0], (0, 0, "robust"): [np.inf]}),
    "oracle": comparison_of(
        {(s, t, a): [1e-16] if a == "oracle" else falling(5000)
         for s in (0, 1) for t in (0, 1) for a in ("none", "oracle")},
        arms=["none", "oracle"],
    ),
    "seeds at odds": comparison_of(
        {(0, 0, "none"): falling(5000), (0, 0, "robust"): falling(1),
         (1, 0, "none"): falling(1), (1, 0, "robust"): falling(5000)},
    ),
    "many arms": comparison_of(
        {(0, t, f"arm{k}" if k else "none"): falling(20 + k) for t in (0, 1) for k in range(9)},
        arms=["none", *(f"arm{k}" for k in range(1, 9))],
    ),
    "odd names": comparison_of(
        {(0, 0, "none"): falling(9), (0, 0, "_$a$^"): falling(9)},
        arms=["none", "_$a$^"], name="it's $5$ a_{move",
    ),
}  # fmt: skip


def texts(figure):
    """Everything written in a figure."""
    found = []
    for axes in figure.axes:
        found += [axes.get_title("left"), axes.get_xlabel(), axes.get_ylabel()]
        found += [text.get_text() for text in axes.texts]
    for legend in figure.legends:
        found += [legend.get_title().get_text(), *(t.get_text() for t in legend.get_texts())]
    return found


@pytest.mark.parametrize("case", CASES)
def test_draws_whatever_was_found(case, tmp_path):
    path = plot_comparison(CASES[case], tmp_path / "figure.png")
    with Image.open(path) as picture:
        assert picture.size == (1200, 500)
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".PNG"])
def test_format_from_suffix(suffix, tmp_path):
    path = tmp_path / f"figure{suffix}"
    assert plot_comparison(CASES["full"], str(path)) == path
    begin = path.read_bytes()[:8]
    assert begin.startswith({".pdf": b"%PDF", ".svg": b"<?xml"}.get(suffix, b"\x89PNG"))


def test_same_comparison_same_file(tmp_path):
    one, two = (plot_comparison(CASES["full"], tmp_path / f"{k}.png") for k in (1, 2))
    assert one.read_bytes() == two.read_bytes()


def test_svg_is_well_formed(tmp_path):
    ElementTree.parse(plot_comparison(CASES["odd names"], tmp_path / "figure.svg"))


@pytest.mark.parametrize("name", ["figure.bmp", "figure", "figure.png.txt"])
def test_unknown_suffix(name, tmp_path):
    with pytest.raises(ValueError, match=r"The 'path' parameter .* \.png, \.pdf or \.svg"):
        plot_comparison(CASES["full"], tmp_path / name)


def test_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("missing", "file"):
        with pytest.raises(OSError, match="is not a folder"):
            plot_comparison(CASES["full"], tmp_path / folder / "figure.png")


def test_nothing_finished(tmp_path):
    with pytest.raises(ValueError, match="at least one finished solve"):
        plot_comparison(comparison_of({}), tmp_path / "figure.png")


def test_failed_drawing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")

    def fail(_, file, **__):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plot_comparison(CASES["full"], path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_says_what_it_shows():
    said = texts(_draw(CASES["full"]))
    assert "soccer: 4 related games, 3 seeds" in said
    assert {"from scratch (none)", "start: robust", "tolerance 0.01", "iterations"} <= set(said)
    assert "Speed-up task by task (mean of 3 seeds, 95 % interval)" in said
    assert "only starts from scratch were run" in texts(_draw(CASES["only scratch"]))
    assert "nothing to compare with" in texts(_draw(CASES["no pairs"]))
    assert "smaller gaps are drawn here" in texts(_draw(CASES["oracle"]))
    assert "soccer: 1 game (interrupted)" in texts(
        _draw(comparison_of({(0, 0, "none"): falling(9)}, interrupted=True))
    )
    failed = comparison_of({(0, 0, "none"): [1.0], (0, 0, "robust"): falling(9)})
    assert "soccer: 1 game; 1 of 2 solves did not reach the tolerance" in texts(_draw(failed))


def test_numbers_drawn():
    """Task 0 is left out of the gaps; speed-ups are geometric means over the seeds."""
    runs = {(0, 0, "none"): falling(4000), (0, 0, "robust"): falling(4000)}
    for seed, (scratch, learned) in enumerate([(400, 100), (900, 9)]):
        runs[seed, 1, "none"], runs[seed, 1, "robust"] = falling(scratch), falling(learned)
    left, right = _draw(comparison_of(runs)).axes
    assert left.get_lines()[0].get_xdata()[-1] == 900
    speedups = right.get_lines()[0].get_ydata()
    np.testing.assert_allclose(speedups, [1.0, np.sqrt(4 * 100)])


def test_smallest_so_far_holds_its_last_value():
    trace = trace_of([0.5, 0.7, np.nan, 0.1], every=10)
    grid = np.array([1, 10, 15, 20, 30, 40, 99])
    np.testing.assert_array_equal(_smallest_so_far(trace, grid), [0.5] * 5 + [0.1, 0.1])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.9, 2e4, [1, 10, 100, 1e3, 1e4]),
        (0.5, 2, [0.5, 1, 2]),
        (0.9, 120, [1, 3, 10, 30, 100]),
        (1e-7, 1e7, [1e-6, 1e-3, 1, 1e3, 1e6]),
    ],
)
def testround_numbers(low, high, ticks):
    np.testing.assert_allclose(round_numbers(low, high), ticks)


def test_draws_into_memory_without_pyplot():
    import sys

    figure, file = _draw(CASES["full"]), io.BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")
    if "matplotlib.pyplot" in sys.modules:
        import matplotlib.pyplot as plt

        assert not plt.get_fignums()
