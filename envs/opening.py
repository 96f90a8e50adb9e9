"""An environment made ready to be studied: its chance under control, its copies tested."""

import random
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from metamarl.envs.branching import Branch, own_generator
from metamarl.envs.controlled import Controlled
from metamarl.envs.copies import (
    EPISODES,
    STEPS,
    Copies,
    Replays,
    Restores,
    Snapshots,
    find_fault,
    finds_seed,
    picture,
    uses_global_generators,
)
from metamarl.envs.environment import Environment
from metamarl.envs.object_parts import holds_generator
from metamarl.envs.plug_in import sight
from metamarl.envs.state_key import BOOKKEEPING, Freezer, core_of


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """The parameters of `from_pettingzoo`, checked."""

    make: Callable[[], Any]
    mode: str = "auto"
    state: Callable[[Any], Hashable] | None = None
    restore: Callable[[Any, Any], Any] | None = None
    model: Callable[..., Any] | None = None
    simultaneous: Literal["auto"] | bool = "auto"
    horizon: int | None = None
    discount: float | None = None
    ignore: tuple[str, ...] = ("history",)
    max_states: int = 50_000
    samples: int = 100
    seed: int = 0
    progress: bool = False

    @property
    def timed(self) -> bool:
        """Whether the game has a clock of its own."""
        return self.horizon is not None or (self.discount is not None and self.discount < 1.0)


@dataclass(eq=False, kw_only=True)
class Opened:
    """An environment whose every draw asks `branch`, and that can be brought back.

    Valid inside the `with open_environment(...)` that made it.
    """

    request: Request
    view: Environment
    branch: Branch
    copies: Copies | None
    """None where there is no way back to a state; `fault` says why."""
    state: Callable[[], Hashable]
    """The key of the state where the environment stands."""
    key: str
    """What that is, in words."""
    fault: str = ""
    global_generators: list[str] = field(default_factory=list)
    """The global generators ("random", "numpy.random") that play draws from, where their functions
    were imported by name and cannot be followed."""
    loose: bool = False
    """Whether something draws that is not under control."""
    warnings: list[str] = field(default_factory=list)

    @property
    def coarse(self) -> bool:
        """Whether the key of a state may leave something out."""
        return not self.key.startswith("the attributes") or self.request.ignore != ("history",)

    @property
    def name(self) -> str:
        """What the environment calls itself."""
        metadata = getattr(self.view.env, "metadata", None) or {}
        return str(metadata.get("name") or type(self.view.env).__name__)

    @property
    def continuous(self) -> bool:
        """Whether observations are real numbers that hardly ever come back in random play."""
        view, rng = self.view, own_generator(self.request.seed, 6)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not any(_has_reals(view.env.observation_space(agent)) for agent in view.agents):
                return False
        met = []
        for _ in range(10 * EPISODES):
            self.branch.sample(int(rng.integers(2**31)))
            view.reset(self.request.seed)
            for _ in range(STEPS):
                if view.over:
                    break
                met += [sight(view.observation(i), view.info(i)) for i in view.movers]
                view.step({i: int(rng.choice(view.legal(i))) for i in view.movers})
        return len(set(met)) > 0.9 * len(met)


def _has_reals(space: Any) -> bool:
    if isinstance(space, spaces.Dict):
        return any(_has_reals(part) for part in space.spaces.values())
    if isinstance(space, spaces.Tuple):
        return any(map(_has_reals, space.spaces))
    return isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)


@contextmanager
def open_environment(request: Request) -> Iterator[Opened]:
    """Make the environment, put its chance under control, and test the ways back to a state."""
    branch = Branch()
    branch.sample(request.seed)
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    view = Controlled(request.make, request.seed, branch)
    try:
        state, key = _find_state(request, view)
        opened = Opened(
            request=request, view=view, branch=branch, copies=None, state=state, key=key
        )
        if view.made_at_random and _differs_when_made_again(request, view, branch):
            words = "numbers are drawn while the environment is made: this is one of many"
            opened.warnings.append(words)
        if uses_global_generators(view, branch, request.seed):
            view.patch.follow_global()
            opened.global_generators = uses_global_generators(view, branch, request.seed)
        if not opened.global_generators:
            loose = holds_generator(view.env, view.patch.stand_ins)
            opened.loose = loose or finds_seed(view, branch, request.seed)
            _find_copies(opened)
        if not view.parallel:
            _compare_rewards(opened)
        yield opened
    finally:
        view.env.close()
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])


def _find_state(request: Request, view: Environment) -> tuple[Callable[[], Hashable], str]:
    """What tells the states apart, and its name."""
    if request.state is None:
        endless = request.horizon is None and (request.discount or 1.0) < 1.0
        if endless and view.parallel and has_state(view.env):
            look = Freezer()
            return (lambda: look(view.env.state())), "state() of the environment"
        freeze, core = Freezer({*BOOKKEEPING, *request.ignore}), core_of(view.env)
        without = f" without {', '.join(request.ignore)}" if request.ignore else ""
        return (lambda: freeze(core)), f"the attributes of the environment{without}"
    state, look = request.state, Freezer()
    return (lambda: look(state(view.env))), "what 'state' returns"


def has_state(env: Any) -> bool:
    """Whether the environment has a `state()` that works."""
    try:
        return env.state() is not None
    except (NotImplementedError, TypeError, AttributeError):  # none, or an attribute of that name
        return False


def _differs_when_made_again(request: Request, view: Environment, branch: Branch) -> bool:
    """Whether another environment, made with other draws, is another one after a reset."""
    branch.sample(request.seed + 1)
    other = Controlled(request.make, request.seed, branch)
    found = []
    for each in (view, other):
        branch.sample(request.seed)
        each.reset(request.seed)
        found.append((_find_state(request, each)[0](), picture(each)))
    other.env.close()
    return found[0] != found[1]


def _find_copies(opened: Opened) -> None:
    """The first way back that stands the test."""
    request, view, branch = opened.request, opened.view, opened.branch
    ways: list[Copies] = [Snapshots(view), Replays(view, branch, request.seed)]
    if request.restore is not None and request.state is not None:
        ways = [Restores(view, request.state, request.restore)]
    for copies in ways:
        fault = find_fault(view, branch, copies, opened.state, request.seed)
        if fault is None:
            opened.copies = copies
            return
        opened.fault = opened.fault or fault


def _compare_rewards(opened: Opened) -> None:
    """Warn where `last()` gives an agent other sums of rewards than `rewards` has."""
    view, rng = opened.view, own_generator(opened.request.seed, 5)
    env: Any = view.env
    opened.branch.sample(opened.request.seed)
    view.reset(opened.request.seed)
    told, paid = dict.fromkeys(view.agents, 0.0), np.zeros(view.n_players)
    agent: Any = None
    for _ in range(400):
        if not env.agents:
            break
        agent = env.agent_selection
        i = view.agents.index(agent)
        _, reward, terminated, truncated, _ = env.last()
        told[agent] += float(reward)
        ended = terminated or truncated
        if ended:
            env.step(None)
            continue
        view.movers = (i,)
        env.step(view.action(i, int(rng.choice(view.legal(i)))))
        for other, number in env.rewards.items():
            paid[view.agents.index(other)] += number
    if not env.agents and not np.allclose([*told.values()], paid):
        opened.warnings.append(
            "what agents are told by last() does not add up to 'rewards', which are used here"
        )
    view.reset(opened.request.seed)


def describe(opened: Opened) -> str:
    """The environment's name and kind."""
    return f"{opened.name}, {'parallel' if opened.view.parallel else 'turn by turn (AEC)'}"


def describe_players(opened: Opened) -> str:
    """The agents and how many actions they have."""
    view = opened.view
    pairs = zip(view.agents, view.n_actions, strict=True)
    return ", ".join(f"{agent} ({k} actions)" for agent, k in pairs)
