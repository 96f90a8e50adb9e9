"""Games from their rules: enumerate the states that can be reached."""

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from metamarl.envs.checks import check_memory, complaint
from metamarl.envs.game import MarkovGame
from metamarl.envs.table import build_table

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
        ValueError: a player has no legal action, or what `MarkovGame` raises.
    """
    n = len(n_actions)
    index: dict[Any, int] = {state: k for k, state in enumerate(start)}
    names = list(start)
    rewards: list[float] = []
    weights: list[float] = []
    targets: list[int] = []
    pointer = [0]
    choices: list[Sequence[Sequence[int]]] = []
    for state in names:  # grows while it is walked
        options_here = legal(state)
        if len(options_here) != n or not all(options_here):
            must = f"at least one action for each of the {n} players in state {state!r}"
            raise ValueError(complaint("legal", "from_rules", must, options_here))
        choices.append(options_here)
        for joint in itertools.product(*options_here):
            expected = [0.0] * n
            for probability, following, reward in step(state, joint):
                if probability == 0.0:
                    continue
                target = index.setdefault(following, len(names))
                if target == len(names):
                    names.append(following)
                targets.append(target)
                weights.append(probability)
                for i in range(n):
                    expected[i] += probability * reward[i]
            rewards.extend(expected)
            pointer.append(len(targets))
        if len(names) % 65536 == 0:
            check_memory(500.0 * len(names), f"Enumerating the game beyond {len(names)} states")
    masks = tuple(np.zeros((len(names), k), bool) for k in n_actions)
    for k, options_here in enumerate(choices):
        for i in range(n):
            masks[i][k, list(options_here[i])] = True
    matrix = sp.csr_array((weights, targets, pointer), shape=(len(pointer) - 1, len(names)))
    initial = np.zeros(len(names))
    initial[: len(start)] = list(start.values())
    table = build_table(masks, np.array(rewards).reshape(-1, n).T, matrix)
    return MarkovGame.from_table(table, initial, states=names, **options)
