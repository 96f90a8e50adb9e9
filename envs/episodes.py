"""A PettingZoo environment that can only be reset and stepped: what learning from episodes needs.

Nothing is enumerated, copied or modelled. A player knows its own past actions and rewards, and a
choice by its **slot**: what it sees when it is to choose (observation, mask), and, where `timed`,
how many times it has chosen before.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.envs._environment_checks import legal_mask
from metamarl.envs.checks import check_integer, check_kind, check_real, complaint, said
from metamarl.envs.environment import Environment
from metamarl.envs.game import MarkovGame
from metamarl.envs.pettingzoo import MarkovGameEnv
from metamarl.envs.plug_in import PettingZooGame, Report, sight
from metamarl.envs.state_key import core_of

WHERE = "EpisodicEnvironment"
MOST_STEPS = 10_000
Slot = tuple[Hashable, ...]


class EpisodicEnvironment:
    """An environment to learn in by playing, parallel or turn by turn.

    Args:
        make: makes the environment, alike every time: `lambda: MyEnv(slip=0.1)`.
        timed: whether policies may depend on how often a player has chosen before; for episodes of
            limited length whose observations hold no clock.
        discount: γ, per step of the environment. An episode that is cut off (truncated) counts as
            ended with γ = 1, and as going on below.
        max_steps: cut an episode off after so many steps.
        game: the same environment as an exact game, against which to grade what was learned;
            learning does not look at it. `from_pettingzoo(make)` where it can be enumerated; known
            by itself for environments of `to_pettingzoo`. Where it joins moves that are made in
            turns, it must have neither horizon nor discount: its steps are not those of the play.

    Attributes:
        agents: the environment's `possible_agents`, in order: player i is `agents[i]`.
        n_actions: numbers of actions (A_1, …, A_n).
        is_own: whether it is what `to_pettingzoo` makes of `game`, all players moving at once.

    Raises:
        TypeError, ValueError: a bad parameter, or no PettingZoo environment.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        *,
        timed: bool = False,
        discount: float | None = None,
        max_steps: int = MOST_STEPS,
        game: MarkovGame | None = None,
    ) -> None:
        if not callable(make):
            must = "a function that makes a PettingZoo environment"
            raise TypeError(complaint("make", WHERE, must, make))
        if not isinstance(timed, bool):
            raise TypeError(complaint("timed", WHERE, "True or False", timed))
        self.make, self.timed = make, timed
        self.max_steps = check_integer(max_steps, "max_steps", WHERE)
        view = self.open(0)
        self.agents, self.n_actions = view.agents, view.n_actions
        self.starts, self.parallel = view.starts, view.parallel
        core = core_of(view.env)
        metadata = getattr(core, "metadata", None) or {}
        self.name = str(metadata.get("name") or type(core).__name__)
        self.is_own = isinstance(core, MarkovGameEnv)
        if game is None and self.is_own:
            game = core.game
        view.env.close()
        if game is not None:
            check_kind(game, MarkovGame, "game", WHERE, "a MarkovGame or None")
            if not self.is_own and not isinstance(game, PettingZooGame):
                must = "what from_pettingzoo returned for the same environment"
                raise TypeError(complaint("game", WHERE, must, game))
            joined = isinstance(game, PettingZooGame) and game.plug_in.joined
            if joined and (game.horizon is not None or game.discount < 1):
                must = "one with neither horizon nor discount, where moves were joined"
                raise ValueError(complaint("game", WHERE, must, game))
            if game.n_players != len(self.agents):
                must = f"a game of {len(self.agents)} players"
                raise ValueError(complaint("game", WHERE, must, game))
        self.game = game
        self._shows = game.plug_in.shows if isinstance(game, PettingZooGame) else ()
        known = 1.0 if game is None else game.discount
        self.discount = (
            known if discount is None else check_real(discount, "discount", WHERE, 0.0, 1.0)
        )
        if game is not None and self.discount != known:
            must = f"{known:g}, that of the game it is graded on"
            raise ValueError(complaint("discount", WHERE, must, discount))
        self._report = Report(
            environment=f"{self.name}, {'parallel' if self.parallel else 'turn by turn'}",
            players=", ".join(map(str, self.agents)),
            mode="trajectories",
            why="it is learned in by playing",
        )

    def __repr__(self) -> str:
        known = "an exact game to grade on" if self.game is not None else "no exact game"
        return f"EpisodicEnvironment({self.name!r}, n_players={self.n_players}, {known})"

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return len(self.agents)

    def report(self) -> Report:
        """What is known of it; `print` it."""
        return self._report

    def with_report(self, **changes: Any) -> "EpisodicEnvironment":
        """The environment itself, after its report was changed."""
        self._report = replace(self._report, **changes)
        return self

    def open(self, seed: int) -> Environment:
        """Make one, reset with `seed`."""
        return Environment(self.make(), seed)

    def slot(self, observation: Any, info: Mapping[str, Any], step: int) -> Slot:
        """What a player knows a choice by."""
        seen = sight(observation, info)
        return (seen, step) if self.timed else (seen,)

    def legal(self, player: int, observation: Any, info: Mapping[str, Any]) -> NDArray[np.intp]:
        """Numbers of the actions that the mask allows, in the observation or the info; else all."""
        mask = observation.get("action_mask") if isinstance(observation, Mapping) else None
        if mask is None:
            mask = info.get("action_mask")
        if mask is None:
            return np.arange(self.n_actions[player])
        return np.flatnonzero(legal_mask(mask, self.n_actions[player], self.agents[player]))

    def places(
        self, player: int, observation: Any, info: Mapping[str, Any], moves: int
    ) -> list[tuple[int, int]]:
        """(Step, state) pairs of `game` that a player may be in with this before it.

        `moves` is how often anybody has moved; without a horizon, steps are 0.
        """
        if self.game is None:
            return []
        if self.is_own:
            return [(int(info["step"]) if self.game.horizon is not None else 0, int(info["state"]))]
        states = self._shows[player].get(sight(observation, info), ())
        return [(moves if self.game.horizon is not None else 0, state) for state in states]


def check_slots(slot: Slot, legal: NDArray[np.intp], known: NDArray[np.intp]) -> None:
    """Raise where what a player sees does not tell which actions it has."""
    if not np.array_equal(legal, known):
        got = said(f"actions {legal.tolist()} and {known.tolist()} for the same {slot[0]!r}")
        must = "one whose observations or masks tell which actions are legal"
        raise ValueError(complaint("make", WHERE, f"a function that makes {must}", got))


def needs_step(where: str) -> ValueError:
    """The error for a policy in time that is not told the time."""
    must = "given where the environment is timed: how often the agent has chosen before"
    return ValueError(complaint("step", where, must, None))
