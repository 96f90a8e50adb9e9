"""Where the stage games of a two-player zero-sum game lie for the kernels of mirror descent."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Nanoseconds of an iteration, fitted to measurements (benchmarks/kernels.py): of a block of games
# side by side, and of one wide game. Only their ratios matter.
PER_CELL, PER_ACTION = 0.9, 9.0
WIDE, WIDE_CELLS, WIDE_ACTIONS = 31.0, 0.95, 11.5


@dataclass(frozen=True, eq=False, kw_only=True)
class Layout:
    """Blocks of games in lanes, wide games, and where every node's numbers lie (N nodes)."""

    blocks: NDArray[np.int64]
    """`(n, 5)`: A, B, offsets in Q, in the policies, and in what there is one of per game."""
    wide: NDArray[np.int64]
    """`(m, 5)` likewise: the wide games."""
    cell: NDArray[np.int64]
    """`(N,)` where Q[0, 0] lies; Q[a, b] lies `a·row_step + b·column_step` further on."""
    row_step: NDArray[np.int64]
    column_step: NDArray[np.int64]
    x: NDArray[np.int64]
    """`(N,)` where player 0's first action lies; the others follow every `column_step`."""
    y: NDArray[np.int64]
    """`(N,)` likewise, player 1's."""
    lane: NDArray[np.int64]
    """`(N,)` where what there is one of per game lies."""
    where: NDArray[np.int64]
    """Where the numbers of a flat policy lie."""
    sizes: tuple[int, int, int]
    """Lengths of Q, of the policies, and of what there is one of per game."""


def block_cost(A: int, B: int) -> float:
    """Nanoseconds of an iteration of a block, roughly."""
    return 1.0 if A == B == 1 else PER_CELL * A * B + PER_ACTION * (A + B)


def wide_cost(A: int, B: int, lanes: int) -> float:
    """Nanoseconds of an iteration of a wide game, roughly."""
    wide_A, wide_B = -(-A // lanes), -(-B // lanes)
    return WIDE + WIDE_CELLS * A * wide_B + WIDE_ACTIONS * (wide_A + wide_B)


def place(counts: NDArray[np.int64], lanes: int, *, alike: bool = False) -> Layout:
    """Lay nodes with `counts` `(N, 2)` actions out for vectors of `lanes` numbers.

    Blocks hold games of one shape. What is left of the shapes shares blocks with larger games, or
    is laid out wide, whichever is cheaper; only blocks of one shape where `alike`.
    """
    blocks, wide = _sort_out(counts, lanes, alike=alike)
    cell, row_step, column_step, x, y, lane = np.zeros((6, len(counts)), np.int64)
    rows: tuple[list[tuple[int, ...]], list[tuple[int, ...]]] = ([], [])
    q = p = v = 0
    for A, B, nodes in blocks:
        at = np.arange(len(nodes))
        cell[nodes], x[nodes], y[nodes] = q + at, p + at, p + A * lanes + at
        row_step[nodes], column_step[nodes], lane[nodes] = B * lanes, lanes, v + at
        rows[0].append((A, B, q, p, v))
        q, p, v = q + A * B * lanes, p + (A + B) * lanes, v + lanes
    for node in wide.tolist():
        A, B = counts[node].tolist()
        wide_A, wide_B = -(-A // lanes) * lanes, -(-B // lanes) * lanes
        cell[node], x[node], y[node], lane[node] = q, p, p + wide_A, v
        row_step[node], column_step[node] = wide_B, 1
        rows[1].append((A, B, q, p, v))
        q, p, v = q + A * wide_B, p + wide_A + wide_B, v + 1
    parts = []
    for i, begin in enumerate((x, y)):
        owner = np.repeat(np.arange(len(counts)), counts[:, i])
        first = np.cumsum(counts[:, i]) - counts[:, i]
        inside = np.arange(len(owner)) - first[owner]
        parts.append(begin[owner] + inside * column_step[owner])
    return Layout(
        blocks=np.array(rows[0], np.int64).reshape(-1, 5),
        wide=np.array(rows[1], np.int64).reshape(-1, 5),
        cell=cell, row_step=row_step, column_step=column_step, x=x, y=y, lane=lane,
        where=np.concatenate(parts),
        sizes=(q, p, v),
    )  # fmt: skip


def _sort_out(
    counts: NDArray[np.int64], lanes: int, *, alike: bool
) -> tuple[list[tuple[int, int, NDArray[np.int64]]], NDArray[np.int64]]:
    """Which nodes share a block, and of what shape; and which are wide."""
    order = np.lexsort((counts[:, 1], counts[:, 0]))
    shapes, begins = np.unique(counts[order], axis=0, return_index=True)
    blocks: list[tuple[int, int, NDArray[np.int64]]] = []
    wide: list[NDArray[np.int64]] = []
    A = B = free = 0  # of the last block that is shared
    shared = -1
    groups = list(zip(shapes.tolist(), np.split(order, begins[1:]), strict=True))
    for (rows, columns), nodes in sorted(groups, key=lambda group: -group[0][0] * group[0][1]):
        alone, each = block_cost(rows, columns), wide_cost(rows, columns, lanes)
        if not alike and lanes * each < alone:
            wide.append(nodes)
            continue
        full = len(nodes) // lanes * lanes
        blocks += [(rows, columns, nodes[k : k + lanes]) for k in range(0, full, lanes)]
        rest = nodes[full:]
        if not len(rest):
            continue
        most = (max(A, rows), max(B, columns))
        joining = block_cost(*most) - block_cost(A, B) if len(rest) <= free else np.inf
        if not alike and joining < min(alone, each * len(rest)):
            blocks[shared] = (*most, np.concatenate([blocks[shared][2], rest]))
            (A, B), free = most, free - len(rest)
        elif not alike and each * len(rest) < alone:
            wide.append(rest)
        else:
            blocks.append((rows, columns, rest))
            if rows * columns > 1:
                shared, A, B, free = len(blocks) - 1, rows, columns, lanes - len(rest)
    return blocks, np.concatenate([np.zeros(0, np.int64), *wide])
