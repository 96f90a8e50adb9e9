"""A model in the user's own words, `model(state, joint)`, followed instead of the environment."""

import itertools
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from metamarl.envs.branching import ContinuousDrawError, TooManyOutcomesError, own_generator
from metamarl.envs.checks import complaint, said, shorten
from metamarl.envs.environment import WAIT, WHERE
from metamarl.envs.opening import Opened, describe, describe_players
from metamarl.envs.plug_in import PettingZooGame, PlugIn, Report
from metamarl.envs.rules import from_rules

END = "end"
STEPS = 60  # of random play, compared with what the model says


def follow_model(opened: Opened) -> PettingZooGame:
    """The game of the model, from the environment's first states on.

    Actions for which the model returns no outcome, whatever the others do, are illegal. Random play
    in the environment must not contradict the model, or ValueError is raised.
    """
    request, view = opened.request, opened.view
    assert request.model is not None
    known: dict[Hashable, dict[tuple[int, ...], list[tuple[float, Hashable, Any]]]] = {}

    def rows(state: Any) -> dict[tuple[int, ...], list[tuple[float, Hashable, Any]]]:
        if state not in known:
            if len(known) == request.max_states:
                got = said(f"{request.max_states:,}, with more to come")
                raise ValueError(complaint("max_states", WHERE, "the number of states", got))
            known[state] = _rows(request.model, state, view.n_actions)
        return known[state]

    def legal(state: Any) -> Sequence[Sequence[int]]:
        if state == END:
            return [[WAIT]] * view.n_players
        return [sorted({joint[i] for joint in rows(state)}) for i in range(view.n_players)]

    def step(state: Any, joint: tuple[int, ...]) -> list[tuple[float, Hashable, Any]]:
        if state == END:
            return [(1.0, END, [0.0] * view.n_players)]
        if joint not in rows(state):
            must = "one in which every player's actions are legal whatever the others do"
            got = said(f"no outcome of {joint} in state {shorten(repr(state), 60)}")
            raise ValueError(complaint("model", WHERE, must, got))
        return rows(state)[joint]

    start: dict[Hashable, float] = {}
    try:
        for p, _ in opened.branch.outcomes(lambda: view.reset(request.seed)):
            start[opened.state()] = start.get(opened.state(), 0.0) + p
    except (ContinuousDrawError, TooManyOutcomesError) as error:
        must = "a function of what is drawn at reset, with finitely many values"
        raise ValueError(complaint("state", WHERE, must, said(str(error)))) from None
    discount = 1.0 if request.discount is None else request.discount
    options = {"horizon": request.horizon, "discount": discount, "name": opened.name}
    made = from_rules(start, legal, step, view.n_actions, **options)
    compared = _compare(opened, rows)
    game: PettingZooGame = PettingZooGame.from_table(  # type: ignore[assignment]
        made.table, made.initial, request.horizon, discount, name=made.name, states=made.states
    )
    report = Report(
        environment=describe(opened),
        players=describe_players(opened),
        mode="exact",
        why="the given model was followed",
        facts={
            "states": f"{game.n_states:,}",
            "model": f"agreed with {compared} random steps of the environment",
            "information": "not tested: that players can tell the state is taken from the model",
            "kind": game.kind,
        },
        warnings=tuple(opened.warnings),
        found=game.n_states,
        states=game.n_states,
    )
    game.plug_in = PlugIn(
        make=request.make, seed=request.seed, parallel=view.parallel, agents=view.agents,
        starts=view.starts, report=report, keys=tuple(made.states or ()),
    )  # fmt: skip
    return game


def _rows(
    model: Any, state: Any, n_actions: Sequence[int]
) -> dict[tuple[int, ...], list[tuple[float, Hashable, Any]]]:
    """What the model says of every joint action in a state, without those it says nothing of."""
    found = {}
    must = "a function that returns a list of (probability, next state, n rewards, done)"
    for joint in itertools.product(*map(range, n_actions)):
        given = model(state, joint) or ()
        try:
            outcomes = [(p, END if done else after, pay) for p, after, pay, done in given]
        except (TypeError, ValueError):
            at = f"{shorten(repr(given), 60)} for {joint} in {shorten(repr(state), 60)}"
            raise TypeError(complaint("model", WHERE, must, said(at))) from None
        if outcomes:
            found[joint] = outcomes
    return found


def _compare(opened: Opened, rows: Any) -> int:
    """Play at random; raise ValueError where something happens that the model excludes."""
    view, rng = opened.view, own_generator(opened.request.seed, 7)
    must = "one that agrees with the environment"
    compared = 0
    while compared < STEPS:
        opened.branch.sample(int(rng.integers(2**31)))
        view.reset(opened.request.seed)
        while not view.over and compared < STEPS:
            state = opened.state()
            actions = {i: int(rng.choice(view.legal(i))) for i in view.movers}
            joint = tuple(actions.get(i, WAIT) for i in range(view.n_players))
            paid = view.step(actions)
            after = END if view.over else opened.state()
            said_of_it = rows(state).get(joint, ())
            cut = view.over and not any(view.terminated)
            fine = any(
                p > 0 and (cut or following == after) and np.allclose(pay, paid)
                for p, following, pay in said_of_it
            )
            if not fine:
                what = f"{shorten(repr(after), 60)} and rewards {paid.tolist()} after {joint}"
                got = said(f"{what} in {shorten(repr(state), 60)}, which it excludes")
                raise ValueError(complaint("model", WHERE, must, got))
            compared += 1
    return compared
