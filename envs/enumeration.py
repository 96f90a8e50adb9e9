"""All states of an environment, breadth first, with every outcome of chance."""

import itertools
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np

from metamarl.envs.branching import Branch, own_generator
from metamarl.envs.copies import Copies, Token
from metamarl.envs.environment import Environment
from metamarl.envs.plug_in import sight
from metamarl.envs.progress import shown, without_collector

END = -1  # the state after the end
TESTED = 100  # most second visits whose rows are compared with those of the first
SHOWN = 256  # states between two updates of the progress bar


@dataclass(eq=False)
class Explored:
    """States, who moves in them, and what every joint action does."""

    movers: list[tuple[int, ...]] = field(default_factory=list)
    """The players that act in every state, in rising order."""
    choices: list[tuple[tuple[int, ...], ...]] = field(default_factory=list)
    """The legal actions of each of these."""
    rows: list[list["Row"]] = field(default_factory=list)
    """What each joint action does, in the order of `itertools.product(*choices)`."""
    seen: list[tuple[Hashable, ...]] = field(default_factory=list)
    """What every player sees in every state, frozen (mask included); a mover, when it acts."""
    also_seen: list[tuple[int, tuple[Hashable, ...]]] = field(default_factory=list)
    """(state, what every player saw) of second visits on which that was something else."""
    keys: list[tuple[tuple[int, ...], Hashable]] = field(default_factory=list)
    """(movers, state) by which the states are told apart."""
    start: dict[int, float] = field(default_factory=dict)
    """First states and their probabilities."""
    random: bool = False
    """Whether any step, or the reset, has several outcomes."""
    visits_tested: int = 0
    """Second visits of a state whose rows were the same as those of the first."""

    steps_agreed: int = 0
    """Steps of random play in which nothing happened that is not in here."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def n_rows(self) -> int:
        """Number of (state, joint action) pairs."""
        return sum(map(len, self.rows))


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """What a joint action does in a state."""

    outcomes: tuple[tuple[float, int], ...]
    """(probability, next state or END)."""
    reward: tuple[float, ...]
    """Expected reward of every player."""
    cuts: tuple[tuple[float, Hashable, Hashable], ...] = ()
    """Ends that are truncations, not terminations: probability, what all saw, the state's key."""


class TooManyStatesError(Exception):
    """There are more states than allowed; `explored` holds those found so far."""

    def __init__(self, explored: Explored) -> None:
        super().__init__(f"{len(explored):,} states, {sum(map(bool, explored.rows)):,} expanded")
        self.explored = explored


class EnumerationInterrupted(KeyboardInterrupt):
    """Ctrl-C while states were enumerated.

    Attributes:
        states: states found so far.
        expanded: those of them whose moves were all played.
    """

    def __init__(self, states: int, expanded: int) -> None:
        super().__init__(f"interrupted after {states:,} states, {expanded:,} of them expanded")
        self.states, self.expanded = states, expanded


class OuterLimitError(Exception):
    """Episodes are cut off by something that is not in the state, and there is no other clock."""


class NotMarkovError(Exception):
    """A state that goes on differently on a second visit; the message says how."""


@dataclass(eq=False, kw_only=True)
class Enumeration:
    """Breadth-first search through an environment; `run()` returns all that it found."""

    view: Environment
    branch: Branch
    copies: Copies
    state: Callable[[], Hashable]
    """The state's key, where the environment stands."""
    max_states: int
    seed: int
    coarse: bool = False
    """Whether the key may leave something out: second visits are all looked at."""
    timed: bool = False
    """Whether the game has a clock of its own: then episodes may be cut off from outside."""
    progress: bool = False

    def run(self) -> Explored:
        """Enumerate.

        Raises:
            TooManyStatesError, NotMarkovError, OuterLimitError, EnumerationInterrupted,
            ContinuousDrawError, TooManyOutcomesError, NoCopyError.
        """
        self.found = Explored()
        self._index: dict[Hashable, int] = {}
        self._waiting: deque[tuple[int, Token]] = deque()
        self._again: list[tuple[int, Token]] = []  # second visits, to be compared
        self._visits = 0
        self._rng = own_generator(self.seed, 3)
        try:
            with shown(self.progress) as show, without_collector():
                self._start()
                while self._waiting:
                    state, token = self._waiting.popleft()
                    self.found.rows[state] = self._expand(state, token)
                    if state % SHOWN == 0:
                        show(len(self.found), state)
                for state, token in self._again:
                    self._compare(state, token)
        except KeyboardInterrupt:
            expanded = sum(map(bool, self.found.rows))
            raise EnumerationInterrupted(len(self.found), expanded) from None
        return self.found

    def _start(self) -> None:
        view, start = self.view, self.found.start
        self.first: list[Token] = []
        for p, _ in self.branch.outcomes(lambda: view.reset(self.seed)):
            if view.over:
                raise NotMarkovError("the environment is over as soon as it is reset")
            state = self._arrive(None, None)
            start[state] = start.get(state, 0.0) + p
            self.found.random |= p < 1.0

    def _expand(self, state: int, token: Token) -> list[Row]:
        found, movers = self.found, self.found.movers[state]
        rows = []
        for joint in itertools.product(*found.choices[state]):
            row = self._play(token, dict(zip(movers, joint, strict=True)), self._arrive)
            rows.append(row)
        return rows

    def _play(
        self, token: Token, actions: dict[int, int], arrive: Callable[[Token, dict[int, int]], int]
    ) -> Row:
        view, expected = self.view, [0.0] * self.view.n_players
        chances: dict[int, float] = {}
        cuts = []
        for p, reward in self.branch.outcomes(lambda: view.step(actions), token.restore):
            if view.over:
                target = END
                if not any(view.terminated):
                    cuts.append((p, self._see(), self.state()))
            else:
                target = arrive(token, actions)
            self.found.random |= p < 1.0
            chances[target] = chances.get(target, 0.0) + p
            for i, number in enumerate(reward.tolist()):
                expected[i] += p * number
        outcomes = tuple((p, target) for target, p in chances.items())
        return Row(outcomes, tuple(expected), tuple(cuts))

    def _see(self) -> tuple[Hashable, ...]:
        view = self.view
        return tuple(sight(view.observation(i), view.info(i)) for i in range(view.n_players))

    def _arrive(self, before: Token | None, actions: dict[int, int] | None) -> int:
        """The number of the state where the environment stands, a new one if need be."""
        key = (self.view.movers, self.state())
        state = self._index.get(key)
        chance = self.branch.script[: self.branch.position]
        if state is not None:
            self._visits += 1
            slot = self._visits if self._visits <= TESTED else int(self._rng.integers(self._visits))
            if slot <= TESTED and before is not None:
                visit = (state, self.copies.keep(before, actions, chance))
                if len(self._again) < TESTED:
                    self._again.append(visit)
                else:
                    self._again[slot - 1] = visit
            if self.coarse:
                self._look_again(state)
            return state
        found, view = self.found, self.view
        state = self._index[key] = len(found)
        if state == self.max_states:
            raise TooManyStatesError(found)
        found.keys.append(key)
        found.movers.append(view.movers)
        found.choices.append(tuple(tuple(view.legal(i).tolist()) for i in view.movers))
        found.seen.append(self._see())
        found.rows.append([])
        if self.branch.position > len(chance):
            raise NotMarkovError("what players see is drawn at random")
        token = self.copies.keep(before, actions, chance)
        if before is None:
            self.first.append(token)
        self._waiting.append((state, token))
        return state

    def _look_again(self, state: int) -> None:
        """See whether the same is legal and seen as on the first visit."""
        found, view = self.found, self.view
        if tuple(tuple(view.legal(i).tolist()) for i in view.movers) != found.choices[state]:
            here = f"in the state {found.keys[state]!r:.120}"
            raise NotMarkovError(f"other actions are legal on a second visit {here}")
        seen = self._see()
        if seen != found.seen[state]:
            found.also_seen.append((state, seen))

    def _compare(self, state: int, token: Token) -> None:
        """Raise where a second visit goes on in another way than the first."""
        found, view = self.found, self.view
        token.restore()
        here = f"in the state {found.keys[state]!r:.120}"
        self._look_again(state)
        joints = itertools.product(*found.choices[state])
        for joint, row in zip(joints, found.rows[state], strict=True):
            actions = dict(zip(view.movers, joint, strict=True))
            again = self._play(
                token, actions, lambda *_: self._index.get((view.movers, self.state()), -2)
            )
            if again.cuts and not row.cuts:
                if not self.timed:
                    raise OuterLimitError
                token.restore()
                continue
            if sorted(again.outcomes) != sorted(row.outcomes):
                raise NotMarkovError(f"the same move leads elsewhere on a second visit {here}")
            if not np.allclose(again.reward, row.reward, atol=1e-12):
                raise NotMarkovError(f"the same move pays differently on a second visit {here}")
            token.restore()
        self.found.visits_tested += 1
