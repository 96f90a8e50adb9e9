"""Policies by what a player sees, as they are learned in and played back into an environment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import check_kind, complaint
from metamarl.envs.environment import WAIT
from metamarl.envs.episodes import EpisodicEnvironment, Slot, needs_step

WHERE = "ObservationPolicy.act"
Tables = Sequence[Mapping[Slot, NDArray[np.float64]]]


class ObservationPolicy:
    """What every player does by what it sees; the players draw independently.

    Args:
        env: the environment.
        tables: for every player, by slot (`env.slot`), the probabilities of its legal actions; it
            plays them uniformly at slots that are not there.
        seed: for the draws of `act`.
    """

    def __init__(self, env: EpisodicEnvironment, tables: Tables, seed: int = 0) -> None:
        check_kind(env, EpisodicEnvironment, "env", "ObservationPolicy", "an EpisodicEnvironment")
        self.env = env
        self.tables = tables
        self.rng = np.random.default_rng(seed)

    @classmethod
    def uniform(cls, env: EpisodicEnvironment) -> "ObservationPolicy":
        """Every player plays every legal action with equal probability."""
        return cls(env, [{} for _ in env.agents])

    def __repr__(self) -> str:
        known = zip(self.env.agents, self.tables, strict=True)
        slots = ", ".join(f"{agent}: {len(table)}" for agent, table in known)
        return f"ObservationPolicy({self.env.name!r}, slots: {slots})"

    def probabilities(
        self, agent: Any, observation: Any, info: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:  # fmt: skip
        """Numbers of the agent's legal actions, from 0, and with which probabilities to play them.

        Args:
            agent: one of the environment's `possible_agents`.
            observation: what the environment shows it.
            info: the environment's further words to it, which may hold its mask.
            step: how often it has chosen before, where the environment is `timed`.
        """
        if agent not in self.env.agents:
            must = f"one of {', '.join(map(repr, self.env.agents))}"
            raise ValueError(complaint("agent", WHERE, must, agent))
        if step is None and self.env.timed:
            raise needs_step(WHERE)
        player, info = self.env.agents.index(agent), info or {}
        legal = self.env.legal(player, observation, info)
        if not len(legal):
            legal = np.array([WAIT])
        found = self.tables[player].get(self.env.slot(observation, info, step or 0))
        if found is None or len(found) != len(legal):
            found = np.full(len(legal), 1.0 / len(legal))
        return legal, found

    def act(
        self, agent: Any, observation: Any, info: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> int:  # fmt: skip
        """Draw an action of `agent`, as the environment takes it; parameters as `probabilities`."""
        legal, chances = self.probabilities(agent, observation, info, step)
        k = int(np.searchsorted(chances.cumsum(), self.rng.random() * chances.sum(), "right"))
        drawn = legal[min(k, len(legal) - 1)]
        return self.env.starts[self.env.agents.index(agent)] + int(drawn)


class Layout:
    """Slots that several policies know, side by side in flat arrays.

    Args:
        env: where the policies play.
        policies: `ObservationPolicy` objects.
    """

    def __init__(self, env: EpisodicEnvironment, policies: Sequence[ObservationPolicy]) -> None:
        self.env = env
        self.sizes: list[dict[Slot, int]] = [{} for _ in env.agents]
        for policy in policies:
            for sizes, table in zip(self.sizes, policy.tables, strict=True):
                for slot, row in table.items():
                    sizes.setdefault(slot, len(row))
        self.first = np.cumsum([0, *(k for sizes in self.sizes for k in sizes.values())])

    @property
    def most(self) -> float:
        """Sum of log A over the slots."""
        return float(np.log(np.diff(self.first)).sum())

    def uniform(self) -> NDArray[np.float64]:
        """The uniform policy."""
        counts = np.diff(self.first)
        return np.repeat(1.0 / counts, counts)

    def flat(self, policy: ObservationPolicy) -> NDArray[np.float64]:
        """A policy's probabilities; uniform where it knows nothing."""
        parts = [
            table[slot] if slot in table and len(table[slot]) == k else np.full(k, 1.0 / k)
            for sizes, table in zip(self.sizes, policy.tables, strict=True)
            for slot, k in sizes.items()
        ]
        return np.concatenate([np.zeros(0), *parts])

    def policy(self, flat: NDArray[np.float64]) -> ObservationPolicy:
        """The policy with these probabilities."""
        rows = iter(np.split(flat, self.first[1:-1]))
        tables = [{slot: next(rows) for slot in sizes} for sizes in self.sizes]
        return ObservationPolicy(self.env, tables)
