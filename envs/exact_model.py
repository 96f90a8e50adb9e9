"""The whole model of an environment, state by state: mode "exact"."""

from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import complaint
from metamarl.envs.clock import ends_by_itself
from metamarl.envs.enumeration import END, Explored, Row
from metamarl.envs.environment import WHERE
from metamarl.envs.exploring import OUTER_LIMIT, check_information, explore
from metamarl.envs.given_model import follow_model
from metamarl.envs.information import Information
from metamarl.envs.merging import find_classes, merge
from metamarl.envs.opening import Opened, describe, describe_players
from metamarl.envs.plug_in import PettingZooGame, PlugIn, Report
from metamarl.envs.simultaneous import join_hidden_moves
from metamarl.envs.table import Table
from metamarl.envs.tabulation import tabulate


def build_exact(opened: Opened) -> PettingZooGame:
    """Enumerate, join hidden simultaneous moves, test who knows what, merge what is alike.

    Raises NotExactError where the environment has no exact table, and ValueError where it needs a
    clock that was not given.
    """
    if opened.request.model is not None:
        return follow_model(opened)
    whole = explore_exactly(opened)
    classes = find_classes([whole.table])
    return finish(opened, whole, merge(whole.table, classes), classes)


class Whole:
    """What was enumerated, before equivalent states are merged."""

    def __init__(self, opened: Opened) -> None:
        view, request = opened.view, opened.request
        raw = explore(opened)
        self.raw_states = len(raw)
        self.tests = (
            f"{raw.visits_tested:,} second visits of a state went on as the first; "
            f"{raw.steps_agreed:,} steps of random play agreed"
        )
        self.joined = 0
        self.found = raw
        if not view.parallel and request.simultaneous is not False:
            how = "auto" if request.simultaneous == "auto" else "always"
            self.found, self.joined = join_hidden_moves(raw, how)
        self.found = _follow_cuts(self.found, request.timed)
        self.table, self.initial = tabulate(self.found, view.n_actions)
        self.information = check_information(opened, self.found, self.table)
        self.cut = any(row.cuts for rows in self.found.rows for row in rows)


def explore_exactly(opened: Opened) -> Whole:
    """Enumerate, and make sure that the table is the environment."""
    whole, request = Whole(opened), opened.request
    discount = 1.0 if request.discount is None else request.discount
    if request.horizon is None and discount == 1.0 and not ends_by_itself(whole.table):
        must = "below 1, or 'horizon' be given: here play can go on for ever"
        raise ValueError(complaint("discount", WHERE, must, request.discount))
    return whole


def _follow_cuts(found: Explored, timed: bool) -> Explored:
    """Go on after truncations that are no part of the state.

    Where play is cut off in a state that is also met in the middle of an episode, the limit lies
    outside the game: the game needs a clock of its own, and with one it goes on in that state.
    """
    if not any(row.cuts for rows in found.rows for row in rows):
        return found
    inner: dict[Hashable, int] = {}
    for state, (_, core) in enumerate(found.keys):
        inner.setdefault(core, state)
    rows = [[_follow(row, inner, timed) for row in here] for here in found.rows]
    return replace(found, rows=rows)


def _follow(row: Row, inner: Mapping[Hashable, int], timed: bool) -> Row:
    chances = {target: p for p, target in row.outcomes}
    left = []
    for cut in row.cuts:
        p, _, core = cut
        if core not in inner:
            left.append(cut)
            continue
        if not timed:
            raise ValueError(complaint("discount", WHERE, OUTER_LIMIT, None))
        chances[END] -= p
        chances[inner[core]] = chances.get(inner[core], 0.0) + p
    if len(left) == len(row.cuts):
        return row
    outcomes = tuple((p, target) for target, p in chances.items() if p > 1e-12)
    return replace(row, outcomes=outcomes, cuts=tuple(left))


def finish(
    opened: Opened, whole: Whole, table: Table, classes: NDArray[np.int64]
) -> PettingZooGame:
    """The game with its merged table, report and link to the environment."""
    request, found = opened.request, whole.found
    _, first = np.unique(classes, return_index=True)
    keys = tuple(found.keys[s][1] if s < len(found) else "end" for s in first.tolist())
    game: PettingZooGame = PettingZooGame.from_table(  # type: ignore[assignment]
        table,
        np.bincount(classes, whole.initial, len(first)),
        request.horizon,
        1.0 if request.discount is None else request.discount,
        name=opened.name,
        states=keys if request.state is not None else None,
    )
    report = _report(opened, whole, game)
    game.plug_in = way_back(opened, report, found, classes, keys, joined=whole.joined > 0)
    return game


def way_back(
    opened: Opened,
    report: Report,
    found: Explored,
    classes: NDArray[np.int64],
    keys: tuple[Hashable, ...],
    *,
    joined: bool,
) -> PlugIn:
    """The way between a game and its environment, from what was found there."""
    request, view = opened.request, opened.view
    shows = _shows(found, classes, view.n_players)
    return PlugIn(
        make=request.make,
        seed=request.seed,
        parallel=view.parallel,
        agents=view.agents,
        starts=view.starts,
        report=report,
        shows=shows,
        sees_state=tuple(all(len(s) == 1 for s in seen.values()) for seen in shows),
        joined=joined,
        keys=keys,
    )


def _shows(
    found: Explored, classes: NDArray[np.int64], n_players: int
) -> tuple[dict[Hashable, tuple[int, ...]], ...]:
    """For every player: in which classes of states it sees what, when it is to choose."""
    shows: list[dict[Hashable, set[int]]] = [{} for _ in range(n_players)]
    for s, movers in enumerate(found.movers):
        for i in movers:
            shows[i].setdefault(found.seen[s][i], set()).add(int(classes[s]))
    for s, seen_again in found.also_seen:
        for i in found.movers[s]:
            shows[i].setdefault(seen_again[i], set()).add(int(classes[s]))
    return tuple({look: tuple(sorted(states)) for look, states in seen.items()} for seen in shows)


def _report(opened: Opened, whole: Whole, game: PettingZooGame) -> Report:
    found = whole.found
    limit = "episodes are cut off (truncated) by a limit that is part of the state: nothing is "
    limit += "earned after it. For the game without it give a 'state' without the counter, and a "
    limit += "'discount'"
    return Report(
        environment=describe(opened),
        players=describe_players(opened),
        mode="exact",
        why="every state and every outcome of chance was played",
        facts={
            "told apart by": opened.key,
            "states": f"{whole.raw_states:,} told apart, {game.n_states:,} that differ"
            + (" (with the end)" if whole.table.n_states > len(found) else ""),
            "actions": f"{found.n_rows:,} joint actions in all states",
            "chance": _chance(found),
            "moves": _moves(opened, whole),
            "information": _know(opened, whole.information),
            "ends": "cut off (truncated)" if whole.cut else _ends(whole),
            "copies": opened.copies.words if opened.copies else "",
            "tests": whole.tests,
            "kind": game.kind,
        },
        warnings=(*opened.warnings, *((limit,) if whole.cut else ()), *_doubts(whole)),
        found=whole.raw_states,
        states=game.n_states,
    )


def _chance(found: Explored) -> str:
    if not found.random:
        return "none"
    where = f"{len(found.start):,} first states; " if len(found.start) > 1 else ""
    return f"{where}every outcome of every draw was played, with its probability"


def _moves(opened: Opened, whole: Whole) -> str:
    if opened.view.parallel:
        return "simultaneous"
    if not whole.joined:
        return "in turns"
    where = f"{whole.joined:,} states" if whole.joined > 1 else "one state"
    return f"simultaneous in {where}, asked for in turns: joined"


def _know(opened: Opened, information: Information) -> str:
    agents = [str(opened.view.agents[i]) for i in information.memory]
    if not agents:
        return "every player sees the state"
    return f"every player can tell the state; {', '.join(agents)} only by remembering"


def _ends(whole: Whole) -> str:
    return "terminates" if whole.table.n_states > len(whole.found) else "never"


def _doubts(whole: Whole) -> tuple[str, ...]:
    if whole.information.decided:
        return ()
    return ("whether the players can tell the state was not settled: it took too many steps",)
