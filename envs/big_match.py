r"""The Big Match (Gillette 1957; Blackwell and Ferguson, "The Big Match", 1968).

The first player either *stops* (row 0): what this round pays, every later round pays too; or goes
on (row 1), and the same game is played again. With the payoffs [[1, 0], [0, 1]] the value of the
discounted game is $1 / (2 (1 - γ))$, reached by stopping with probability
$(1 - γ) / (2 - γ)$, and that of the game with H rounds is H/2. Without a discount no stationary
strategy is good: the game is the classical hard case of long horizons.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import check_matrix
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register

WHERE = "big-match"
Matrix = Sequence[Sequence[float]] | NDArray[np.float64]


def _vary(
    rng: np.random.Generator, spread: float, *, payoff: Matrix, **_: Any
) -> Mapping[str, Any]:
    A = check_matrix(payoff, "payoff", WHERE, (2, 2))
    return {"payoff": A + spread * np.abs(A).max() * rng.uniform(-1.0, 1.0, A.shape)}


@register("big-match", vary=_vary)
def big_match(
    *,
    discount: float | None = None,
    horizon: int | None = None,
    payoff: Matrix = ((1.0, 0.0), (0.0, 1.0)),
) -> MarkovGame:
    """The Big Match (Gillette 1957; Blackwell and Ferguson 1968); zero-sum, three states.

    Related games move the payoffs by spread times the largest one.

    Args:
        discount: γ; 0.9 without a horizon and 1 with one, if left out.
        horizon: number of rounds H, or None for ever.
        payoff: `(2, 2)` what the first player receives; its row 0 is then paid for ever.
    """
    A = check_matrix(payoff, "payoff", WHERE, (2, 2))
    if discount is None:
        discount = 0.9 if horizon is None else 1.0
    transition = np.zeros((3, 2, 2, 3))
    transition[0, 0, [0, 1], [1, 2]] = 1.0
    transition[0, 1, :, 0] = 1.0
    transition[[1, 2], :, :, [1, 2]] = 1.0
    payoffs = np.stack([A, np.full((2, 2), A[0, 0]), np.full((2, 2), A[0, 1])])
    legal = [np.array([[True, True], [True, False], [True, False]])] * 2
    return MarkovGame(
        transition,
        np.stack([payoffs, -payoffs]),
        initial=[1.0, 0.0, 0.0],
        horizon=horizon,
        discount=discount,
        legal=legal,
        name="big-match",
        states=["play", "stopped left", "stopped right"],
        actions=[("stop", "go on"), ("left", "right")],
    )
