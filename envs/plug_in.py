"""A game that came out of a PettingZoo environment: the way back to it, and what is known of it."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from metamarl.envs.game import MarkovGame
from metamarl.envs.state_key import Freezer

_freeze = Freezer()


def sight(observation: Any, info: Mapping[str, Any]) -> Hashable:
    """What a player sees, as something hashable: the observation, and a mask from the info."""
    seen = _freeze(observation)
    mask = info.get("action_mask") if isinstance(info, Mapping) else None
    return seen if mask is None else (seen, _freeze(np.asarray(mask)))


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was done to make a game out of an environment, and how far it can be trusted."""

    environment: str
    """Its name, and whether it is parallel or turn by turn."""
    players: str
    mode: str
    """"exact" or the name of another mode; in a report of `inspect`, the one that would fit."""
    why: str
    """Why this mode."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What was found, in words, by name: "states", "chance", "moves", "information", …"""
    warnings: tuple[str, ...] = ()
    """What to know before trusting the result."""
    found: int = 0
    """States that were told apart."""
    states: int = 0
    """States of the game, after equivalent ones were merged; the end is one of them."""

    @property
    def exact(self) -> bool:
        """Whether the game is the environment, and not an estimate."""
        return self.mode == "exact"

    def __str__(self) -> str:
        lines = {
            "environment": self.environment,
            "players": self.players,
            "mode": f"{self.mode}: {self.why}",
            **self.facts,
        }
        width = max(map(len, lines)) + 2
        shown = [f"{name:<{width}}{words}" for name, words in lines.items()]
        return "\n".join([*shown, *(f"{'warning':<{width}}{words}" for words in self.warnings)])


@dataclass(frozen=True, eq=False, kw_only=True)
class PlugIn:
    """The way between a game and the environment it came from.

    * **Players**: player i is `agents[i]`.
    * **Actions**: action k of player i is called `starts[i] + k` in the environment. A player that
      does not move in a state has the one legal action 0 there, which is not sent.
    * **States**: `shows[i][sight(observation, info)]` holds the states of the game in which player
      i may see this when it is to choose; one state, where `sees_state[i]`. Where it is several,
      the state follows from the last one: it is among the successors of the state before, under
      the player's own action (the players can always tell, which was tested: see
      `metamarl.envs.information`).
    * **Time**: without a horizon, policies are `(S, A_i)`; with one, step h is the number of
      times that `Environment.movers` have moved (joined moves count once).
    * **Joined moves**: where `joined`, an AEC environment asks several players one after the other
      for what the game takes as one joint action; the state of the game is that before the first
      of them, until all have moved.
    """

    make: Callable[[], Any]
    """Makes the environment."""
    seed: int
    parallel: bool
    agents: tuple[Hashable, ...]
    starts: tuple[int, ...]
    """The first number of every player's action space."""
    report: Report
    shows: tuple[Mapping[Hashable, tuple[int, ...]], ...] = ()
    """For every player: which states it may be in when it sees this and is to choose."""
    sees_state: tuple[bool, ...] = ()
    """For every player: whether its observation alone tells the state."""
    joined: bool = False
    """Whether simultaneous moves that an AEC environment asks for in turns were joined."""
    keys: tuple[Hashable, ...] = ()
    """The attributes, or what `state` returned, of one environment state for every state of the
    game; "end" for what comes after the end, if no state is equivalent to that."""

    def __getstate__(self) -> dict[str, Any]:
        """What goes to other processes: not the environment, which may not be known there."""
        return {**vars(self), "make": None, "shows": (), "keys": ()}


class PettingZooGame(MarkovGame):
    """A Markov game with the way back to the PettingZoo environment it came from.

    Attributes:
        plug_in: a `PlugIn`.
    """

    plug_in: PlugIn

    def report(self) -> Report:
        """What was exact, what was estimated, and what was found; `print` it."""
        return self.plug_in.report

    def with_report(self, **changes: Any) -> "PettingZooGame":
        """The game itself, after its report was changed."""
        self.plug_in = replace(self.plug_in, report=replace(self.plug_in.report, **changes))
        return self
