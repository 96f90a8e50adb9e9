"""A PettingZoo environment as a `Simulator`: put back into a state, seeded, and played on."""

import itertools
import random
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.branching import REAL_RANDOM, REAL_STATE
from metamarl.envs.copies import Copies, Replays, Snapshots, Token, find_fault
from metamarl.envs.environment import WAIT
from metamarl.envs.exploring import NotExactError
from metamarl.envs.opening import Opened
from metamarl.envs.plug_in import sight
from metamarl.envs.snapshot import NoCopyError


class DrawnEnvironment:
    """Draws from an opened environment, for `metamarl.envs.draws.Draws`.

    Simultaneous moves that an AEC environment asks for in turns are joined: where the next player
    sees the same, and may do the same, whatever has just been played, it chooses at once with those
    before it.

    Attributes:
        movers: by state, the players that choose there.
        seen: by state, what every player sees: a mover, when it is asked.
        cut: how many draws ended by truncation.
        joined: in how many states moves were joined.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened, self._view = opened, opened.view
        self.n_actions = opened.view.n_actions
        self.movers: dict[Hashable, tuple[int, ...]] = {}
        self.seen: dict[Hashable, tuple[Hashable, ...]] = {}
        self.cut = self.joined = 0
        self._choices: dict[Hashable, dict[int, Sequence[int]]] = {}
        self._tokens: dict[Hashable, Token] = {}
        self.copies = self._find_copies()

    def _find_copies(self) -> Copies:
        opened = self._opened
        if opened.copies is not None:
            return opened.copies
        fault = opened.fault
        if opened.global_generators:  # these were not tried: only seeds tame them
            view, branch, seed = self._view, opened.branch, opened.request.seed
            _seed_with(branch)
            for copies in (Snapshots(view), Replays(view, branch, seed)):
                found = find_fault(view, branch, copies, opened.state, seed)
                if found is None:
                    return copies
                fault = fault or found
        raise NotExactError(f"there is no way back to a state: {fault}", "trajectories")

    def session(self) -> AbstractContextManager[None]:
        """The global generators are afterwards as they were."""
        return _global_generators_kept()

    def first(self, seed: Sequence[int]) -> Hashable:
        """See `Simulator`."""
        chance = _number(seed)
        self._opened.branch.sample(chance)
        self._view.reset(self._opened.request.seed)
        if self._view.over:
            raise NotExactError("the environment is over as soon as it is reset", "trajectories")
        return self._arrive(None, None, chance)

    def options(self, state: Hashable) -> list[Sequence[int]]:
        """See `Simulator`; a player that does not choose waits."""
        mine = self._choices[state]
        return [mine.get(i, (WAIT,)) for i in range(len(self.n_actions))]

    def draw(
        self, state: Hashable, joint: tuple[int, ...], seed: Sequence[int]
    ) -> tuple[Hashable | None, list[float], bool]:
        """See `Simulator`."""
        view, chance = self._view, _number(seed)
        token: Token | None = self._tokens[state]
        self._tokens[state].restore()
        paid, certain = np.zeros(len(joint)), True
        turns = [self.movers[state]] if view.parallel else [(i,) for i in self._choices[state]]
        actions: dict[int, int] = {}
        for k, movers in enumerate(turns):
            if k:
                token = self._keep(token, actions, chance)
                chance += 1
            actions = {i: joint[i] for i in movers}
            reward, fixed = self._step(actions, chance)
            paid += reward
            certain &= fixed
            if view.over:
                self.cut += not any(view.terminated)
                return None, paid.tolist(), certain
        return self._arrive(token, actions, chance), paid.tolist(), certain

    def _step(self, actions: dict[int, int], chance: int) -> tuple[NDArray[np.float64], bool]:
        """Rewards, and whether nothing was drawn."""
        branch = self._opened.branch
        branch.sample(chance)
        if self._opened.global_generators:
            return self._view.step(actions), False
        before = _positions(branch.real)
        return self._view.step(actions), _positions(branch.real) == before

    def _keep(
        self, before: Token | None, actions: dict[int, int] | None, chance: int
    ) -> Token | None:
        """A token between two turns of one joint move; only replays need it."""
        if isinstance(self.copies, Replays):
            return self.copies.keep(before, actions, chance)
        return before

    def _arrive(
        self, before: Token | None, actions: dict[int, int] | None, chance: int
    ) -> Hashable:
        view = self._view
        key = (view.movers, self._opened.state())
        if key in self._tokens:
            return key
        try:
            token = self.copies.keep(before, actions, chance)
        except NoCopyError as error:
            raise NotExactError(
                f"there is no way back to a state: {error}", "trajectories"
            ) from None
        choices = {i: view.legal(i).tolist() for i in view.movers}
        seen = [sight(view.observation(i), view.info(i)) for i in range(view.n_players)]
        if not view.parallel and self._opened.request.simultaneous is not False:
            self._join(token, choices, seen, chance)
        self._tokens[key] = token
        self._choices[key] = choices
        self.movers[key] = tuple(sorted(choices))
        self.seen[key] = tuple(seen)
        return key

    def _join(
        self, token: Token, choices: dict[int, Sequence[int]], seen: list[Hashable], chance: int
    ) -> None:
        """Add the players that move next without seeing what is played, in their order."""
        first = len(choices)
        while (following := self._next(token, choices, chance)) is not None:
            player, options, look = following
            choices[player], seen[player] = options, look
        self.joined += len(choices) > first

    def _next(
        self, token: Token, choices: dict[int, Sequence[int]], chance: int
    ) -> tuple[int, list[int], Hashable] | None:
        view, blind = self._view, self._opened.request.simultaneous is True
        joints = list(itertools.product(*choices.values()))
        if len(joints) < 2 and not blind:
            return None
        found = None
        for joint in joints:
            token.restore()
            for k, (player, action) in enumerate(zip(choices, joint, strict=True)):
                self._opened.branch.sample(chance + k)
                view.step({player: action})
                if view.over:
                    return None
            (player,) = view.movers
            look = sight(view.observation(player), view.info(player))
            this = (player, view.legal(player).tolist(), look)
            if player in choices:
                return None
            if found is not None and (this[:2] != found[:2] or (not blind and look != found[2])):
                return None
            found = found or this
        return found


def _number(seed: Sequence[int]) -> int:
    """A seed for NumPy's generators, old and new, and Python's."""
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def _positions(generators: dict[type, Any]) -> tuple[Any, ...]:
    """Where the three generators stand."""
    new, old = generators[np.random.Generator], generators[REAL_STATE].get_state(legacy=False)
    return (
        new.bit_generator.state["state"]["state"],
        new.bit_generator.state["has_uint32"],
        (old["state"]["pos"], int(old["state"]["key"][0]), old["has_gauss"]),
        generators[REAL_RANDOM].getstate(),
    )


def _seed_with(branch: Any) -> None:
    """From now on, what seeds the branch's generators seeds the global ones as well."""
    sample = branch.sample

    def sample_and_seed(seed: int) -> None:
        sample(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002  (it is what the environment draws from)
        random.seed(seed)

    branch.sample = sample_and_seed


@contextmanager
def _global_generators_kept() -> Iterator[None]:
    before = (np.random.get_state(), random.getstate())  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])
