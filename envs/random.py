"""Random games (zero-sum, general-sum, of identical interests), and random games around one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metamarl.envs.checks import (
    check_choice,
    check_integer,
    check_memory,
    check_real,
    complaint,
)
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register

KINDS = ("zero-sum", "general-sum", "potential")
MOST_PLAYERS = 30  # as many axes as every NumPy can have, less those of the states


def _vary(rng: np.random.Generator, spread: float, **_: Any) -> Mapping[str, Any]:
    return {"noise": spread, "variant": int(rng.integers(2**31))}


@register("random", vary=_vary)
def random_game(
    *,
    states: int = 8,
    actions: Sequence[int] = (4, 5),
    horizon: int | None = 5,
    discount: float = 1.0,
    kind: str = "zero-sum",
    concentration: float = 0.2,
    seed: int = 0,
    noise: float = 0.0,
    variant: int = 0,
) -> MarkovGame:
    """Random game: rewards U[0, 1], next states Dirichlet; zero-sum, general-sum or potential.

    Rewards R(s, a) ~ U[0, 1] are drawn for the first player, the second being paid -R(s, a)
    ("zero-sum"); for each player ("general-sum"); or for all players alike ("potential"). Related
    games are clip(R + noise·U[-1, 1], 0, 1) and (1 - noise)·P + noise·P', with P' drawn anew.

    Args:
        states: S.
        actions: numbers of actions (A_1, …, A_n): two of them in a zero-sum game, else any number.
        horizon: H, or None with a discount below 1.
        discount: γ.
        kind: "zero-sum", "general-sum" or "potential" (identical interests).
        concentration: of the symmetric Dirichlet distribution; small values make few successors
            likely.
        seed: of the base game.
        noise: distance from the base game, in [0, 1].
        variant: seed of the noise.
    """
    where = "random"
    states = check_integer(states, "states", where)
    check_choice(kind, "kind", where, KINDS)
    counts = _check_actions(actions, where, kind)
    concentration = check_real(concentration, "concentration", where, above=0.0)
    noise = check_real(noise, "noise", where, 0.0, 1.0)
    seed = check_integer(seed, "seed", where, 0)
    variant = check_integer(variant, "variant", where, 0)
    n_rewards = len(counts) if kind == "general-sum" else 1
    cells = float(states) * float(np.prod(counts, dtype=object))
    check_memory(
        4 * 8.0 * cells * (states + n_rewards - 1),
        f"A random game with {states} states and {counts} actions",
    )
    shape = (states, *counts)
    R, P = _draw(np.random.default_rng(seed), shape, concentration, n_rewards)
    if noise:
        rng = np.random.default_rng([seed, variant])
        R = np.clip(R + noise * rng.uniform(-1.0, 1.0, R.shape), 0.0, 1.0)
        P = (1 - noise) * P + noise * _draw(rng, shape, concentration, n_rewards)[1]
    if kind == "zero-sum":
        R = np.concatenate([R, -R])
    elif kind == "potential":
        R = np.repeat(R, len(counts), axis=0)
    return MarkovGame(P, R, horizon=horizon, discount=discount, name="random")


def _check_actions(actions: Sequence[int], where: str, kind: str) -> tuple[int, ...]:
    must = "two numbers" if kind == "zero-sum" else f"one to {MOST_PLAYERS} numbers"
    if not isinstance(actions, (Sequence, np.ndarray)) or isinstance(actions, (str, bytes)):
        raise TypeError(complaint("actions", where, must, actions))
    if not (len(actions) == 2 if kind == "zero-sum" else 1 <= len(actions) <= MOST_PLAYERS):
        raise ValueError(complaint("actions", where, must, actions))
    return tuple(check_integer(k, "actions", where) for k in actions)


def _draw(
    rng: np.random.Generator, shape: tuple[int, ...], concentration: float, n_rewards: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rewards `(n_rewards, *shape)` and transitions `(*shape, S)`."""
    R = rng.random((n_rewards, *shape))
    # Gamma variables with tiny shapes may all be 0; a floor keeps the row a distribution.
    P = np.maximum(rng.gamma(concentration, size=(*shape, shape[0])), 1e-300)
    return R, P / P.sum(-1, keepdims=True)
