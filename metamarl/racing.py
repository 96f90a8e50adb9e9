r"""Start a potential game from past equilibria, without being held at a bad one (ours).

Gradient ascent goes to an equilibrium near its start, so that learned starts can hand a bad one on
from game to game. What decides is asked of the game at hand, in terms of its potential Φ:

1. *Which* past solution? The one with the highest Φ here: the least is left to gain, which is what
   bounds the iterations (see `bounds`). Where it is mixed, it is moved by 5 % towards a policy
   drawn at random: mixed equilibria of potential games are saddles as a rule, at which a symmetric
   start stays, and a push is enough to leave them (Jin, Ge, Netrapalli, Kakade and Jordan, "How to
   escape saddle points efficiently", ICML 2017).
2. Is it *of use*? It is where it is nearly an equilibrium here (its Nash gap is within the
   tolerance, or 2 % of the uniform policy's), or where several past solutions are alike here (Φ is
   on average within 0.3 % of the best one's, as part of what that one has above the uniform
   policy). Else the ascent starts from scratch, where nothing depends on the past.
3. Is there reason to *doubt* it? There is after 1, 4, 16, … games; where the newest solution is
   more than 10 % behind the best one; and where Φ is higher at the joint best response to the
   uniform policy, which is where an ascent from there heads first. Then both starts are run, the
   learned one first and, unless it is ahead, not long, and the higher Φ wins.
   All iterations of both count. What wins is a past solution in the next game.

So a better equilibrium that a start from scratch has found once is a candidate in the next 64
games, and where games have little in common nothing is lost but a few evaluations: Φ at every past
solution and at two policies more, and the gap at two. The numbers were chosen on random potential
games of two and three players, from nearly identical to unrelated ones, on stag hunts and on safe
distancing; `benchmarks/paper_setting.py` measures what comes of it, on these and on others.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms._policy_gradient_run import PotentialMeter
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.policy_gradient import IndependentAscent
from metamarl.algorithms.solution import Solution, Status, Trace
from metamarl.algorithms.solve import solve
from metamarl.envs.game import MarkovGame

NEAR = 0.02  # of the uniform policy's gap: nearly an equilibrium
ALIKE = 0.003  # of what the best solution gains: past solutions are alike
DOUBT = 0.1  # of the same: the newest one is far behind
PURE, NUDGE = 0.99, 0.05
EVERY = 4  # races after 1, 4, 16, … games
MEMORY = 64  # past solutions that are looked at
HEAT = 4  # a racer gets one part in four of the iterations there are
BURST = 64  # iterations in which a learned start is to show what it is worth
ROUNDING = 1e-9


def ascend(
    game: MarkovGame,
    past: Sequence[JointPolicy],
    solver: IndependentAscent,
    meter: PotentialMeter,
    tol: float,
    limit: int,
    part: float,
) -> Solution:
    """Solve a potential game after others, from one start or from both.

    Args:
        game: the game.
        past: solutions of the games before, at least one.
        solver: the ascent.
        meter: values the game's potential.
        tol: gap to reach.
        limit: where to give up.
        part: of the uniform policy that is mixed into the learned start.

    Returns:
        The solution, with the iterations of both starts where both were run.
    """
    uniform = JointPolicy.uniform(game).flat(game)
    flats = [policy.flat(game, "MetaLearner") for policy in past[-MEMORY:]]
    levels = np.array([meter(flat) for flat in flats])
    best = len(levels) - 1 - int(np.argmax(levels[::-1]))  # the newest of equals
    gain, behind = levels[best] - meter(uniform), levels[best] - levels
    judge = Evaluator(game)
    near = judge.nash_gap(flats[best]) <= max(tol, NEAR * judge.nash_gap(uniform))
    alike = len(past) > 1 and gain > 0.0 and behind.mean() <= ALIKE * gain
    if not near and not alike:
        return solve(game, solver, None, tol, limit, throw=False)
    start = _nudged(game, flats[best], np.random.default_rng(len(past)))
    learned = JointPolicy.from_flat(game, (1.0 - part) * start + part * uniform)
    doubt = (
        _is_power(len(past))
        or behind[-1] > DOUBT * gain
        or _is_higher(meter(judge.responses(uniform)), levels[best])
    )
    if doubt and limit >= HEAT:
        return _race(game, solver, meter, tol, limit, learned, ALIKE * abs(gain))
    return solve(game, solver, learned, tol, limit, throw=False)


def _nudged(
    game: MarkovGame, flat: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The policy, a little towards a random one wherever it is mixed."""
    starts = game.nodes.slots[:, :-1].ravel()
    counts = np.diff(game.nodes.slots, axis=1).ravel()
    other = rng.exponential(size=len(flat))
    other /= np.repeat(np.add.reduceat(other, starts), counts)
    mixed = np.repeat(np.maximum.reduceat(flat, starts) < PURE, counts)
    return np.where(mixed, (1.0 - NUDGE) * flat + NUDGE * other, flat)


def _is_higher(level: float, other: float) -> bool:
    return level > other + ROUNDING * abs(other)


def _is_power(games: int) -> bool:
    while games % EVERY == 0:
        games //= EVERY
    return games == 1


def _race(
    game: MarkovGame,
    solver: IndependentAscent,
    meter: PotentialMeter,
    tol: float,
    limit: int,
    learned: JointPolicy,
    lead: float,
) -> Solution:
    """Both starts; the learned one goes on after `BURST` only if it is clearly ahead by then."""
    first = solve(game, solver, learned, tol, min(BURST, limit // HEAT), throw=False)
    if first.status is Status.INTERRUPTED:
        return first
    second = solve(game, solver, None, tol, limit // HEAT, throw=False)
    if second.status is Status.INTERRUPTED:
        return second
    levels = [meter(run.policy.flat(game)) for run in (first, second)]
    if second.converged and not first.converged:
        winner = first if levels[0] > levels[1] + lead else second
    else:
        winner = second if _is_higher(levels[1], levels[0]) else first
    # Until the race is decided, the answer is the first one's.
    found = _followed(first, replace(second, trace=_end(second, winner, max(levels))), winner)
    if winner.status is not Status.MAX_ITERATIONS:
        return found
    more = solve(game, solver, winner.policy, tol, limit - found.iterations, throw=False)
    return _followed(found, more, more)


def _end(run: Solution, answer: Solution, level: float) -> Trace:
    """One entry, at the end of a run."""
    return Trace(
        iteration=np.array([run.iterations]),
        gap=np.array([answer.gap]),
        seconds=np.array([run.seconds]),
        potential=np.array([level]),
    )


def _followed(one: Solution, other: Solution, answer: Solution) -> Solution:
    """What two runs in turn found, and what both cost."""
    first, second = one.trace, other.trace
    potential = None
    if first.potential is not None and second.potential is not None:
        potential = np.append(first.potential, second.potential)
    return replace(
        answer,
        init=None,
        iterations=one.iterations + other.iterations,
        seconds=one.seconds + other.seconds,
        trace=Trace(
            iteration=np.append(first.iteration, one.iterations + second.iteration),
            gap=np.append(first.gap, second.gap),
            seconds=np.append(first.seconds, one.seconds + second.seconds),
            potential=potential,
        ),
    )
