r"""Matching pennies in a circle (Jordan 1993), for n players.

Every player shows heads or tails. Each wants to match the next one, and the last one wants to
differ from the first. A stage game has one Nash equilibrium, which is mixed: if anybody's
probability of heads were not the one below, the player before would have one best reply, then the
player before that one too, and so all round; but no profile of pure strategies suits everybody.
Best replies go round in a circle, and fictitious play does not converge (Jordan, "Three problems in
learning mixed-strategy Nash equilibria", Games and Economic Behavior 5, 1993, with n = 3).

Winning pays h with heads and t with tails, losing costs c. All players but the first show heads
with probability $(t + c) / (h + t + 2c)$, and the first, whom the last one wants to miss, with
probability $(h + c) / (h + t + 2c)$: 1/2 with the default payoffs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metamarl.envs.checks import check_integer, check_real, check_reals
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register
from metamarl.envs.repeated import check_size, repeated_game, two_choices
from metamarl.envs.variation import scaled

WHERE = "matching-pennies"
ACTIONS = ("heads", "tails")


def _check(wins: Sequence[float]) -> tuple[float, ...]:
    return check_reals(wins, "wins", WHERE, 2, above=0.0)


def _vary(
    rng: np.random.Generator, spread: float, *, wins: Sequence[float], **_: Any
) -> Mapping[str, Any]:
    wins = _check(wins)
    least = 0.05 * np.array(wins)
    return {"wins": tuple(np.maximum(scaled(rng, spread, wins), least).tolist())}


@register("matching-pennies", vary=_vary)
def matching_pennies(
    *,
    players: int = 3,
    wins: Sequence[float] = (1.0, 1.0),
    loss: float = 1.0,
    horizon: int | None = 10,
    discount: float = 1.0,
) -> MarkovGame:
    """Matching pennies in a circle (Jordan 1993); three players (or n), general-sum, one state.

    Related games scale the wins, by no less than 0.05, which moves the equilibrium.

    Args:
        players: n, at least 2; with two it is the ordinary game.
        wins: what winning with heads and with tails pays, above 0.
        loss: what losing costs, at least 0.
        horizon: number of rounds H, or None with a discount below 1.
        discount: γ.
    """
    players = check_integer(players, "players", WHERE, 2)
    wins, loss = _check(wins), check_real(loss, "loss", WHERE, 0.0)
    check_size(players, "Matching pennies")
    tails = two_choices(players)
    won = tails == np.roll(tails, -1, axis=0)
    won[-1] = ~won[-1]
    payoffs = np.where(won, np.where(tails, wins[1], wins[0]), -loss)
    return repeated_game(
        payoffs, horizon, discount, name="matching-pennies", actions=[ACTIONS] * players
    )
