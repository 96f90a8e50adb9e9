"""`from_pettingzoo` with all its modes: those that solve games on their way join here."""

from metamarl.algorithms.sampled_model import build_sampled
from metamarl.envs.plugging_in import MODES, from_pettingzoo, inspect

MODES["sample"] = build_sampled

__all__ = ["from_pettingzoo", "inspect"]
