r"""Tiers made of Markov games: a player learns against other opponents, then against the real ones.

With the others' policies fixed a Markov game is a task for one player, as `metamarl.tiered` takes
it. Low tiers are simulators with opponents at hand (an older version, a learner that has not quite
converged, a game with other parameters); the high tier has the opponents that count.

In a two-player **zero-sum** game whose high tier has an opponent at equilibrium from every state on
(the exact solver's), **Optimal Value Dominance holds whatever the low tiers' opponents do**:
$\max_μ V^{μ,ν}(s) ≥ \min_{ν'} \max_μ V^{μ,ν'}(s)$ for every ν. Negative transfer can then be
told. And if ν gives away at most δ from any state on, which `Evaluator.node_gaps` bounds without
the high tier, the source's optimal values are at most δ above: states are transferable with slack
δ where the actions are right, while with no slack sources that are ever so little better are
refused. Where the low tier is another game, or the high tier's opponent is none at equilibrium,
dominance may fail.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.response import response_game
from metamarl.algorithms.solve import solve
from metamarl.envs.checks import check_integer, check_kind, check_real, complaint, said
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import tasks
from metamarl.envs.tier_families import Tiers


def task_against(
    game: MarkovGame,
    player: int,
    opponents: JointPolicy | CorrelatedPolicy,
    horizon: int | None = None,
) -> MarkovGame:
    """A player's task against fixed opponents, with a horizon: a task for a tier.

    Args:
        game: any game.
        player: who learns.
        opponents: what the others do; the player's own part is not looked at.
        horizon: steps of the task. If left out, the game's own horizon, or the longest way to the
            end of a game without cycles, which changes no value. A game with a horizon is cut to
            its first steps. With a discount γ, what comes after step h is worth at most
            γ^h / (1 - γ) times the largest reward.

    Returns:
        A one-player game in the units of `game`: `tiered(…, reward_range=…)` takes them as they
        are and gives regret in them.

    Raises:
        TypeError, ValueError: see `response_game`; a game with cycles and no horizon given; a
            horizon above the game's.
    """
    where = "task_against"
    check_kind(game, MarkovGame, "game", where, "a MarkovGame")
    if horizon is not None:
        horizon = check_integer(horizon, "horizon", where)
    elif game.horizon is None and game.nodes.cyclic:
        must = "given for a game that has cycles and no horizon of its own"
        raise ValueError(complaint("horizon", where, must, None))
    if game.horizon is not None and horizon is not None and horizon > game.horizon:
        must = f"at most the game's own, {game.horizon}"
        raise ValueError(complaint("horizon", where, must, horizon))
    alone = response_game(game, player, opponents)
    if horizon is None:
        horizon = effective_horizon(game)
    return _with_horizon(alone, horizon)


def _with_horizon(game: MarkovGame, horizon: int) -> MarkovGame:
    table = game.table
    if table.reward_stride:
        table = replace(table, reward=table.reward[:, : horizon * table.n_rows].copy())
    if table.transition_stride:
        pointer = table.indptr[: horizon * table.n_rows + 1].copy()
        last = int(pointer[-1])
        indices, chances = table.indices[:last].copy(), table.probabilities[:last].copy()
        table = replace(table, indptr=pointer, indices=indices, probabilities=chances)
    return MarkovGame.from_table(
        table,
        game.initial,
        horizon,
        game.discount,
        name=game.name,
        states=game.states,
        actions=game.actions,
        board=game.board,
    )


def opponent_tiers(
    name: str = "pursuit",
    sources: int = 3,
    seed: int = 0,
    *,
    player: int = 0,
    tol: float = 0.02,
    spread: float = 0.0,
    steps: int | None = None,
    **options: Any,
) -> Tiers:
    """Draw tiers from a benchmark game: against learners in low tiers, an equilibrium in the high.

    The high tier's opponent is that of the exact solver. The opponent of source w is what mirror
    descent has found, from a random start, when its duality gap falls below `tol`.

    Args:
        name: a two-player zero-sum game of `games()`.
        sources: W, how many.
        seed: source w depends on (seed, w) alone.
        player: who learns.
        tol: how far the sources' opponents are from equilibrium.
        spread: how much the sources' rules differ from the high tier's; 0: not at all.
        steps: where the tasks are cut: the `horizon` of `task_against`.
        options: the game's knobs; "pursuit" has size 2 and horizon 3 if they are left out.

    Returns:
        Tasks in the units of the game: `tiered(*tiers, …, reward_range=tiers.reward_range)`.

    Raises:
        ValueError: an unknown game or knob, or one that is no two-player zero-sum game.
    """
    where = "opponent_tiers"
    sources = check_integer(sources, "sources", where)
    seed = check_integer(seed, "seed", where, 0)
    if check_integer(player, "player", where, 0) > 1:
        raise ValueError(complaint("player", where, "0 or 1", player))
    tol = check_real(tol, "tol", where, above=0.0)
    if steps is not None:
        steps = check_integer(steps, "steps", where)
    if name == "pursuit":
        options = {"size": 2, "horizon": 3, **options}
    (game,) = tasks(name, 1, 0.0, seed, **options)
    if game.kind != "zero-sum":
        must = "a two-player zero-sum game"
        raise ValueError(complaint("name", where, must, said(f"{name}, a {game.kind} game")))
    others = tasks(name, sources, spread, seed, **options)  # bad options, before the long work
    high = task_against(game, player, solve(game, "exact").policy, steps)
    low = []
    for w, other in enumerate(others):
        start = _random(other, np.random.default_rng([seed, w]))
        learned = solve(other, "omd", start, tol).policy
        low.append(task_against(other, player, learned, steps))
    return Tiers(low, high)


def _random(game: MarkovGame, rng: np.random.Generator) -> JointPolicy:
    """A policy half uniform and half random: every action stays possible."""
    arrays = []
    for uniform in JointPolicy.uniform(game):
        drawn = uniform * rng.exponential(size=uniform.shape)
        arrays.append(0.5 * uniform + 0.5 * drawn / drawn.sum(-1, keepdims=True))
    return JointPolicy(arrays)
