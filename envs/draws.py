"""Draws from an environment: every row is played again and again from its state."""

import itertools
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from metamarl.envs.sampled_game import Drawn, SampledGame

END = "end"


class Simulator(Protocol):
    """An environment that can be put back into any state that it has been in."""

    n_actions: tuple[int, ...]
    """(A_1, …, A_n)."""

    def session(self) -> AbstractContextManager[Any]:
        """What the environment must be used in."""

    def first(self, seed: Sequence[int]) -> Hashable:
        """Draw a first state."""

    def options(self, state: Hashable) -> Sequence[Sequence[int]]:
        """Every player's legal actions, at least one each, in a state that has been drawn."""

    def draw(
        self, state: Hashable, joint: tuple[int, ...], seed: Sequence[int]
    ) -> tuple[Hashable | None, Sequence[float], bool]:
        """Play a joint action.

        Returns the next state (None: the end), n rewards, and whether they are **certain**: no
        random number was drawn on the way.
        """


class TooManyDrawnError(Exception):
    """More states were drawn than are allowed."""


@dataclass(slots=True)
class _Row:
    """The draws of one (state, joint action)."""

    hits: dict[int, list[int]] = field(default_factory=dict)
    """How often each next state was drawn, in either half."""
    pay: dict[int, list[list[float]]] = field(default_factory=dict)
    """Sums of rewards on the way there: of the even draws, of the odd ones, and of squares."""
    count: int = 0
    certain: bool = False

    def add(self, target: int, rewards: Sequence[float]) -> None:
        hits = self.hits.setdefault(target, [0, 0])
        pay = self.pay.setdefault(target, [[0.0] * len(rewards) for _ in range(3)])
        half = self.count % 2
        hits[half] += 1
        for i, reward in enumerate(rewards):
            pay[half][i] += reward
            pay[2][i] += reward * reward
        self.count += 1


class Draws:
    """All that has been drawn from a simulator.

    Draw k of joint action j in state s has the seed (seed, s, j, k), states being numbered as they
    are found: what is drawn depends on nothing else.

    Args:
        simulator: what to draw from.
        seed: see above.
        max_states: how many states there may be.
    """

    def __init__(self, simulator: Simulator, seed: int = 0, max_states: int = 50_000) -> None:
        self.simulator, self.seed, self.max_states = simulator, seed, max_states
        self.keys: list[Hashable] = []
        self.options: list[Sequence[Sequence[int]]] = []
        self.joints: list[list[tuple[int, ...]]] = []
        self.rows: list[list[_Row]] = []
        self.starts: list[int] = []
        self._index: dict[Hashable, int] = {}

    @property
    def n_rows(self) -> int:
        """(State, joint action) pairs found so far."""
        return sum(map(len, self.rows))

    @property
    def n_draws(self) -> int:
        """Draws of all of them."""
        return sum(row.count for rows in self.rows for row in rows)

    def session(self) -> AbstractContextManager[Any]:
        """What drawing must happen in."""
        return self.simulator.session()

    def draw_starts(self, count: int) -> None:
        """Draw first states until there are `count` of them."""
        for k in range(len(self.starts), count):
            self.starts.append(self._find(self.simulator.first((self.seed, k))))

    def draw(self, state: int, joint: int, count: int) -> None:
        """Draw a row until it has been drawn `count` times; once, where it is certain."""
        row = self.rows[state][joint]
        while row.count < count and not row.certain:
            seed = (self.seed, state, joint, row.count)
            following, rewards, row.certain = self.simulator.draw(
                self.keys[state], self.joints[state][joint], seed
            )
            row.add(-1 if following is None else self._find(following), rewards)

    def draw_all(self, count: int, show: Callable[[int, int], Any] = lambda *_: None) -> None:
        """Draw every row of every state `count` times, also of those found on the way."""
        state = 0
        while state < len(self.rows):
            for joint in range(len(self.rows[state])):
                self.draw(state, joint, count)
            state += 1
            show(len(self.rows), state)

    def _find(self, key: Hashable) -> int:
        found = self._index.setdefault(key, len(self.keys))
        if found == len(self.keys):
            if found == self.max_states:
                raise TooManyDrawnError(f"more than {found:,} states")
            self.keys.append(key)
            self.options.append(self.simulator.options(key))
            self.joints.append(list(itertools.product(*self.options[-1])))
            self.rows.append([_Row() for _ in self.joints[-1]])
        return found

    def game(
        self,
        horizon: int | None = None,
        discount: float = 1.0,
        kind: type[SampledGame] = SampledGame,
        **names: Any,
    ) -> SampledGame:
        """The estimated game; `names` are the keyword options of `MarkovGame`.

        The end is its last state. Raises ValueError for rows that were never drawn.
        """
        n, S = len(self.simulator.n_actions), len(self.keys)
        rows = [row for rows in self.rows for row in rows]
        if any(row.count == 0 for row in rows):
            raise ValueError("Every row must have been drawn: call draw_all first.")
        entries = [sorted((target % (S + 1), target) for target in row.hits) for row in rows]
        flat = [
            (row, target) for row, found in zip(rows, entries, strict=True) for _, target in found
        ]
        hits = np.array([row.hits[target] for row, target in flat] + [[1, 0]], float).T
        pay = np.array([row.pay[target] for row, target in flat] + [[[0.0] * n] * 3])
        masks = tuple(np.zeros((S + 1, k), bool) for k in self.simulator.n_actions)
        for i, mask in enumerate(masks):
            for state, options in enumerate(self.options):
                mask[state, list(options[i])] = True
            mask[S, 0] = True
        drawn = Drawn(
            legal=masks,
            indptr=np.cumsum([0, *map(len, entries), 1]),
            indices=np.array([target for found in entries for target, _ in found] + [S]),
            hits=hits,
            pay=np.moveaxis(pay, 0, -1),
            starts=np.stack([np.bincount(self.starts[k::2], minlength=S + 1) for k in range(2)]),
            certain=np.array([row.certain for row in rows] + [True]),
        )
        game = kind.of(drawn, horizon, discount, names)
        game.draws, game.again = self, lambda: self.game(horizon, discount, kind, **names)
        return game
