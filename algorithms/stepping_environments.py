"""Copies of a PettingZoo environment stepped side by side in one process."""

from typing import Any

import numpy as np
from gymnasium.spaces.utils import flatdim
from numpy.typing import NDArray

from metamarl.algorithms.flattening import WHERE, flat, seen_space
from metamarl.algorithms.stepping import AbstractStepper, Integers, Outcome, make_layout
from metamarl.envs._environment_checks import space_of
from metamarl.envs.checks import complaint, said
from metamarl.envs.environment import Environment
from metamarl.envs.episodes import EpisodicEnvironment

SAME = "a function that makes an environment whose agents and spaces stay as they are"
Sight = tuple[NDArray[np.float32], NDArray[np.bool_]]


class Eyes:
    """What the players of an environment see, as rows of numbers.

    Attributes:
        layout: who shares a network.
    """

    def __init__(self, view: Environment, share: bool) -> None:
        self.agents, self.n_actions, self.starts = view.agents, view.n_actions, view.starts
        self.spaces = [seen_space(view.env, agent) for agent in view.agents]
        widths = []
        for agent, space in zip(view.agents, self.spaces, strict=True):
            try:
                widths.append(int(flatdim(space)))
            except (AttributeError, NotImplementedError, ValueError):
                must = "a function that makes an environment whose observations can be flattened"
                got = said(f"{space} for {agent!r}")
                raise TypeError(complaint("env", WHERE, must, got)) from None
        kinds = list(zip(self.spaces, view.n_actions, strict=True))
        self.layout = make_layout(kinds, widths, view.n_actions, share)
        members = [self.layout.members(g) for g in self.layout.group]
        self._marks = [
            np.eye(len(all_), dtype=np.float32)[all_.index(i)] if len(all_) > 1 else None
            for i, all_ in enumerate(members)
        ]

    def row(self, player: int, observation: Any) -> NDArray[np.float32]:
        """The network's input for what a player sees; ValueError where it may not see that."""
        row = flat(self.spaces[player], observation)
        mark = self._marks[player]
        return row if mark is None else np.concatenate([row, mark])

    def places(self, player: int, states: Integers, steps: Integers | None) -> NDArray[np.int64]:
        """`(K, k)` places of the ones in the rows of a game of `to_pettingzoo`."""
        space = self.spaces[player]
        columns = [states]
        if steps is not None:
            columns.append(int(space.nvec[0]) + steps)
        if (mark := self._marks[player]) is not None:
            columns.append(np.full(len(states), flatdim(space) + int(mark.argmax())))
        return np.stack(columns, axis=1)

    def check(self, view: Environment) -> None:
        """Raise where an environment has not the agents and spaces that it had at first."""
        if view.agents != self.agents:
            raise ValueError(complaint("env", WHERE, SAME, said(f"agents {view.agents}")))
        for agent, known in zip(self.agents, self.spaces, strict=True):
            found = seen_space(view.env, agent)
            if found is not known and found != known:
                got = said(f"{found} for {agent!r}, which was {known}")
                raise ValueError(complaint("env", WHERE, SAME, got))
        for i, agent in enumerate(self.agents):
            space = space_of(view.env.action_space, agent)
            n, start = self.n_actions[i], self.starts[i]
            if (getattr(space, "n", None), getattr(space, "start", None)) != (n, start):
                got = said(f"{space} for {agent!r}, which had actions {start} to {start + n - 1}")
                raise ValueError(complaint("env", WHERE, SAME, got))


class EnvironmentStepper(AbstractStepper):
    """Copies of an environment, each with a view of its own."""

    def __init__(self, env: EpisodicEnvironment, n_copies: int, share: bool) -> None:
        self.env, self.n_copies = env, n_copies
        self._views: list[Environment] = []
        view = env.open(0)
        self.eyes = Eyes(view, share)
        view.env.close()
        for name in ("agents", "n_actions", "starts"):
            if getattr(view, name) != getattr(env, name):
                got = said(f"{name} {getattr(view, name)} after {getattr(env, name)}")
                raise ValueError(complaint("env", WHERE, SAME, got))
        self.layout = self.eyes.layout
        self.moves = np.zeros((n_copies, env.n_players), bool)
        self.gone = np.zeros((n_copies, env.n_players), bool)

    def reset(self, rng: np.random.Generator) -> None:
        """Make all copies anew, with seeds from `rng`: nothing of the old ones lives on."""
        self.close()
        self._rng = rng
        seeds = rng.integers(2**31 - 1, size=self.n_copies).tolist()
        self._views = [self.env.open(seed) for seed in seeds]
        self._steps = [0] * self.n_copies
        self._last: dict[tuple[int, int], Sight] = {}
        self._chosen_by: dict[tuple[int, int], Sight] = {}
        for k, view in enumerate(self._views):
            self._begun(k, view)

    def _begun(self, copy: int, view: Environment) -> None:
        self.eyes.check(view)
        if view.over:
            must = "a function that makes an environment with a move to make after reset"
            raise ValueError(complaint("env", WHERE, must, self.env.name))
        self._find(copy, view)

    def _find(self, copy: int, view: Environment) -> None:
        self.moves[copy] = False
        self.moves[copy, list(view.movers)] = True
        left = [agent not in view.env.agents for agent in view.agents]  # some without a word
        self.gone[copy] = np.array(view.terminated) | np.array(view.truncated) | np.array(left)

    def see(self, copies: Integers, players: Integers) -> tuple[NDArray, NDArray[np.bool_]]:
        """Flattened observations, and masks."""
        rows = []
        masks = np.zeros((len(copies), self.env.n_actions[players[0]]), bool)
        for k, (copy, i) in enumerate(zip(copies.tolist(), players.tolist(), strict=True)):
            view = self._views[copy]
            observation = view.observation(i)
            rows.append(self.eyes.row(i, observation))
            masks[k, view.legal(i, observation)] = True
            self._chosen_by[copy, i] = rows[k], masks[k]
        return np.stack(rows), masks

    def last(self, copies: Integers, players: Integers) -> tuple[NDArray, NDArray[np.bool_]]:
        """Flattened last observations and masks; all is legal where nothing is marked as such."""
        keys = zip(copies.tolist(), players.tolist(), strict=True)
        rows, masks = zip(*(self._last[key] for key in keys), strict=True)
        return np.stack(rows), np.stack(masks)

    def _sight(self, copy: int, player: int, view: Environment) -> Sight:
        """What a player sees as it is cut off; if it is shown nothing, what it last chose by."""
        observation, info = view.observation(player), view.info(player)
        if player in view.parting:
            observation, info = view.parting[player]
        mask = np.zeros(self.env.n_actions[player], bool)
        if observation is None:  # without a choice so far nothing is learned from it
            nothing = np.zeros(self.layout.sizes[self.layout.group[player]], np.float32), ~mask
            return self._chosen_by.get((copy, player), nothing)
        legal = self.env.legal(player, observation, info)
        mask[legal if len(legal) else slice(None)] = True
        return self.eyes.row(player, observation), mask

    def step(self, actions: Integers) -> Outcome:
        """Play every copy one step; copies that are over begin anew."""
        shape = self.moves.shape
        rewards, ended, cut = np.zeros(shape), np.zeros(shape, bool), np.zeros(shape, bool)
        self._last = {}
        for copy, view in enumerate(self._views):
            chosen = actions[copy].tolist()
            rewards[copy] = view.step({i: chosen[i] for i in view.movers})
            self._steps[copy] += 1
            over = view.over or self._steps[copy] >= self.env.max_steps
            cut[copy] = self._cut(copy, view, over)
            # rewards that come after a player's own end still are its rewards
            ended[copy] = over | cut[copy]
            for i in np.flatnonzero(cut[copy]).tolist():
                self._last[copy, i] = self._sight(copy, i, view)
            if not over:
                self._find(copy, view)
                continue
            view.reset(int(self._rng.integers(2**31 - 1)))
            self._steps[copy] = 0
            self._begun(copy, view)
        return Outcome(rewards=rewards, ended=ended, cut=cut)

    def _cut(self, copy: int, view: Environment, over: bool) -> NDArray[np.bool_]:
        """`(n,)` who was cut off by this step, on its own or with all; none where γ = 1."""
        cut = np.array(view.truncated)
        if self.env.discount == 1:
            return np.zeros_like(cut)
        if over:
            cut |= [view.observation(i) is not None for i in range(self.env.n_players)]
        return cut & ~np.array(view.terminated) & ~self.gone[copy]

    def close(self) -> None:
        """Close all copies."""
        for view in self._views:
            view.env.close()
        self._views = []
