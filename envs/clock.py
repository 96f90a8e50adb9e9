r"""Time: which (step, state) pairs a game has, and in what order they can be solved.

A game's *nodes* are what a policy is defined on, in groups; the successors of a node always lie in
a later group, except where the game is cyclic.

* finite horizon: the nodes are the **reachable** (step, state) pairs, one group per step;
* no horizon, no cycle: the nodes are the states, grouped by the longest way to the end, so that
  one backward pass solves the game;
* no horizon, with cycles: the nodes are the states, in one group that is iterated.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.checks import check_memory
from metamarl.envs.table import Table


@dataclass(frozen=True, eq=False, kw_only=True)
class Nodes:
    """The nodes of a game (N nodes in G groups, in forward order)."""

    states: NDArray[np.int64]
    """`(N,)` the state of every node."""
    groups: NDArray[np.int64]
    """`(G + 1,)` first node of every group. With a horizon, group h is step h."""
    slots: NDArray[np.int64]
    """`(n, N + 1)` where the probabilities of player i's legal actions in every node lie in a *flat
    policy*, the one array that holds those of all players, player 0 first."""
    joints: NDArray[np.int64]
    """`(N + 1,)` where the probabilities of a node's legal joint actions lie in a *flat joint
    policy*, in the order of the table's rows."""
    cyclic: bool
    """True where values must be iterated: one group whose successors lie in itself."""
    timed: bool
    """True with a horizon: group h is step h, and rows may depend on it."""

    @property
    def n_groups(self) -> int:
        """G: steps, levels, or 1."""
        return len(self.groups) - 1

    @property
    def steps(self) -> NDArray[np.int64]:
        """`(N,)` the step of every node; 0 without a horizon."""
        if not self.timed:
            return np.zeros(len(self.states), np.int64)
        return np.repeat(np.arange(self.n_groups), np.diff(self.groups))


def unroll(table: Table, initial: NDArray[np.float64], horizon: int | None) -> Nodes:
    """Nodes of a game with this table, start and horizon."""
    if horizon is not None:
        layers, cyclic = _reachable_layers(table, initial, horizon), False
    else:
        levels = _levels(_adjacency(table), at_rest(table))
        cyclic = levels is None
        layers = [np.arange(table.n_states)] if levels is None else levels
    states = np.concatenate(layers)
    counts = table.counts[states].T
    ends = np.cumsum(counts.ravel()).reshape(counts.shape)
    slots = np.concatenate([ends[:, :1] - counts[:, :1], ends], axis=1)
    return Nodes(
        states=states,
        groups=np.concatenate([[0], np.cumsum([len(layer) for layer in layers])]),
        slots=slots,
        joints=np.concatenate([[0], np.cumsum(np.diff(table.rows)[states])]),
        cyclic=cyclic,
        timed=horizon is not None,
    )


def ends_by_itself(table: Table) -> bool:
    """Whether an absorbing state without rewards is reached with probability 1, whatever is played.

    Equivalently: no set of other states can be stayed in for ever. The largest such set is found by
    removing, again and again, the states in which every joint action may leave it; every row is
    looked at once.
    """
    into = _links(table.successors()).T.tocsr()
    owner = np.repeat(np.arange(table.n_states), np.diff(table.rows))
    rest = at_rest(table)
    stays = ~rest[owner]  # rows that surely stay in the set
    remaining = np.bincount(owner[stays], minlength=table.n_states)  # such rows of every state
    frontier = np.flatnonzero(rest)
    removed = frontier.size
    while frontier.size:
        rows = np.unique(into[frontier].indices)
        rows = rows[stays[rows]]
        stays[rows] = False
        before, times = np.unique(owner[rows], return_counts=True)
        remaining[before] -= times
        frontier = before[remaining[before] == 0]
        removed += frontier.size
    return bool(removed == table.n_states)


def at_rest(table: Table) -> NDArray[np.bool_]:
    """`(S,)` absorbing states without rewards."""
    pointer = table.indptr[: table.n_rows + 1]
    owner = np.repeat(np.arange(table.n_states, dtype=np.int32), np.diff(table.rows))
    moves = table.indices[pointer[:-1]] != owner  # rows have at least one successor ...
    moves |= np.diff(pointer) > 1  # ... and none of them twice
    for reward in table.reward:
        moves |= reward[: table.n_rows] != 0
    return ~np.logical_or.reduceat(moves, table.rows[:-1])


def _links(matrix: sp.csr_array) -> sp.csr_array:
    """Where a matrix has entries: a byte each."""
    there = np.ones(len(matrix.indices), bool)
    return sp.csr_array((there, matrix.indices, matrix.indptr), matrix.shape)


def _adjacency(table: Table, step: int = 0) -> sp.csr_array:
    """`(S, S)` which states can follow which at `step`."""
    matrix = table.successors(step)
    pointer = matrix.indptr[table.rows]
    shape = (table.n_states, table.n_states)
    there = np.ones(len(matrix.indices), bool)
    found = sp.csr_array((there, matrix.indices.copy(), pointer), shape)
    found.sum_duplicates()
    return found


def _levels(links: sp.csr_array, rest: NDArray[np.bool_]) -> list[NDArray[np.int64]] | None:
    """States by the longest way to the end, the longest first; None where there is a cycle.

    The loops of states at rest are none.
    """
    backward = links.T.tocsr()
    remaining = np.diff(links.indptr) - rest
    frontier, levels, seen = np.flatnonzero(remaining == 0), [], 0
    while frontier.size:
        levels.append(frontier)
        seen += frontier.size
        before, times = np.unique(backward[frontier].indices, return_counts=True)
        remaining[before] -= times
        frontier = before[remaining[before] == 0]
    return levels[::-1] if seen == links.shape[0] else None


def _reachable_layers(
    table: Table, initial: NDArray[np.float64], horizon: int
) -> list[NDArray[np.int64]]:
    """The states that can be visited at every step, whatever is played."""
    first = np.flatnonzero(initial > 0)
    bytes_per_node = 8 * (4 + 2 * table.counts.shape[1] + table.counts.sum(1))
    needed = float(bytes_per_node[first].sum()) if table.n_states else 0.0
    check_memory(needed * min(horizon, 2**62), f"A game with horizon {horizon}")
    homogeneous = table.transition_stride == 0
    links = _adjacency(table)
    layers, needed = [first], 0.0
    while len(layers) < horizon:
        if not homogeneous:
            links = _adjacency(table, len(layers) - 1)
        reached = np.zeros(table.n_states, bool)
        everywhere = len(layers[-1]) == table.n_states
        reached[links.indices if everywhere else links[layers[-1]].indices] = True
        following = np.flatnonzero(reached)
        needed += float(bytes_per_node[following].sum())
        if homogeneous and np.array_equal(following, layers[-1]):
            left = horizon - len(layers)
            check_memory(
                needed + left * float(bytes_per_node[following].sum()), "The unrolled game"
            )
            layers.extend([following] * left)
            break
        layers.append(following)
    return layers
