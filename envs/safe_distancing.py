r"""Safe distancing, the benchmark of Leonardos, Overman, Panageas and Piliouras (ICLR 2022).

"Global convergence of multi-agent policy gradient in Markov potential games", section 5. N agents
choose one of m facilities in every period. On facility j with $n_j$ agents, each of them is paid
$w_j n_j$: company is good. But in state "distancing" everybody pays a penalty. From "safe", play
goes to "distancing" when more than N/2 agents meet on one facility; it goes back when none holds
more than ⌈N/m⌉ agents (N/4 in the paper, which has m = 4 and N = 8).

Every state is a congestion game, with the potential $\sum_j w_j n_j (n_j + 1) / 2$ (less the
penalty) of Rosenthal (1973). Since actions move the state, that does not make a potential of the
whole game: round a cycle of changes of policy the gains need not cancel.

With the default weights and discount 0.99 the largest average of all agents' values is known: from
"safe" half of the agents stay on each of the two best facilities, and from "distancing" they first
spread evenly. That gives 2000 and 1886.5 for 8 agents, 1000 and 893.25 for 4.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metamarl.envs.anonymous import AnonymousGame
from metamarl.envs.checks import LARGEST, check_integer, check_real, check_reals, complaint
from metamarl.envs.counts import check_counts, count_vectors
from metamarl.envs.registry import register
from metamarl.envs.variation import scaled

WHERE = "safe-distancing"


def _check_weights(weights: Sequence[float]) -> tuple[float, ...]:
    found = check_reals(weights, "weights", WHERE, None, 0.0, LARGEST)
    if len(found) < 2:
        raise ValueError(complaint("weights", WHERE, "numbers for two facilities or more", weights))
    return found


def _vary(
    rng: np.random.Generator,
    spread: float,
    *,
    weights: Sequence[float],
    penalty: float,
    **_: Any,
) -> Mapping[str, Any]:
    return {
        "weights": scaled(rng, spread, _check_weights(weights)),
        "penalty": scaled(rng, spread, [check_real(penalty, "penalty", WHERE, 0.0)])[0],
    }


@register("safe-distancing", vary=_vary)
def safe_distancing(
    *,
    agents: int = 8,
    weights: Sequence[float] = (1.0, 2.0, 4.0, 6.0),
    penalty: float = 100.0,
    horizon: int | None = None,
    discount: float = 0.99,
) -> AnonymousGame:
    """Safe distancing (Leonardos et al. 2022): N agents on m facilities, general-sum, two states.

    The first state is "safe" or "distancing", evenly. Related games scale the weights and the
    penalty.

    Args:
        agents: N; 8 have 65,536 joint actions, of 165 counts.
        weights: `(m,)` what company is worth on every facility, m ≥ 2.
        penalty: what everybody pays per period of distancing.
        horizon: number of periods H, or None with a discount below 1.
        discount: γ.
    """
    agents = check_integer(agents, "agents", WHERE)
    weights = _check_weights(weights)
    penalty = check_real(penalty, "penalty", WHERE, 0.0)
    facilities = len(weights)
    check_counts(agents, facilities, 2, f"Safe distancing of {agents} agents")
    counts = count_vectors(agents, facilities)
    safe = np.array(weights) * counts
    potential = (counts * (counts + 1) / 2) @ weights  # Rosenthal's, of a stage
    fullest = counts.max(1)
    crowded, spread_out = 2 * fullest > agents, fullest <= -(-agents // facilities)
    moves = np.eye(2)[np.stack([crowded, ~spread_out]).astype(int)]  # 1 is "distancing"
    return AnonymousGame(
        agents,
        np.stack([safe, safe - penalty]),
        moves,
        [0.5, 0.5],
        horizon,
        discount,
        name="safe-distancing",
        states=["safe", "distancing"],
        actions=[f"facility {k}" for k in range(facilities)],
        potential=np.stack([potential, potential - penalty]),
    )
