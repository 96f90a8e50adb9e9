"""A Markov game as a `pettingzoo.ParallelEnv`: all players move at once.

Nothing is unrolled and no dense array is built: a step reads one row of the game's table and draws
the next state from its sparse successors with one random number.
"""

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from metamarl.envs.checks import check_integer, complaint, said
from metamarl.envs.clock import at_rest
from metamarl.envs.game import MarkovGame
from metamarl.envs.render import board, picture, text


class MarkovGameEnv(ParallelEnv):
    """What `to_pettingzoo` returns; its door has checked everything."""

    def __init__(
        self, game: MarkovGame, render_mode: str | None, max_steps: int | None, modes: list[str]
    ) -> None:
        self.game = game
        self.render_mode = render_mode
        self.max_steps = max_steps
        self.metadata = {
            "name": game.name,
            "render_modes": modes,
            "render_fps": 2,
            "is_parallelizable": True,
        }
        self.possible_agents = [f"player_{i}" for i in range(game.n_players)]
        self.agents: list[str] = []
        sizes = [game.n_states] if game.horizon is None else [game.n_states, game.horizon + 1]
        self.state_space = spaces.MultiDiscrete(sizes)
        self.action_spaces = {
            agent: spaces.Discrete(k)
            for agent, k in zip(self.possible_agents, game.n_actions, strict=True)
        }
        self.observation_spaces = {
            agent: spaces.Dict(
                observation=spaces.MultiDiscrete(sizes),
                action_mask=spaces.Box(0, 1, (int(space.n),), np.int8),
            )
            for agent, space in self.action_spaces.items()
        }
        self.np_random: np.random.Generator | None = None
        self.np_random_seed: int | None = None
        table = game.table
        self._starts = np.flatnonzero(game.initial)
        self._start_weights = np.cumsum(game.initial[self._starts])
        timed = table.reward_stride or table.transition_stride
        self.at_rest = np.zeros(table.n_states, bool) if timed else at_rest(table)
        """`(S,)` the states in which play terminates."""
        self._state, self._step = -1, 0  # state -1: not reset yet
        self.played: list[int] = []
        self._illegal = [False] * game.n_players
        self._rewards: list[float] = []

    def action_space(self, agent: str) -> spaces.Discrete:
        """`Discrete(A_i)`."""
        return self.action_spaces[agent]

    def observation_space(self, agent: str) -> spaces.Dict:
        """The dictionary of "observation" and "action_mask"."""
        return self.observation_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, dict[str, NDArray]], dict[str, dict[str, Any]]]:
        """Draw a first state. A `seed` reproduces all that follows; `options` are ignored."""
        del options
        if seed is not None:
            seed = check_integer(seed, "seed", "reset", 0)
        if seed is not None or self.np_random is None:
            self.np_random, self.np_random_seed = seeding.np_random(seed)
        self._state = int(self._starts[self._draw(self._start_weights)])
        self._step = 0
        self.played, self._rewards = [], []
        self._illegal = [False] * self.game.n_players
        self.agents = self.possible_agents[:]
        if self.render_mode == "human":
            self.render()
        return self._observe(), self._infos()

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[
        dict[str, dict[str, NDArray]],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Play one action of every player; after the end, `step({})` returns empty dictionaries."""
        self.check_reset("step")
        agents, table, state = self.agents, self.game.table, self._state
        if actions.keys() != set(agents):
            must = f"a dictionary with one action for each of {agents}"
            if not agents:
                must = "empty, or reset be called first: the game is over"
            raise ValueError(complaint("actions", "step", must, said(f"keys {list(actions)}")))
        if not agents:
            return {}, {}, {}, {}, {}
        row = 0
        played = [self.check_action(agent, actions[agent]) for agent in agents]
        for i, mask in enumerate(table.legal):
            legal = mask[state]
            self._illegal[i] = not legal[played[i]]
            if self._illegal[i]:
                played[i] = int(legal.argmax())
            row = row * int(table.counts[state, i]) + int(legal[: played[i]].sum())
        row += int(table.rows[state])
        at = row + self._step * table.transition_stride
        span = slice(table.indptr[at], table.indptr[at + 1])
        self._state = int(table.indices[span][self._draw(table.probabilities[span].cumsum())])
        self.played = played
        reward = table.reward[:, row + self._step * table.reward_stride]
        self._rewards = (reward + 0.0).tolist()  # 0 where the table has -0
        self._step += 1
        terminated = self._step == self.game.horizon or bool(self.at_rest[self._state])
        truncated = not terminated and self._step == self.max_steps
        result = (
            self._observe(),
            dict(zip(agents, self._rewards, strict=True)),
            dict.fromkeys(agents, terminated),
            dict.fromkeys(agents, truncated),
            self._infos(),
        )
        if terminated or truncated:
            self.agents = []
        if self.render_mode == "human":
            self.render()
        return result

    def state(self) -> NDArray[np.int64]:
        """The state, and the step where the game has a horizon: a point of `state_space`."""
        self.check_reset("state")
        now = [self._state] if self.game.horizon is None else [self._state, self._step]
        return np.array(now, np.int64)

    def render(self) -> str | NDArray[np.uint8] | None:
        """Text, a picture or None (the text being printed), after the render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() shows nothing: the environment has no render_mode.")
            return None
        self.check_reset("render")
        if self.render_mode == "rgb_array":
            return picture(board(self.game, self._state))
        shown = text(self.game, self._state, self._step, self.played, self._illegal, self._rewards)
        if self.render_mode == "ansi":
            return shown
        print(shown, end="\n\n")
        return None

    def close(self) -> None:
        """Nothing is held open."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "MarkovGameEnv":
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        for shared in (self.game, self._starts, self._start_weights, self.at_rest):
            memo[id(shared)] = shared  # these never change
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def _draw(self, weights: NDArray[np.float64]) -> int:
        """An index drawn with these cumulative weights."""
        assert self.np_random is not None
        found = weights.searchsorted(self.np_random.random() * weights[-1], "right")
        return min(int(found), len(weights) - 1)

    def check_reset(self, method: str) -> None:
        """Raise where nothing has been reset yet."""
        if self._state < 0:
            raise gymnasium.error.ResetNeeded(f"Call reset() before {method}().")

    def check_action(self, agent: str, action: Any, name: str = "actions") -> int:
        """Return an agent's action as an int, or raise ValueError."""
        space = self.action_spaces[agent]
        if not space.contains(action):
            must = f"an integer from 0 to {space.n - 1} for {agent}"
            raise ValueError(complaint(name, "step", must, action))
        return int(action)

    def observe(self, player: int) -> dict[str, NDArray]:
        """What a player sees now, in arrays of its own."""
        mask = self.game.legal[player][self._state]
        return {"observation": self.state(), "action_mask": mask.astype(np.int8)}

    def _observe(self) -> dict[str, dict[str, NDArray]]:
        return {agent: self.observe(i) for i, agent in enumerate(self.agents)}

    def _infos(self) -> dict[str, dict[str, Any]]:
        return {
            agent: {"state": self._state, "step": self._step, "illegal": illegal}
            for agent, illegal in zip(self.agents, self._illegal, strict=True)
        }
