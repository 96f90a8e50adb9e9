"""Copies of a PettingZoo environment stepped side by side in one process."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from numpy.typing import NDArray

from metamarl.algorithms.stepping import AbstractStepper, Integers, Outcome, make_layout
from metamarl.envs.checks import complaint, said
from metamarl.envs.environment import Environment
from metamarl.envs.episodes import EpisodicEnvironment

WHERE = "learn"
Sight = tuple[NDArray[np.float32], NDArray[np.bool_]]


def _space(space_of: Callable[[Any], Any], agent: Any) -> Any:
    """An agent's space, without PettingZoo's warning where it is taken from a dictionary."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your environment should override", UserWarning)
        return space_of(agent)


def seen_space(env: Any, agent: Any) -> spaces.Space:
    """The space of what an agent sees, its mask left out."""
    space = _space(env.observation_space, agent)
    if isinstance(space, spaces.Dict) and "action_mask" in space.spaces:
        rest = {key: part for key, part in space.spaces.items() if key != "action_mask"}
        return rest["observation"] if set(rest) == {"observation"} else spaces.Dict(rest)
    return space


def flat(space: spaces.Space, observation: Any) -> NDArray[np.float32]:
    """What an agent sees as one row of numbers; ValueError where it is none, or not finite."""
    if isinstance(observation, dict) and "action_mask" in observation:
        observation = {key: part for key, part in observation.items() if key != "action_mask"}
        if not isinstance(space, spaces.Dict):
            observation = observation["observation"]
    try:
        row = np.asarray(flatten(space, observation), np.float32)
    except (AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
        raise _not_in(space, f"{observation!r} ({error})") from None
    if row.shape != (flatdim(space),) or not np.isfinite(row).all():
        raise _not_in(space, repr(observation))
    return row


def _not_in(space: spaces.Space, got: str) -> ValueError:
    must = f"a function that makes an environment whose observations lie in {space}"
    return ValueError(complaint("env", WHERE, must, said(got)))


class Eyes:
    """What the players of an environment see, as rows of numbers.

    Attributes:
        layout: who shares a network.
    """

    def __init__(self, view: Environment, share: bool) -> None:
        self.agents = view.agents
        self.n_actions = view.n_actions
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
        """The network's input for what a player sees; zeros for one that is gone."""
        if observation is None:
            row = np.zeros(flatdim(self.spaces[player]), np.float32)
        else:
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
        must = "a function that makes an environment whose agents and spaces stay as they are"
        if view.agents != self.agents:
            raise ValueError(complaint("env", WHERE, must, said(f"agents {view.agents}")))
        for agent, known in zip(self.agents, self.spaces, strict=True):
            found = seen_space(view.env, agent)
            if found is not known and found != known:
                got = said(f"{found} for {agent!r}, which was {known}")
                raise ValueError(complaint("env", WHERE, must, got))
        for i, agent in enumerate(self.agents):
            space = _space(view.env.action_space, agent)
            if getattr(space, "n", None) != self.n_actions[i]:
                got = said(f"{space} for {agent!r}, which had {self.n_actions[i]} actions")
                raise ValueError(complaint("env", WHERE, must, got))


class EnvironmentStepper(AbstractStepper):
    """Copies of an environment, each with a view of its own."""

    def __init__(self, env: EpisodicEnvironment, n_copies: int, share: bool) -> None:
        self.env, self.n_copies = env, n_copies
        self._views: list[Environment] = []
        view = env.open(0)
        self.eyes = Eyes(view, share)
        view.env.close()
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
        """What a player sees; of one that is no longer shown anything, what it last chose by."""
        observation = view.observation(player)
        if observation is None and (copy, player) in self._chosen_by:
            return self._chosen_by[copy, player]
        legal = self.env.legal(player, observation, view.info(player))
        mask = np.zeros(self.env.n_actions[player], bool)
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
