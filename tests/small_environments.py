"""Small PettingZoo environments, each with one habit that real ones have."""

import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle, seeding
from pettingzoo import AECEnv, ParallelEnv


class Parallel(ParallelEnv):
    """Two agents, two actions each, nothing happens; ends after `length` steps."""

    metadata = {"name": "parallel", "is_parallelizable": True}  # noqa: RUF012  (PettingZoo's way)
    render_mode = None
    length = 2
    actions = (2, 2)
    first = (0, 0)

    def __init__(self, agents=("a", "b")):
        self.possible_agents = list(agents)
        self.agents = []

    def action_space(self, agent):
        i = self.possible_agents.index(agent)
        return spaces.Discrete(self.actions[i], start=self.first[i])

    def observation_space(self, agent):
        return spaces.Discrete(100)

    def reset(self, seed=None, options=None):
        self.agents = self.possible_agents[:]
        self.t = 0
        self.begin(seed)
        return self.observe_all(), {agent: self.inform(agent) for agent in self.agents}

    def step(self, actions):
        agents = self.agents
        self.t += 1
        rewards = self.pay(actions)
        ended, cut = self.ended(), self.cut()
        terminations = dict.fromkeys(agents, ended)
        truncations = dict.fromkeys(agents, cut)
        seen, infos = self.observe_all(), {agent: self.inform(agent) for agent in agents}
        if ended or cut:
            self.agents = []
        return seen, rewards, terminations, truncations, infos

    def begin(self, seed):
        pass

    def pay(self, actions):
        return dict.fromkeys(actions, 0.0)

    def ended(self):
        return self.t >= self.length

    def cut(self):
        return False

    def observe_all(self):
        return {agent: self.see(agent) for agent in self.agents}

    def see(self, agent):
        return np.int64(self.t)

    def inform(self, agent):
        return {}


class Turns(AECEnv):
    """Two agents in turn, two actions each, nothing happens; ends after `length` moves."""

    metadata = {"name": "turns", "is_parallelizable": False}  # noqa: RUF012
    render_mode = None
    length = 4
    actions = (2, 2)
    first = (0, 0)

    def __init__(self, agents=("a", "b")):
        super().__init__()
        self.possible_agents = list(agents)

    def action_space(self, agent):
        i = self.possible_agents.index(agent)
        return spaces.Discrete(self.actions[i], start=self.first[i])

    def observation_space(self, agent):
        return spaces.Discrete(100)

    def reset(self, seed=None, options=None):
        self.agents = self.possible_agents[:]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}
        self.t = 0
        self.agent_selection = self.agents[0]
        self.begin(seed)

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self.t += 1
        self.play(agent, action)
        if self.t >= self.length:
            self.terminations = dict.fromkeys(self.agents, True)
        self.agent_selection = self.following(agent)
        self._accumulate_rewards()
        self._deads_step_first()

    def begin(self, seed):
        pass

    def play(self, agent, action):
        pass

    def following(self, agent):
        return self.agents[(self.agents.index(agent) + 1) % len(self.agents)]

    def observe(self, agent):
        return np.int64(self.t)


class Slippery(Parallel, EzPickle):
    """Pennies on a walk of three places: who matches moves it on, unless it slips; ends at 3."""

    def __init__(self, slip=0.25):
        EzPickle.__init__(self, slip)
        super().__init__()
        self.slip = slip

    def begin(self, seed):
        self.place = 0
        if seed is not None or not hasattr(self, "np_random"):
            self.np_random, _ = seeding.np_random(seed)

    def pay(self, actions):
        won = actions["a"] == actions["b"]
        if won and self.np_random.random() >= self.slip:
            self.place += 1
        return {"a": 1.0 - won, "b": won - 1.0}

    def ended(self):
        return self.place == 3

    def cut(self):
        return self.t >= 6 and not self.ended()

    def see(self, agent):
        return np.int64(10 * self.place + self.t)
