"""What anonymous games are given, checked (see `anonymous`)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.checks import FINITE, LARGEST, check_array, complaint, said
from metamarl.envs.clock import at_rest
from metamarl.envs.table import ROUNDING, Table, as_sparse

WHERE = "AnonymousGame"


def check_reward(R: NDArray[np.float64], vectors: NDArray[np.int64]) -> NDArray[np.float64]:
    """`(S, K, m)` rewards, 0 where nobody is there to be paid."""
    found = np.where(vectors > 0, R, 0.0)
    bad = np.argwhere(~(np.abs(found) <= LARGEST))
    if len(bad):
        state, k, a = bad[0]
        at = f"state {state}, action {a}, counts {vectors[k].tolist()}"
        raise ValueError(complaint("reward", WHERE, FINITE, said(f"{found[state, k, a]} in {at}")))
    return found


def check_moves(transition: Any, S: int, vectors: NDArray[np.int64]) -> sp.csr_array:
    """`(S·K, S)` a copy of the probabilities of the next state."""
    K, sparse = len(vectors), sp.issparse(transition)
    P = transition if sparse else check_array(transition, "transition", WHERE)
    if P.shape != ((S * K, S) if sparse else (S, K, S)):
        must = f"of shape {(S, K, S)}, or a sparse matrix of shape {(S * K, S)}"
        raise ValueError(complaint("transition", WHERE, must, said(f"shape {P.shape}")))
    moves = as_sparse(P) if sparse else sp.csr_array(P.reshape(S * K, S))
    sums = moves.sum(axis=1)
    low = moves.min(axis=1).toarray().ravel()
    bad = np.flatnonzero(~((np.abs(sums - 1.0) <= ROUNDING) & (low >= 0.0)))
    if len(bad):
        at = f"state {bad[0] // K}, counts {vectors[bad[0] % K].tolist()}"
        got = said(f"a row that sums to {sums[bad[0]]:.6g}, in {at}")
        raise ValueError(complaint("transition", WHERE, "distributions of the next state", got))
    return moves


def check_potential(
    potential: Any,
    S: int,
    vectors: NDArray[np.int64],
    deviations: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    largest: float,
) -> NDArray[np.float64]:
    """`(S, K)` a potential of every stage game, up to rounding."""
    phi = check_array(potential, "potential", WHERE)
    if phi.shape != (S, len(vectors)):
        must = f"of shape {(S, len(vectors))}"
        raise ValueError(complaint("potential", WHERE, must, said(f"shape {phi.shape}")))
    if not np.abs(phi).max() <= LARGEST:
        raise ValueError(complaint("potential", WHERE, FINITE, said("another")))
    excess = deviations(phi)
    state, k = np.unravel_index(int(excess.argmax()), excess.shape)
    if excess[state, k] > ROUNDING * largest:
        others = vectors[k] - np.eye(1, vectors.shape[1])[0]
        must = "changed by every deviation as much as the deviator's reward"
        at = f"state {state}, the others' counts being {others.astype(int).tolist()}"
        got = said(f"{excess[state, k]:.6g} of difference in {at}")
        raise ValueError(complaint("potential", WHERE, must, got))
    return phi


def check_end(table: Table, rows: NDArray[np.float64]) -> None:
    """Raise where a potential, by the table's rows, is not 0 where the game has ended."""
    ended = np.flatnonzero(np.repeat(at_rest(table), np.diff(table.rows)) & (rows != 0))
    if len(ended):
        state = int(np.searchsorted(table.rows, ended[0], side="right")) - 1
        got = said(f"{rows[ended[0]]:.6g} in state {state}")
        raise ValueError(complaint("potential", WHERE, "0 where the game has ended", got))
