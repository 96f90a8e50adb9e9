"""Ways back to a state of an environment, and the test that they lead there.

`Snapshots` write the state back in place; where that fails (`find_copies` tries), `Replays` reset
the environment and play the same moves with the same chance again; a user may hand in a function.
Each has `keep(before, actions, chance)`, which returns a `Token` for where the environment now
stands; `token.restore()` goes back there.
"""

import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from metamarl.envs.branching import Branch, own_generator
from metamarl.envs.environment import Environment
from metamarl.envs.snapshot import NoCopyError, Snapshot
from metamarl.envs.state_key import Freezer

Chance = Sequence[int] | int
"""The outcomes that were taken of the draws in one step, or the seed they were sampled with."""
EPISODES, STEPS = 4, 12  # of the test
LONG = 60  # steps of play with two seeds
freeze = Freezer()


class Token(Protocol):
    """A way back."""

    def restore(self) -> None:
        """Go back to where the environment stood."""


class Copies(Protocol):
    """Makes tokens."""

    words: str
    """What it does, for the report."""

    def keep(
        self, before: Token | None, actions: Mapping[int, int] | None, chance: Chance
    ) -> Token:
        """A token for where the environment stands: `actions` after `before`, or a reset."""


class Snapshots:
    """The state is noted and written back in place."""

    words = "snapshots, tested"

    def __init__(self, view: Environment) -> None:
        self._view = view

    def keep(self, *_: Any) -> Snapshot:
        """See `Copies`."""
        return Snapshot(self._view)


class Replay:
    """All that was played since the reset, with its chance."""

    def __init__(
        self, view: Environment, branch: Branch, seed: int,
        played: tuple[tuple[Mapping[int, int] | None, Chance], ...],
    ) -> None:  # fmt: skip
        self._view, self._branch, self._seed, self.played = view, branch, seed, played

    def restore(self) -> None:
        """Reset, and play it all again."""
        for actions, chance in self.played:
            if isinstance(chance, int):
                self._branch.sample(chance)
            else:
                self._branch.replay(chance)
            if actions is None:
                self._view.reset(self._seed)
            else:
                self._view.step(actions)


class Replays:
    """The same moves are played again from the reset."""

    words = "replays from the reset, tested (snapshots do not hold the whole state)"

    def __init__(self, view: Environment, branch: Branch, seed: int) -> None:
        self._view, self._branch, self._seed = view, branch, seed

    def keep(self, before: Any, actions: Mapping[int, int] | None, chance: Chance) -> Replay:
        """See `Copies`."""
        played = () if before is None else before.played
        chance = chance if isinstance(chance, int) else tuple(chance)
        return Replay(self._view, self._branch, self._seed, (*played, (actions, chance)))


class _Given:
    def __init__(self, view: Environment, restore: Callable[[Any, Any], Any], state: Any) -> None:
        self._view, self._restore, self._state = view, restore, state
        self._own = {name: part for name, part in vars(view).items() if name != "env"}
        self._lists = (list(view.terminated), list(view.truncated))

    def restore(self) -> None:
        self._restore(self._view.env, self._state)
        vars(self._view).update(self._own)
        self._view.terminated, self._view.truncated = map(list, self._lists)


class Restores:
    """The user's functions: `restore(env, state(env))`."""

    words = "the given 'restore', tested"

    def __init__(
        self, view: Environment, state: Callable[[Any], Hashable], restore: Callable[..., Any]
    ) -> None:
        self._view, self._state, self._restore = view, state, restore

    def keep(self, *_: Any) -> _Given:
        """See `Copies`."""
        return _Given(self._view, self._restore, self._state(self._view.env))


def picture(view: Environment) -> Hashable:
    """All that can be seen of where a game stands."""
    ended = (tuple(view.terminated), tuple(view.truncated), view.movers)
    seen = tuple(freeze(view.observation(i)) for i in range(view.n_players))
    legal = tuple(tuple(view.legal(i).tolist()) for i in view.movers)
    return (ended, seen, legal)


def find_fault(
    view: Environment,
    branch: Branch,
    copies: Copies,
    key: Callable[[], Hashable],
    seed: int,
) -> str | None:
    """Copy, step, go back, step again, and compare, all along random play; None where it holds.

    Otherwise what went wrong, in words.
    """
    rng = own_generator(seed, 1)
    for episode in range(EPISODES):
        chance = int(rng.integers(2**31))
        branch.sample(chance)
        view.reset(seed)
        token: Any = None
        actions: Mapping[int, int] | None = None
        for _ in range(STEPS):
            if view.over:
                break
            try:
                token = copies.keep(token, actions, chance)
                before = (key(), picture(view))
                if picture(view) != before[1]:
                    return "what players see is drawn at random whenever they look"
                actions = {i: int(rng.choice(view.legal(i))) for i in view.movers}
                if episode % 2:  # go astray in between
                    view.step({i: int(rng.choice(view.legal(i))) for i in view.movers})
                token.restore()
                if (key(), picture(view)) != before:
                    return "going back leads somewhere else"
                chance = int(rng.integers(2**31))
                results = []
                for _ in range(2):
                    token.restore()
                    branch.sample(chance)
                    paid = view.step(actions).tolist()
                    results.append((paid, key(), picture(view)))
            except NoCopyError as error:
                return str(error)
            if results[0] != results[1]:
                return "the same moves from the same state lead to different ends"
    return None


def finds_seed(view: Environment, branch: Branch, seed: int) -> bool:
    """Whether play depends on the seed of the reset though all draws are answered alike.

    Then something draws that is not under control: a generator made where nobody looks.
    """
    rng = own_generator(seed, 9)
    for _ in range(EPISODES):
        chance, moves = rng.integers(2**31, size=2).tolist()
        stories = []
        for other in (seed, seed + 1):
            own, story = own_generator(moves), []
            branch.sample(chance)
            view.reset(other)
            for _ in range(LONG):
                story.append(picture(view))
                if view.over:
                    break
                paid = view.step({i: int(own.choice(view.legal(i))) for i in view.movers})
                story.append(paid.tolist())
            stories.append(repr(story))
        if stories[0] != stories[1]:
            return True
    return False


def global_states() -> tuple[str, Any]:
    """Where the two global generators stand."""
    return repr(np.random.get_state()), random.getstate()  # noqa: NPY002


def uses_global_generators(view: Environment, branch: Branch, seed: int) -> list[str]:
    """Which of the two global generators random play draws from."""
    rng = own_generator(seed, 2)
    found = set()
    for _ in range(EPISODES):
        before = global_states()
        branch.sample(int(rng.integers(2**31)))
        view.reset(seed)
        for _ in range(STEPS):
            if not view.over:
                view.step({i: int(rng.choice(view.legal(i))) for i in view.movers})
        after = global_states()
        found |= {
            name
            for name, x, y in zip(("numpy.random", "random"), before, after, strict=True)
            if x != y
        }
    return sorted(found)
