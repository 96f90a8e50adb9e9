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


def stretched(
    rng: np.random.Generator, spread: float, values: Sequence[float]
) -> tuple[float, ...]:
    """Rising values, each difference scaled as above, but by no less than 0.05: they still rise."""
    gaps = np.diff(values)
    factors = np.maximum(1.0 + spread * rng.uniform(-1.0, 1.0, len(gaps)), 0.05)
    moves = np.cumsum(gaps * (factors - 1.0))
    return (float(values[0]), *(float(v + m) for v, m in zip(values[1:], moves, strict=True)))
