"""An entry `[[tiered]]` of a study (see `metamarl.study`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metamarl.envs.checks import check_choice, check_integer, check_kind, check_real, complaint
from metamarl.study_checks import check_keys, check_label
from metamarl.tier_agents import TierAgent
from metamarl.tier_comparing import compare_tiers
from metamarl.tier_comparison import TierComparison
from metamarl.tier_drawing import KNOBS, draw_tiers, read_agents
from metamarl.tiers import BONUSES


@dataclass(frozen=True, kw_only=True)
class PlannedTiers:
    """One comparison of agents of the high tier; see `metamarl.study` for an example."""

    family: str
    """How the sources differ: a family of `tier_families`, or "opponents"."""
    name: str = ""
    """What to call it, and its folder; the family's name if left out."""
    knobs: dict[str, Any] = field(default_factory=dict)
    """Of the family: states, actions, horizon, gap, shift."""
    sources: int = 1
    """Low-tier tasks."""
    models: int = 1
    """High-tier tasks, drawn with their sources."""
    seeds: int = 5
    """Runs with each of them."""
    seed: int = 0
    """Seed of the first task and of the first run."""
    agents: Sequence[str] = ("none", "robust", "oracle")
    """Agents, with options as in "robust(delay=5000)"."""
    episodes: int = 100_000
    """Episodes of every task."""
    bonus: str = "bernstein"
    """As for `tiered`."""
    coefficient: float = 0.5
    """As for `tiered`."""

    def __post_init__(self) -> None:
        where = "a [[tiered]]"
        for name in ("family", "name", "bonus"):
            check_kind(getattr(self, name), str, name, where, "a string")
        check_kind(self.knobs, dict, "knobs", where, "a table, such as {horizon = 5}")
        for name, least in (
            ("sources", 1), ("models", 1), ("seeds", 1), ("seed", 0), ("episodes", 1)
        ):  # fmt: skip
            check_integer(getattr(self, name), name, where, least)
        check_choice(self.bonus, "bonus", where, BONUSES)
        check_real(self.coefficient, "coefficient", where, above=0.0)
        names = self.agents
        if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
            raise TypeError(complaint("agents", where, "a list of agents", names))
        labels = {agent.label for agent in self.find_agents()}
        if not labels or len(labels) < len(self.find_agents()):
            raise ValueError(complaint("agents", where, "one or more different agents", names))
        check_label(self.label, where)
        check_keys(self.knobs, KNOBS, f"the knobs of '{self.family}'")
        draw_tiers(self.family, self.sources, self.seed, **self.knobs)

    @property
    def label(self) -> str:
        """The name, or the family's."""
        return self.name or self.family

    def find_agents(self) -> list[TierAgent]:
        """The agents and their options."""
        return read_agents(self.agents)

    def run(self, keep: Path, backend: str = "processes", **options: Any) -> TierComparison:
        """Run it, or what of it is not kept yet; the work of processes is done in threads."""
        return compare_tiers(
            {
                seed: draw_tiers(self.family, self.sources, seed, **self.knobs)
                for seed in range(self.seed, self.seed + self.models)
            },
            self.find_agents(),
            self.episodes,
            range(self.seed, self.seed + self.seeds),
            bonus=self.bonus,
            coefficient=self.coefficient,
            keep=keep,
            backend="threads" if backend == "processes" else backend,
            **options,
        )
