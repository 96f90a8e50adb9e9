r"""Routing with incidents: a congestion game (Rosenthal 1973) whose state moves by itself.

Every period each of n drivers takes one of m roads. With x drivers on it, road k delays each of
them by $d_k(x) = f_k + g_k x$, times the severity while there is an incident on it. The state is
the road with an incident, or "clear". It moves by itself: an incident begins with some probability,
on a road drawn evenly, and is cleared with another; the drivers cannot change that.

A driver's reward is minus its delay. By Rosenthal, "A class of games possessing pure-strategy Nash
equilibria" (1973), every state has the exact potential

$$Φ(s, a) = - \sum_k \sum_{x=1}^{n_k(a)} d_k(s, x),$$

with $n_k(a)$ drivers on road k: when one driver changes its road, Φ changes by the change of its
reward. Since transitions do not depend on actions, the (discounted) sum of Φ is an exact potential
of the whole game, which makes it a Markov potential game (Leonardos, Overman, Panageas and
Piliouras, ICLR 2022, condition C1): one driver's change of policy changes its value by as much
as that sum. A pure equilibrium of every state, played in that state, is an equilibrium.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.anonymous import AnonymousGame
from metamarl.envs.checks import LARGEST, check_integer, check_real, check_reals, complaint
from metamarl.envs.counts import check_counts, count_vectors
from metamarl.envs.registry import register
from metamarl.envs.variation import moved, scaled

WHERE = "routing"


def _check_roads(
    free: Sequence[float], slope: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    free = check_reals(free, "free", WHERE, None, 0.0, LARGEST)
    if len(free) < 2:
        raise ValueError(complaint("free", WHERE, "numbers for two roads or more", free))
    return free, check_reals(slope, "slope", WHERE, len(free), 0.0, LARGEST)


def _vary(
    rng: np.random.Generator,
    spread: float,
    *,
    free: Sequence[float],
    slope: Sequence[float],
    incident: float,
    **_: Any,
) -> Mapping[str, Any]:
    free, slope = _check_roads(free, slope)
    return {
        "free": scaled(rng, spread, free),
        "slope": scaled(rng, spread, slope),
        "incident": moved(rng, spread, check_real(incident, "incident", WHERE, 0.0, 1.0), 0.0, 1.0),
    }


@register("routing", vary=_vary)
def routing(
    *,
    drivers: int = 3,
    free: Sequence[float] = (1.0, 2.5, 4.0),
    slope: Sequence[float] = (3.0, 2.0, 1.0),
    severity: float = 3.0,
    incident: float = 0.2,
    clearing: float = 0.5,
    horizon: int | None = None,
    discount: float = 0.9,
) -> AnonymousGame:
    """Routing with incidents (Rosenthal 1973): n drivers, m roads; a Markov potential game.

    States: "clear" (the first one), "incident 0", …. Related games scale the delays of every road,
    and move `incident` by spread·U[-1, 1].

    Args:
        drivers: n.
        free: `(m,)` delay of the empty roads, m ≥ 2.
        slope: `(m,)` delay that every driver on the road adds for all drivers on it.
        severity: what an incident multiplies the delay of its road by, at least 1.
        incident: probability that an incident begins, when there is none.
        clearing: probability that it is cleared.
        horizon: number of periods H, or None with a discount below 1.
        discount: γ.
    """
    delays = _delays(drivers, free, slope, severity)  # these check their knobs
    incident = check_real(incident, "incident", WHERE, 0.0, 1.0)
    clearing = check_real(clearing, "clearing", WHERE, 0.0, 1.0)
    n_states, roads, drivers = delays.shape
    counts = count_vectors(drivers, roads)
    reward = -delays[:, np.arange(roads), np.maximum(counts, 1) - 1]
    weather = np.diag(np.append(1.0 - incident, np.full(roads, 1.0 - clearing)))
    weather[0, 1:] = incident / roads
    weather[1:, 0] = clearing
    return AnonymousGame(
        drivers,
        reward,
        sp.csr_array(weather)[np.repeat(np.arange(n_states), len(counts))],
        np.eye(1, n_states)[0],
        horizon,
        discount,
        name="routing",
        states=["clear", *(f"incident {k}" for k in range(roads))],
        actions=[f"road {k}" for k in range(roads)],
        potential=stage_potential(drivers=drivers, free=free, slope=slope, severity=severity),
    )


def stage_potential(
    *,
    drivers: int = 3,
    free: Sequence[float] = (1.0, 2.5, 4.0),
    slope: Sequence[float] = (3.0, 2.0, 1.0),
    severity: float = 3.0,
) -> NDArray[np.float64]:
    """`(S, K)` Rosenthal's potential Φ of the game `routing` with these knobs, by counts."""
    delays = _delays(drivers, free, slope, severity)
    n_states, roads, drivers = delays.shape
    paid = np.concatenate([np.zeros((n_states, roads, 1)), np.cumsum(delays, axis=2)], axis=2)
    counts = count_vectors(drivers, roads)
    return -paid[:, np.arange(roads), counts].sum(-1)


def _delays(
    drivers: int, free: Sequence[float], slope: Sequence[float], severity: float
) -> NDArray[np.float64]:
    """`(S, m, n)` delay of every road with 1, …, n drivers on it."""
    drivers = check_integer(drivers, "drivers", WHERE)
    free, slope = _check_roads(free, slope)
    severity = check_real(severity, "severity", WHERE, 1.0, LARGEST)
    roads = len(free)
    what = f"Routing with {drivers} drivers on {roads} roads"
    check_counts(drivers, roads, roads + 1, what)
    delays = np.array(free)[:, None] + np.outer(slope, np.arange(1, drivers + 1))
    factors = np.ones((roads + 1, roads))
    factors[1:][np.diag_indices(roads)] = severity
    return factors[:, :, None] * delays
