"""Ticks at round numbers, written in plain figures, for logarithmic axes."""

import math
from collections.abc import Sequence

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter


def plain_ticks(axis: Axis, unit: str = "") -> None:
    """Round numbers in plain figures."""
    axis.set_ticks(round_numbers(*axis.get_view_interval()))
    axis.set_ticks([], minor=True)
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}{unit}"))


def round_numbers(low: float, high: float) -> Sequence[float]:
    """The fewest round numbers between two positive ones that are at least four, if there are."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    best: list[float] = []
    for digits, step in ([1], 3), ([1], 2), ([1], 1), ([1, 3], 1), ([1, 2, 5], 1):
        numbers = [d * 10.0**e for e in range(first, last + 1) for d in digits if e % step == 0]
        best = [x for x in numbers if low <= x <= high]
        if len(best) >= 4:
            return best
    return best
