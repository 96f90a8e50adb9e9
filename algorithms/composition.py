r"""One policy composed of many: at every node the part of those that are worth most there.

Given policies $π^1, …, π^K$ of a game, go backward through its nodes. At each, every $π^k$ is
judged by what best responses would gain against it from this node on, if the composition is played
afterwards. The candidates are the means of the best one, two, …, K of them, which never lose the
best one and average out the noise of those that are about as good.

In **zero-sum** games the players are judged apart: a policy of player $i$ by the value
$\max_b \sum_a π^k_i(a) Q(a, b)$ that it leaves to the other. By induction (the values that are left
only fall, as those after them fall) the composition leaves to the other, at every node, no more
than any $π^k$ does: its gap is nowhere larger than theirs. This is generalised policy improvement
(Barreto et al. 2017) of what a policy guarantees. In other games the policies of all players are
judged together, by the sum of the gains, and that it is not larger in the end is not guaranteed.

It costs one pass with K products per node and player (two K where the interests are others), where
an iteration of mirror descent has one. Games with cycles are swept at most `SWEEPS` times, starting
from what the first policy is worth: in zero-sum ones the gap is nowhere larger than that of the
first policy. In anonymous games, whose joint actions can be too many to look at, every node takes
the policy whose own gap is smallest from there on, which costs K measurements.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _composing
from metamarl.algorithms.evaluator import Evaluator
from metamarl.envs.checks import check_memory
from metamarl.envs.game import MarkovGame

SWEEPS = 30  # of a game with cycles
SETTLED = 1e-3  # relative change at which there is no need of more


def compose(
    game: MarkovGame, policies: Sequence[NDArray[np.float64]], judge: Evaluator
) -> NDArray[np.float64]:
    """The composition of K ≥ 1 flat policies, a flat policy; `judge` is an evaluator of `game`."""
    if game.aggregate is not None:
        return _pick(game, policies, judge)
    check_memory(8.0 * len(policies) * len(policies[0]), "Composing the past policies")
    table, nodes, sources = game.table, game.nodes, np.stack(policies)
    best = np.zeros((game.n_players, game.n_states))
    kept = best.copy()
    if nodes.cyclic:
        for i in range(game.n_players):
            judge.value(sources[0], i, respond=True)
            best[i] = judge.values
            judge.value(sources[0], i, respond=False)
            kept[i] = judge.values
    flat = np.empty(sources.shape[1])
    for _ in range(SWEEPS if nodes.cyclic else 1):
        change = _composing.sweep(
            nodes.states, nodes.groups, nodes.slots, nodes.timed,
            table.counts, table.rows, table.reward, table.reward_stride,
            table.indptr, table.indices, table.probabilities, table.transition_stride,
            game.discount, sources, game.kind == "zero-sum", best, kept, flat,
        )  # fmt: skip
        if change <= SETTLED * np.abs(best).max():
            break
    return flat


def _pick(
    game: MarkovGame, policies: Sequence[NDArray[np.float64]], judge: Evaluator
) -> NDArray[np.float64]:
    """At every node the policy whose own gap is smallest from there on."""
    lowest = np.full(len(game.nodes.states), np.inf)
    flat = np.empty(len(policies[0]))
    for policy in policies:
        gaps = judge.node_gaps(policy)
        better = gaps < lowest
        lowest[better] = gaps[better]
        there = np.concatenate([np.repeat(better, np.diff(slots)) for slots in game.nodes.slots])
        flat[there] = policy[there]
    return flat
