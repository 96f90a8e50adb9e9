"""OpenSpiel's games of perfect information: from its rules to the value of every state.

The right values are those of a plain recursion over OpenSpiel's states, with a linear program where
both players move at once. Answers are dictionaries of OpenSpiel's texts; an answer must know the
first state. OpenSpiel lists the ends of play as states too, metamarl has one end.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

import metamarl as mm
from contests import ours
from contests.exact import highs
from contests.measuring import Contest, Contestant, Work
from contests.sizes import Sizes

GOOFSPIEL = {"imp_info": False, "points_order": "descending", "returns_type": "win_loss"}
Values = dict[str, float]


def contests(sizes: Sizes) -> Iterator[Contest]:
    if not sizes.quick:
        yield contest("tic_tac_toe", {}, "Tic-tac-toe", "tictactoe", {})
    cards = 3 if sizes.quick else 4
    own = {"cards": cards, "order": "descending", "payoff": "win"}
    rules = {**GOOFSPIEL, "num_cards": cards}
    yield contest("goofspiel", rules, f"Goofspiel, {cards} cards, in order", "goofspiel", own)


def contest(
    name: str, rules: dict[str, Any], title: str, game: str, options: dict[str, Any]
) -> Contest:
    right: Values = {}

    def error(answer: Values) -> float:
        """Largest difference of a value; infinite where the first state has none."""
        if not right:
            import pyspiel

            _recur(pyspiel.load_game(name, rules).new_initial_state(), right)
        first = next(iter(right.values())) if None in answer else None
        if first is not None:  # one value alone, that of the first state
            return abs(answer[None] - first)
        known = [(answer[text], value) for text, value in right.items() if text in answer]
        if next(iter(right)) not in answer or len(known) < len(answer):
            return np.inf
        return max(abs(a - b) for a, b in known)

    contestants = [
        Contestant(
            name="metamarl, from OpenSpiel's rules", needs=["pyspiel"],
            prepare=lambda: lambda: _solve(mm.from_openspiel(name, rules or None)),
        ),
        Contestant(
            name="metamarl, solving alone", needs=["pyspiel"], prepare=lambda: _solving(name, rules)
        ),
        Contestant(
            name="metamarl, its own rules", needs=["pyspiel"],
            prepare=lambda: lambda: _solve_own(game, options),
        ),
        Contestant(
            name="OpenSpiel value_iteration", needs=["pyspiel", "cvxpy"], compiled=False,
            prepare=lambda: _value_iteration(name, rules), tolerance=1e-5,
        ),
    ]  # fmt: skip
    return Contest(
        name=name, title=title, contestants=contestants, error=error, tolerance=1e-8
    )  # fmt: skip


def _recur(state: Any, values: Values) -> float:
    text = str(state).strip()
    if state.is_terminal():
        values[text] = state.player_return(0)
    elif text not in values:
        values[text] = np.nan  # its place, so that the first state comes first
        if state.is_chance_node():
            found = sum(p * _recur(state.child(a), values) for a, p in state.chance_outcomes())
        elif state.is_simultaneous_node():
            rows, columns = state.legal_actions(0), state.legal_actions(1)
            Q = np.array([[_after(state, [a, b], values) for b in columns] for a in rows])
            x, y = highs(Q)
            found = float(x @ Q @ y)
        else:
            best = max if state.current_player() == 0 else min
            found = best(_recur(state.child(a), values) for a in state.legal_actions())
        values[text] = found
    return values[text]


def _after(state: Any, actions: list[int], values: Values) -> float:
    child = state.clone()
    child.apply_actions(actions)
    return _recur(child, values)


def _solve(game: mm.MarkovGame) -> Values:
    policy = mm.solve(game, "exact", tol=1e-6).policy
    values = ours.values_by_state(game, policy)
    values.pop("end")
    return {text.rsplit("\nplayer ", 1)[0].strip(): value for text, value in values.items()}


def _solving(name: str, rules: dict[str, Any]) -> Work:
    game = mm.from_openspiel(name, rules or None)
    return lambda: _solve(game)


def _solve_own(game: str, options: dict[str, Any]) -> dict[None, float]:
    return {None: float(mm.solve(mm.make(game, **options), "exact", tol=1e-6).value[0])}


def _value_iteration(name: str, rules: dict[str, Any]) -> Work:
    import pyspiel
    from open_spiel.python.algorithms import value_iteration

    game = pyspiel.load_game(name, rules)

    def work() -> Values:
        values = value_iteration.value_iteration(game, -1, 1e-6)
        return {text.strip(): float(value) for text, value in values.items()}

    return work
