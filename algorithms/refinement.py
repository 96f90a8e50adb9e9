r"""More draws for a sampled game, where its value is least certain.

The variance of the value is $\sum_w v_w / N_w$ over the rows $w$ of the game (see `value_width`).
For a number of draws in all it is smallest at $N_w \propto \sqrt{v_w}$ (Neyman 1934). What $v$ is
depends on the solution, so draws come in rounds: solve, see which rows are short of their part, and
draw those. A tenth of play is uniform where the parts are found: rows that look useless are drawn
too, less and less often where there is little to win.
"""

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.solve import solve
from metamarl.algorithms.value_width import row_variances
from metamarl.envs.checks import check_integer, check_kind, complaint
from metamarl.envs.game import MarkovGame
from metamarl.envs.sampled_game import SampledGame

WHERE = "refine"
EXPLORE = 0.1
ROUNDS = 4
ITERATIONS = 20_000  # of a solver in every round


def refine(game: SampledGame, samples: int = 100, *, tol: float = 1e-2) -> SampledGame:
    """A new estimate of a sampled game, from more draws, most of them where its value depends on.

    Args:
        game: a game that was estimated from draws, `from_pettingzoo(…, mode="sample")` for one; in
            the process that made it.
        samples: how many draws to add, for each (state, joint action) whose outcome is random: on
            the average. They come in four rounds.
        tol: the gap to which the game is solved in every round, as a part of its largest reward.

    Returns:
        The new game; the old one stays as it is. New states may have been found on the way.

    Raises:
        TypeError, ValueError: no sampled game, or a copy of one that cannot draw any more.
    """
    must = "a game that was estimated from draws, such as from_pettingzoo(…, mode='sample')"
    check_kind(game, SampledGame, "game", WHERE, must)
    samples = check_integer(samples, "samples", WHERE)
    if game.draws is None:
        raise ValueError(complaint("game", WHERE, "in the process that made it", game))
    for _ in range(ROUNDS):
        uncertain = ~game.drawn.certain
        if not uncertain.any():
            return game
        goal = samples * int(uncertain.sum()) // ROUNDS
        scale = max(float(np.abs(game.table.reward).max()), 1e-9)
        plain = MarkovGame.from_table(game.table, game.initial, game.horizon, game.discount)
        found = solve(plain, tol=tol * scale, max_iterations=ITERATIONS, throw=False)
        variances = row_variances(game, found.correlated or found.policy, EXPLORE).max(0)
        game = _draw(game, _share_out(variances, game.counts, goal))
    return game


def _share_out(
    variances: NDArray[np.float64], counts: NDArray[np.int64], more: int
) -> NDArray[np.int64]:
    """`(R,)` how many draws there shall be, `more` than now: none are taken away."""
    wanted = np.sqrt(variances)
    if not wanted.any():
        wanted = np.ones(len(counts))
    low, high = 0.0, (counts.sum() + more) / wanted[wanted > 0].min()
    for _ in range(100):
        middle = (low + high) / 2
        missing = np.maximum(middle * wanted - counts, 0.0).sum()
        low, high = (middle, high) if missing < more else (low, middle)
    return np.maximum(np.floor(low * wanted * (1 + 1e-9)), counts).astype(np.int64)


def _draw(game: SampledGame, counts: NDArray[np.int64]) -> SampledGame:
    draws = game.draws
    assert draws is not None
    least = int(game.counts[~game.drawn.certain].min())
    with draws.session():
        first = 0
        for state in range(game.n_states - 1):  # the last one is the end
            for joint in range(len(draws.rows[state])):
                draws.draw(state, joint, int(counts[first + joint]))
            first += len(draws.rows[state])
        draws.draw_all(least)  # what has been found on the way
    return game.again()
