r"""Shapley's stochastic game with stop probabilities (Shapley, "Stochastic games", PNAS 1953).

One matrix game is played again and again. A joint action (i, j) pays $A_{ij}$ and then ends the
game with probability $S_{ij} > 0$. Since every stop probability is positive the game ends by
itself, and its value is the only solution of $v = \mathrm{val}(A + (1 - S) v)$, entry by entry.
The default game has $v = 4 - 4/\sqrt{3} ≈ 1.6906$.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import check_matrix
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register

WHERE = "stopping"
Matrix = Sequence[Sequence[float]] | NDArray[np.float64]
STILL_STOPS = 0.05  # related games do not stop more rarely than this, unless the given one does


def _check(payoff: Matrix, stop: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    A = check_matrix(payoff, "payoff", WHERE)
    return A, check_matrix(stop, "stop", WHERE, A.shape, 0.0, 1.0, above=0.0)


def _vary(
    rng: np.random.Generator, spread: float, *, payoff: Matrix, stop: Matrix, **_: Any
) -> Mapping[str, Any]:
    A, S = _check(payoff, stop)
    moved = A + spread * np.abs(A).max() * rng.uniform(-1.0, 1.0, A.shape)
    scaled = S * (1.0 + spread * rng.uniform(-1.0, 1.0, S.shape))
    return {"payoff": moved, "stop": np.clip(scaled, np.minimum(S, STILL_STOPS), 1.0)}


@register("stopping", vary=_vary)
def stopping(
    *,
    payoff: Matrix = ((1.0, 0.0), (0.0, 2.0)),
    stop: Matrix = ((0.5, 0.25), (0.25, 0.5)),
) -> MarkovGame:
    """Shapley's stopping game (1953): one matrix, a stop probability per cell; zero-sum.

    Two states, "play" and "end"; no horizon and no discount: the game ends by itself. Related games
    move the payoffs by spread times the largest one, and scale the stop probabilities, which stay
    at least 0.05 (or what they are, where that is less).

    Args:
        payoff: `(m, n)` what the first player receives from the second.
        stop: `(m, n)` probabilities, above 0, that the game ends.
    """
    A, S = _check(payoff, stop)
    transition = np.zeros((2, *A.shape, 2))
    transition[0] = np.stack([1.0 - S, S], axis=-1)
    transition[1, ..., 1] = 1.0
    reward = np.zeros((2, 2, *A.shape))
    reward[:, 0] = A, -A
    legal = [np.ones((2, count), bool) for count in A.shape]
    for mask in legal:
        mask[1, 1:] = False
    return MarkovGame(
        transition, reward, initial=[1.0, 0.0], legal=legal, name="stopping", states=["play", "end"]
    )
