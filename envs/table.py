r"""How a Markov game is stored: ragged, sparse, masked, in one layout.

Only **legal joint actions** have a row. The rows of state $s$ lie at `rows[s]:rows[s+1]`, in C
order over the players' legal actions (player 0 slowest), so that a state with
$k_0, …, k_{n-1}$ legal actions owns a block of $\prod_i k_i$ rows. A row holds one reward per
player and a sparse list of successors (CSR). Turn-based states are $1×k$ blocks, absorbing states
$1×1$. A game whose rewards or transitions depend on the step repeats the rows once per step:
`reward_stride` and `transition_stride` are the number of rows to skip per step, 0 where nothing
depends on it, so a homogeneous game is stored once however long its horizon.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.checks import FINITE, LARGEST, complaint, said

WHERE = "MarkovGame"
ROUNDING = 1e-6  # how far a row of probabilities may be from 1; rows are normalised afterwards
STRETCH = 2**20  # entries looked at at once, where temporaries would double the memory


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """The arrays of a game as the kernels read them: n players, S states, R rows, T steps or 1."""

    legal: tuple[NDArray[np.bool_], ...]
    """Player i's legal actions: n arrays `(S, A_i)`."""
    counts: NDArray[np.int64]
    """`(S, n)` number of legal actions of every player in every state."""
    rows: NDArray[np.int64]
    """`(S + 1,)` first row of every state."""
    reward: NDArray[np.float64]
    """`(n, T·R)` rewards."""
    reward_stride: int
    """R where rewards depend on the step, else 0."""
    indptr: NDArray[np.int64]
    """`(T·R + 1,)` first successor of every row."""
    indices: NDArray[np.int32]
    """`(nnz,)` successor states, in increasing order along a row."""
    probabilities: NDArray[np.float64]
    """`(nnz,)` their probabilities, which sum to 1 along a row."""
    transition_stride: int
    """R where transitions depend on the step, else 0."""

    @property
    def n_states(self) -> int:
        """S."""
        return len(self.counts)

    @property
    def n_rows(self) -> int:
        """R, the number of legal (state, joint action) pairs."""
        return int(self.rows[-1])

    @property
    def n_bytes(self) -> int:
        """Bytes held by the rows and their successors."""
        arrays = (self.reward, self.indptr, self.indices, self.probabilities, self.rows)
        return sum(a.nbytes for a in arrays)

    def successors(self, step: int = 0) -> sp.csr_array:
        """`(R, S)` transition matrix of the rows at `step` (a view)."""
        first = step * self.transition_stride
        pointer = self.indptr[first : first + self.n_rows + 1]
        span = slice(pointer[0], pointer[-1])
        return sp.csr_array(
            (self.probabilities[span], self.indices[span], pointer - pointer[0]),
            shape=(self.n_rows, self.n_states),
        )


def build_table(
    legal: tuple[NDArray[np.bool_], ...],
    reward: NDArray[np.float64],
    transition: sp.csr_array,
    reward_stride: int = 0,
    transition_stride: int = 0,
) -> Table:
    """Table from rows in the order above: `reward` `(n, T·R)`, `transition` `(T·R, S)`.

    `transition` is taken over: its arrays are changed, and become the table's.

    Raises ValueError where a row is not a probability distribution, or a reward is not finite or
    above 1e150; the message names the state and the joint action.
    """
    counts = np.stack([mask.sum(1) for mask in legal], axis=1).astype(np.int64)
    rows = np.concatenate([[0], np.cumsum(counts.prod(1))])
    transition.sum_duplicates()
    _check_rewards(legal, rows, reward)
    sums = _check_probabilities(legal, rows, transition)
    if len(transition.data) and not transition.data.all():
        transition.eliminate_zeros()
    _normalise(transition, sums)
    return Table(
        legal=legal,
        counts=counts,
        rows=rows,
        reward=np.array(reward, dtype=np.float64, order="C"),
        reward_stride=reward_stride,
        indptr=transition.indptr.astype(np.int64, copy=False),
        indices=transition.indices.astype(np.int32, copy=False),
        probabilities=np.ascontiguousarray(transition.data, dtype=np.float64),
        transition_stride=transition_stride,
    )


def as_sparse(value: Any) -> sp.csr_array:
    """A copy of a sparse matrix of numbers; TypeError for other entries."""
    if value.dtype.kind not in "biuf":
        got = said(f"entries of type {value.dtype}")
        raise TypeError(complaint("transition", WHERE, "a sparse matrix of numbers", got))
    return sp.csr_array(value, dtype=np.float64, copy=True)


def sparse_rows(dense: NDArray[np.float64]) -> sp.csr_array:
    """The non-zero entries of a matrix, in some rows at a time: SciPy's way takes much memory."""
    counts = np.count_nonzero(dense, axis=1)
    pointer = np.concatenate([[0], np.cumsum(counts)])
    data, indices = np.empty(pointer[-1]), np.empty(pointer[-1], np.int32)
    for begin, end in _stretches(len(dense), dense.shape[1]):
        some, span = dense[begin:end], slice(pointer[begin], pointer[end])
        here = some != 0.0
        data[span] = some[here]
        indices[span] = np.nonzero(here)[1]
    return sp.csr_array((data, indices, pointer), shape=dense.shape)


def _stretches(n_rows: int, width: int) -> Iterator[tuple[int, int]]:
    """First and last rows of stretches with about `STRETCH` entries."""
    step = max(1, STRETCH // max(width, 1))
    for begin in range(0, n_rows, step):
        yield begin, min(begin + step, n_rows)


def legal_rows(legal: tuple[NDArray[np.bool_], ...]) -> NDArray[np.intp]:
    """`(R,)` where the legal joint actions lie in an array `(S, A_1, …, A_n)`, flattened."""
    n_states, n_players = len(legal[0]), len(legal)
    joint = np.ones((n_states,) + (1,) * n_players, bool)
    for i, mask in enumerate(legal):
        shape = [n_states] + [1] * n_players
        shape[1 + i] = mask.shape[1]
        joint = joint & mask.reshape(shape)
    return np.flatnonzero(joint)


def name_row(legal: tuple[NDArray[np.bool_], ...], rows: NDArray[np.int64], row: int) -> str:
    """Words for a row: its state, joint action and, where there are several, its step."""
    step, row = divmod(row, int(rows[-1]))
    state = int(np.searchsorted(rows, row, side="right")) - 1
    options = [np.flatnonzero(mask[state]) for mask in legal]
    digits = np.unravel_index(row - rows[state], [len(o) for o in options])
    action = ", ".join(str(o[d]) for o, d in zip(options, digits, strict=True))
    at = f"state {state}, joint action ({action})"
    return f"step {step}, {at}" if step else at


def _check_rewards(
    legal: tuple[NDArray[np.bool_], ...], rows: NDArray[np.int64], reward: NDArray[np.float64]
) -> None:
    bad = np.argwhere(~((reward >= -LARGEST) & (reward <= LARGEST)))  # NaN too
    if len(bad):
        player, row = bad[0]
        got = said(f"{reward[player, row]} for player {player} in {name_row(legal, rows, row)}")
        raise ValueError(complaint("reward", WHERE, FINITE, got))


def _check_probabilities(
    legal: tuple[NDArray[np.bool_], ...], rows: NDArray[np.int64], transition: sp.csr_array
) -> NDArray[np.float64]:
    """The sums of the rows."""
    data, counts = transition.data, np.diff(transition.indptr)
    outside = np.flatnonzero(~((data >= 0) & (data <= 1 + ROUNDING)))  # NaN is outside too
    if len(outside):
        row = int(np.searchsorted(transition.indptr, outside[0], side="right")) - 1
        got = said(f"{data[outside[0]]:.6g} in {name_row(legal, rows, row)}")
        raise ValueError(complaint("transition", WHERE, "probabilities between 0 and 1", got))
    sums, some = np.zeros(len(counts)), counts > 0
    if some.any():
        sums[some] = np.add.reduceat(data, transition.indptr[:-1][some])
    wrong = np.flatnonzero(np.abs(sums - 1.0) > ROUNDING)
    if len(wrong):
        row = int(wrong[0])
        got = said(f"a row that sums to {sums[row]:.6g} in {name_row(legal, rows, row)}")
        raise ValueError(complaint("transition", WHERE, "rows that sum to 1", got))
    return sums


def _normalise(transition: sp.csr_array, sums: NDArray[np.float64]) -> None:
    """Divide rows by their sums, in place, some at a time."""
    pointer, data = transition.indptr, transition.data
    width = len(data) // max(len(sums), 1)
    for begin, end in _stretches(len(sums), width):
        counts = np.diff(pointer[begin : end + 1])
        data[pointer[begin] : pointer[end]] /= np.repeat(sums[begin:end], counts)
