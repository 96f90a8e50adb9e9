"""Means and ratios with 95 % intervals (Student's t)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval; NaN where there is only one observation."""

    mean: float
    low: float = math.nan
    high: float = math.nan

    def __format__(self, spec: str) -> str:
        if math.isnan(self.low):
            return format(self.mean, spec)
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def mean_interval(values: Sequence[float]) -> Estimate:
    """Mean of independent observations."""
    if not values:
        return Estimate(math.nan)
    mean, n = float(np.mean(values)), len(values)
    if n == 1:
        return Estimate(mean)
    half = _quantile(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half)


def ratio_interval(pairs: ArrayLike) -> Estimate:
    """Ratio of totals Σa / Σb over independent pairs `(n, 2)`, jackknifed on the log scale."""
    array = np.asarray(pairs, float)
    if not array.size:
        return Estimate(math.nan)
    a, b = array.T
    ratio, n = float(a.sum() / b.sum()), len(a)
    if n == 1:
        return Estimate(ratio)
    left_out = np.log((a.sum() - a) / (b.sum() - b))
    deviation = math.sqrt((n - 1) / n * float(((left_out - left_out.mean()) ** 2).sum()))
    factor = math.exp(_quantile(n - 1) * deviation)
    return Estimate(ratio, ratio / factor, ratio * factor)


def _quantile(degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + LEVEL / 2, degrees))
