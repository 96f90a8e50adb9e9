"""What a PettingZoo environment must have to be played: agents, actions, its bookkeeping."""

import warnings
from collections.abc import Callable, Hashable
from numbers import Integral
from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo.utils.wrappers.base import BaseWrapper

from metamarl.envs.checks import complaint, said, shorten

WHERE = "from_pettingzoo"
KNOWN_WRAPPERS = "pettingzoo.utils.wrappers"


def kind_of(value: object) -> str:
    """The full name of its class, shortened."""
    return shorten(f"{type(value).__module__}.{type(value).__qualname__}", 80)


def possible_agents(env: Any) -> tuple[Hashable, ...]:
    """The agents, under any hashable names; ValueError where they are not known beforehand."""
    agents = getattr(env, "possible_agents", None)
    must = "a function that makes an environment with 'possible_agents', known before it is played"
    if agents is None:
        raise ValueError(complaint("make", WHERE, must, said(f"{kind_of(env)}, which has none")))
    found = tuple(agents)
    if not found or len(set(found)) < len(found):
        raise ValueError(complaint("make", WHERE, must, said(f"possible_agents {agents!r}")))
    return found


def space_of(spaces_of: Callable[[Any], Any], agent: Hashable) -> Any:
    """An agent's space, without PettingZoo's warning where it is taken from a dictionary."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your environment should override", UserWarning)
        return spaces_of(agent)


def action_space(env: Any, agent: Hashable) -> spaces.Discrete:
    """An agent's actions; TypeError where they are not `Discrete`."""
    space = space_of(env.action_space, agent)
    if not isinstance(space, spaces.Discrete) or not isinstance(space.n, Integral | np.integer):
        must = "a function that makes an environment with Discrete actions for every agent"
        raise TypeError(complaint("make", WHERE, must, said(f"{space} for {agent!r}")))
    return space


def owner_of(env: Any) -> Any:
    """Where the bookkeeping of an AEC environment lies, below wrappers that hand it through."""
    names = {"agents", "agent_selection", "terminations", "truncations", "rewards", "infos"}
    while isinstance(env, BaseWrapper) and type(env).__module__.startswith(KNOWN_WRAPPERS):
        if names & {*vars(env), *vars(type(env))}:
            break
        env = env.env
    return env
