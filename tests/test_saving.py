"""Solutions in files: what is read is what was written, and nothing else is taken for it."""

import json
import pickle

import numpy as np
import pytest

import metamarl as mm

SOLVES = {
    "zero-sum, discount": lambda: mm.solve(mm.make("soccer")),
    "zero-sum, horizon": lambda: mm.solve(mm.make("rps", rounds=3), "omd", tol=0.1),
    "turn-based": lambda: mm.solve(mm.make("tictactoe")),
    "correlated": lambda: mm.solve(mm.make("prisoners")),
    "potential": lambda: mm.solve(mm.make("stag-hunt")),
    "not converged": lambda: mm.solve(mm.make("rps"), "omd", max_iterations=2, throw=False),
}


@pytest.mark.parametrize("name", SOLVES)
def test_what_is_read_is_what_was_written(name, tmp_path):
    solution = SOLVES[name]()
    path = solution.save(tmp_path / "deal.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["deal.npz"]
    again = mm.load(str(path), solution.game)
    for own, other in zip(solution.policy, again.policy, strict=True):
        np.testing.assert_array_equal(own, other)
    np.testing.assert_array_equal(solution.value, again.value)
    assert repr(again) == repr(solution)
    assert (again.gap, again.status, again.note) == (solution.gap, solution.status, solution.note)
    assert again.solver == solution.solver
    assert (again.correlated is None) == (solution.correlated is None)
    if solution.correlated is not None:
        np.testing.assert_array_equal(again.correlated.joint, solution.correlated.joint)
        assert mm.cce_gap(again.game, again.correlated) == pytest.approx(solution.gap, abs=1e-12)
    for column in ("iteration", "gap", "seconds", "potential"):
        own, other = getattr(solution.trace, column), getattr(again.trace, column)
        assert (own is None) == (other is None)
        if own is not None:
            np.testing.assert_array_equal(own, other)
    assert mm.load(path).game is None


def test_the_game_must_be_the_one_that_was_solved(tmp_path):
    path = mm.solve(mm.make("soccer")).save(tmp_path / "a")
    assert mm.load(path, mm.make("soccer")).game.name == "soccer"
    for other, words in [
        (mm.make("rps"), "name rps for soccer"),
        (mm.make("soccer", discount=0.8), r"another \(discount 0.8 for 0.9\)"),
        (mm.make("soccer", slip=(0.1, 0.1)), r"another \(links"),
    ]:
        with pytest.raises(ValueError, match=f"'game' parameter of load .*{words}"):
            mm.load(path, other)


@pytest.mark.parametrize("name", ["soccer", "rps"])
def test_games_that_differ_in_numbers_only_are_told_apart(name, tmp_path):
    one, other = mm.tasks(name, n=2, spread=0.5)
    path = mm.solve(one, tol=0.1).save(tmp_path / "a")
    assert mm.load(path, mm.tasks(name, n=2, spread=0.5)[0]).game.name == one.name
    with pytest.raises(ValueError, match=r"'game' parameter of load .*numbers"):
        mm.load(path, other)


@pytest.mark.parametrize("part", ["reward", "transition", "initial"])
def test_every_number_counts_but_not_its_last_digits(part, tmp_path):
    def game(**change):
        parts = {
            "transition": np.full((2, 2, 2, 2), 0.5),
            "reward": np.arange(16.0).reshape(2, 2, 2, 2),
            "initial": np.full(2, 0.5),
        }
        for name, size in change.items():
            parts[name] = parts[name] + np.array([size, -size])
        return mm.MarkovGame(**parts, discount=0.5)

    path = mm.solve(game(), throw=False, max_iterations=1).save(tmp_path / "a")
    assert mm.load(path, game(**{part: 1e-14})).game is not None
    with pytest.raises(ValueError, match=r"another \(numbers \w+ for \w+\)"):
        mm.load(path, game(**{part: 1e-3}))


def test_nothing_else_is_read(tmp_path):
    path = mm.solve(mm.make("rps")).save(tmp_path / "solution.npz")
    whole = path.read_bytes()
    with np.load(path) as file:
        arrays = dict(file)
    bad = tmp_path / "bad.npz"

    def refused():
        with pytest.raises(
            ValueError, match=r"'path' parameter of load .*solution.save has written"
        ):
            mm.load(bad)

    for content in [b"", b"text", whole[: len(whole) // 2], pickle.dumps({"about": 1})]:
        bad.write_bytes(content)
        refused()
    np.savez(bad, player_0=np.ones(3))
    refused()
    np.savez(bad, **{**arrays, "about": np.array([print], dtype=object)}, allow_pickle=True)
    refused()
    about = json.loads(str(arrays["about"]))
    for change in [
        {"format": "metamarl solution 9"},
        {"status": "FINE"},
        {"solver": {"name": "x"}},
    ]:
        np.savez(bad, **{**arrays, "about": np.array(json.dumps({**about, **change}))})
        refused()
    del arrays["value"]
    np.savez(bad, **arrays)
    refused()


def test_where_it_is_written(tmp_path):
    solution = mm.solve(mm.make("rps"))
    path = tmp_path / "again"
    path.write_text("something else")
    solution.save(path)
    assert mm.load(path).gap == solution.gap
    with pytest.raises(FileNotFoundError, match="nowhere"):
        solution.save(tmp_path / "nowhere" / "solution.npz")
    with pytest.raises(TypeError, match="'path' parameter of save must be a path"):
        solution.save(3)
    with pytest.raises(TypeError, match="'path' parameter of load must be a path"):
        mm.load(3)
    with pytest.raises(TypeError, match="'game' parameter of load"):
        mm.load(path, "rps")
    with pytest.raises(FileNotFoundError):
        mm.load(tmp_path / "nothing")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again"]
