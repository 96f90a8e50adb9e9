"""A PettingZoo environment's model, estimated from draws: mode "sample" of `from_pettingzoo`.

Every state that draws lead to is kept, so that each of its joint actions can be drawn as often as
wanted. Half of the draws are alike; the other half go where the value depends on them (`refine`).
Rows in which no random number is drawn are known after one draw. What a player does not see is
looked for in what was drawn (`alike_states`).
"""

from typing import Any

import numpy as np

from metamarl.algorithms.alike_states import find_alike
from metamarl.algorithms.refinement import refine
from metamarl.envs.copies import global_states
from metamarl.envs.drawn_environment import DrawnEnvironment
from metamarl.envs.draws import Draws, TooManyDrawnError
from metamarl.envs.enumeration import EnumerationInterrupted, Explored, Row
from metamarl.envs.exact_model import way_back
from metamarl.envs.exploring import FOLLOWED, LOOSE, NotExactError
from metamarl.envs.information import find_information
from metamarl.envs.opening import Opened, describe, describe_players
from metamarl.envs.plug_in import PettingZooGame, Report
from metamarl.envs.sampled_game import SampledGame

FEWEST = 4  # draws of a row before the others are shared out
RESETS = 10  # first states are drawn so many times more often than a row


class SampledPettingZooGame(SampledGame, PettingZooGame):
    """A game that was estimated from draws of a PettingZoo environment."""


def build_sampled(opened: Opened) -> PettingZooGame:
    """Draw, and estimate.

    Raises NotExactError where the environment cannot be drawn from like that, or hides something.
    """
    request = opened.request
    if opened.loose:
        raise NotExactError(LOOSE, "trajectories")
    simulator = DrawnEnvironment(opened)
    before = global_states()
    draws = Draws(simulator, request.seed, request.max_states)
    alike = min(request.samples, max(FEWEST, request.samples // 2))
    try:
        with simulator.session():
            draws.draw_starts(1)
            draws.draw_starts(RESETS * request.samples)
            draws.draw_all(alike)
        game: Any = _estimate(opened, simulator, draws)
        if request.samples > alike:
            game = refine(game, request.samples - alike)
        if not opened.global_generators and global_states() != before:
            raise NotExactError(FOLLOWED, "trajectories")
        return game
    except TooManyDrawnError:
        why = f"draws led to more than max_states = {request.max_states:,} states"
        raise NotExactError(why, "neural" if opened.continuous else "trajectories") from None
    except KeyboardInterrupt:
        expanded = sum(all(row.count for row in rows) for rows in draws.rows)
        raise EnumerationInterrupted(len(draws.keys), expanded) from None


def _estimate(opened: Opened, simulator: DrawnEnvironment, draws: Draws) -> SampledPettingZooGame:
    request, view = opened.request, opened.view
    found = _explored(simulator, draws)
    known = find_information(found, find_alike(found, draws))
    if known.hidden is not None:
        player, one, other = known.hidden
        why = (
            f"the observation is not the state: {view.agents[player]!r} cannot tell states {one:,} "
            f"and {other:,} apart when it has to choose, and they go on in different ways"
        )
        raise NotExactError(why, "trajectories")
    keys = (*(key[1] for key in found.keys), "end")
    game: Any = draws.game(
        request.horizon,
        1.0 if request.discount is None else request.discount,
        kind=SampledPettingZooGame,
        name=opened.name,
        states=keys if request.state is not None else None,
    )
    report, classes = _report(opened, simulator, game), np.arange(len(found))
    game.plug_in = way_back(opened, report, found, classes, keys, joined=simulator.joined > 0)
    game.again = lambda: _estimate(opened, simulator, draws)
    return game


def _explored(simulator: DrawnEnvironment, draws: Draws) -> Explored:
    """What was drawn, in the form of what is enumerated."""
    movers = [simulator.movers[key] for key in draws.keys]
    return Explored(
        movers=movers,
        choices=[
            tuple(tuple(options[i]) for i in moving)
            for moving, options in zip(movers, draws.options, strict=True)
        ],
        rows=[
            [
                Row(tuple((sum(hits) / row.count, t) for t, hits in row.hits.items()), ())
                for row in rows
            ]
            for rows in draws.rows
        ],
        seen=[simulator.seen[key] for key in draws.keys],
        keys=list(draws.keys),  # type: ignore[arg-type]
        start={s: draws.starts.count(s) / len(draws.starts) for s in set(draws.starts)},
    )


def _report(opened: Opened, simulator: DrawnEnvironment, game: SampledGame) -> Report:
    uncertain = game.counts[~game.drawn.certain]
    drawn = f"{int(game.counts.sum()):,} of {len(game.counts):,} joint actions in all states; "
    drawn += f"{int(game.drawn.certain.sum()):,} are not random"
    if len(uncertain):
        drawn += f", the others were drawn {uncertain.min():,} to {uncertain.max():,} times"
    warnings = [*opened.warnings]
    if simulator.cut:
        warnings.append(f"{simulator.cut:,} draws were cut off (truncated): nothing follows there")
    moves = "simultaneous" if opened.view.parallel else "in turns"
    if simulator.joined:
        moves = f"simultaneous in {simulator.joined:,} states, asked for in turns: joined"
    return Report(
        environment=describe(opened),
        players=describe_players(opened),
        mode="sample",
        why="the model is an estimate",
        facts={
            "told apart by": opened.key,
            "states": f"{game.n_states:,} were met (with the end)",
            "draws": drawn,
            "value": "an estimate too: solve() says how wide its 95 % interval is, in 'width'",
            "gap": "that of a solution is the gap in the estimated game",
            "moves": moves,
            "information": "every player can tell the states that were met",
            "copies": simulator.copies.words,
            "kind": game.kind,
        },
        warnings=tuple(warnings),
        found=game.n_states - 1,
        states=game.n_states,
    )
