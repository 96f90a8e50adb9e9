r"""Tier tasks as they are: exact values, gaps, and where a low tier can help the high one.

A state $s$ at step $h$ is **transferable** from a source $w$ (Huang and He, NeurIPS 2023) where

1. the source comes there: $d^*_{w,h}(s) > λ/3$ under its optimal policy;
2. its optimal action is optimal in the high tier too;
3. it is not better: $V^*_{w,h}(s) ≤ V^*_h(s) + ε$.

Where a source has several optimal actions, all of them must be optimal in the high tier, as it may
recommend any; $d^*$ is then that of the policy that plays the first.

**Optimal Value Dominance** says that a source is nowhere worse, $V^*_{w,h}(s) ≥ V^*_h(s)$; without
it, no agent can tell a source that is right from one that is wrong, and negative transfer cannot be
avoided (their Theorem 3.1). (The constants of ε and of the slack in the dominance, both of order
$\tildeΔ/H$, are reconstructions; here they are parameters.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import check_kind, check_memory, check_reals, complaint, said
from metamarl.envs.game import MarkovGame

ROUNDING = 1e-12  # gaps below this part of the largest value are ties


@dataclass(frozen=True, eq=False, kw_only=True)
class TierModel:
    """A one-player game with a horizon, and what is best in it (R legal (state, action) rows)."""

    first: NDArray[np.int64]
    """`(S + 1,)` first row of every state."""
    reward: NDArray[np.float64]
    """`(H, R)`, scaled to [0, 1]."""
    transition: NDArray[np.float64]
    """`(H, R, S)`, or `(1, R, S)` where it does not depend on the step."""
    initial: NDArray[np.float64]
    """`(S,)`."""
    values: NDArray[np.float64]
    """`(H, S)` optimal values V*."""
    gaps: NDArray[np.float64]
    """`(H, R)` V* - Q*; exactly 0 where an action is optimal."""
    best: NDArray[np.int64]
    """`(H, S)` the first optimal action, as a position among the legal ones."""
    visits: NDArray[np.float64]
    """`(H, S)` d*, how probable a state is when `best` is played."""
    reachable: NDArray[np.bool_]
    """`(H, S)` whether play can come there."""


def solve_tier(game: MarkovGame, low: float, span: float) -> TierModel:
    """Optimal values, gaps and visits, with the rewards r scaled to (r - low) / span."""
    table, H, S = game.table, game.horizon or 1, game.n_states
    R, first = table.n_rows, table.rows
    steps = H if table.transition_stride else 1
    transition = np.stack([table.successors(h).toarray() for h in range(steps)])
    rows = table.reward[0].reshape(-1, R)
    reward = np.broadcast_to((rows - low) / span, (H, R)).copy()
    values, gaps = np.zeros((H + 1, S)), np.zeros((H, R))
    best, visits = np.zeros((H, S), np.int64), np.zeros((H, S))
    owner = np.repeat(np.arange(S), np.diff(first))
    for h in range(H - 1, -1, -1):
        q = reward[h] + game.discount * (transition[h % steps] @ values[h + 1])
        values[h] = np.maximum.reduceat(q, first[:-1])
        gaps[h] = values[h][owner] - q
        gaps[h][gaps[h] <= ROUNDING * max(H, 1)] = 0.0
        best[h] = [int(np.argmin(gaps[h, a:b])) for a, b in pairwise(first)]
    now = game.initial
    for h in range(H):
        visits[h] = now
        now = now @ transition[h % steps][first[:-1] + best[h]]
    reachable = np.zeros((H, S), bool)
    reachable[game.nodes.steps, game.nodes.states] = True
    return TierModel(
        first=first,
        reward=reward,
        transition=transition,
        initial=game.initial,
        values=values[:-1],
        gaps=gaps,
        best=best,
        visits=visits,
        reachable=reachable,
    )


def check_range(reward_range: Any, where: str) -> tuple[float, float]:
    """Return (lowest, highest), or raise."""
    lowest, highest = check_reals(reward_range, "reward_range", where, 2)
    if not lowest < highest:
        must = "two numbers, the second one above the first"
        raise ValueError(complaint("reward_range", where, must, reward_range))
    return lowest, highest


def check_tiers(
    low: Any, high: Any, reward_range: tuple[float, float], where: str
) -> Sequence[MarkovGame]:
    """Raise where these are no tiers: one-player games with one horizon, shape and reward range."""
    check_kind(high, MarkovGame, "high", where, "a MarkovGame with one player and a horizon")
    if isinstance(low, MarkovGame):
        low = [low]
    if not isinstance(low, Sequence) or not all(isinstance(game, MarkovGame) for game in low):
        raise TypeError(complaint("low", where, "a list of MarkovGames", low))
    if not low:
        raise ValueError(complaint("low", where, "at least one source", low))
    for name, game in [("high", high), *((f"low[{w}]", game) for w, game in enumerate(low))]:
        if game.n_players != 1 or game.horizon is None:
            must = "a game with one player and a horizon"
            raise ValueError(complaint(name, where, must, said(repr(game))))
        alike = (
            game.n_states == high.n_states
            and game.n_actions == high.n_actions
            and game.horizon == high.horizon
            and game.discount == high.discount
            and all(map(np.array_equal, game.legal, high.legal))
        )
        if not alike:
            must = "of the same shape, clock and legal actions as 'high'"
            raise ValueError(complaint(name, where, must, said(f"{game!r} for {high!r}")))
        least, most = float(game.table.reward.min()), float(game.table.reward.max())
        if least < reward_range[0] or most > reward_range[1]:
            must = (
                f"a game with rewards in {list(reward_range)}, the range that the bonus assumes "
                "('reward_range' sets it)"
            )
            raise ValueError(complaint(name, where, must, said(f"rewards in [{least}, {most}]")))
    rows, S, H, T = high.table.n_rows, high.n_states, high.horizon or 1, len(low) + 1
    steps = H if any(game.table.transition_stride for game in (*low, high)) else 1
    needed = 8.0 * rows * S * (H * (T + 1) + steps * 2 * T)
    check_memory(needed, f"Learning in {T} tasks with {rows} rows and horizon {H}")
    return low
