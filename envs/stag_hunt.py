r"""The stag hunt (Rousseau 1755; Skyrms, "The Stag Hunt", 2004), repeated, for n hunters.

The stag is caught only if all hunt it; a hare can be caught alone. A stage game has exactly three
Nash equilibria, for every n ≥ 2:

* all hunt the stag, which is best for everybody;
* all hunt hares, which is safe;
* all hunt the stag with probability $p = ((h - a) / (s - a))^{1/(n-1)}$, where s is what the stag
  pays, h a hare, and a the hunt for a stag that is not caught.

(If somebody never hunts the stag, nobody should. Otherwise let q be the product of all players'
probabilities: who mixes is indifferent, $q / p_i = p^{n-1}$, so all who mix have the same $p_i$ and
$q < p^{n-1}$; who surely hunts the stag has $q ≥ p^{n-1}$: so either all mix, or none does.)

It is a potential game (Monderer and Shapley 1996): the potential is $s - a$ where all hunt the
stag, plus $h - a$ for everyone who hunts hares.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metamarl.envs.anonymous import AnonymousGame
from metamarl.envs.checks import LARGEST, check_integer, check_real, complaint
from metamarl.envs.counts import check_counts, count_vectors
from metamarl.envs.registry import register
from metamarl.envs.variation import stretched

WHERE = "stag-hunt"
ACTIONS = ("stag", "hare")


def _check(stag: float, hare: float, alone: float) -> tuple[float, float, float]:
    stag, hare, alone = (
        check_real(pay, name, WHERE, -LARGEST, LARGEST)
        for pay, name in ((stag, "stag"), (hare, "hare"), (alone, "alone"))
    )
    if not hare > alone:
        must = f"above 'alone', which is {alone:g}"
        raise ValueError(complaint("hare", WHERE, must, hare))
    if not stag > hare:
        must = f"above 'hare', which is {hare:g}"
        raise ValueError(complaint("stag", WHERE, must, stag))
    return alone, hare, stag


def _vary(
    rng: np.random.Generator, spread: float, *, stag: float, hare: float, alone: float, **_: Any
) -> Mapping[str, Any]:
    alone, hare, stag = stretched(rng, spread, _check(stag, hare, alone))
    return {"stag": stag, "hare": hare}


@register("stag-hunt", vary=_vary)
def stag_hunt(
    *,
    hunters: int = 2,
    stag: float = 4.0,
    hare: float = 3.0,
    alone: float = 0.0,
    horizon: int | None = 10,
    discount: float = 1.0,
) -> AnonymousGame:
    """Repeated stag hunt (Rousseau 1755; Skyrms 2004); n hunters, a potential game, one state.

    Related games scale what a hare is worth above `alone`, and the stag above a hare.

    Args:
        hunters: n, at least 2; the stag needs all of them.
        stag: what everybody is paid for the stag.
        hare: what a hare pays, less than the stag.
        alone: what hunting the stag pays when somebody does not, less than a hare.
        horizon: number of rounds H, or None with a discount below 1.
        discount: γ.
    """
    hunters = check_integer(hunters, "hunters", WHERE, 2)
    alone, hare, stag = _check(stag, hare, alone)
    check_counts(hunters, 2, 1, f"A stag hunt of {hunters}")
    stags, hares = count_vectors(hunters, 2).T
    together = hares == 0
    pay = np.stack([np.where(together, stag, alone), np.full(len(stags), hare)], axis=1)
    return AnonymousGame(
        hunters,
        pay[None],
        np.ones((1, len(pay), 1)),
        horizon=horizon,
        discount=discount,
        name="stag-hunt",
        states=["round"],
        actions=ACTIONS,
        potential=[np.where(together, stag - alone, 0.0) + (hare - alone) * hares],
    )
