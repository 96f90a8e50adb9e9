r"""Markov potential games: deciding whether a game is one.

A Markov game is a *potential game* where one function Φ of the joint policy keeps account of
everybody's gains: $V_i^{π_i', π_{-i}} - V_i^π = Φ(π_i', π_{-i}) - Φ(π)$ for every player and every
two of its policies (Leonardos, Overman, Panageas and Piliouras, "Global convergence of multi-agent
policy gradient in Markov potential games", ICLR 2022), here from the game's initial distribution.
That every stage game has a potential is neither enough nor necessary. What is exact:

* **One player**, or **identical interests** (rewards that differ by a constant per player at every
  step, or at all times in games without a horizon): Φ is the value of player 0, for the constants
  add up to the same whatever is played. In games that end by themselves without a discount the
  constant is 0, as it is 0 at the end.
* **Still transitions** (the next state does not depend on the joint action): the visits $d_h(s)$
  are given, $V_i = \sum_{h,s} d_h(s)\,r_i(s, π)$ falls into stage games, and the game has a
  potential exactly if every visited stage game has one. That is decided by the cycle conditions of
  Monderer & Shapley ("Potential games", 1996), and $Φ = \sum_{h,s} d_h(s)\,φ_h(s, π)$.
* **Against**: one *still node* that can be visited and whose stage game has no potential. Vary the
  policies there alone: neither the visits to it nor what comes after depend on them, so that every
  $V_i$ is a constant plus d > 0 times the stage's reward, and Φ would be a potential of the stage.
  The last step of a horizon is still, and so is a state after which nothing is ever paid.
* **Against**: a closed *cycle of policies*, changed by one player at a time, round which the
  movers' gains do not cancel, for they would add up to Φ - Φ = 0. The one tried leads from one
  random policy of all players to another and back, the players moving in the same order. If there
  is no potential, the sum is a rational function of the policies that is not 0 everywhere, so that
  random ones show it with probability 1, up to rounding.

Where the gains do cancel, but no reason above says why, the answer is "unknown".
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs._policy_cycles import cycle_of_policies
from metamarl.envs._stage_potential import ROUNDING, cycle_excess, integrate, worst_square
from metamarl.envs.anonymous import AnonymousGame
from metamarl.envs.checks import complaint
from metamarl.envs.clock import at_rest
from metamarl.envs.table import Table

if TYPE_CHECKING:
    from metamarl.envs.game import MarkovGame


@dataclass(frozen=True, eq=False, kw_only=True)
class Square:
    """Four joint actions of a stage game, round which the movers' gains do not cancel."""

    step: int
    """Where the stage game is; 0 without a horizon."""
    state: int
    """Its state."""
    players: tuple[int, int]
    """The two who move in turn."""
    corner: tuple[int, ...]
    """A joint action."""
    opposite: tuple[int, ...]
    """The same after both have moved."""
    excess: float
    """The sum of the movers' gains on the way round, which a potential would make 0."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Potential:
    """Whether a game is a Markov potential game, and why."""

    status: str
    """"potential", "not potential" or "unknown"."""
    reason: str
    """One sentence."""
    rows: NDArray[np.float64] | None = None
    """The stage potential, whose expected (discounted) sum is the game's: one number per row of
    `game.compact`, `(R,)`, or `(H·R,)` where it depends on the step. None where none is known."""
    witness: Square | None = None
    """What shows that a stage game has no potential, where that decides."""

    def __bool__(self) -> bool:
        return self.status == "potential"


def find_potential(game: "MarkovGame") -> Potential:
    """Decide whether `game` is a Markov potential game, exactly (see above), as far as that goes.

    Rewards count as equal up to a millionth of the largest one. Answers are the same at every call.

    Raises:
        TypeError: not a MarkovGame.
    """
    from metamarl.envs.game import MarkovGame

    if not isinstance(game, MarkovGame):
        raise TypeError(complaint("game", "find_potential", "a MarkovGame", game))
    found = by_structure(game)
    return _by_cycles(game) if found is None else found


def by_structure(game: "MarkovGame") -> Potential | None:
    """What interests, transitions and stage games alone decide, None where they do not."""
    own = game.compact.reward[0]
    if game.n_players == 1:
        return Potential(status="potential", reason="It has one player.", rows=own.copy())
    reached = _reached(game)
    if isinstance(game, AnonymousGame):
        identical = game.interests() <= ROUNDING * float(np.abs(own).max())
    else:
        identical = _identical(game, reached)
    if identical:
        reason = "Interests are identical, up to a constant per player."
        return Potential(status="potential", reason=reason, rows=own.copy())
    still = still_nodes(game)
    rows = game.potential
    if isinstance(game, AnonymousGame):
        found, excess = game.integrate()
        rows = found if rows is None else rows
    else:
        excess = cycle_excess(game.table)
    bad = _at_nodes(game, excess) > ROUNDING * float(np.abs(game.compact.reward).max())
    against = np.flatnonzero(reached & still & bad)
    if len(against):
        return _refuted(game, int(against[0]))
    if not still[reached].all():
        return None
    return Potential(
        status="potential",
        reason="Transitions do not depend on actions, and every stage game has a potential.",
        rows=integrate(game.table) if rows is None else rows.copy(),
    )


def _by_cycles(game: "MarkovGame") -> Potential:
    excess = cycle_of_policies(game)
    if excess is None:
        reason = (
            "Transitions depend on actions, and the game is too large to try a cycle of policies."
        )
        return Potential(status="unknown", reason=reason)
    if abs(excess) > ROUNDING:
        reason = (
            "Round a closed cycle of policies the movers' gains do not cancel: they leave "
            f"{abs(excess):.2g} of the largest value."
        )
        return Potential(status="not potential", reason=reason)
    reason = (
        "Gains cancel round the cycle of policies that was tried, yet transitions depend on "
        "actions and interests differ, so that this is no proof."
    )
    return Potential(status="unknown", reason=reason)


def _refuted(game: "MarkovGame", node: int) -> Potential:
    state = int(game.nodes.states[node])
    step = int(game.nodes.steps[node])
    if isinstance(game, AnonymousGame):
        reason = (
            f"In state {state} no function of the counts changes as much as a deviator's reward."
        )
        return Potential(status="not potential", reason=reason)
    players, corner, opposite, excess = worst_square(game.table, step, state)
    square = Square(
        step=step, state=state, players=players, corner=corner, opposite=opposite, excess=excess
    )
    at = f"step {step}, state {state}" if step else f"state {state}"
    reason = (
        f"In {at} the gains of players {players[0]} and {players[1]}, who move in turn between "
        f"joint actions {corner} and {opposite}, leave {abs(excess):.6g}."
    )
    return Potential(status="not potential", reason=reason, witness=square)


def _at_nodes(game: "MarkovGame", array: NDArray) -> NDArray:
    """`(N,)` entries of a `(steps, S)` array; one step stands for all."""
    steps = game.nodes.steps if len(array) > 1 else 0
    return array[steps, game.nodes.states]


def _reached(game: "MarkovGame") -> NDArray[np.bool_]:
    """`(N,)` nodes that some play visits."""
    if game.nodes.timed:
        return np.ones(len(game.nodes.states), bool)  # they are unrolled from the start
    table, seen = game.compact, game.initial > 0
    heads = table.indptr[table.rows]  # of every state's successors, whatever is played
    links = sp.csr_array((table.probabilities, table.indices, heads), (game.n_states,) * 2)
    frontier = np.flatnonzero(seen)
    while frontier.size:
        following = np.unique(links[frontier].indices)
        frontier = following[~seen[following]]
        seen[frontier] = True
    return seen[game.nodes.states]


def _identical(game: "MarkovGame", reached: NDArray[np.bool_]) -> bool:
    """Whether rewards of all players differ by constants: per step, or once for all."""
    table, nodes = game.table, game.nodes
    least = ROUNDING * float(np.abs(table.reward).max())
    steps = table.reward.shape[1] // table.n_rows
    for own in table.reward[1:]:
        difference = (own - table.reward[0]).reshape(steps, table.n_rows)
        low = _at_nodes(game, np.minimum.reduceat(difference, table.rows[:-1], axis=1))
        high = _at_nodes(game, np.maximum.reduceat(difference, table.rows[:-1], axis=1))
        if nodes.timed:
            first = nodes.groups[:-1]
            spans = np.maximum.reduceat(high, first) - np.minimum.reduceat(low, first)
        else:
            spans = np.atleast_1d(high[reached].max() - low[reached].min())
        if spans.max() > least:
            return False
    return True


def still_nodes(game: "MarkovGame") -> NDArray[np.bool_]:
    """`(N,)` nodes whose next state does not depend on the joint action, or does not matter.

    All states at rest count as one, for nothing is paid there.
    """
    table = game.compact
    if game.discount == 0.0:
        return np.ones(len(game.nodes.states), bool)
    steps = (len(table.indptr) - 1) // table.n_rows
    still = np.stack([_still_states(table, step) for step in range(steps)])
    found = _at_nodes(game, still)
    if game.nodes.timed:
        found[game.nodes.groups[-2] :] = True
    return found


def _still_states(table: Table, step: int) -> NDArray[np.bool_]:
    moves = table.successors(step).copy()
    if table.transition_stride == 0 and table.reward_stride == 0:
        rest = np.flatnonzero(at_rest(table))
        if len(rest):
            moves.indices[np.isin(moves.indices, rest)] = rest[0]
            moves.sum_duplicates()
    first = np.repeat(table.rows[:-1], np.diff(table.rows))
    away = abs(moves - moves[first])
    worst = away.max(axis=1).toarray().ravel()
    return np.maximum.reduceat(worst, table.rows[:-1]) <= ROUNDING
