r"""The decision problem that fixed opponents leave to a player: a Markov game with one player.

With the others' policies fixed, player $i$ meets at every step

$$P'(s' | s, a_i) = \sum_{a_{-i}} π_{-i}(a_{-i} | s) \, P(s' | s, a_i, a_{-i}), \qquad
  r'(s, a_i) = \sum_{a_{-i}} π_{-i}(a_{-i} | s) \, r_i(s, a_i, a_{-i}).$$

Both are products of the game's rows with one sparse matrix of the others' probabilities: (state,
own action) x (state, joint action).
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.algorithms.correlated import CorrelatedPolicy, owners_of
from metamarl.algorithms.counts import OthersCounts
from metamarl.algorithms.policy import JointPolicy
from metamarl.envs.anonymous import AnonymousGame
from metamarl.envs.checks import check_integer, check_kind, check_memory, complaint
from metamarl.envs.game import MarkovGame
from metamarl.envs.table import Table, build_table

WHERE = "response_game"


def response_game(
    game: MarkovGame, player: int, policy: JointPolicy | CorrelatedPolicy
) -> MarkovGame:
    """The Markov game with one player in which the others' play is a part of the world.

    States, legal actions, clock, start and names are those of `game`; rewards and transitions
    depend on the step where the game's do, or where the others' policies do. The optimal value is
    that of the player's best response, and a policy of the player is worth what it is worth in
    `game` against the others.

    Args:
        game: any game.
        player: the one who is left to play.
        policy: what the others do. The player's own part of a `JointPolicy` is not looked at. That
            of a `CorrelatedPolicy` is summed out, as for a player who is not told what was drawn:
            its optimal value is that of a coarse correlated equilibrium's deviation. (It is exact,
            because draws of different steps are independent.)

    Raises:
        TypeError, ValueError: no game, no such player, a policy that does not fit.
    """
    check_kind(game, MarkovGame, "game", WHERE, "a MarkovGame")
    player = check_integer(player, "player", WHERE, 0)
    if player >= game.n_players:
        must = f"below the number of players, {game.n_players}"
        raise ValueError(complaint("player", WHERE, must, player))
    must = "a JointPolicy or a CorrelatedPolicy"
    check_kind(policy, (JointPolicy, CorrelatedPolicy), "policy", WHERE, must)
    actions = None if game.actions is None else [game.actions[player]]
    name, states, board = f"{game.name} as player {player}", game.states, game.board
    if game.aggregate is not None and isinstance(policy, JointPolicy):
        assert isinstance(game, AnonymousGame)
        seen = OthersCounts(game).flat(policy.flat(game, WHERE), player)
        game, player = game.aggregate, 0  # where the others are one, who plays their counts
        policy = JointPolicy.from_flat(game, seen)
    return MarkovGame.from_table(
        _fix(game, player, _others(game, player, policy)),
        game.initial,
        game.horizon,
        game.discount,
        name=name,
        states=states,
        actions=actions,
        board=board,
    )


def _others(
    game: MarkovGame, player: int, policy: JointPolicy | CorrelatedPolicy
) -> NDArray[np.float64]:
    """`(T, R)` the others' probability on every row: T is H where it depends on the step, else 1.

    Where play cannot come they are uniform, as policies are.
    """
    table, nodes = game.table, game.nodes
    sizes, mine = np.diff(nodes.joints), table.counts[nodes.states, player]
    rows = np.arange(int(nodes.joints[-1]))
    rows += np.repeat(table.rows[nodes.states] - nodes.joints[:-1], sizes)
    if isinstance(policy, JointPolicy):
        flat = policy.flat(game, WHERE)
        chances = np.ones(len(rows))
        for i in range(game.n_players):
            if i != player:
                chances *= flat[owners_of(table, nodes, i)]
    else:
        _, theirs = _digits(table, player)
        before = np.cumsum(sizes // mine) - sizes // mine
        key = np.repeat(before, sizes) + theirs[rows]
        chances = np.asarray(np.bincount(key, policy.flat(game, WHERE)), np.float64)[key]
    counts = np.diff(table.rows)
    uniform = np.repeat(table.counts[:, player] / counts, counts)
    others = uniform.copy()
    others[rows] = chances
    if np.array_equal(others[rows], chances):  # the same at every step
        return others[None]
    assert game.horizon is not None
    check_memory(8.0 * game.horizon * table.n_rows, "The game that depends on the step")
    timed = np.tile(uniform, (game.horizon, 1))
    timed[np.repeat(nodes.steps, sizes), rows] = chances
    return timed


def _fix(game: MarkovGame, player: int, others: NDArray[np.float64]) -> Table:
    """The table in which `others` are averaged over."""
    table, legal = game.table, game.legal[player]
    n_rows, timed = int(table.counts[:, player].sum()), len(others) > 1
    moving, paying = (
        timed or stride > 0 for stride in (table.transition_stride, table.reward_stride)
    )
    if moving:
        needed = 12.0 * len(table.indices) * (1 if table.transition_stride else len(others))
        check_memory(needed, "The game that depends on the step")
    mine, _ = _digits(table, player)
    own = np.repeat(
        np.cumsum(table.counts[:, player]) - table.counts[:, player], np.diff(table.rows)
    )
    moves, pays = [], []
    for step in range((game.horizon or 1) if moving or paying else 1):
        weights = sp.csr_array(
            (others[step if timed else 0], (own + mine, np.arange(table.n_rows))),
            (n_rows, table.n_rows),
        )
        if moving or step == 0:
            moves.append(weights @ table.successors(step))
        if paying or step == 0:
            first = step * table.reward_stride
            pays.append(weights @ table.reward[player, first : first + table.n_rows])
    return build_table(
        (legal,),
        np.concatenate(pays)[None],
        sp.csr_array(sp.vstack(moves)),
        reward_stride=n_rows if paying else 0,
        transition_stride=n_rows if moving else 0,
    )


def _digits(table: Table, player: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`(R,)` the player's action on every row, and the others' joint one, numbered per state."""
    counts = np.diff(table.rows)
    inside = np.arange(table.n_rows) - np.repeat(table.rows[:-1], counts)
    inner = np.repeat(table.counts[:, player + 1 :].prod(1), counts)
    mine = np.repeat(table.counts[:, player], counts)
    return inside // inner % mine, inside // (inner * mine) * inner + inside % inner
