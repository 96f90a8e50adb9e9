r"""How alike games are: distances of their payoffs, transitions, potentials and equilibria.

The bounds of meta-learning (Mao et al., NeurIPS 2023) are in such terms: in zero-sum and
general-sum games the mean divergence of the tasks' equilibria from the best common start,

$$Δ = \min_π \frac 1 K \sum_k \sum_h \max_s \sum_i D(π^k_{i,h}(s), π_{i,h}(s)),$$

in Markov potential games $Δ_Φ = \sum_{k<K} \max_π |Φ_{k+1}(π) - Φ_k(π)|$. The exact form of these
sums is reconstructed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.evaluation import best_response
from metamarl.algorithms.evaluator import expected_duration
from metamarl.algorithms.policy import JointPolicy
from metamarl.envs.checks import check_choice, check_kind, complaint, said
from metamarl.envs.game import MarkovGame

DIVERGENCES = ("kl", "euclidean")
ROUNDING = 1e-12  # transitions closer than this are equal


def divergence(
    game: MarkovGame, policy: JointPolicy, reference: JointPolicy, kind: str = "kl"
) -> NDArray[np.float64]:
    """Divergence of `policy` from `reference` at every node of `game`, summed over the players.

    Args:
        game: whose nodes are meant.
        policy: π.
        reference: π'.
        kind: "kl": Σ π log(π / π'), infinite where π' excludes an action of π; "euclidean":
            ½‖π - π'‖².

    Returns:
        `(N,)` in the order of `game.nodes`.
    """
    check_choice(kind, "kind", "divergence", DIVERGENCES)
    for name, given in (("policy", policy), ("reference", reference)):
        check_kind(given, JointPolicy, name, "divergence", "a JointPolicy")
    p, q = policy.flat(game, "divergence"), reference.flat(game, "divergence")
    if kind == "euclidean":
        terms = 0.5 * (p - q) ** 2
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(p > 0, p * np.log(p / q), 0.0)
    starts = game.nodes.slots[:, :-1]
    return np.add.reduceat(terms, starts.ravel()).reshape(starts.shape).sum(0)


def payoff_distance(one: MarkovGame, other: MarkovGame) -> float:
    """Return the largest difference of a reward, over players, states and legal joint actions."""
    _check_alike(one, other, "payoff_distance")
    first, second = (_all_steps(g.compact.reward, g) for g in (one, other))
    return float(np.abs(first - second).max())


def transition_distance(one: MarkovGame, other: MarkovGame) -> float:
    """Return the largest total variation distance between rows of transition probabilities."""
    _check_alike(one, other, "transition_distance")
    steps = max(1 if g.compact.transition_stride == 0 else g.horizon or 1 for g in (one, other))
    largest = 0.0
    for step in range(steps):
        change = abs(one.compact.successors(step) - other.compact.successors(step))
        largest = max(largest, 0.5 * float(change.sum(axis=1).max()))
    return largest


def potential_difference(games: Sequence[MarkovGame]) -> float:
    """Return Δ_Φ: by how much potentials change from game to game, at most, whatever is played.

    Exact where consecutive games have equal transitions: the change of the potential is then the
    value of a decision problem over joint actions. Else an upper bound by the simulation lemma
    (Kearns & Singh 2002): the expected duration T times the largest change of a stage potential,
    plus γ·T times the transition distance times T times the range of the stage potentials.

    Raises ValueError where a game has no known potential.
    """
    _check_games(games, "potential_difference")
    total = 0.0
    for one, other in pairwise(games):
        _check_alike(one, other, "potential_difference")
        if one.potential is None or other.potential is None:
            got = said(f"{one!r} and {other!r}")
            raise ValueError(complaint("games", "potential_difference", "of known potential", got))
        first, second = _all_steps(one.potential, one), _all_steps(other.potential, other)
        distance, change = transition_distance(one, other), second - first
        if distance <= ROUNDING:
            total += max(best_plan(one, change), best_plan(one, -change))
        else:
            duration = one.horizon or expected_duration(one)
            reach = one.discount * distance * duration * float(np.ptp(first))
            total += duration * (float(np.abs(change).max()) + reach)
    return total


def best_plan(game: MarkovGame, reward: NDArray[np.float64]) -> float:
    """Value of the best joint plan for one common reward, given per step and row."""
    table = game.compact
    counts = np.diff(table.rows)
    plan = replace(
        table,
        legal=(np.arange(counts.max()) < counts[:, None],),
        counts=counts[:, None],
        reward=np.ascontiguousarray(reward.reshape(1, -1)),
        reward_stride=table.n_rows if reward.size > table.n_rows else 0,
    )
    alone = MarkovGame.from_table(plan, game.initial, game.horizon, game.discount)
    return best_response(alone, JointPolicy.uniform(alone), 0)[0]


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How alike the games of a sequence are; 0 everywhere for identical ones."""

    payoff: float
    """Largest payoff distance of a game from the first one."""
    transition: float
    """Largest transition distance of a game from the first one, in [0, 1]."""
    kl: float | None
    """Δ with the KL divergence, at the mean of the policies (an upper bound of the minimum)."""
    euclidean: float | None
    """Δ with the Euclidean divergence, likewise."""
    potential: float | None
    """Δ_Φ (see `potential_difference`), where all potentials are known."""


def similarity(
    games: Sequence[MarkovGame], policies: Sequence[JointPolicy] | None = None
) -> Similarity:
    """Measure how alike games are, and their equilibria where `policies` gives them.

    Raises ValueError where shapes differ.
    """
    _check_games(games, "similarity")
    if not games or (policies is not None and len(policies) != len(games)):
        must = "one policy for each of at least one game"
        got = said(f"{len(games)} games and {len(policies or ())} policies")
        raise ValueError(complaint("policies", "similarity", must, got))
    spreads: dict[str, float | None] = dict.fromkeys(DIVERGENCES)
    if policies is not None:
        flats = [policy.flat(games[0], "similarity") for policy in policies]
        mean = JointPolicy.from_flat(games[0], np.mean(flats, axis=0))
        for kind in DIVERGENCES:
            found = [divergence(games[0], p, mean, kind) for p in policies]
            groups = games[0].nodes.groups[:-1]
            spreads[kind] = float(np.mean([np.maximum.reduceat(d, groups).sum() for d in found]))
    known = all(game.potential is not None for game in games)
    return Similarity(
        payoff=max(payoff_distance(games[0], game) for game in games),
        transition=max(transition_distance(games[0], game) for game in games),
        kl=spreads["kl"],
        euclidean=spreads["euclidean"],
        potential=potential_difference(games) if known else None,
    )


def _all_steps(rows: NDArray[np.float64], game: MarkovGame) -> NDArray[np.float64]:
    """`(…, T, R)` with T = 1 where nothing depends on the step."""
    return rows.reshape(*rows.shape[:-1], -1, game.compact.n_rows)


def _check_games(games: Any, where: str) -> None:
    fine = isinstance(games, Sequence) and all(isinstance(game, MarkovGame) for game in games)
    if not fine:
        raise TypeError(complaint("games", where, "a sequence of MarkovGames", games))


def _check_alike(one: MarkovGame, other: MarkovGame, where: str) -> None:
    _check_games([one, other], where)
    alike = one.horizon == other.horizon and one.discount == other.discount
    alike = alike and len(one.legal) == len(other.legal)
    if not alike or not all(map(np.array_equal, one.legal, other.legal)):
        must = f"alike in clock, states and legal actions to {one!r}"
        raise ValueError(complaint("other", where, must, other))
