"""The states of an OpenSpiel game, one after the other."""

import itertools
from array import array
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from metamarl.envs.checks import complaint
from metamarl.envs.game import MarkovGame
from metamarl.envs.table import build_table

WHERE = "from_openspiel"
END = "end"
CLOSE = 1e-9  # of probabilities and rewards that must be the same
Row = tuple[dict[int, float], list[float]]  # chances of the next states, and rewards


@dataclass
class Walk:
    """The states found so far, and the rows of those that have been expanded."""

    players: int
    index: dict[Any, int] = field(default_factory=lambda: {END: 0})
    options: list[list[list[int] | None]] = field(default_factory=list)
    """Of every state, every player's actions; None where it waits."""
    first: list[int] = field(default_factory=lambda: [0])
    pointer: array = field(default_factory=lambda: array("q", [0]))
    targets: array = field(default_factory=lambda: array("q"))
    weights: array = field(default_factory=lambda: array("d"))
    rewards: array = field(default_factory=lambda: array("d"))
    start: dict[int, float] = field(default_factory=dict)
    differing: Any = None
    """The key of two states that do not go on alike."""

    def append(self, options: list[list[int] | None], rows: list[Row]) -> None:
        self.options.append(options)
        for outcomes, reward in rows:
            self.targets.extend(outcomes)
            self.weights.extend(outcomes.values())
            self.rewards.extend(reward)
            self.pointer.append(len(self.targets))
        self.first.append(len(self.pointer) - 1)

    def agrees(self, k: int, options: list[list[int] | None], rows: list[Row]) -> bool:
        """Whether these are the options and rows of state k."""
        if options != self.options[k] or len(rows) != self.first[k + 1] - self.first[k]:
            return False
        for row, (outcomes, reward) in enumerate(rows, self.first[k]):
            span = slice(self.pointer[row], self.pointer[row + 1])
            pay = self.rewards[self.players * row : self.players * (row + 1)]
            known = dict(zip(self.targets[span], self.weights[span], strict=True))
            if known.keys() != outcomes.keys():
                return False
            if any(abs(known[target] - p) > CLOSE for target, p in outcomes.items()):
                return False
            if any(abs(a - b) > CLOSE for a, b in zip(pay, reward, strict=True)):
                return False
        return True

    def recurs(self) -> bool:
        """Whether a state can come back, the end aside."""
        matrix = self._matrix()
        owner = np.repeat(np.arange(len(self.options)), np.diff(self.first))
        rows = matrix.tocoo()
        links = sp.csr_array(
            (np.ones(rows.nnz), (owner[rows.row], rows.col)), (len(self.options),) * 2
        )
        count, _ = sp.csgraph.connected_components(links, connection="strong")
        return count < len(self.options) or bool(links.diagonal()[1:].any())

    def _matrix(self) -> sp.csr_array:
        shape = (len(self.pointer) - 1, len(self.options))
        return sp.csr_array((np.array(self.weights), np.array(self.targets), self.pointer), shape)

    def finish(self, name: str, horizon: int | None, discount: float) -> MarkovGame:
        """The game, with as many actions as are used."""
        masks, actions = [], []
        for i in range(self.players):
            mine = [options[i] for options in self.options]
            used = max([max(choices) for choices in mine if choices is not None], default=-1) + 1
            # At the end a player without turns to wait for has its first action, if it has any.
            waits = used == 0 or any(choices is None for choices in mine[1:])
            mask = np.zeros((len(mine), used + waits), bool)
            for k, choices in enumerate(mine):
                mask[k, [used if waits else 0] if choices is None else choices] = True
            masks.append(mask)
            actions.append([*map(str, range(used)), *["wait"] * waits])
        initial = np.zeros(len(self.options))
        initial[list(self.start)] = list(self.start.values())
        rewards = np.array(self.rewards).reshape(-1, self.players).T
        texts = all(key == END or isinstance(key, _Text) for key in self.index)
        return MarkovGame.from_table(
            build_table(tuple(masks), rewards, self._matrix()),
            initial,
            horizon,
            discount,
            name=name,
            states=list(self.index),
            actions=actions,
            board=str.splitlines if texts else None,
        )


class _Text(str):
    """OpenSpiel's text, with the player to move and the number of moves where they were needed."""


def walk_through(
    game: Any, state: Callable[[Any], Hashable] | None, clock: bool, max_states: int
) -> Walk:
    """Breadth-first enumeration, and a comparison of every state with one other way into it."""
    import pyspiel

    n = game.num_players()
    by_returns = game.get_type().reward_model == pyspiel.GameType.RewardModel.REWARDS
    walk = Walk(n)
    walk.append([None] * n, [({0: 1.0}, [0.0] * n)])
    waiting: list[Any] = [None]
    twins: dict[int, Any] = {}

    def find(found: Any) -> int:
        """The number of a state; new ones are to be expanded, and one twin of each compared."""
        if found.is_terminal():
            return 0
        key = _key(found, state, clock)
        k = walk.index.setdefault(key, len(walk.index))
        if k == len(waiting):
            waiting.append(found)
            if k > max_states:
                hint = ", or 'clock' be False: here the number of moves is a part of the state"
                must = f"large enough for {game}{hint if clock else ''}"
                raise ValueError(complaint("max_states", WHERE, must, max_states))
        else:
            twins.setdefault(k, found)
        return k

    def pay(before: list[float], found: Any) -> list[float]:
        if by_returns:
            return [b - a for a, b in zip(before, found.returns(), strict=True)]
        return found.returns() if found.is_terminal() else [0.0] * n

    def expand(found: Any) -> tuple[list[list[int] | None], list[Row]]:
        together = found.is_simultaneous_node()
        legal = [found.legal_actions(i) for i in range(n)]
        options = [sorted(choices) or None for choices in legal]
        before = found.returns() if by_returns else []
        rows: list[Row] = []
        for joint in itertools.product(*(o or [pyspiel.INVALID_ACTION] for o in options)):
            following = found.clone()
            if together:
                following.apply_actions(list(joint))
            else:
                following.apply_action(joint[found.current_player()])
            outcomes: dict[int, float] = {}
            reward = [0.0] * n
            for p, settled in _settle(following, 1.0):
                k = find(settled)
                outcomes[k] = outcomes.get(k, 0.0) + p
                reward = [a + p * b for a, b in zip(reward, pay(before, settled), strict=True)]
            rows.append((outcomes, reward))
        return options, rows

    for p, settled in _settle(game.new_initial_state(), 1.0):
        k = find(settled)
        walk.start[k] = walk.start.get(k, 0.0) + p
    k = 1
    while k < len(waiting):
        walk.append(*expand(waiting[k]))
        waiting[k] = None
        k += 1
    for k, twin in list(twins.items()):
        if not walk.agrees(k, *expand(twin)):
            walk.differing = list(walk.index)[k]
            break
    return walk


def _settle(state: Any, chance: float) -> Iterator[tuple[float, Any]]:
    """The states that are no chance nodes, with their probabilities."""
    if not state.is_chance_node():
        yield chance, state
        return
    for action, p in state.chance_outcomes():
        yield from _settle(state.child(action), chance * p)


def _key(found: Any, state: Callable[[Any], Hashable] | None, clock: bool) -> Hashable:
    if state is not None:
        return (state(found), found.move_number()) if clock else state(found)
    text = str(found).rstrip("\n") or "start"
    if not found.is_simultaneous_node():
        text += f"\nplayer {found.current_player()} to move"
    return _Text(f"{text}\nmove {found.move_number()}" if clock else text)
