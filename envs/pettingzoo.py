r"""A Markov game as a PettingZoo environment, for libraries that learn by playing.

All players move at once (`pettingzoo.ParallelEnv`); `pettingzoo.utils.parallel_to_aec` gives the
turn-by-turn interface. Nothing is unrolled and no dense array is built: a step reads one row of the
game's table and draws the next state from its sparse successors with one random number.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from metamarl.envs.checks import check_choice, check_integer, complaint, said
from metamarl.envs.clock import at_rest
from metamarl.envs.game import MarkovGame
from metamarl.envs.render import board, has_board, picture, text

WHERE = "to_pettingzoo"


def to_pettingzoo(
    game: MarkovGame, render_mode: str | None = None, max_steps: int | None = None
) -> "MarkovGameEnv":
    """A PettingZoo environment that plays `game`, and passes PettingZoo's own tests.

    * **Agents** are "player_0", …; player i has `Discrete(A_i)` actions.
    * **Observations**, the same for all players but for the mask, are dictionaries:
      "observation" is an int64 array, `[state, step]` in `MultiDiscrete([S, H + 1])` for a game
      with a horizon and `[state]` in `MultiDiscrete([S])` for one without; "action_mask" is an
      int8 array `(A_i,)`, 1 where an action is legal. `state()` is the "observation" alone.
    * **Infos** hold "state", "step" and "illegal".
    * **Illegal actions** never stop play: the first legal one is played in their place, and
      `infos[agent]["illegal"]` says so.
    * **Rewards** are those of the game's table, not discounted.
    * **The end.** The game *terminates* after its horizon (the horizon is part of the game: nothing
      is to be earned after it), and on reaching an absorbing state without rewards (where rows
      depend on the step, only the horizon ends it). It is *truncated*, all the players alike,
      after `max_steps`.
    * **Copies** (`copy.deepcopy`, `pickle`) go on exactly where the original stands; deep copies
      share the game.

    Args:
        game: the game.
        render_mode: None; "ansi", where `render()` returns text; "human", where text is printed on
            every reset and step; or "rgb_array", where it returns a picture `(h, w, 3)` of uint8,
            for games with a `board`.
        max_steps: truncate after so many steps. If left out: ⌈10 / (1 - discount)⌉ for a discounted
            game without a horizon (what is cut off weighs less than e⁻¹⁰), else never.

    Raises:
        TypeError, ValueError: one sentence that names the parameter.
    """
    if not isinstance(game, MarkovGame):
        raise TypeError(complaint("game", WHERE, "a MarkovGame", game))
    modes = ["ansi", "human", *(["rgb_array"] if has_board(game) else [])]
    if render_mode is not None:
        check_choice(render_mode, "render_mode", WHERE, modes)
    if max_steps is not None:
        max_steps = check_integer(max_steps, "max_steps", WHERE)
    elif game.horizon is None and game.discount < 1:
        max_steps = math.ceil(round(10 / (1 - game.discount), 6))
    return MarkovGameEnv(game, render_mode, max_steps, modes)


class MarkovGameEnv(ParallelEnv):
    """What `to_pettingzoo` returns."""

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
        self._rest = np.zeros(table.n_states, bool) if timed else at_rest(table)
        self._state, self._step = -1, 0  # state -1: not reset yet
        self._played: list[int] = []
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
        self._played, self._rewards = [], []
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
        self._check_reset("step")
        agents, table, state = self.agents, self.game.table, self._state
        if actions.keys() != set(agents):
            must = f"a dictionary with one action for each of {agents}"
            if not agents:
                must = "empty, or reset be called first: the game is over"
            raise ValueError(complaint("actions", "step", must, said(f"keys {list(actions)}")))
        if not agents:
            return {}, {}, {}, {}, {}
        row = 0
        played = [self._check_action(agent, actions[agent]) for agent in agents]
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
        self._played = played
        reward = table.reward[:, row + self._step * table.reward_stride]
        self._rewards = (reward + 0.0).tolist()  # 0 where the table has -0
        self._step += 1
        terminated = self._step == self.game.horizon or bool(self._rest[self._state])
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
        self._check_reset("state")
        now = [self._state] if self.game.horizon is None else [self._state, self._step]
        return np.array(now, np.int64)

    def render(self) -> str | NDArray[np.uint8] | None:
        """Text, a picture or None (the text being printed), after the render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() shows nothing: the environment has no render_mode.")
            return None
        self._check_reset("render")
        if self.render_mode == "rgb_array":
            return picture(board(self.game, self._state))
        shown = text(self.game, self._state, self._step, self._played, self._illegal, self._rewards)
        if self.render_mode == "ansi":
            return shown
        print(shown, end="\n\n")
        return None

    def close(self) -> None:
        """Nothing is held open."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "MarkovGameEnv":
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        for shared in (self.game, self._starts, self._start_weights, self._rest):
            memo[id(shared)] = shared  # these never change
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def _draw(self, weights: NDArray[np.float64]) -> int:
        """An index drawn with these cumulative weights."""
        assert self.np_random is not None
        found = weights.searchsorted(self.np_random.random() * weights[-1], "right")
        return min(int(found), len(weights) - 1)

    def _check_reset(self, method: str) -> None:
        if self._state < 0:
            raise gymnasium.error.ResetNeeded(f"Call reset() before {method}().")

    def _check_action(self, agent: str, action: Any) -> int:
        space = self.action_spaces[agent]
        if not space.contains(action):
            must = f"an integer from 0 to {space.n - 1} for {agent}"
            raise ValueError(complaint("actions", "step", must, action))
        return int(action)

    def _observe(self) -> dict[str, dict[str, NDArray]]:
        return {
            agent: {"observation": self.state(), "action_mask": mask[self._state].astype(np.int8)}
            for agent, mask in zip(self.agents, self.game.legal, strict=True)
        }

    def _infos(self) -> dict[str, dict[str, Any]]:
        return {
            agent: {"state": self._state, "step": self._step, "illegal": illegal}
            for agent, illegal in zip(self.agents, self._illegal, strict=True)
        }
