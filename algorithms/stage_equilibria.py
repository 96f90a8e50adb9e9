r"""Equilibria of small games in normal form, and the stage games of a Markov game.

A game in normal form is an array of payoffs `(n, k_1, …, k_n)`: player i gets `payoffs[i, a]` when
all play the profile a. A joint distribution p over the profiles is a **correlated equilibrium**
(Aumann 1974) if no player gains by answering to what it is told with something else, and a **coarse
correlated equilibrium** (Moulin & Vial 1978) if none gains by ignoring it:

$$\sum_{a_{-i}} p(a) \, (u_i(b, a_{-i}) - u_i(a)) ≤ 0 \quad \text{for all } i, a_i, b;\qquad
  \sum_a p(a) \, (u_i(b, a_{-i}) - u_i(a)) ≤ 0 \quad \text{for all } i, b.$$

Both sets are polytopes, so that the smallest and the largest value of any weighted sum of payoffs
are linear programmes. Every Nash equilibrium lies in the first set, and that within the second.

In a Markov game these ranges hold for **one stage**, whose values to come are given. The values of
all coarse correlated equilibria of a whole Markov game are no product of stage ranges: which
distributions are equilibria at a node depends on the values chosen later, these come multiplied
with the probabilities chosen now, and the set of values of Markov policies that results is not
convex. No linear programme is exact there, and so none is offered.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from metamarl.envs.checks import (
    check_array,
    check_integer,
    check_memory,
    check_real,
    complaint,
    said,
)
from metamarl.envs.game import MarkovGame

MOST_PAIRS = 20_000_000  # of supports to look at: a minute or so
ROUNDING = 1e-9  # of a player's span of payoffs: what a numerical equilibrium may leave to gain


@dataclass(frozen=True, kw_only=True)
class PayoffRange:
    """The values of a weighted sum of the players' payoffs over a set of equilibria."""

    smallest: float
    """The smallest value."""
    largest: float
    """The largest value."""
    lowest: NDArray[np.float64]
    """`(k_1, …, k_n)` an equilibrium (a joint distribution) with the smallest value."""
    highest: NDArray[np.float64]
    """`(k_1, …, k_n)` an equilibrium with the largest value."""


def pure_equilibria(payoffs: ArrayLike, tol: float = 0.0) -> NDArray[np.int64]:
    """Find all pure Nash equilibria of a game in normal form.

    Args:
        payoffs: `(n, k_1, …, k_n)`.
        tol: a gain of up to this much does not count.

    Returns:
        `(E, n)` action profiles, in lexicographic order.
    """
    u = _check_payoffs(payoffs, "pure_equilibria")
    tol = check_real(tol, "tol", "pure_equilibria", 0.0)
    best = np.ones(u.shape[1:], bool)
    for i, mine in enumerate(u):
        best &= mine >= mine.max(axis=i, keepdims=True) - tol
    return np.argwhere(best)


def two_player_equilibria(
    payoffs: ArrayLike,
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Find the Nash equilibria of a two-player game in normal form, by support enumeration.

    QuantEcon's `game_theory.support_enumeration` (von Stengel 2007, Algorithm 3.4) looks at all
    pairs of supports of equal size. That finds **all** equilibria of a nondegenerate game, in which
    no mixed strategy has more pure best responses than it has actions in its support; almost all
    games are such, and they have an odd number of equilibria. In a degenerate game equilibria may
    form continua: all pure ones are listed, but of the others some may be missing. What is
    returned is an equilibrium in any case, to 1e-9 of the span of the payoffs. The first call of
    a process takes some seconds to compile.

    Args:
        payoffs: `(2, k_1, k_2)`, with at most 20 million pairs of supports (12 actions each).

    Returns:
        Pairs of mixed strategies `(k_1,)` and `(k_2,)`: first the pure ones in lexicographic order,
        then by size of support.
    """
    u = _check_payoffs(payoffs, "two_player_equilibria")
    if len(u) != 2:
        got = said(f"{len(u)}")
        raise ValueError(complaint("payoffs", "two_player_equilibria", "of two players", got))
    pairs = math.comb(sum(u[0].shape), u.shape[1]) - 1
    if pairs > MOST_PAIRS:
        must, got = f"of at most {MOST_PAIRS:,} pairs of supports", said(f"{pairs:,} pairs")
        raise ValueError(complaint("payoffs", "two_player_equilibria", must, got))
    from quantecon.game_theory import NormalFormGame, Player, support_enumeration

    found = [(np.eye(u.shape[1])[a], np.eye(u.shape[2])[b]) for a, b in pure_equilibria(u)]
    game = NormalFormGame([Player(u[0]), Player(np.ascontiguousarray(u[1].T))])
    for x, y in support_enumeration(game):
        gains = np.array([(u[0] @ y).max(), (x @ u[1]).max()]) - [x @ u[0] @ y, x @ u[1] @ y]
        if (x > 0).sum() > 1 and (gains <= ROUNDING * np.ptp(u, axis=(1, 2))).all():
            found.append((x, y))
    return found


def cce_range(payoffs: ArrayLike, weights: ArrayLike | None = None) -> PayoffRange:
    """Range of a weighted sum of the players' payoffs over all coarse correlated equilibria.

    Args:
        payoffs: `(n, k_1, …, k_n)`.
        weights: `(n,)` of the players' payoffs; all 1 (the total) if left out.
    """
    return _range(payoffs, weights, "cce_range", coarse=True)


def ce_range(payoffs: ArrayLike, weights: ArrayLike | None = None) -> PayoffRange:
    """Range of a weighted sum of the players' payoffs over all correlated equilibria.

    Args:
        payoffs: `(n, k_1, …, k_n)`.
        weights: `(n,)` of the players' payoffs; all 1 (the total) if left out.
    """
    return _range(payoffs, weights, "ce_range", coarse=False)


def stage_payoffs(
    game: MarkovGame, state: int, step: int | None = None, values: ArrayLike | None = None
) -> NDArray[np.float64]:
    r"""Payoffs of one stage of a Markov game: $r_i(s, a) + γ \sum_{s'} P(s' | s, a) v_i(s')$.

    Args:
        game: the game.
        state: the state s.
        step: which step; needed where the game's rewards or transitions depend on it.
        values: `(n, S)` what every player gets from the next step on, if it is in state s' then;
            nothing if left out.

    Returns:
        `(n, k_1, …, k_n)` payoffs of the legal joint actions; player i's actions are those of
        `numpy.flatnonzero(game.legal[i][state])`, in this order.
    """
    where, table = "stage_payoffs", game.table
    state = check_integer(state, "state", where, 0)
    if state >= game.n_states:
        must = f"below the number of states, {game.n_states}"
        raise ValueError(complaint("state", where, must, state))
    h = _check_step(game, step, where)
    v = np.zeros((game.n_players, game.n_states))
    if values is not None:
        v = check_array(values, "values", where)
        if v.shape != (game.n_players, game.n_states) or not np.isfinite(v).all():
            must = f"finite numbers of shape {(game.n_players, game.n_states)}"
            raise ValueError(complaint("values", where, must, v))
    rows = np.arange(table.rows[state], table.rows[state + 1])
    pointer = table.indptr[rows[0] + h * table.transition_stride :][: len(rows) + 1]
    span = slice(pointer[0], pointer[-1])
    ahead = table.probabilities[span] * v[:, table.indices[span]]
    Q = table.reward[:, rows + h * table.reward_stride]
    Q = Q + game.discount * np.add.reduceat(ahead, pointer[:-1] - pointer[0], axis=1)
    return Q.reshape(-1, *table.counts[state])


def _check_step(game: MarkovGame, step: int | None, where: str) -> int:
    if step is None:
        if game.table.reward_stride or game.table.transition_stride:
            must = "given: rewards or transitions of this game depend on it"
            raise ValueError(complaint("step", where, must, None))
        return 0
    step = check_integer(step, "step", where, 0)
    if game.horizon is None or step >= game.horizon:
        must = "None in a game without a horizon"
        if game.horizon is not None:
            must = f"below the horizon, {game.horizon}"
        raise ValueError(complaint("step", where, must, step))
    return step


def _check_payoffs(payoffs: ArrayLike, where: str) -> NDArray[np.float64]:
    u = check_array(payoffs, "payoffs", where)
    if u.ndim < 2 or u.ndim != len(u) + 1 or u.size == 0:
        must = (
            "of shape (n, k_1, …, k_n): one axis for the players, then one for each one's actions"
        )
        raise ValueError(complaint("payoffs", where, must, said(f"shape {u.shape}")))
    if not np.isfinite(u).all():
        player, *profile = (int(k) for k in np.argwhere(~np.isfinite(u))[0])
        got = said(f"{u[(player, *profile)]} for player {player} at {tuple(profile)}")
        raise ValueError(complaint("payoffs", where, "finite numbers", got))
    return u


def _range(
    payoffs: ArrayLike, weights: ArrayLike | None, where: str, *, coarse: bool
) -> PayoffRange:
    u = _check_payoffs(payoffs, where)
    w = np.ones(len(u)) if weights is None else check_array(weights, "weights", where)
    if w.shape != (len(u),) or not np.isfinite(w).all():
        raise ValueError(complaint("weights", where, f"{len(u)} finite numbers", weights))
    gains, total = _gains(u, coarse=coarse), np.tensordot(w, u, 1)
    lowest, highest = (_extreme(gains, sign * total, where) for sign in (1.0, -1.0))
    return PayoffRange(
        smallest=float((lowest * total).sum()),
        largest=float((highest * total).sum()),
        lowest=lowest,
        highest=highest,
    )


def _gains(u: NDArray[np.float64], *, coarse: bool) -> sp.csr_array:
    """What every deviation gains at every profile, in parts of the deviator's span of payoffs."""
    counts, size = u.shape[1:], u[0].size
    entries = size * sum(k if coarse else k - 1 for k in counts)
    check_memory(80.0 * entries, "The linear programme")
    blocks = []
    for i, k in enumerate(counts):
        mine = np.moveaxis(u[i], i, 0).reshape(k, -1)
        profile = np.moveaxis(np.arange(size).reshape(counts), i, 0).reshape(k, -1)
        told, other = np.divmod(np.arange(k * k), k)
        told, other = told[told != other], other[told != other]
        gain = (mine[other] - mine[told]) / (np.ptp(mine) or 1.0)
        row = np.repeat(other if coarse else np.arange(len(told)), profile.shape[1])
        where = (row, profile[told].ravel())
        blocks.append(sp.csr_array((gain.ravel(), where), shape=(k if coarse else len(told), size)))
    return sp.vstack(blocks, format="csr")


def _extreme(gains: sp.csr_array, cost: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    """The equilibrium of least cost: a joint distribution that leaves no deviation a gain."""
    from scipy.optimize import linprog

    scaled = (cost - cost.min()).ravel() / (np.ptp(cost) or 1.0)
    done = linprog(
        scaled, A_ub=gains, b_ub=np.zeros(gains.shape[0]), A_eq=np.ones((1, cost.size)), b_eq=[1.0],
        bounds=(0.0, None), method="highs-ipm",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )  # fmt: skip
    if done.status != 0:  # there is an equilibrium (Nash 1951): only the arithmetic can fail
        raise RuntimeError(f"The linear programme of {where} failed: {done.message}")
    joint = np.maximum(done.x, 0.0)
    return (joint / joint.sum()).reshape(cost.shape)
