r"""Tier tasks: a high-tier task, and sources that resemble it in known ways.

A high-tier task has S states, A actions, H steps and a uniform first state; rewards U[0, 1] (in
part of that range where sources are shifted) and transitions that are normalised integers 0, …, 9.
The rewards of sub-optimal actions are then lowered, from the last step to the first, until every
gap is at least `gap` (Huang and He, NeurIPS 2023, whose experiments have S = A = 3, H = 5 and gaps
of 0.1). Everything depends on the step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import check_choice, check_integer, check_memory, check_real
from metamarl.envs.game import MarkovGame

WHERE = "tier_tasks"
Model = tuple[NDArray[np.float64], NDArray[np.float64]]  # rewards (H, S, A), transitions


class Tiers(NamedTuple):
    """Sources and the task they are for: `tiered(*tiers)` runs them."""

    low: list[MarkovGame]
    high: MarkovGame

    @property
    def reward_range(self) -> tuple[float, float]:
        """Lowest and highest reward of all of them, for `tiered`; 1 apart where all are equal."""
        rewards = [game.table.reward for game in (*self.low, self.high)]
        lowest, highest = min(float(r.min()) for r in rewards), max(float(r.max()) for r in rewards)
        return lowest, highest if highest > lowest else lowest + 1.0


def tier_tasks(
    name: str = "permuted",
    sources: int = 1,
    seed: int = 0,
    *,
    states: int | None = None,
    actions: int | None = None,
    horizon: int | None = None,
    gap: float = 0.1,
    shift: float = 0.2,
) -> Tiers:
    """Draw a high-tier task and its sources.

    Args:
        name: one of `tier_families()`.
        sources: W, how many; the first ones do not depend on it.
        seed: of the high-tier task and of the sources.
        states: S; 3 if left out (5 for "integer").
        actions: A; 3 (5).
        horizon: H; 5.
        gap: smallest gap of the high-tier task ("integer" and "unrelated": as it comes).
        shift: by how much every reward of a source is shifted, for "shifted" and "violating".

    Raises:
        ValueError: an unknown family, or sizes that do not fit into memory.
    """
    family = FAMILIES[check_choice(name, "name", WHERE, FAMILIES)]
    sources = check_integer(sources, "sources", WHERE)
    seed = check_integer(seed, "seed", WHERE, 0)
    size = 5 if family is _integer else 3
    S = check_integer(size if states is None else states, "states", WHERE)
    A = check_integer(size if actions is None else actions, "actions", WHERE)
    H = check_integer(5 if horizon is None else horizon, "horizon", WHERE)
    gap = check_real(gap, "gap", WHERE, 0.0, 0.5)
    shift = check_real(shift, "shift", WHERE, 0.0, 0.4)
    check_memory(8.0 * 6 * (sources + 1) * H * S * A * (S + 1), f"{sources + 1} tier tasks")
    rngs = [np.random.default_rng([seed, w]) for w in range(sources + 1)]
    high, low = family(rngs, (H, S, A), gap, shift)
    games = [_game(f"{name} (source {w})", model) for w, model in enumerate(low)]
    return Tiers(games, _game(f"{name} (high tier)", high))


def tier_families() -> dict[str, str]:
    """Names of the families, each with one line that says how their sources differ."""
    return {name: (family.__doc__ or "").splitlines()[0] for name, family in FAMILIES.items()}


def _game(name: str, model: Model) -> MarkovGame:
    rewards, transitions = model
    return MarkovGame(transitions, rewards[None], horizon=len(rewards), name=name)


def _draw(
    rng: np.random.Generator, shape: tuple[int, int, int], gap: float, low: float, high: float
) -> Model:
    """Rewards between `low` and `high`, but for those that are lowered to keep the gaps."""
    H, S, A = shape
    R = low + (high - low) * rng.random(shape)
    P = rng.integers(0, 10, (*shape, S)).astype(float)
    P[P.sum(-1) == 0] = 1.0
    P /= P.sum(-1, keepdims=True)
    values = np.zeros(S)
    for h in range(H - 1, -1, -1):
        Q = R[h] + P[h] @ values
        values = Q.max(1)
        others = np.arange(A) != Q.argmax(1)[:, None]
        R[h] -= np.where(others, np.maximum(gap - (values[:, None] - Q), 0.0), 0.0)
    return R, P


def _permute(rng: np.random.Generator, model: Model) -> Model:
    """Other names for the actions, drawn anew in every step and state: V* stays as it is."""
    R, P = model
    order = rng.permuted(np.broadcast_to(np.arange(R.shape[2]), R.shape), axis=2)
    return np.take_along_axis(R, order, 2), np.take_along_axis(P, order[..., None], 2)


Rngs = list[np.random.Generator]
Family = Callable[[Rngs, tuple[int, int, int], float, float], tuple[Model, list[Model]]]


def _identical(rngs: Rngs, shape: Any, gap: float, shift: float) -> tuple[Model, list[Model]]:  # noqa: ARG001
    """The high-tier task itself."""
    model = _draw(rngs[0], shape, gap, gap, 1.0)
    return model, [model for _ in rngs[1:]]


def _permuted(rngs: Rngs, shape: Any, gap: float, shift: float) -> tuple[Model, list[Model]]:  # noqa: ARG001
    """Actions permuted in every step and state; optimal values the same (Huang and He 2023)."""
    model = _draw(rngs[0], shape, gap, gap, 1.0)
    return model, [_permute(rng, model) for rng in rngs[1:]]


def _shifted(rngs: Rngs, shape: Any, gap: float, shift: float) -> tuple[Model, list[Model]]:
    """Actions permuted, and every reward higher: nothing is transferable."""
    model = _draw(rngs[0], shape, gap, gap, 1.0 - shift)
    sources = [_permute(rng, model) for rng in rngs[1:]]
    return model, [(R + shift, P) for R, P in sources]


def _violating(rngs: Rngs, shape: Any, gap: float, shift: float) -> tuple[Model, list[Model]]:
    """Actions permuted, and every reward lower: Optimal Value Dominance is violated."""
    model = _draw(rngs[0], shape, gap, gap + shift, 1.0)
    sources = [_permute(rng, model) for rng in rngs[1:]]
    return model, [(R - shift, P) for R, P in sources]


def _unrelated(rngs: Rngs, shape: Any, gap: float, shift: float) -> tuple[Model, list[Model]]:  # noqa: ARG001
    """Tasks drawn independently of each other: dominance may hold or not."""
    high, *low = (_draw(rng, shape, 0.0, 0.0, 1.0) for rng in rngs)
    return high, low


def _integer(rngs: Rngs, shape: Any, gap: float, shift: float) -> tuple[Model, list[Model]]:  # noqa: ARG001
    """Rewards 0, 0.1, …, 0.9 and transitions from 1, …, 9; identical (Huang et al. 2022)."""
    R = rngs[0].integers(0, 10, shape) / 10.0
    P = rngs[0].integers(1, 10, (*shape, shape[1])).astype(float)
    model = R, P / P.sum(-1, keepdims=True)
    return model, [model for _ in rngs[1:]]


FAMILIES: dict[str, Family] = {
    "identical": _identical,
    "integer": _integer,
    "permuted": _permuted,
    "shifted": _shifted,
    "unrelated": _unrelated,
    "violating": _violating,
}
