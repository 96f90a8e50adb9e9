r"""States that are alike: bisimulation (Larsen and Skou 1991) on a finished table.

Two states are **equivalent** where the same actions are legal, every joint action pays the same,
and leads to equivalent states with the same probabilities. The coarsest such partition is found by
refinement: states are split by what their rows pay, then again and again by which classes their
rows lead to, until nothing is split. Rows are compared by 64-bit hashes while refining, and number
by number at the end. Strategies and values of the merged game are those of the whole one.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.table import Table, build_table

DIGITS = 12  # after the point: rewards and probabilities closer than that are the same
TOLERANCE = 1e-9


def find_classes(
    tables: Sequence[Table], marks: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """`(S,)` class of every state, numbered in the order of their first members.

    Args:
        tables: one table, or several with the same states and legal actions: classes then hold in
            all of them.
        marks: `(R,)` numbers of the rows; rows with different ones are different.
    """
    first = tables[0]
    S = first.n_states
    owner = np.repeat(np.arange(S), np.diff(first.rows))
    place = np.arange(first.n_rows) - first.rows[owner]
    masks = np.concatenate(list(first.legal), axis=1)
    _, classes = np.unique(masks, axis=0, return_inverse=True)
    fixed = _mix(place.astype(np.uint64))
    if marks is not None:
        fixed = _mix(fixed ^ _mix(marks.astype(np.uint64)))
    for table in tables:
        for reward in table.reward:
            fixed = _mix(fixed ^ _floats(reward))
    classes = classes.ravel()
    count = 0
    while classes.max(initial=-1) + 1 > count:
        count = int(classes.max()) + 1
        rows = fixed.copy()
        for table in tables:
            labels = _mix(classes.astype(np.uint64))[table.indices]
            rows = _mix(rows + _sums(table, labels))
        sums = np.add.reduceat(rows, first.rows[:-1])
        pairs = np.stack([classes.astype(np.uint64), sums], axis=1)
        _, classes = np.unique(pairs, axis=0, return_inverse=True)
        classes = classes.ravel()
    _, places, classes = np.unique(classes, return_index=True, return_inverse=True)
    rank = np.empty(len(places), np.int64)
    rank[np.argsort(places)] = np.arange(len(places))
    return rank[classes.ravel()]


def _sums(table: Table, labels: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`(R,)` hash of every row's successors: a sum, so that their order does not matter.

    The probabilities of successors of one class are added first.
    """
    row = np.repeat(np.arange(table.n_rows), np.diff(table.indptr[: table.n_rows + 1]))
    order = np.lexsort((labels, row))
    row, labels, chances = row[order], labels[order], table.probabilities[order]
    new = np.append(True, (row[1:] != row[:-1]) | (labels[1:] != labels[:-1]))
    heads = np.flatnonzero(new)
    chances = np.add.reduceat(chances, heads)
    terms = _mix(labels[heads] ^ _mix(_floats(chances)))
    found = np.zeros(table.n_rows, np.uint64)
    np.add.at(found, row[heads], terms)
    return found


def _floats(numbers: NDArray[np.float64]) -> NDArray[np.uint64]:
    return (np.round(numbers, DIGITS) + 0.0).view(np.uint64)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of every number (the finaliser of SplitMix64, Steele, Lea and Flood 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def merge(table: Table, classes: NDArray[np.int64]) -> Table:
    """The game of the classes, each of which goes on as its first member does.

    Raises RuntimeError where the members of a class differ (which only a collision of hashes could
    bring about).
    """
    _, first = np.unique(classes, return_index=True)
    counts = np.diff(table.rows)
    owner = np.repeat(np.arange(table.n_states), counts)
    place = np.arange(table.n_rows) - table.rows[owner]
    twin = table.rows[first[classes[owner]]] + place
    lead = table.successors()
    parts = (lead.data.copy(), classes[lead.indices], lead.indptr.copy())  # summed in place below
    lead = sp.csr_array(parts, (table.n_rows, len(first)))
    lead.sum_duplicates()
    far = abs(lead - lead[twin])
    same = far.nnz == 0 or far.max() <= TOLERANCE
    scale = TOLERANCE * np.maximum(1.0, abs(table.reward))
    if not same or not (abs(table.reward - table.reward[:, twin]) <= scale).all():
        raise RuntimeError("States that differ were taken for equivalent.")
    kept = np.concatenate([np.arange(table.rows[s], table.rows[s + 1]) for s in first])
    legal = tuple(mask[first] for mask in table.legal)
    return build_table(legal, table.reward[:, kept], lead[kept])
