r"""Rock-paper-scissors, played for several rounds.

One state, three actions. Winning a round with rock, paper or scissors pays $w_0, w_1, w_2$, so the
first player's payoffs of a round are

$$\begin{pmatrix} 0 & -w_1 & w_0 \\ w_1 & 0 & -w_2 \\ -w_0 & w_2 & 0 \end{pmatrix}.$$

The matrix is skew-symmetric: the value is 0, and with positive weights both players' only optimal
strategy is $(w_2, w_0, w_1) / (w_0 + w_1 + w_2)$ in every round.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metamarl.envs.checks import check_integer, check_reals
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register
from metamarl.envs.variation import scaled

WHERE = "rps"
ACTIONS = ("rock", "paper", "scissors")


def _vary(
    rng: np.random.Generator, spread: float, *, weights: Sequence[float], **_: Any
) -> Mapping[str, Any]:
    return {"weights": scaled(rng, spread, check_reals(weights, "weights", WHERE, 3, 0.0))}


@register("rps", vary=_vary)
def rps(*, rounds: int = 15, weights: Sequence[float] = (1.0, 1.0, 1.0)) -> MarkovGame:
    """Rock-paper-scissors over several rounds; two players, zero-sum, one state.

    Related games scale the weights.

    Args:
        rounds: the horizon H.
        weights: what winning with rock, with paper and with scissors pays. `(2, 1, 1)` is the
            weighted game whose equilibrium is (1/4, 1/2, 1/4).
    """
    rounds = check_integer(rounds, "rounds", WHERE)
    rock, paper, scissors = check_reals(weights, "weights", WHERE, 3, 0.0)
    payoff = np.array([[0.0, -paper, rock], [paper, 0.0, -scissors], [-rock, scissors, 0.0]])
    return MarkovGame(
        np.ones((1, 3, 3, 1)),
        np.stack([payoff, -payoff])[:, None],
        horizon=rounds,
        name="rps",
        states=["round"],
        actions=[ACTIONS, ACTIONS],
    )
