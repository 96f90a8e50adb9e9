"""Why transfer helps or hurts: transferable states, dominance, trust, and where regret arose."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metamarl.tier_models import TierModel

ROUNDING = 1e-9  # values closer than this are the same


def conditions(
    low: Sequence[TierModel], high: TierModel, slack: float, occupancy: float
) -> NDArray[np.bool_]:
    """`(3, W, H, S)`: whether a source comes there, is right, and is not better.

    The three conditions of a transferable (step, state), in the order of `metamarl.tier_models`.
    """
    found = np.zeros((3, len(low), *high.best.shape), bool)
    for w, source in enumerate(low):
        found[0, w] = source.visits > occupancy / 3.0
        rows = high.first[:-1] + source.best
        found[1, w] = np.take_along_axis(high.gaps, rows, 1) == 0.0
        found[2, w] = source.values <= high.values + slack + ROUNDING
    return found
