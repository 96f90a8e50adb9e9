"""Simultaneous moves that an AEC environment asks for one after the other.

Where the next player to move sees the same whatever the last one has just done, it might as well
have moved at the same time: read as turns, the second of the two would answer a move that it cannot
see (rock-paper-scissors would be lost for who moves first). Such states are joined: all the players
of the chain choose at once, and what they are paid along it is added up.
"""

import itertools
from collections.abc import Hashable, Iterable
from dataclasses import replace

from metamarl.envs.enumeration import END, Explored, Row


def join_hidden_moves(raw: Explored, mode: str) -> tuple[Explored, int]:
    """The same game with hidden simultaneous moves joined, and in how many states they were.

    Args:
        raw: what was enumerated; one player moves in every state.
        mode: "auto" joins what the next player cannot see; "always" takes all players that move
            one after the other, each once, as moving at once.
    """
    made = Explored(random=raw.random, visits_tested=raw.visits_tested)
    index: dict[int, int] = {}
    roots: list[int] = []

    def enter(state: int) -> int:
        if state == END:
            return END
        if state not in index:
            index[state] = len(roots)
            roots.append(state)
        return index[state]

    made.start = {enter(state): p for state, p in raw.start.items()}
    joined = 0
    for state in roots:  # grows while it is walked
        movers, choices, seen, rows = _join(raw, state, mode)
        joined += len(movers) > len(raw.movers[state])
        made.movers.append(movers)
        made.choices.append(choices)
        made.seen.append(seen)
        made.keys.append(raw.keys[state])
        made.rows.append(
            [replace(row, outcomes=tuple((p, enter(t)) for p, t in row.outcomes)) for row in rows]
        )
    for state, sights in raw.also_seen:
        if state in index:
            made.also_seen.append((index[state], sights))
    return made, joined


def _join(
    raw: Explored, state: int, mode: str
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[Hashable, ...], list[Row]]:
    """The chain of hidden moves that begins in a state: who, with what, seeing what, and rows."""
    movers, choices = list(raw.movers[state]), list(raw.choices[state])
    seen = list(raw.seen[state])
    rows = dict(zip(itertools.product(*choices), raw.rows[state], strict=True))
    while (following := _hidden_next(raw, rows.values(), movers, mode)) is not None:
        player, options, sight = following
        movers.append(player)
        choices.append(options)
        seen[player] = sight
        rows = {
            (*joint, action): _continue(raw, row, k)
            for joint, row in rows.items()
            for k, action in enumerate(options)
        }
    order = sorted(range(len(movers)), key=movers.__getitem__)
    sorted_choices = tuple(choices[k] for k in order)
    back = [order.index(k) for k in range(len(order))]
    ordered = [rows[tuple(joint[k] for k in back)] for joint in itertools.product(*sorted_choices)]
    return tuple(sorted(movers)), sorted_choices, tuple(seen), ordered


def _hidden_next(
    raw: Explored, rows: Iterable[Row], movers: list[int], mode: str
) -> tuple[int, tuple[int, ...], Hashable] | None:
    """The next player, its actions and what it sees, where these are always the same."""
    rows = list(rows)
    if len(rows) < 2 and mode == "auto":
        return None
    found = set()
    for row in rows:
        for _, target in row.outcomes:
            if target == END or len(raw.movers[target]) != 1 or row.cuts:
                return None
            (player,) = raw.movers[target]
            sight = raw.seen[target][player] if mode == "auto" else None
            found.add((player, raw.choices[target][0], sight))
            if len(found) > 1:
                return None
    player, options, _ = found.pop()
    if player in movers:
        return None
    return player, options, raw.seen[target][player]


def _continue(raw: Explored, row: Row, k: int) -> Row:
    """`row`, and then action `k` of the player that moves next."""
    chances: dict[int, float] = {}
    reward = list(row.reward)
    cuts = list(row.cuts)
    for p, middle in row.outcomes:
        then = raw.rows[middle][k]
        for q, target in then.outcomes:
            chances[target] = chances.get(target, 0.0) + p * q
        reward = [x + p * y for x, y in zip(reward, then.reward, strict=True)]
        cuts += [(p * q, looks, core) for q, looks, core in then.cuts]
    outcomes = tuple((p, target) for target, p in chances.items())
    return Row(outcomes, tuple(reward), tuple(cuts))
