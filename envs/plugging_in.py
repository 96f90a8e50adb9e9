"""A PettingZoo environment of one's own as a game: `from_pettingzoo`, and `inspect`."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Literal

from metamarl.envs.checks import check_choice, check_integer, check_real, complaint
from metamarl.envs.environment import WHERE
from metamarl.envs.episodes import MOST_STEPS, EpisodicEnvironment
from metamarl.envs.exact_model import build_exact
from metamarl.envs.exploring import NotExactError
from metamarl.envs.opening import Opened, Request, describe, describe_players, open_environment
from metamarl.envs.plug_in import PettingZooGame, Report

MODES: dict[str, Callable[[Opened], PettingZooGame]] = {"exact": build_exact}
"""Builders by mode. Each gets the opened environment; `NotExactError.fitting` names one of them,
or a mode that is not there (yet)."""
WORDS = {
    "sample": "estimate the model from interaction",
    "trajectories": "learn from episodes, by what each player sees",
    "neural": "it is large, or its observations are real numbers: use a neural network",
}


def from_pettingzoo(
    make: Callable[[], Any],
    mode: str = "auto",
    state: Callable[[Any], Hashable] | None = None,
    restore: Callable[[Any, Any], Any] | None = None,
    model: Callable[[Any, tuple[int, ...]], Iterable[Sequence[Any]]] | None = None,
    simultaneous: Literal["auto"] | bool = "auto",
    horizon: int | None = None,
    discount: float | None = None,
    ignore: Sequence[str] = ("history",),
    max_states: int = 50_000,
    samples: int = 100,
    seed: int = 0,
    progress: bool = False,
) -> Any:
    """A Markov game from a PettingZoo environment, parallel or turn by turn.

    Mode "exact" plays every joint action in every state that can be reached, with every outcome of
    every random draw, and returns the game only where that is the truth: ways back to a state are
    tested, second visits of a state are compared with the first, simultaneous moves that an
    `AECEnv` asks for one after the other are joined, and every player must be able to tell the
    state when it chooses (else the game would let it act on what it does not know). Equivalent
    states are merged. `game.report()` says what was found.

    Mode "sample" is for environments whose chance cannot be listed. It plays every joint action
    several times in every state that draws lead to, from seeds, more often where the value depends
    on it, and returns the game that fits best. That is an estimate, and never called anything else:
    `mm.solve` adds `solution.width`, half of a 95 % interval around each value, and `solution.gap`
    is the gap in the estimated game. `mm.refine(game, samples)` draws more.

    Players are `possible_agents`, in order. A player that does not move in a state has the one
    action 0 there. States keep no clock but the environment's own: episodes that are cut off by a
    step counter among its attributes end there.

    Args:
        make: makes the environment, alike every time: `lambda: MyEnv(slip=0.1)`.
        mode: "exact"; "sample", a model estimated from draws; "trajectories", which returns an
            `EpisodicEnvironment`, to be learned in by playing (of the parameters below, `discount`
            and `horizon` count); or "auto", the first of these that is possible: the report says
            which one, and why.
        state: `state(env)`, numbers, arrays or tuples that say all that matters for what comes;
            else all attributes of the environment, but for `ignore` and the usual bookkeeping. With
            a discount and without a horizon, a parallel environment's `state()`, if it has one:
            attributes mostly hold a counter of steps, which makes a new state of every step.
        restore: `restore(env, state(env))` brings the environment back; else its attributes are
            written back in place, or it is replayed from its reset.
        model: `model(state, joint)`, with n action numbers from 0, gives the outcomes
            `(probability, next state, n rewards, done)`: it is followed instead of the environment,
            from `state(env)` after a reset on, and compared with random play. Where it returns
            nothing, an action is illegal.
        simultaneous: whether moves that an `AECEnv` asks for in turns are made at once: "auto"
            joins those that the next player cannot see, True all, False none.
        horizon: number of steps, where play does not end by itself.
        discount: γ; 1 if left out, which needs play to end or a horizon.
        ignore: names of attributes that do not matter for what comes, such as a list for drawing.
        max_states: give up beyond so many states.
        samples: draws per state and joint action whose outcome is random, on the average, for mode
            "sample". Half of them are shared out alike.
        seed: for `reset`, and for all that is tested at random.
        progress: show counts on a terminal.

    Returns:
        A `PettingZooGame`, or for "trajectories" an `EpisodicEnvironment`.

    Raises:
        TypeError, ValueError: a bad parameter, no PettingZoo environment, or one that the mode does
            not fit; the message says why, and what would.
        EnumerationInterrupted: Ctrl-C; it holds how many states were found.
    """
    request = check_request(
        make=make, mode=mode, state=state, restore=restore, model=model,
        simultaneous=simultaneous, horizon=horizon, discount=discount, ignore=ignore,
        max_states=max_states, samples=samples, seed=seed, progress=progress,
    )  # fmt: skip
    if request.mode == "trajectories":
        return _episodes(request)
    with open_environment(request) as opened:
        chosen, why = "exact" if request.mode == "auto" else request.mode, ""
        while True:
            try:
                game = MODES[chosen](opened)
                return game.with_report(why=why) if why else game
            except NotExactError as error:
                why = f"not {chosen}: {error}"
                if request.mode == "auto" and error.fitting == "trajectories":
                    return _episodes(request).with_report(why=why)
                if request.mode != "auto" or error.fitting not in MODES or error.fitting == chosen:
                    raise ValueError(refusal(opened, error, chosen)) from None
                chosen = error.fitting


def _episodes(request: Request) -> EpisodicEnvironment:
    most = MOST_STEPS if request.horizon is None else request.horizon
    return EpisodicEnvironment(request.make, discount=request.discount, max_steps=most)


def inspect(make: Callable[[], Any], **options: Any) -> Report:
    """What `from_pettingzoo(make, **options)` would do, and why, as a `Report`; see there."""
    request = check_request(make=make, **options)
    with open_environment(request) as opened:
        try:
            return build_exact(opened).report()
        except NotExactError as error:
            return Report(
                environment=describe(opened),
                players=describe_players(opened),
                mode=error.fitting,
                why=f"not exact: {error}",
                warnings=tuple(opened.warnings),
            )


def refusal(opened: Opened, error: NotExactError, mode: str = "exact") -> str:
    """The sentence for an environment that a mode does not fit."""
    fitting = f"mode '{error.fitting}' ({WORDS[error.fitting]})"
    how = "exactly" if mode == "exact" else f"in mode '{mode}'"
    return f"'{opened.name}' cannot be had {how}: {error}. What fits: {fitting}."


def check_request(**given: Any) -> Request:
    """The parameters of `from_pettingzoo`, checked."""
    request = Request(**given)
    if not callable(request.make):
        must = "a function that makes a PettingZoo environment, such as lambda: MyEnv(slip=0.1)"
        raise TypeError(complaint("make", WHERE, must, request.make))
    check_choice(request.mode, "mode", WHERE, ["auto", *MODES, "trajectories"])
    for name in ("state", "restore", "model"):
        function = getattr(request, name)
        if function is not None and not callable(function):
            raise TypeError(complaint(name, WHERE, "a function or None", function))
    if request.state is None and (request.restore or request.model):
        must = "given with 'restore' or 'model': the function that names the state"
        raise ValueError(complaint("state", WHERE, must, None))
    if request.simultaneous not in ("auto", True, False):
        must = "'auto', True or False"
        raise ValueError(complaint("simultaneous", WHERE, must, request.simultaneous))
    if request.horizon is not None:
        check_integer(request.horizon, "horizon", WHERE)
    if request.discount is not None:
        check_real(request.discount, "discount", WHERE, 0.0, 1.0)
    fine = isinstance(request.ignore, (tuple, list, set, frozenset))
    if not fine or not all(isinstance(name, str) for name in request.ignore):
        raise TypeError(complaint("ignore", WHERE, "names of attributes", request.ignore))
    check_integer(request.max_states, "max_states", WHERE)
    check_integer(request.samples, "samples", WHERE)
    check_integer(request.seed, "seed", WHERE, 0)
    return request
