"""Enumerate an environment, or say in words why that is not possible and what is."""

from typing import Any

from metamarl.envs.branching import ContinuousDrawError, TooManyOutcomesError, own_generator
from metamarl.envs.checks import complaint
from metamarl.envs.copies import global_states
from metamarl.envs.enumeration import (
    Enumeration,
    Explored,
    NotMarkovError,
    OuterLimitError,
    TooManyStatesError,
)
from metamarl.envs.environment import WHERE
from metamarl.envs.information import Information, find_information
from metamarl.envs.merging import find_classes
from metamarl.envs.opening import Opened, has_state
from metamarl.envs.plug_in import sight
from metamarl.envs.random_play import play_against
from metamarl.envs.snapshot import NoCopyError
from metamarl.envs.table import Table
from metamarl.envs.tabulation import truncation_marks

OUTER_LIMIT = (
    "below 1, or 'horizon' be given: episodes are cut off (truncated) by a limit that is not in "
    "the state"
)
LOOSE = (
    "what happens depends on something that cannot be followed, such as a generator that is not an "
    "attribute made in reset(seed)"
)
FOLLOWED = "it draws from a global generator in states that are rarely visited"
RESETS = 60  # compared where hidden cards are suspected


class NotExactError(Exception):
    """The environment has no exact table; the message says why, `fitting` which mode fits."""

    def __init__(self, why: str, fitting: str) -> None:
        super().__init__(why)
        self.fitting = fitting


def explore(opened: Opened) -> Explored:
    """Enumerate the environment, or raise NotExactError with the reason."""
    request = opened.request
    sampled = _large(opened) or "sample"
    if opened.global_generators:
        which = " and ".join(opened.global_generators)
        why = f"it draws from the global generator of {which} by a function imported by name, which"
        why += " cannot be followed; let it draw from one of its own, made in reset(seed)"
        raise NotExactError(why, sampled)
    if opened.loose:
        raise NotExactError(LOOSE, "trajectories")
    if opened.copies is None:
        raise NotExactError(f"there is no way back to a state: {opened.fault}", sampled)
    hidden = _hidden_start(opened)
    if hidden is not None:
        raise NotExactError(hidden, _large(opened) or "trajectories")
    search = Enumeration(
        view=opened.view,
        branch=opened.branch,
        copies=opened.copies,
        state=opened.state,
        max_states=request.max_states,
        seed=request.seed,
        coarse=opened.coarse,
        timed=request.timed,
        progress=request.progress,
    )
    try:
        before = global_states()
        found = search.run()
        found.steps_agreed = play_against(
            found, search.first, opened.view, opened.branch, opened.state, request
        )
        if global_states() != before:
            raise NotExactError(FOLLOWED, _large(opened) or "trajectories")
        return found
    except ContinuousDrawError as draw:
        raise NotExactError(f"its chance is continuous: it uses {draw}", sampled) from None
    except NoCopyError as error:
        raise NotExactError(f"there is no way back to a state: {error}", sampled) from None
    except OuterLimitError:
        raise ValueError(complaint("discount", WHERE, OUTER_LIMIT, request.discount)) from None
    except NotMarkovError as error:
        why = f"{opened.key} do not tell the state: {error}"
        raise NotExactError(why, _large(opened) or "trajectories") from None
    except TooManyOutcomesError as error:
        why = f"a reset or step has too many outcomes to list ({error})"
        raise NotExactError(why, _large(opened) or "trajectories") from None
    except TooManyStatesError as error:
        why = (
            f"it has more than max_states = {request.max_states:,} states. Raise max_states, give "
            "a coarser 'state', attributes to 'ignore' or the 'model', or leave the exact mode"
        )
        if request.state is None:
            why += f". Attributes that vary most: {_widest(error.explored)}"
        if request.state is None and opened.view.parallel and has_state(opened.view.env):
            why += ". It has a state(): state=lambda env: env.state() may be coarser"
        raise NotExactError(why, _large(opened) or "trajectories") from error


def _widest(explored: Explored) -> str:
    """The three attributes with the most values, and how many these are."""
    values: dict[str, set[Any]] = {}
    frozen: Any
    for _, frozen in explored.keys:  # the class, the attributes' values, and their names
        for name, part in zip(frozen[-1], frozen[1:-1], strict=False):
            values.setdefault(name, set()).add(part)
    most = sorted(values, key=lambda name: -len(values[name]))[:3]
    return ", ".join(f"{name} ({len(values[name]):,} values)" for name in most)


def _large(opened: Opened) -> str | None:
    return "neural" if opened.continuous else None


def check_information(opened: Opened, found: Explored, table: Table) -> Information:
    """Raise NotExactError where a player cannot tell the state when it has a choice."""
    known = find_information(found, find_classes([table], truncation_marks(found, table)))
    if known.hidden is None:
        return known
    player, one, other = known.hidden
    agent = opened.view.agents[player]
    drawn = ", which was drawn at reset and is kept from it" if known.at_start else ""
    why = (
        f"the observation is not the state: {agent!r} cannot tell states {one:,} and {other:,} "
        f"apart when it has to choose{drawn}; a game over states would let it act on what it does "
        "not know"
    )
    raise NotExactError(why, "trajectories")


def _hidden_start(opened: Opened) -> str | None:
    """Words for hidden information that shows already after a reset, or None.

    It is there where the first to move sees the same after two resets while somebody else sees
    different things, or where everybody sees the same and the same moves then lead to other sights
    or rewards although the same is drawn.
    """
    view, branch = opened.view, opened.branch
    rng = own_generator(opened.request.seed, 4)
    met: dict[Any, tuple[int, Any, Any]] = {}
    try:
        for _ in range(RESETS):
            seed = int(rng.integers(2**31))
            branch.sample(seed)
            view.reset(opened.request.seed)
            looks, key = _looks(opened), opened.state()
            for i in view.movers:
                first, others, state = met.setdefault((i, looks[i]), (seed, looks, key))
                if key == state and looks == others:
                    continue
                if looks != others or _differ_later(opened, first, seed):
                    how = "go on in different ways" if looks == others else "others can"
                    return (
                        f"the observation is not the state: {view.agents[i]!r} cannot tell apart "
                        f"first states that {how}: something is drawn at reset and kept from it"
                    )
    except ContinuousDrawError:  # kept in the state
        pass
    return None


def _looks(opened: Opened) -> tuple[Any, ...]:
    view = opened.view
    return tuple(sight(view.observation(i), view.info(i)) for i in range(view.n_players))


def _differ_later(opened: Opened, one: int, other: int) -> bool:
    """Whether the same moves after two resets lead apart, with the same draws in every step."""
    view, branch, ends = opened.view, opened.branch, []
    for seed in (one, other):
        branch.sample(seed)
        view.reset(opened.request.seed)
        rng, story = own_generator(0), []
        for step in range(8):
            if view.over:
                break
            branch.sample(step)  # what is drawn now is the same in both
            actions = {i: int(rng.choice(view.legal(i))) for i in view.movers}
            story.append((actions, view.step(actions).tolist(), _looks(opened)))
        ends.append(repr(story))
    return ends[0] != ends[1]
