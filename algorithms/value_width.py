r"""How far the value of a sampled game may be from that of the environment.

Let $\hat V$ be the value in the game that was estimated from draws, and $V$ what it stands for. To
first order in the errors of the rows (the delta method; for the value of a zero-sum game by the
envelope theorem),

$$\hat V - V ≈ \sum_{s,a} μ(s, a) \Big( \tfrac{1}{N(s,a)} \sum_k X_k(s, a)
  - \mathbb{E} X(s, a) \Big), \qquad X_k = r_k + γ V(s'_k),$$

where μ counts the expected (discounted) plays of (s, a) under the solution's policy and the draws
$k ≤ N(s, a)$ are independent. The variance of the sum is $\sum μ^2 σ^2 / N$. The estimates of σ²
are guarded against outcomes that are too rare to have been drawn often: two draws are added to
those of a row, one at the best and one at the worst of what has followed in its state, whatever was
played (as Agresti and Coull 1998 do for proportions).

An answer is also fitted to the noise of its draws, which raises what a player seems to get by
choosing among estimates. To first order that is nothing, but it is what there is of second order,
and is measured: solutions of the two halves of the draws are judged by the other half. With
$V_k(π)$ the value of π on half k,

$$\text{optimism} = \tfrac12 \big( V_1(π_1) - V_2(π_1) + V_2(π_2) - V_1(π_2) \big).$$

The errors that both policies share cancel. Half the draws have twice the optimism, which is not
corrected for and on the safe side. The width is 1.96 standard errors and the optimism.

**What it promises**: the interval $\hat V ± \text{width}$ covers $V$ in 95 % of all runs as the
draws grow in number. It is no bound for few draws (`benchmarks/sampled_values.py` measures how
often it covers), and knows nothing of what was never drawn: a state, or an outcome.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.evaluation import evaluate
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.policy import JointPolicy
from metamarl.envs.clock import at_rest
from metamarl.envs.game import MarkovGame
from metamarl.envs.sampled_game import SampledGame

QUANTILE = 1.959964  # of the normal distribution, for 95 %


def row_variances(
    game: SampledGame, policy: JointPolicy | CorrelatedPolicy, explore: float = 0.0
) -> NDArray[np.float64]:
    """`(n, R)` what one draw of every row contributes to the variance of every player's value.

    Divided by the numbers of draws, and summed up, that is the variance of the value. Rows that are
    certain contribute nothing.

    Args:
        game: the sampled game.
        policy: what is played.
        explore: weight of uniform play in the policy that decides which rows matter.
    """
    drawn, table, n = game.drawn, game.table, game.n_players
    plays, values = _plays(game, policy, explore), _values(game, policy)
    sizes, heads = np.diff(drawn.indptr), drawn.indptr[:-1]
    hits = drawn.hits.sum(0)
    owner = np.repeat(np.repeat(np.arange(game.n_states), np.diff(table.rows)), sizes)
    weight = plays.sum(0)
    share = np.where(weight > 0, plays / np.where(weight > 0, weight, 1.0), 1.0 / len(plays))
    count = np.add.reduceat(hits, heads)
    found = np.zeros((n, table.n_rows))
    for i in range(n):
        mean = drawn.pay[:2, i].sum(0) / hits
        spread = np.maximum(drawn.pay[2, i] / hits - mean**2, 0.0)
        after = np.zeros(len(hits))  # what follows a draw, on average over the steps it is played
        for step, of_step in enumerate(share):
            following = game.discount * values[i, step + 1][drawn.indices]
            after += np.repeat(of_step, sizes) * following
        paid = np.add.reduceat(hits * mean, heads) / count
        worth = mean + after
        besides = worth - np.repeat(paid, sizes)  # what is not the row's own mean reward
        low, high = np.full(game.n_states, np.inf), np.full(game.n_states, -np.inf)
        np.minimum.at(low, owner, besides)
        np.maximum.at(high, owner, besides)
        ends = np.stack([low, high])[:, owner[heads]] + paid
        centre = (np.add.reduceat(hits * worth, heads) + ends.sum(0)) / (count + 2)
        off = worth - np.repeat(centre, sizes)
        squares = np.add.reduceat(hits * (off**2 + spread), heads) + ((ends - centre) ** 2).sum(0)
        found[i] = weight**2 * squares / (count + 2)
    return np.where(drawn.certain, 0.0, found)


def standard_error(
    game: SampledGame, policy: JointPolicy | CorrelatedPolicy
) -> NDArray[np.float64]:
    """`(n,)` standard errors of the players' values: of the draws of rows, and of first states."""
    variance = (row_variances(game, policy) / game.counts).sum(1)
    values = _values(game, policy)[:, 0]
    mean = values @ game.initial
    starts = ((values - mean[:, None]) ** 2) @ game.initial / game.drawn.starts.sum()
    return np.sqrt(variance + starts)


def optimism(
    game: SampledGame, answers: Sequence[JointPolicy | CorrelatedPolicy]
) -> NDArray[np.float64]:
    """`(n,)` how much better the answers to the two halves of the draws look there than elsewhere.

    Args:
        game: the sampled game.
        answers: what was found for each of `game.halves()`.
    """
    halves = game.halves()
    own = np.array([evaluate(half, answer) for half, answer in zip(halves, answers, strict=True)])
    other = [evaluate(half, answer) for half, answer in zip(halves[::-1], answers, strict=True)]
    return (own - other).sum(0) / 2


def value_width(
    game: SampledGame,
    policy: JointPolicy | CorrelatedPolicy,
    answers: Sequence[JointPolicy | CorrelatedPolicy],
) -> NDArray[np.float64]:
    """`(n,)` half the width of the 95 % intervals around the values of `policy`; see above.

    Args:
        game: the sampled game.
        policy: its solution.
        answers: the solutions of `game.halves()`.
    """
    return QUANTILE * standard_error(game, policy) + np.abs(optimism(game, answers))


def _chances(game: MarkovGame, policy: JointPolicy | CorrelatedPolicy) -> NDArray[np.float64]:
    """`(T, R)` probability of every row at every step; 0 where play cannot come."""
    table, nodes = game.table, game.nodes
    joint = policy
    if isinstance(joint, JointPolicy):
        joint = CorrelatedPolicy.product(game, joint)
    sizes = np.diff(nodes.joints)
    rows = np.arange(int(nodes.joints[-1]))
    rows += np.repeat(table.rows[nodes.states] - nodes.joints[:-1], sizes)
    found = np.zeros((game.horizon or 1, table.n_rows))
    found[np.repeat(nodes.steps, sizes), rows] = joint.flat(game)
    return found


def _plays(
    game: MarkovGame, policy: JointPolicy | CorrelatedPolicy, explore: float
) -> NDArray[np.float64]:
    """`(T, R)` expected discounted plays of every row."""
    table, S = game.table, game.n_states
    chances = _chances(game, policy)
    if explore:
        chances = (1 - explore) * chances + explore * _chances(game, JointPolicy.uniform(game))
    owner = np.repeat(np.arange(S), np.diff(table.rows))
    moves = table.successors()
    if game.horizon is None:
        from scipy.sparse.linalg import spsolve

        chances = chances * ~at_rest(table)[owner]  # play is over there
        spread = sp.csr_array((chances[0], (owner, np.arange(table.n_rows))), (S, table.n_rows))
        system = sp.eye_array(S, format="csc") - game.discount * (spread @ moves).T.tocsc()
        return np.asarray(spsolve(system, game.initial))[owner] * chances
    at, plays = game.initial, np.zeros_like(chances)
    for step in range(game.horizon):
        plays[step] = at[owner] * chances[step]
        at = game.discount * (plays[step] @ moves)
    return plays


def _values(game: MarkovGame, policy: JointPolicy | CorrelatedPolicy) -> NDArray[np.float64]:
    """`(n, T + 1, S)` values before every step (T = 1 without a horizon: twice the same)."""
    nodes, correlated = game.nodes, isinstance(policy, CorrelatedPolicy)
    judge, flat = Evaluator(game), policy.flat(game)
    found = np.zeros((game.n_players, (game.horizon or 1) + 1, game.n_states))
    for i in range(game.n_players):
        judge.value(flat, i, respond=False, correlated=correlated)
        found[i, nodes.steps, nodes.states] = judge.values
        if game.horizon is None:
            found[i, 1] = found[i, 0]
    return found
