"""A Markov game as a `pettingzoo.AECEnv`: the players move one after the other.

In every state those players move who have a choice, player 0 first; then the state changes and all
rewards are paid. No mover sees what another one does in the same state, so that a simultaneous game
stays simultaneous, and in a turn-based game nobody has to say that it waits.
"""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import AECEnv

from metamarl.envs._parallel_env import MarkovGameEnv
from metamarl.envs.checks import complaint
from metamarl.envs.game import MarkovGame


class MarkovGameAEC(AECEnv):
    """What `to_pettingzoo(game, api="aec")` returns: turns over a parallel environment."""

    def __init__(self, env: MarkovGameEnv) -> None:
        self._env = env
        self.render_mode = env.render_mode
        counts = env.game.table.counts[~env.at_rest]
        together = env.game.n_players == 1 or bool((counts > 1).all())
        self.metadata = {**env.metadata, "is_parallelizable": together}
        self.possible_agents = env.possible_agents[:]
        self.agents: list[str] = []
        self.agent_selection = self.possible_agents[0]
        self.state_space = env.state_space
        self.action_spaces = env.action_spaces
        self.observation_spaces = env.observation_spaces

    @property
    def game(self) -> MarkovGame:
        """The game that is played."""
        return self._env.game

    @property
    def max_steps(self) -> int | None:
        """The number of moves of the whole game after which it is truncated."""
        return self._env.max_steps

    def action_space(self, agent: str) -> spaces.Discrete:
        """`Discrete(A_i)`."""
        return self.action_spaces[agent]

    def observation_space(self, agent: str) -> spaces.Dict:
        """The dictionary of "observation" and "action_mask"."""
        return self.observation_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Draw a first state. A `seed` reproduces all that follows; `options` are ignored."""
        _, self.infos = self._env.reset(seed, options)
        self.agents = self.possible_agents[:]
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self._skip_agent_selection = None
        self._begin()

    def step(self, action: Any) -> None:
        """Play the action of `agent_selection`: None once it has terminated or is truncated."""
        self._env.check_reset("step")
        if not self.agents:
            must = "left alone until reset is called: the game is over"
            raise ValueError(complaint("action", "step", must, action))
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._chosen[agent] = self._env.check_action(agent, action, "action")
        self._cumulative_rewards[agent] = 0.0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        if len(self._chosen) < len(self._movers):
            self.agent_selection = self._movers[len(self._chosen)]
            return
        state = self._env.state()[0]
        only = [int(mask[state].argmax()) for mask in self.game.legal]
        joint = dict(zip(self.agents, only, strict=True)) | self._chosen
        _, self.rewards, self.terminations, self.truncations, self.infos = self._env.step(joint)
        self._begin()
        self._accumulate_rewards()
        self._deads_step_first()

    def _begin(self) -> None:
        """Find who moves in the state that has been reached."""
        state = self._env.state()[0]
        movers = np.flatnonzero(self.game.table.counts[state] > 1).tolist()
        self._movers = [self.possible_agents[i] for i in movers or [0]]
        self._chosen: dict[str, int] = {}
        self.agent_selection = self._movers[0]

    def observe(self, agent: str) -> dict[str, NDArray]:
        """The state that all movers see, and the agent's mask."""
        self._env.check_reset("observe")
        return self._env.observe(self.possible_agents.index(agent))

    def state(self) -> NDArray[np.int64]:
        """The state, and the step where the game has a horizon: a point of `state_space`."""
        return self._env.state()

    def render(self) -> str | NDArray[np.uint8] | None:
        """Text, a picture or None (the text being printed), after the render mode."""
        return self._env.render()

    def close(self) -> None:
        """Nothing is held open."""
