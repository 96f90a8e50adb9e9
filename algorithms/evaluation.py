r"""Values, best responses and gaps: defined here once, exact, for every clock.

With the others' policies fixed, a player faces a Markov decision problem. Its best-response value
$V_i^{†,π_{-i}}$ is found by backward induction where the game has a horizon or no cycles, and by
modified policy iteration to rounding error where it is cyclic (discounted, or ending by itself).

* Nash gap: $\max_i V_i^{†,π_{-i}} - V_i^π$ at the initial distribution; 0 exactly at equilibrium.
* Two-player zero-sum games: the duality gap $V^{†,ν} - V^{μ,†}$, which is the sum of both players'
  gains and bounds the distance of $V^π$ from the value of the game.
* Coarse correlated and correlated gaps: the same for a joint policy σ that tells the players what
  to do, drawn anew at every step, against deviations that ignore it or that answer to it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.correlated import CorrelatedPolicy, flat_of_correlated, flat_of_joint
from metamarl.algorithms.evaluator import Evaluator, expected_duration
from metamarl.algorithms.policy import JointPolicy
from metamarl.envs.checks import check_integer, complaint
from metamarl.envs.game import MarkovGame


def evaluate(game: MarkovGame, policy: JointPolicy | CorrelatedPolicy) -> NDArray[np.float64]:
    """`(n,)` value of every player from `game.initial` when all follow `policy`."""
    correlated = isinstance(policy, CorrelatedPolicy)
    flat = (flat_of_correlated if correlated else flat_of_joint)(game, policy, "evaluate")
    judge = Evaluator(game)
    players = range(1 if game.kind == "zero-sum" else game.n_players)
    values = [judge.value(flat, i, respond=False, correlated=correlated) for i in players]
    return np.array([values[0], -values[0]] if game.kind == "zero-sum" else values)


def nash_gap(game: MarkovGame, policy: JointPolicy) -> float:
    """Return the Nash gap of `policy` from `game.initial` (zero-sum games: the duality gap)."""
    flat = flat_of_joint(game, policy, "nash_gap")
    return Evaluator(game).nash_gap(flat)


def cce_gap(game: MarkovGame, correlated: CorrelatedPolicy) -> float:
    """Coarse correlated equilibrium gap from `game.initial`.

    The largest gain of a player who ignores what it is told, at every step, and plays its best
    response to the others' part of the joint policy; 0 at a coarse correlated equilibrium.
    """
    flat = flat_of_correlated(game, correlated, "cce_gap")
    return Evaluator(game).cce_gap(flat)


def ce_gap(game: MarkovGame, correlated: CorrelatedPolicy) -> float:
    """Correlated equilibrium gap from `game.initial`.

    The largest gain of a player who, at every step, hears what it is told and plays its best answer
    to that instead; 0 at a correlated equilibrium. At least the coarse correlated gap.
    """
    flat = flat_of_correlated(game, correlated, "ce_gap")
    return Evaluator(game).ce_gap(flat)


def best_response(
    game: MarkovGame, policy: JointPolicy, player: int
) -> tuple[float, NDArray[np.float64]]:
    """Player's best-response value from `game.initial`, and a best response.

    Returns:
        The value, and a deterministic policy shaped like `policy[player]`: `(H, S, A_i)` with a
        horizon, else `(S, A_i)`. It is optimal at every node, not only along the way.
    """
    flat = flat_of_joint(game, policy, "best_response").copy()
    player = check_integer(player, "player", "best_response", 0)
    if player >= game.n_players:
        must = f"below the number of players, {game.n_players}"
        raise ValueError(complaint("player", "best_response", must, player))
    judge = Evaluator(game)
    value = judge.value(flat, player, respond=True)
    slots = game.nodes.slots[player]
    flat[slots[0] : slots[-1]] = 0.0
    flat[slots[:-1] + judge.choice] = 1.0
    return value, JointPolicy.from_flat(game, flat)[player].copy()


def effective_horizon(game: MarkovGame) -> int:
    """Return the H of the stage lengths and step sizes.

    The horizon; the longest way to the end where there are no cycles; ⌈1/(1-γ)⌉ for discounted
    games; and for games with cycles that end by themselves the largest expected time to the end.
    """
    if game.horizon is not None:
        return game.horizon
    if not game.nodes.cyclic:
        return max(1, game.nodes.n_groups - 1)
    return max(1, math.ceil(expected_duration(game) - 1e-9))
