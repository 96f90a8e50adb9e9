"""What was enumerated, as the table of a Markov game."""

import itertools

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.enumeration import END, Explored
from metamarl.envs.environment import WAIT
from metamarl.envs.table import Table, build_table


def tabulate(found: Explored, n_actions: tuple[int, ...]) -> tuple[Table, NDArray[np.float64]]:
    """The table, and the distribution of the first state.

    Players that do not move in a state have one legal action there, number 0. Where play can end,
    the last state is the end: absorbing, without rewards, and with that one action for everybody.
    """
    n_states = len(found)
    ends = any(t == END for rows in found.rows for row in rows for _, t in row.outcomes)
    size = n_states + ends
    legal = tuple(np.zeros((size, k), bool) for k in n_actions)
    for i, mask in enumerate(legal):
        mask[n_states:, WAIT] = True
        for s, (movers, choices) in enumerate(zip(found.movers, found.choices, strict=True)):
            mask[s, list(choices[movers.index(i)]) if i in movers else WAIT] = True
    weights: list[float] = []
    targets: list[int] = []
    pointer = [0]
    rewards: list[tuple[float, ...]] = []
    for row in itertools.chain.from_iterable(found.rows):
        weights.extend(p for p, _ in row.outcomes)
        targets.extend(n_states if t == END else t for _, t in row.outcomes)
        pointer.append(len(targets))
        rewards.append(row.reward)
    if ends:
        weights.append(1.0)
        targets.append(n_states)
        pointer.append(len(targets))
        rewards.append((0.0,) * len(n_actions))
    matrix = sp.csr_array((weights, targets, pointer), shape=(len(rewards), size))
    initial = np.zeros(size)
    initial[list(found.start)] = list(found.start.values())
    return build_table(legal, np.array(rewards).T, matrix), initial


def truncation_marks(found: Explored, table: Table) -> NDArray[np.int64]:
    """`(R,)` numbers that differ for rows that are cut off in situations that look different."""
    numbers: dict[object, int] = {(): 0}
    marks = np.zeros(table.n_rows, np.int64)
    for k, row in enumerate(itertools.chain.from_iterable(found.rows)):
        looks = tuple(looks for _, looks, _ in row.cuts)
        marks[k] = numbers.setdefault(looks, len(numbers))
    return marks
