"""Tiers and agents from words, as the command line and the files of studies have them."""

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from metamarl import _cli_support as support
from metamarl.envs.checks import check_choice
from metamarl.envs.tier_families import Tiers, tier_families, tier_tasks
from metamarl.tier_agents import TIER_AGENTS, TierAgent
from metamarl.tier_opponents import opponent_tiers

OPPONENTS = "opponents"
KNOBS = ("states", "actions", "horizon", "gap", "shift")  # None: the family's default
AGENT = re.compile(r"\s*([^\s,()]*)\s*(?:\(([^()]*)\))?\s*(?:,|$)")


def draw_tiers(family: str, sources: int, seed: int, **knobs: Any) -> Tiers:
    """Tiers of a family, or against opponents; ValueError for a knob that does not apply."""
    check_choice(family, "FAMILY", "tiered", [*tier_families(), OPPONENTS])
    given = {name: value for name, value in knobs.items() if value is not None}
    if family == OPPONENTS:
        if given.keys() - {"horizon"}:
            raise ValueError("--states, --actions, --gap and --shift do not apply to 'opponents'.")
        return opponent_tiers("pursuit", sources, seed, **given)
    return tier_tasks(family, sources, seed, **given)


def read_agents(texts: Sequence[str]) -> list[TierAgent]:
    """Agents from `["none,robust(delay=5)", "oracle"]`; ValueError for unknown ones and options."""
    found: list[TierAgent] = []
    for text in texts:
        at = 0
        while at < len(text) or not text:
            match = AGENT.match(text, at)
            if match is None or match.end() == at:
                raise ValueError(
                    "--agents wants names, such as none,robust or 'robust(delay=5000)'. "
                    f"Got {text!r}."
                )
            kind = TIER_AGENTS[check_choice(match[1], "agents", "tiered", TIER_AGENTS)]
            options = support.parse_pairs(
                (match[2] or "").split(",") if match[2] else [], "--agents"
            )
            known = [field.name for field in fields(kind)]
            for option in options:
                support.check_known(option, f"The agent '{kind.name}' has no option", known)
            found.append(kind(**options))
            at = match.end()
    return found
