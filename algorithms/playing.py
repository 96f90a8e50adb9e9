"""A policy back in the environment that its game came from.

Policies choose by the number of the state; environments show their agents observations. A `Player`
knows the state from what every agent sees or, where that does not tell, from what it has seen and
done before, and draws the agents' actions.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.sampling import Sampler
from metamarl.envs.checks import check_integer, complaint
from metamarl.envs.game import MarkovGame
from metamarl.envs.plug_in import PettingZooGame, sight


class Player:
    """Plays a policy, for one agent or for all of them, in the environment that a game came from.

    That is the environment behind `from_pettingzoo`; for any other game the one that
    `to_pettingzoo` makes, parallel or in turns. In a loop over the environment:

        player.begin()
        for agent in env.agent_iter():
            observation, _, terminated, truncated, info = env.last()
            env.step(None if terminated or truncated else player.act(agent, observation, info))

    Players that draw independently draw from generators of their own. Of a `CorrelatedPolicy` one
    joint action is drawn for all that move at once: let one `Player` play all of them.

    A game from `from_pettingzoo` with a horizon is played by the number of the step, which no
    observation tells. A `Player` of all agents counts the steps; one that does not see every move,
    such as that of one agent in a game of turns, must be told: `act(..., step=3)`.

    Args:
        game: the game that the policy is for.
        policy: what to play.
        seed: of all draws.

    Attributes:
        step: how many steps of the game came before the last action of the agents that are played;
            moves that an AEC environment asks for in turns, though they are simultaneous, are one.
    """

    def __init__(
        self, game: MarkovGame, policy: JointPolicy | CorrelatedPolicy, seed: int = 0
    ) -> None:
        self._sampler = Sampler(game, policy, "Player")
        self.game, self.policy = game, policy
        self._seed = check_integer(seed, "seed", "Player", 0)
        n = game.n_players
        self._generators = [np.random.default_rng([self._seed, k]) for k in range(n + 1)]
        self._eyes: _Eyes | None = None
        names: Iterable[Hashable] = [f"player_{i}" for i in range(n)]
        if isinstance(game, PettingZooGame):
            self._eyes, names = _Eyes(game), game.plug_in.agents
        self._index = {agent: i for i, agent in enumerate(names)}
        self.begin()

    def begin(self, seed: int | None = None) -> None:
        """A new episode begins; a `seed` begins the draws anew as well."""
        if seed is not None:
            seed = check_integer(seed, "seed", "begin", 0)
            for k in range(len(self._generators)):
                self._generators[k] = np.random.default_rng([self._seed, k, seed])
        self.step = -1
        self._state = -1
        self._moved: set[int] = set()  # who has moved in this step
        self._drawn: tuple[int, ...] = ()
        if self._eyes is not None:
            self._eyes.begin()

    def act(
        self,
        agent: Hashable,
        observation: Any,
        info: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> Any:
        """What `agent` does now, as its action space calls it; None where it sees nothing.

        Args:
            agent: one of the environment's agents.
            observation: what it sees.
            info: the environment's words to it, where a mask may be.
            step: how many steps of the game came before this one; if left out, it is counted. The
                observations of `to_pettingzoo` tell it.

        Raises:
            TypeError: a step that is no number.
            ValueError: an unknown agent, an observation that the game does not know, or one that it
                cannot show at the step that was counted.
        """
        player = self._index.get(agent)
        if player is None:
            must = f"one of {list(self._index)}"
            raise ValueError(complaint("agent", "act", must, agent))
        if step is not None:
            step = check_integer(step, "step", "act", 0)
        if observation is None:
            return None
        if self._eyes is None:
            return self._draw(player, *_read(self.game, observation))
        state = self._eyes.find(player, observation, info or {}, agent)
        if state < 0:  # alive and asked, but without a legal action: whatever is sent
            return self._eyes.starts[player]
        action = self._draw(player, state, step)
        self._eyes.acted(player, state, action)
        return self._eyes.starts[player] + action

    def _draw(self, player: int, state: int, step: int | None = None) -> int:
        other = step is not None and step != self.step
        if other or state != self._state or player in self._moved:  # the next step
            self.step = self.step + 1 if step is None else step
            if step is None and self._is_lost(state):
                must = "given where this Player does not play every move of the game"
                raise ValueError(complaint("step", "act", must, step))
            self._state, self._moved = state, set()
            if self._sampler.correlated:
                self._drawn = self._sampler.joint(self._generators[-1], state, self.step)
        self._moved.add(player)
        if self._sampler.correlated:
            return self._drawn[player]
        return self._sampler.draw(self._generators[player], player, state, self.step)

    def _is_lost(self, state: int) -> bool:
        """Whether the step, as it was counted, cannot be: moves were made that it was not asked."""
        horizon = self.game.horizon
        if horizon is None or self.step >= horizon or not isinstance(self.game, PettingZooGame):
            return False
        exact = self.game.plug_in.report.exact  # else states that look alike are taken for another
        return exact and not self._sampler.comes(state, self.step)


def _read(game: MarkovGame, observation: Any) -> tuple[int, int | None]:
    """State and step, from an observation of `to_pettingzoo`, or of `to_gymnasium`."""
    seen = observation
    if isinstance(observation, Mapping):
        seen = observation.get("observation")
    now = np.asarray(seen)
    wanted = 1 if game.horizon is None else 2
    if now.shape != (wanted,) or now.dtype.kind not in "iu" or not 0 <= now[0] < game.n_states:
        must = f"one of to_pettingzoo for {game.name!r}: a state" + ", and a step" * (wanted - 1)
        raise ValueError(complaint("observation", "act", must, observation))
    return int(now[0]), int(now[1]) if wanted == 2 else None


class _Eyes:
    """What the agents' observations say of the state of a game from `from_pettingzoo`."""

    def __init__(self, game: PettingZooGame) -> None:
        self.game = game
        self.starts, self._shows = game.plug_in.starts, game.plug_in.shows
        if not self._shows:
            must = "in the process that made it: the way back to the environment is not copied"
            raise ValueError(complaint("game", "Player", must, game))
        self.moves = [
            {state for states in seen.values() for state in states} for seen in self._shows
        ]
        self.begin()

    def begin(self) -> None:
        first = frozenset(np.flatnonzero(self.game.initial).tolist())
        self._last: list[tuple[frozenset[int], int | None]] = [(first, None)] * len(self.moves)

    def find(self, player: int, observation: Any, info: Mapping[str, Any], agent: Hashable) -> int:
        """The state in which `player` sees this and is to choose; -1 where nothing is legal."""
        states = self._shows[player].get(sight(observation, info), ())
        if len(states) > 1:
            reached = self._reached(player)
            states = tuple(state for state in states if state in reached)
        if states:  # several only in a sampled game: they look, and go on, alike
            return states[0]
        mask = observation.get("action_mask") if isinstance(observation, Mapping) else None
        mask = info.get("action_mask") if mask is None else mask
        if mask is not None and not np.any(mask):
            return -1
        must = f"one that {agent!r} can have when it is to choose"
        if any(len(found) > 1 for found in self._shows[player].values()):
            must += "; call begin() at the start of every episode"
        raise ValueError(complaint("observation", "act", must, observation))

    def acted(self, player: int, state: int, action: int) -> None:
        """Remember what was done."""
        self._last[player] = (frozenset([state]), action)

    def _reached(self, player: int) -> set[int]:
        """The states in which `player` may choose next."""
        states, action = self._last[player]
        reached: set[int] = set()
        waiting = set(states)
        if action is not None:
            waiting = {s for state in states for s in self._after(state, player, action)}
        met = set(waiting)
        while waiting:
            state = waiting.pop()
            if state in self.moves[player]:
                reached.add(state)
                continue
            following = self._after(state, player, None) - met
            met |= following
            waiting |= following
        return reached

    def _after(self, state: int, player: int, action: int | None) -> set[int]:
        """Successors of a state, under an action of the player or any."""
        table = self.game.table
        rows = np.arange(table.rows[state], table.rows[state + 1])
        if action is not None:
            counts = table.counts[state]
            place = int(table.legal[player][state, :action].sum())
            inner = int(counts[player + 1 :].prod())
            rows = rows[np.arange(len(rows)) // inner % counts[player] == place]
        return {int(t) for r in rows for t in table.indices[table.indptr[r] : table.indptr[r + 1]]}
