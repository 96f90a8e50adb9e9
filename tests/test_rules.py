"""Games from rules: a small game checked by hand, and what is refused."""

import itertools

import numpy as np
import pytest

from metamarl.envs import MarkovGame, checks, from_rules


def duel(bullets=1, hit=0.25, **options):
    """Two players with `bullets` each wait (0) or, with a bullet left, fire (1); a hit ends it.

    States are the bullets left, or the end. A shot that hits pays its owner 1 and costs the other
    one 1. Whoever has no bullets can only wait; both without bullets: the end.
    """

    def legal(state):
        return [[0], [0]] if state == "end" else [[0, 1] if left else [0] for left in state]

    def step(state, joint):
        if state == "end":
            return [(1.0, "end", (0.0, 0.0))]
        left = tuple(b - a for b, a in zip(state, joint, strict=True))
        after = left if any(left) else "end"
        outcomes = []
        for hits in itertools.product(*([0, 1] if a else [0] for a in joint)):
            chances = [hit if h else 1 - hit for h, a in zip(hits, joint, strict=True) if a]
            pay = float(hits[0] - hits[1])
            outcomes.append((np.prod(chances), "end" if any(hits) else after, (pay, -pay)))
        return outcomes

    return from_rules({(bullets, bullets): 1.0}, legal, step, (2, 2), **options)


def test_a_duel_checked_by_hand():
    game = duel(horizon=2, name="duel", actions=[["wait", "fire"]] * 2)
    assert game.states == [(1, 1), (1, 0), "end", (0, 1)]  # in the order they are found
    assert (game.name, game.kind, game.horizon) == ("duel", "zero-sum", 2)
    assert game.actions == [["wait", "fire"]] * 2
    at = {state: k for k, state in enumerate(game.states)}
    assert game.initial[at[1, 1]] == 1.0
    assert game.initial.sum() == 1.0
    transition, reward = game.dense()
    legal = [[mask[at[s]].tolist() for mask in game.legal] for s in ((1, 1), (1, 0), (0, 1), "end")]
    assert legal == [
        [[True, True], [True, True]],
        [[True, True], [True, False]],
        [[True, False], [True, True]],
        [[True, False], [True, False]],
    ]

    def row(state, *joint):
        chances = transition[(at[state], *joint)]
        return {game.states[k]: chances[k] for k in np.flatnonzero(chances)}

    assert row((1, 1), 0, 0) == {(1, 1): 1.0}
    assert row((1, 1), 1, 0) == {(0, 1): 0.75, "end": 0.25}
    assert row((1, 1), 0, 1) == {(1, 0): 0.75, "end": 0.25}
    assert row((1, 1), 1, 1) == {"end": 1.0}  # four outcomes with one next state
    assert row((1, 0), 1, 0) == {"end": 1.0}
    assert row("end", 0, 0) == {"end": 1.0}
    assert reward[0, at[1, 1]].tolist() == [[0.0, -0.25], [0.25, 0.0]]  # expected
    assert reward[0, at[1, 0]].tolist() == [[0.0, 0.0], [0.25, 0.0]]
    np.testing.assert_array_equal(reward[1], -reward[0])


def test_the_start_may_be_drawn():
    game = from_rules(
        {"a": 0.25, "b": 0.75},
        legal=lambda _: [[0]],
        step=lambda state, _: [(1.0, "end", (float(state == "a"),))],
        n_actions=[1],
    )
    assert list(game.states) == ["a", "b", "end"]
    assert game.initial.tolist() == [0.25, 0.75, 0.0]
    assert game.horizon is None
    assert game.discount == 1.0


def test_outcomes_without_probability_are_no_states():
    game = from_rules(
        {0: 1.0},
        legal=lambda _: [[0]],
        step=lambda state, _: [(0.0, state + 1, (9.0,)), (1.0, state, (1.0,))],
        n_actions=(1,),
        discount=0.5,
    )
    assert game.states == [0]
    assert game.dense()[1].tolist() == [[[1.0]]]


def test_rules_are_the_arrays_they_enumerate():
    game = duel(bullets=2, horizon=4, discount=0.9)
    again = MarkovGame(*game.dense(), game.initial, 4, 0.9, game.legal)
    for name in ("rows", "indptr", "indices", "probabilities", "reward"):
        np.testing.assert_allclose(
            getattr(game.table, name), getattr(again.table, name), atol=1e-15
        )


RULES = {
    "start": {"go": 1.0},
    "legal": lambda _: [[0, 1], [0]],
    "step": lambda *_: [(1.0, "go", (0.0, 0.0))],
    "n_actions": (2, 1),
    "horizon": 2,
}
REFUSED = {
    "no legal action": ({"legal": lambda _: [[0], []]}, "legal", ["'go'", "at least one"]),
    "no legal action further on": (
        {
            "legal": lambda state: [[0], [0] if state == "go" else []],
            "step": lambda *_: [(1.0, "stop", (0.0, 0.0))],
        },
        "legal", ["'stop'"],
    ),
    "actions of one player": ({"legal": lambda _: [[0]]}, "legal", ["'go'", "2 players"]),
    "actions of three players": ({"legal": lambda _: [[0]] * 3}, "legal", ["'go'", "2 players"]),
    "an unknown action": ({"legal": lambda _: [[0, 2], [0]]}, "legal", ["'go'", "[2, 1]"]),
    "a negative action": ({"legal": lambda _: [[-1, 0], [0]]}, "legal", ["'go'"]),
    "actions out of order": ({"legal": lambda _: [[1, 0], [0]]}, "legal", ["increasing", "'go'"]),
    "an action twice": ({"legal": lambda _: [[0, 0], [0]]}, "legal", ["increasing", "'go'"]),
    "an action in words": ({"legal": lambda _: [["up"], [0]]}, "legal", ["'go'", "'up'"]),
    "outcomes below 1": (
        {"step": lambda *_: [(0.5, "go", (0.0, 0.0)), (0.4, "stop", (0.0, 0.0))]},
        "step", ["sum to 1", "0.9", "state 'go', joint action (0, 0)"],
    ),
    "no outcomes": (
        {"step": lambda _, joint: [(1.0, "go", (0.0, 0.0))] * (joint == (0, 0))},
        "step", ["sum of 0", "state 'go', joint action (1, 0)"],
    ),
    "an outcome that is NaN": (
        {"step": lambda *_: [(float("nan"), "go", (0.0, 0.0))]}, "step", ["nan", "'go'"],
    ),
    "a negative outcome": (
        {"step": lambda *_: [(1.5, "go", (0.0, 0.0)), (-0.5, "stop", (0.0, 0.0))]},
        "step", ["a probability", "-0.5", "state 'go', joint action (0, 0)"],
    ),
    "a reward that is NaN": (
        {"step": lambda *_: [(1.0, "go", (0.0, float("nan")))]},
        "step", ["finite", "(0.0, nan)", "state 'go', joint action (0, 0)"],
    ),
    "one reward": (
        {"step": lambda *_: [(1.0, "go", (0.0,))]},
        "step", ["2 rewards", "state 'go', joint action (0, 0)"],
    ),
    "three rewards": ({"step": lambda *_: [(1.0, "go", (0.0,) * 3)]}, "step", ["2 rewards"]),
    "a reward beyond sums": (
        {"step": lambda *_: [(1.0, "go", (0.0, -1e151))]}, "step", ["at most 1e150", "'go'"],
    ),
    "no rewards": (
        {"step": lambda *_: [(1.0, "go")]},
        "step", ["(1.0, 'go') in state 'go', joint action (0, 0)"],
    ),
    "rewards by name": ({"step": lambda *_: [(1.0, "go", {"a": 0, "b": 0})]}, "step", ["'go'"]),
    "actions of nobody": ({"legal": lambda _: [None, [0]]}, "legal", ["None", "'go'"]),
    "an unknown option": (
        {"horizn": 2}, "options", ["from_rules", "discount, name", "'horizon'", "'horizn'"],
    ),
    "states among the options": ({"states": ["go"]}, "options", ["from_rules", "'states'"]),
    "no start": ({"start": {}}, "start", ["not empty"]),
    "a start below 1": ({"start": {"go": 0.5}}, "start", ["sum to 1", "0.5"]),
    "a negative start": ({"start": {"go": 1.5, "stop": -0.5}}, "start", ["-0.5"]),
    "a start that is NaN": ({"start": {"go": float("nan")}}, "start", ["nan"]),
    "no players": ({"n_actions": ()}, "n_actions", ["at least one player"]),
    "no action": ({"n_actions": (2, 0)}, "n_actions", ["at least 1"]),
    "horizon 0": ({"horizon": 0}, "horizon", ["at least 1"]),
    "no clock": (
        {"horizon": None, "step": lambda *_: [(1.0, "go", (1.0, 0.0))]}, "horizon", ["end by"],
    ),
    "names of other actions": ({"actions": [["l", "r"]] * 2}, "actions", ["[2, 1]", "[2, 2]"]),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "parameter", "words"), REFUSED.values(), ids=REFUSED)
def test_refusals_name_the_state(changes, parameter, words):
    with pytest.raises(ValueError, match=rf"^The '{parameter}(\[\d\])?' parameter of ") as caught:
        from_rules(**{**RULES, **changes})
    for word in words:
        assert word in str(caught.value)
    assert str(caught.value).endswith(" instead.")
    assert "\n" not in str(caught.value)


WRONG_TYPES = {
    "legal is no function": ({"legal": 5}, "legal", "Got 5"),
    "legal returns nothing": ({"legal": lambda _: None}, "legal", "None in state 'go'"),
    "step is no function": ({"step": None}, "step", "Got None"),
    "step returns nothing": ({"step": lambda *_: None}, "step", "None in state 'go', joint action"),
    "a number of actions": ({"n_actions": 5}, "n_actions", "one integer for each player"),
    "an outcome that is a number": ({"step": lambda *_: [1.0]}, "step", "1.0 in state 'go'"),
    "a single reward": ({"step": lambda *_: [(1.0, "go", 3.0)]}, "step", "'go', 3.0) in state"),
    "text as rewards": ({"step": lambda *_: [(1.0, "go", "ab")]}, "step", "'ab') in state 'go'"),
    "text as a reward": ({"step": lambda *_: [(1.0, "go", (0, "b"))]}, "step", "in state 'go'"),
    "text as a probability": ({"step": lambda *_: [("1", "go", (0, 0))]}, "step", "in state 'go'"),
    "a list as a state": (
        {"step": lambda *_: [(1.0, ["go"], (0, 0))]}, "step", "['go'], (0, 0)) in state 'go'",
    ),
    "a long state": (
        {"step": lambda *_: [(1.0, ["go" * 200], (0, 0))]}, "step", "... in state 'go', joint",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "parameter", "words"), WRONG_TYPES.values(), ids=WRONG_TYPES)
def test_wrong_types_name_the_state(changes, parameter, words):
    with pytest.raises(TypeError, match=rf"^The '{parameter}' parameter of from_rules") as caught:
        from_rules(**{**RULES, **changes})
    assert words in str(caught.value)
    assert str(caught.value).endswith(" instead.")


@pytest.mark.parametrize("start", [None, ["go"], "go"])
def test_the_start_is_a_mapping(start):
    with pytest.raises(TypeError, match="'start' parameter of from_rules must be a mapping"):
        from_rules(**{**RULES, "start": start})


@pytest.mark.parametrize("error", [KeyError, TypeError, ValueError])
def test_errors_of_the_rules_come_through(error):
    def broken(*_):
        raise error("mine")

    def broken_later(*_):
        yield (0.5, "go", (0.0, 0.0))
        raise error("mine")

    for changes in ({"step": broken}, {"step": broken_later}, {"legal": broken}):
        with pytest.raises(error, match="mine"):
            from_rules(**{**RULES, **changes})


def test_rules_without_end_are_stopped_by_memory(monkeypatch):
    monkeypatch.setattr(checks, "available_memory", lambda: 1e7)
    with pytest.raises(ValueError, match=r"Enumerating the game beyond \d+ states needs about"):
        from_rules(
            {0: 1.0},
            legal=lambda _: [[0]],
            step=lambda state, _: [(0.5, 3 * state + 1, (0.0,)), (0.5, 3 * state + 2, (0.0,))],
            n_actions=(1,),
            horizon=10,
        )
