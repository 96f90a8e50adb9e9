"""Games from their rules: enumerate the states that can be reached."""

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp

from metamarl.envs.checks import (
    FINITE,
    LARGEST,
    check_choice,
    check_integer,
    check_kind,
    check_memory,
    check_reals,
    complaint,
    said,
    shorten,
)
from metamarl.envs.game import MarkovGame
from metamarl.envs.table import ROUNDING, build_table

WHERE = "from_rules"
OPTIONS = ("horizon", "discount", "name", "actions", "board")
Outcome = tuple[float, Hashable, Sequence[float]]


def from_rules(
    start: Mapping[Any, float],
    legal: Callable[[Any], Sequence[Sequence[int]]],
    step: Callable[[Any, tuple[int, ...]], Iterable[Outcome]],
    n_actions: Sequence[int],
    **options: Any,
) -> MarkovGame:
    """Breadth-first enumeration of a game from its rules.

    Args:
        start: the first states (hashable) and their probabilities.
        legal: `legal(state)` gives every player's legal actions, as increasing integers.
        step: `step(state, joint)` gives the outcomes (probability, next state, n rewards).
        n_actions: numbers of actions (A_1, …, A_n).
        options: `horizon`, `discount`, `name`, `actions`, `board` of `MarkovGame`.

    Returns:
        The game, whose `states` are the names in the order they were found.

    Raises:
        TypeError, ValueError: a player has no legal action, outcomes are no distribution, rewards
            are no finite numbers of at most 1e150, the states do not fit into memory, or what
            `MarkovGame` raises. The message names the state.
    """
    for option in options:
        check_choice(option, "options", WHERE, OPTIONS)
    for name, function in (("legal", legal), ("step", step)):
        if not callable(function):
            raise TypeError(complaint(name, WHERE, "a function", function))
    check_kind(n_actions, Iterable, "n_actions", WHERE, "one integer for each player")
    n_actions = [check_integer(k, f"n_actions[{i}]", WHERE) for i, k in enumerate(n_actions)]
    n = len(n_actions)
    if n == 0:
        raise ValueError(complaint("n_actions", WHERE, "of at least one player", n_actions))
    _check_start(start)
    index: dict[Any, int] = {state: k for k, state in enumerate(start)}
    names = list(start)
    rewards: list[float] = []
    weights: list[float] = []
    targets: list[int] = []
    pointer = [0]
    choices: list[list[list[int]]] = []
    for k, state in enumerate(names):  # grows while it is walked
        if k % 65536 == 65535:
            check_memory(500.0 * len(names), f"Enumerating the game beyond {len(names)} states")
        options_here = _check_choices(legal(state), n_actions, state)
        choices.append(options_here)
        for joint in itertools.product(*options_here):
            expected, total = [0.0] * n, 0.0
            for probability, following, reward in _check_outcomes(step, state, joint, n):
                total += probability
                target = index.setdefault(following, len(names))
                if target == len(names):
                    names.append(following)
                targets.append(target)
                weights.append(probability)
                for i in range(n):
                    expected[i] += probability * reward[i]
            if not abs(total - 1.0) <= ROUNDING:
                got = said(f"a sum of {total:.6g} in state {state!r}, joint action {joint}")
                must = "a function whose outcomes have probabilities that sum to 1"
                raise ValueError(complaint("step", WHERE, must, got))
            rewards.extend(expected)
            pointer.append(len(targets))
    masks = tuple(np.zeros((len(names), k), bool) for k in n_actions)
    for k, options_here in enumerate(choices):
        for i in range(n):
            masks[i][k, list(options_here[i])] = True
    matrix = sp.csr_array((weights, targets, pointer), shape=(len(pointer) - 1, len(names)))
    initial = np.zeros(len(names))
    initial[: len(start)] = list(start.values())
    table = build_table(masks, np.array(rewards).reshape(-1, n).T, matrix)
    return MarkovGame.from_table(table, initial, states=names, **options)


def _check_start(start: Mapping[Any, float]) -> None:
    must = "a mapping of states to probabilities that sum to 1"
    if not isinstance(start, Mapping):
        raise TypeError(complaint("start", WHERE, must, start))
    chances = check_reals([*start.values()], "start", WHERE, minimum=0.0)
    if abs(sum(chances) - 1.0) > ROUNDING:
        raise ValueError(complaint("start", WHERE, must, start))


def _check_choices(given: Any, n_actions: Sequence[int], state: object) -> list[list[int]]:
    fine = isinstance(given, Iterable)
    choices = [[*a] if isinstance(a, Iterable) else a for a in given] if fine else given
    fine = fine and len(choices) == len(n_actions)
    for mine, k in zip(choices, n_actions, strict=True) if fine else ():
        fine = fine and (
            isinstance(mine, list)
            and len(mine) > 0
            and all(isinstance(action, Integral) for action in mine)
            and (mine == sorted(set(mine)) and mine[0] >= 0 and mine[-1] < k)
        )
    if not fine:
        must = (
            f"one increasing list of actions, at least one and below {[*n_actions]}, for each of "
            f"the {len(n_actions)} players"
        )
        got = said(f"{shorten(repr(choices), 80)} in state {state!r}")
        error = ValueError if isinstance(choices, list) else TypeError
        raise error(complaint("legal", WHERE, must, got))
    return choices


def _check_outcomes(
    step: Callable[[Any, tuple[int, ...]], Iterable[Outcome]],
    state: object,
    joint: tuple[int, ...],
    n: int,
) -> list[tuple[float, Any, list[float]]]:
    """The outcomes that have a probability, each of them checked."""
    must = (
        f"a function whose outcomes are a probability, a hashable next state, and {n} rewards, "
        f"which are {FINITE}"
    )
    given, kept = step(state, joint), []
    if not isinstance(given, Iterable):
        raise TypeError(complaint("step", WHERE, must, _at(given, state, joint)))
    for outcome in given:
        error: type[Exception] = ValueError
        try:
            probability, following, reward = outcome
            if probability == 0.0:
                continue
            hash(following)
            pay = [1.0 * reward[i] for i in range(n)]
            fine = 0.0 < probability < np.inf and len(reward) == n
            fine = fine and all(-LARGEST <= number <= LARGEST for number in pay)
        except TypeError:
            fine, error = False, TypeError
        except (ValueError, LookupError, ArithmeticError):
            fine = False
        if not fine:
            raise error(complaint("step", WHERE, must, _at(outcome, state, joint)))
        kept.append((probability, following, pay))
    return kept


def _at(got: object, state: object, joint: tuple[int, ...]) -> str:
    return said(f"{shorten(repr(got), 80)} in state {state!r}, joint action {joint}")
