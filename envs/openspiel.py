"""OpenSpiel's games of perfect information as Markov games, exactly.

OpenSpiel's own states are walked (Lanctot et al. 2019, https://arxiv.org/abs/1908.09453): chance
nodes become probabilities, simultaneous nodes joint moves, turns states in which the others wait.
Nothing is sampled, and no environment wrapper comes between.

Two histories are the same state where OpenSpiel prints the same text and the same player is to
move. That the text tells states apart is its authors' custom, not its promise, so it is checked in
two ways. OpenSpiel's games always end, so a text that can return after itself has left something
out, most often the number of moves after which play is cut off: then the number of moves becomes a
part of the state. And for every state one other way into it, where there is one, is followed one
step further, and must go on alike.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from metamarl.envs._openspiel_walk import WHERE, walk_through
from metamarl.envs.checks import check_choice, check_integer, check_kind, complaint, said
from metamarl.envs.game import MarkovGame


def from_openspiel(
    game: Any,
    parameters: Mapping[str, Any] | None = None,
    *,
    clock: bool | None = None,
    state: Callable[[Any], Hashable] | None = None,
    horizon: int | None = None,
    discount: float = 1.0,
    max_states: int = 50_000,
) -> MarkovGame:
    """A game of OpenSpiel as a `MarkovGame`, enumerated from its first state.

    It needs OpenSpiel: `pip install "metamarl[openspiel]"`.

    Actions have OpenSpiel's numbers; where a player has to wait for others, its one action is a
    last one, "wait". Rewards are OpenSpiel's; all ends of play are one absorbing state, "end".
    `states` holds OpenSpiel's texts.

    Args:
        game: a name, such as "goofspiel", or a `pyspiel.Game`.
        parameters: the game's own, such as `{"num_cards": 4, "points_order": "descending"}`.
        clock: whether the number of moves is a part of the state. Left out: only where OpenSpiel's
            text does not tell states apart, which is exact. False leaves it out, and with it the
            number of moves after which OpenSpiel cuts play off: right for a game that is to be
            played for ever (give a `discount`) or that ends by itself.
        state: what tells states apart, a function of a `pyspiel.State`, in place of the text and
            the player to move.
        horizon: a number of moves after which play ends, of which OpenSpiel knows nothing.
        discount: per move, also where players move in turn.
        max_states: give up beyond so many.

    Raises:
        ImportError: OpenSpiel is not there.
        TypeError, ValueError: an unknown game or parameter; a game with hidden information, of mean
            fields, or with chance that OpenSpiel samples; too many states; states that neither text
            nor clock tells apart.
    """
    check_kind(clock, (bool, type(None)), "clock", WHERE, "True, False or None")
    if state is not None and not callable(state):
        raise TypeError(complaint("state", WHERE, "a function of a pyspiel.State", state))
    max_states = check_integer(max_states, "max_states", WHERE)
    loaded = _load(game, parameters)
    _check_type(loaded)
    if clock is None:
        walk = walk_through(loaded, state, False, max_states)
        if walk.differing is not None or walk.recurs():
            walk = walk_through(loaded, state, True, max_states)
    else:
        walk = walk_through(loaded, state, clock, max_states)
    if walk.differing is not None:
        must = "given, a function that tells states apart: what OpenSpiel prints does not"
        if clock is False:
            must += ", without the number of moves"
        if state is not None:
            must = "a function that tells states apart"
        got = said(f"{walk.differing!r} for two states that go on differently")
        raise ValueError(complaint("state", WHERE, must, got))
    return walk.finish(str(loaded), horizon, discount)


def _load(game: Any, parameters: Any) -> Any:
    try:
        import pyspiel
    except ImportError as error:
        raise ImportError(
            'OpenSpiel is not installed; pip install "metamarl[openspiel]" adds it.'
        ) from error
    if isinstance(game, pyspiel.Game) and parameters is None:
        return game
    check_kind(game, str, "game", WHERE, "a name, or a pyspiel.Game without 'parameters'")
    kinds = {kind.short_name: kind for kind in pyspiel.registered_games()}
    name = check_choice(game, "game", WHERE, kinds)
    check_kind(parameters, (Mapping, type(None)), "parameters", WHERE, "a dictionary")
    given = dict(parameters or {})
    for option in given:
        check_choice(option, f"parameters of {name}", WHERE, kinds[name].parameter_specification)
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in given.items()}
    try:
        return pyspiel.load_game(name, plain)
    except (pyspiel.SpielError, TypeError) as error:
        got = said(f"{given}: {error}")
        raise ValueError(complaint("parameters", WHERE, f"such as {name} takes", got)) from None


def _check_type(game: Any) -> None:
    import pyspiel

    kind = game.get_type()
    must = reason = ""
    if kind.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        must, reason = "of finitely many players", "is a mean-field game"
    elif kind.information == pyspiel.GameType.Information.IMPERFECT_INFORMATION:
        must = "of perfect information: in a Markov game all players see the state"
        reason = "has hidden information"
    elif kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        must, reason = "with chances that are known", "samples its chance nodes"
    if must:
        raise ValueError(complaint("game", WHERE, must, said(f"{game}, which {reason},")))
