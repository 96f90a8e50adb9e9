"""One view of a PettingZoo environment, parallel or turn by turn: who moves now, with what.

`Environment` hides what differs between `ParallelEnv` and `AECEnv` and between their authors:
where action masks lie, how dead agents are stepped, when rewards must be read, action spaces that
do not start at 0. **Player** i is the agent `agents[i]`, and its **actions** are 0, …, A_i - 1.
"""

from collections.abc import Hashable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv

from metamarl.envs._environment_checks import (
    WHERE,
    action_space,
    kind_of,
    legal_mask,
    owner_of,
    possible_agents,
)
from metamarl.envs.checks import complaint, said

WAIT = 0  # the action sent for a player that is asked, but has no legal action


class Environment:
    """A made PettingZoo environment as a game: players, who moves, legal actions, rewards.

    The constructor resets `env` with `seed`; from then on one of these holds:

    * `over` is True: nobody is left;
    * `movers` are the players that must act now (all that live in a `ParallelEnv`, but for those
      with nothing legal; one in an `AECEnv`), and `step({player: action for player in movers})`
      plays on.

    Args:
        env: a `ParallelEnv` or an `AECEnv`; it is played, not copied.
        seed: for the first `reset`.

    Attributes:
        env: the environment itself.
        parallel: whether it is a `ParallelEnv`.
        agents: its `possible_agents`, in order, under any hashable names.
        n_actions: numbers of actions (A_1, …, A_n).
        starts: the first number of every player's action space (mostly 0).
        movers: the players that must act now.
        over: whether the episode has ended for all.
        terminated: n booleans: whose episode has ended within the game.
        truncated: n booleans: whose episode was cut off from outside, say by a limit of steps. An
            agent may be both; what is cut off would have been worth something.
        parting: in an `AECEnv`, what those saw, with its words to them, who have been removed since
            the last step because they were cut off: it shows them nothing any more.

    Raises:
        TypeError: no PettingZoo environment, or actions that are not `Discrete`.
        ValueError: agents that are not known beforehand.
    """

    def __init__(self, env: Any, seed: int | None = 0) -> None:
        if not isinstance(env, (AECEnv, ParallelEnv)):
            must = "a function that makes a PettingZoo environment (an AECEnv or a ParallelEnv)"
            raise TypeError(complaint("make", WHERE, must, said(f"one that makes {kind_of(env)}")))
        self.env: Any = env
        self.parallel = isinstance(env, ParallelEnv)
        self.agents: tuple[Hashable, ...] = possible_agents(env)
        self._index = {agent: i for i, agent in enumerate(self.agents)}
        self._owner: Any = env if self.parallel else owner_of(env)
        self._observations: Mapping[Any, Any] = {}
        self._infos: Mapping[Any, Any] = {}
        self.reset(seed)
        found = [action_space(env, agent) for agent in self.agents]
        self.n_actions = tuple(int(space.n) for space in found)
        self.starts = tuple(int(space.start) for space in found)
        self._find_movers()

    @property
    def n_players(self) -> int:
        """Number of players n, alive or not."""
        return len(self.agents)

    def reset(self, seed: int | None = None) -> None:
        """Begin an episode; without a seed the environment goes on drawing as it likes."""
        result = self.env.reset(seed=seed)
        self.terminated = [False] * self.n_players
        self.truncated = [False] * self.n_players
        self.parting: dict[int, tuple[Any, Mapping[str, Any]]] = {}
        if self.parallel:
            if not isinstance(result, tuple) or len(result) != 2:
                got = said(f"one whose 'reset' returns {kind_of(result)}")
                must = "a function that makes an environment of PettingZoo 1.23 or later"
                raise TypeError(complaint("make", WHERE, must, got))
            self._observations, self._infos = result
        self._find_movers()

    def step(self, actions: Mapping[int, int]) -> NDArray[np.float64]:
        """Play one action of every mover, and return the `(n,)` rewards of this step."""
        if self.parallel:
            return self._step_parallel(actions)
        (player,) = self.movers
        self.env.step(self.action(player, actions[player]))
        reward = self._rewards(self._owner.rewards)  # dead steps would clear them
        self._find_mover()
        return reward

    def action(self, player: int, index: int) -> int:
        """What the environment calls action `index` of `player`."""
        return self.starts[player] + int(index)

    def observation(self, player: int) -> Any:
        """What `player` sees now, as the environment gives it; None for one that is gone."""
        agent = self.agents[player]
        if self.parallel:
            return self._observations.get(agent)
        return self.env.observe(agent) if agent in self._owner.agents else None

    def info(self, player: int) -> Mapping[str, Any]:
        """The environment's further words to `player` (empty where there are none)."""
        infos = self._infos if self.parallel else self._owner.infos
        found = infos.get(self.agents[player])
        return found if isinstance(found, Mapping) else {}

    def legal(self, player: int, observation: Any = None) -> NDArray[np.intp]:
        """Numbers of the actions that `player` may play now; empty for one that does not move.

        They come from "action_mask" in the observation (at hand or made) or the info; else all are.
        """
        if player not in self.movers:
            return np.zeros(0, np.intp)
        mask = self._mask(player, observation)
        if mask is None:
            return np.arange(self.n_actions[player])
        found = np.flatnonzero(mask)
        if not len(found) and not self.parallel:
            must = f"one with a legal action for {self.agents[player]!r}, whose turn it is"
            raise ValueError(complaint("action_mask", WHERE, must, said("all zeros")))
        return found if len(found) else np.array([WAIT])

    def _mask(self, player: int, observation: Any = None) -> NDArray[Any] | None:
        seen = self.observation(player) if observation is None else observation
        mask = seen.get("action_mask") if isinstance(seen, Mapping) else None
        if mask is None:
            mask = self.info(player).get("action_mask")
        return (
            None if mask is None else legal_mask(mask, self.n_actions[player], self.agents[player])
        )

    def _find_movers(self) -> None:
        if not self.parallel:
            self._find_mover()
            return
        alive = [self._player(agent) for agent in self.env.agents]
        alive = sorted(i for i in alive if not (self.terminated[i] or self.truncated[i]))
        self.over = not alive
        self.movers: tuple[int, ...] = tuple(alive)
        if self.over or not hasattr(self, "n_actions"):
            return
        masks = {i: self._mask(i) for i in alive}
        free = tuple(i for i, mask in masks.items() if mask is None or mask.any())
        self.movers = free or self.movers

    def _find_mover(self) -> None:
        """Let the dead take their last step, and see who is next."""
        owner, self.parting = self._owner, {}
        terminations, truncations = owner.terminations, owner.truncations
        self.over = True
        for agent in owner.agents:
            i = self._player(agent)
            self.terminated[i] |= bool(terminations[agent])
            self.truncated[i] |= bool(truncations[agent])
            self.over &= bool(terminations[agent] or truncations[agent])
        self.movers = ()
        if self.over:  # the rest of the dead need not be stepped
            return
        while owner.terminations[owner.agent_selection] or owner.truncations[owner.agent_selection]:
            before, dead = len(owner.agents), owner.agent_selection
            if owner.truncations[dead] and not owner.terminations[dead]:
                i = self._player(dead)
                self.parting[i] = self.observation(i), self.info(i)
            self.env.step(None)
            if len(owner.agents) >= before:
                must = "an environment in which step(None) removes a dead agent"
                got = said(f"one that keeps {dead!r}")
                raise ValueError(complaint("make", WHERE, f"a function that makes {must}", got))
        self.movers = (self._player(owner.agent_selection),)

    def _step_parallel(self, actions: Mapping[int, int]) -> NDArray[np.float64]:
        alive = [self._index[agent] for agent in self.env.agents]
        sent = {self.agents[i]: self.action(i, actions.get(i, WAIT)) for i in alive}
        result = self.env.step(sent)
        self._observations, rewards, terminations, truncations, self._infos = result
        for agent, ended in terminations.items():
            self.terminated[self._player(agent)] |= bool(ended)
        for agent, ended in truncations.items():
            self.truncated[self._player(agent)] |= bool(ended)
        self._find_movers()
        return self._rewards(rewards)

    def _rewards(self, given: Mapping[Any, Any]) -> NDArray[np.float64]:
        reward = np.zeros(self.n_players)
        must = "a function that makes an environment whose rewards are finite numbers"
        for agent, number in given.items():
            if not isinstance(number, Real) and np.size(number) != 1:
                raise TypeError(complaint("make", WHERE, must, said(f"{number!r} for {agent!r}")))
            if number:
                reward[i := self._player(agent)] = float(np.asarray(number).item())
                if not np.isfinite(reward[i]):
                    raise ValueError(complaint("make", WHERE, must, said(f"{number} for {agent}")))
        return reward

    def _player(self, agent: Hashable) -> int:
        player = self._index.get(agent)
        if player is None:
            must = "a function that makes an environment whose 'possible_agents' are all its agents"
            raise ValueError(
                complaint("make", WHERE, must, said(f"one with {agent!r}, born later"))
            )
        return player
