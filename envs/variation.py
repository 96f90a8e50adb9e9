"""How the knobs of related games differ: small random changes that vanish at spread 0."""

from collections.abc import Sequence

import numpy as np


def scaled(rng: np.random.Generator, spread: float, values: Sequence[float]) -> tuple[float, ...]:
    """Each value times 1 + spread·U[-1, 1]."""
    factors = 1.0 + spread * rng.uniform(-1.0, 1.0, len(values))
    return tuple(float(value * factor) for value, factor in zip(values, factors, strict=True))


def moved(
    rng: np.random.Generator, spread: float, value: float, minimum: float, maximum: float
) -> float:
    """The value plus spread·U[-1, 1], kept in [minimum, maximum]."""
    return float(np.clip(value + spread * rng.uniform(-1.0, 1.0), minimum, maximum))
