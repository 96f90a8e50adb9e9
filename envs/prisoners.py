r"""The repeated prisoner's dilemma (Flood and Dresher 1950; Tucker 1950; Luce and Raiffa 1957).

Both players cooperate (each is paid the *reward*), or both defect (the *punishment*), or one
defects alone (it is paid the *temptation*, the other the *sucker's payoff*). Since temptation >
reward > punishment > sucker, to defect is better whatever the other does. With Markov policies, and
a single state, to defect always is therefore the only Nash equilibrium and also the only coarse
correlated one: who cooperates with any probability gains at least $\min(T - R, P - S)$ times that
probability by defecting. Everybody is then paid the punishment in every round, although the reward
is larger.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metamarl.envs.checks import check_reals, complaint
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register
from metamarl.envs.repeated import repeated_game
from metamarl.envs.variation import stretched

WHERE = "prisoners"
ACTIONS = ("cooperate", "defect")


def _check(payoffs: Sequence[float]) -> tuple[float, ...]:
    found = check_reals(payoffs, "payoffs", WHERE, 4)
    if not found[0] > found[1] > found[2] > found[3]:
        must = "4 numbers, temptation > reward > punishment > sucker"
        raise ValueError(complaint("payoffs", WHERE, must, payoffs))
    return found


def _vary(
    rng: np.random.Generator, spread: float, *, payoffs: Sequence[float], **_: Any
) -> Mapping[str, Any]:
    return {"payoffs": stretched(rng, spread, _check(payoffs)[::-1])[::-1]}


@register("prisoners", vary=_vary)
def prisoners(
    *,
    payoffs: Sequence[float] = (5.0, 3.0, 1.0, 0.0),
    horizon: int | None = 10,
    discount: float = 1.0,
) -> MarkovGame:
    """Repeated prisoner's dilemma (Luce and Raiffa 1957); two players, general-sum, one state.

    Related games scale the three differences between the payoffs, which stay in order.

    Args:
        payoffs: temptation > reward > punishment > sucker. The defaults are those of Axelrod, "The
            Evolution of Cooperation" (1984).
        horizon: number of rounds H, or None with a discount below 1.
        discount: γ.
    """
    temptation, reward, punishment, sucker = _check(payoffs)
    first = np.array([[reward, sucker], [temptation, punishment]])
    return repeated_game(
        np.stack([first, first.T]), horizon, discount, name="prisoners", actions=[ACTIONS] * 2
    )
