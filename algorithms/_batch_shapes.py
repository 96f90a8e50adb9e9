"""Which games make a batch, and what they take of the memory (see `many_games`)."""

from typing import Any

import numpy as np

from metamarl.algorithms.evaluation import effective_horizon
from metamarl.envs.game import MarkovGame

NUMBER, PLACE = 8, 8  # bytes of a float64 and of an index
COPIES = 12  # of a policy: start, sums, gradients, plays, the best one, and those being computed


def shape_of(game: MarkovGame) -> tuple[Any, ...]:
    """What games of one batch have in common."""
    nodes, table = game.nodes, game.table
    strides = (table.reward_stride > 0, table.transition_stride > 0)
    arrays = (table.counts, nodes.states, nodes.groups)
    return (
        effective_horizon(game), nodes.cyclic, nodes.timed, strides,
        *(array.tobytes() for array in arrays),
    )  # fmt: skip


def longest_row(game: MarkovGame) -> int:
    """Largest number of successors of a row."""
    return int(np.diff(game.table.indptr).max())


def bytes_per_game(game: MarkovGame) -> int:
    """What a game takes in a batch, at most: its rows, stage matrices, policies and work space."""
    table, nodes = game.table, game.nodes
    counts = table.counts[nodes.states]
    row = longest_row(game) * (NUMBER + PLACE)
    cells, slots = int(counts.prod(1).sum()), int(nodes.slots[-1, -1])
    stored = (len(table.indptr) - 1) * row + table.reward.shape[1] * NUMBER
    largest = int(np.add.reduceat(counts.prod(1), nodes.groups[:-1]).max())
    return stored + 2 * largest * row + (4 * cells + COPIES * slots) * NUMBER
