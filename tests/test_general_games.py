"""General-sum and potential games: known equilibria, potentials, and their rules by hand."""

import itertools
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from known_games import (
    BARGAINING_OFFERS,
    DISTANCING_OPTIMUM,
    KNOWN_EQUILIBRIA,
    bargaining_play,
    distancing_play,
)
from test_games import assert_same, outcomes

from metamarl.algorithms.evaluation import evaluate, nash_gap
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.policy import JointPolicy
from metamarl.envs import MarkovGame, make, tasks
from metamarl.envs.routing import stage_potential

UP, DOWN, LEFT, RIGHT = range(4)


def draw(game, rng):
    """A random policy, as arrays `(S, A_i)`."""
    return [rng.dirichlet(np.ones(k), game.n_states) for k in game.n_actions]


def cycle(game, rng):
    """What two players gain, added up, when they change their policies in turn, and change back."""
    base, other = draw(game, rng), draw(game, rng)
    corners = [base, [other[0], *base[1:]], [*other[:2], *base[2:]], [base[0], other[1], *base[2:]]]
    values = [evaluate(game, JointPolicy(corner)) for corner in corners]
    moves = [(0, 1, 0), (1, 2, 1), (2, 3, 0), (3, 0, 1)]
    return sum(values[after][player] - values[before][player] for before, after, player in moves)


# --- known equilibria


@pytest.mark.parametrize("known", KNOWN_EQUILIBRIA, ids=lambda known: known.name)
def test_known_equilibria(known):
    game = known.build()
    policy = JointPolicy(known.policy(game))
    scale = max(1.0, *np.abs(known.values))
    assert game.kind in ("general-sum", "potential")
    assert known.source
    np.testing.assert_allclose(evaluate(game, policy), known.values, rtol=1e-11, atol=1e-12)
    assert nash_gap(game, policy) < 1e-11 * scale


@pytest.mark.parametrize("known", KNOWN_EQUILIBRIA, ids=lambda known: known.name)
def test_only_unique_equilibria_are_called_so(known):
    others = [k for k in KNOWN_EQUILIBRIA if k.build.args == known.build.args and k is not known]
    if known.unique:
        assert all(k.build.keywords != known.build.keywords for k in others)


# --- repeated games


def test_prisoners_pay_the_four_payoffs():
    game = make("prisoners", payoffs=(7, 5, 3, 2))
    assert outcomes(game, "round", 1, 0)[0] == 7.0
    assert outcomes(game, "round", 0, 0)[0] == 5.0
    assert outcomes(game, "round", 1, 1)[0] == 3.0
    assert outcomes(game, "round", 0, 1)[0] == 2.0
    _, reward = game.dense()
    np.testing.assert_array_equal(reward[1, 0], reward[0, 0].T)


@pytest.mark.parametrize("clock", [{"horizon": 4}, {"horizon": None, "discount": 0.8}])
def test_prisoners_who_cooperate_could_gain(clock):
    """Gap ≥ min(T - R, P - S) times the expected number of rounds of cooperation."""
    game, rng = make("prisoners", **clock), np.random.default_rng(0)
    rounds = clock["horizon"] or 1 / (1 - clock["discount"])
    for _ in range(20):
        rows = rng.dirichlet((0.3, 1.0), 2)
        arrays = [np.tile(row, (clock["horizon"] or 1, 1, 1)) for row in rows]
        gap = nash_gap(game, JointPolicy(arrays if clock["horizon"] else [a[0] for a in arrays]))
        assert gap >= rows[:, 0].max() * rounds * (1 - 1e-12)


def test_related_dilemmas_are_dilemmas():
    for task in tasks("prisoners", n=30, spread=1.0):
        reward = task.dense()[1][0, 0]
        assert reward[1, 0] > reward[0, 0] > reward[1, 1] > reward[0, 1] == 0.0
    for task in tasks("stag-hunt", n=30, spread=1.0):
        reward = task.dense()[1][0, 0]
        assert reward[0, 0] > reward[1, 0] == reward[1, 1] > reward[0, 1] == 0.0


def test_awkward_payoffs_are_kept_at_spread_0():
    payoffs = (0.7, 0.3, 0.1, -1 / 3)
    for task in tasks("prisoners", n=2, spread=0.0, payoffs=payoffs):
        assert_same(task, make("prisoners", payoffs=payoffs))


def test_the_stag_needs_all_hunters():
    game = make("stag-hunt", hunters=4, alone=-1.0)
    for joint in itertools.product((0, 1), repeat=4):
        _, following = outcomes(game, "round", *joint)
        assert following == {"round": 1.0}
    reward = game.dense()[1][:, 0]
    assert (reward[:, 0, 0, 0, 0] == 4.0).all()
    assert reward[:, 0, 1, 0, 1].tolist() == [-1.0, 3.0, -1.0, 3.0]


@pytest.mark.parametrize("hunters", [2, 3, 5, 10])
def test_stag_hunts_of_any_number(hunters):
    game = make("stag-hunt", hunters=hunters, stag=5, hare=2, alone=1, horizon=1)
    mixed = ((2 - 1) / (5 - 1)) ** (1 / (hunters - 1))
    for chance, value in ((1.0, 5.0), (0.0, 2.0), (mixed, 2.0)):
        policy = JointPolicy([np.array([[[chance, 1 - chance]]])] * hunters)
        np.testing.assert_allclose(evaluate(game, policy), value, rtol=1e-12)
        assert nash_gap(game, policy) < 1e-12


def test_stag_hunt_potential():
    reward = make("stag-hunt", hunters=3).dense()[1][:, 0]
    hares = np.indices((2, 2, 2)).sum(0)
    check_potential(reward, 4.0 * (hares == 0) + 3.0 * hares)


@pytest.mark.parametrize("players", [2, 3, 4, 7])
@pytest.mark.parametrize(("wins", "loss"), [((1, 1), 1), ((3, 1), 0), ((2, 5), 0.5)])
def test_matching_pennies_of_any_number(players, wins, loss):
    game = make("matching-pennies", players=players, wins=wins, loss=loss, horizon=1)
    h, t = wins
    heads = np.full(players, (t + loss) / (h + t + 2 * loss))
    heads[0] = 1 - heads[0]
    policy = JointPolicy([np.array([[[p, 1 - p]]]) for p in heads])
    assert nash_gap(game, policy) < 1e-12
    assert game.kind == ("zero-sum" if players == 2 and h == t == loss else "general-sum")
    pure = itertools.product(np.eye(2), repeat=players)
    assert all(nash_gap(game, JointPolicy([row[None, None] for row in p])) > 0.5 for p in pure)


def test_matching_pennies_by_hand():
    reward = make("matching-pennies", wins=(2, 3), loss=1).dense()[1][:, 0]
    heads, tails = 0, 1
    assert reward[:, heads, heads, heads].tolist() == [2.0, 2.0, -1.0]
    assert reward[:, heads, tails, tails].tolist() == [-1.0, 3.0, 3.0]
    assert reward[:, tails, heads, tails].tolist() == [-1.0, -1.0, -1.0]


# --- potential games


def check_potential(reward, potential):
    """Every change of one player's action changes the potential by as much as its reward."""
    for player, own in enumerate(reward):
        np.testing.assert_allclose(
            np.diff(own, axis=player), np.diff(potential, axis=player), rtol=1e-12, atol=1e-12
        )


ROUTES = [
    {},
    {"drivers": 1},
    {"drivers": 4, "free": (0.0, 1.0), "slope": (2.0, 0.5), "severity": 2.5},
    {"drivers": 2, "free": (1.0, 1.0, 2.0, 3.0), "slope": (1.0, 0.0, 1.0, 1.0)},
]


@pytest.mark.parametrize("knobs", ROUTES)
def test_rosenthals_potential(knobs):
    game = make("routing", **knobs)
    _, reward = game.dense()
    potential = stage_potential(**knobs)[:, game.joint_counts()]
    potential = potential.reshape(len(potential), *game.n_actions)
    for state in range(len(potential)):
        check_potential(reward[:, state], potential[state])


@pytest.mark.parametrize("clock", [{}, {"horizon": 5, "discount": 1.0}])
def test_routing_has_a_potential_over_time(clock):
    """The value of the stage potential changes as the value of whoever changes its policy."""
    game, rng = make("routing", **clock), np.random.default_rng(0)
    transition, _ = game.dense()
    potential = stage_potential()[:, game.joint_counts()].reshape(-1, *game.n_actions)
    common = np.stack([potential] * 3)
    options = {"initial": game.initial, "horizon": game.horizon, "discount": game.discount}
    potential = MarkovGame(transition, common, **options)
    assert potential.kind == "potential"
    for player in range(3):
        both = []
        before, other = draw(game, rng), draw(game, rng)
        after = [other[i] if i == player else row for i, row in enumerate(before)]
        for played in (game, potential):
            found = [
                evaluate(
                    played,
                    JointPolicy([np.tile(a, (5, 1, 1)) for a in arrays] if clock else arrays),
                )[player]
                for arrays in (before, after)
            ]
            both.append(found[1] - found[0])
        assert both[0] == pytest.approx(both[1], rel=1e-9)


def test_routing_moves_by_itself():
    game = make("routing", incident=0.3, clearing=0.25, severity=2.0)
    assert game.states == ["clear", "incident 0", "incident 1", "incident 2"]
    for joint in itertools.product(range(3), repeat=3):
        _, following = outcomes(game, "clear", *joint)
        assert following == pytest.approx(
            {"clear": 0.7, "incident 0": 0.1, "incident 1": 0.1, "incident 2": 0.1}
        )
        _, following = outcomes(game, "incident 1", *joint)
        assert following == {"clear": 0.25, "incident 1": 0.75}
    assert outcomes(game, "clear", 0, 1, 0)[0] == -7.0
    assert outcomes(game, "incident 0", 0, 1, 0)[0] == -14.0
    assert outcomes(game, "incident 0", 2, 1, 0)[0] == -5.0


def test_cycles_tell_markov_potential_games():
    """In safe distancing actions move the state: no exact potential, though every stage has one."""
    rng = np.random.default_rng(1)
    routes = make("routing")
    assert abs(cycle(routes, rng)) < 1e-11
    distancing = make("safe-distancing", agents=2, weights=(1, 2), discount=0.9)
    assert abs(cycle(distancing, rng)) > 1e-3
    reward = make("safe-distancing", agents=4).dense()[1]
    choices = np.indices((4,) * 4)
    counts = np.stack([(choices == k).sum(0) for k in range(4)])
    potential = np.tensordot((1, 2, 4, 6), counts * (counts + 1) / 2, axes=1)
    for state in range(2):
        check_potential(reward[:, state], potential)


# --- safe distancing


def test_safe_distancing_by_hand():
    game = make("safe-distancing")
    assert outcomes(game, "safe", 3, 3, 3, 3, 2, 2, 2, 2) == (24.0, {"safe": 1.0})
    assert outcomes(game, "safe", 3, 3, 3, 3, 3, 2, 2, 2) == (30.0, {"distancing": 1.0})
    assert outcomes(game, "distancing", 0, 0, 1, 1, 2, 2, 3, 3) == (-98.0, {"safe": 1.0})
    assert outcomes(game, "distancing", 0, 0, 0, 1, 2, 2, 3, 3) == (-97.0, {"distancing": 1.0})
    five = make("safe-distancing", agents=5)
    assert outcomes(five, "distancing", 0, 0, 1, 2, 3)[1] == {"safe": 1.0}  # at most ⌈5/4⌉


@pytest.mark.parametrize("agents", [4, 8])
def test_safe_distancing_has_the_known_optimum(agents):
    """Value iteration on the numbers of agents; the known equilibrium reaches it."""
    loads = [c for c in itertools.product(range(agents + 1), repeat=4) if sum(c) == agents]
    total = np.array([np.dot((1, 2, 4, 6), np.square(c)) for c in loads]) / agents
    fullest = np.max(loads, axis=1)
    v = np.zeros(2)
    for _ in range(4000):
        v = np.array(
            [
                (total + 0.99 * np.where(fullest > agents / 2, v[1], v[0])).max(),
                (total - 100 + 0.99 * np.where(fullest <= agents / 4, v[0], v[1])).max(),
            ]
        )
    np.testing.assert_allclose(v, DISTANCING_OPTIMUM[agents], rtol=1e-12)
    game = make("safe-distancing", agents=agents)
    for k, state in enumerate(game.states):
        start = MarkovGame.from_table(game.table, np.eye(2)[k], None, 0.99)
        play = distancing_play(agents)
        moves = [[play(i, name) for name in game.states] for i in range(agents)]
        found = evaluate(start, JointPolicy([np.eye(4)[row] for row in moves])).mean()
        assert found == pytest.approx(DISTANCING_OPTIMUM[agents][k], rel=1e-12), state


# --- the grid games


def test_grid_game_1_by_hand():
    game = make("grid-game-1", prizes=(10, 20))
    assert game.board((0, 2)) == ["b.a", "...", "A.B"]
    assert game.n_states == 26
    assert outcomes(game, (0, 2), RIGHT, LEFT) == (-1.0, {(0, 2): 1.0})
    assert outcomes(game, (0, 2), UP, LEFT) == (0.0, {(3, 1): 1.0})
    assert outcomes(game, (5, 7), UP, LEFT) == (10.0, {"end": 1.0})
    assert outcomes(game, (5, 7), UP, RIGHT) == (10.0, {"end": 1.0})  # a goal, though not B's
    assert outcomes(game, (5, 7), LEFT, LEFT) == (0.0, {"end": 1.0})
    assert (3, 4) not in game.states  # both always stand on cells of the same colour
    assert np.flatnonzero(game.legal[0][game.states.index((0, 2))]).tolist() == [UP, RIGHT]


def test_grid_game_2_by_hand():
    """Hu and Wellman 2003 list these probabilities."""
    game = make("grid-game-2")
    assert game.board((3, 2)) == [".*.", "A..", "..B"]
    quarters = {(0, 2): 0.25, (3, 2): 0.25, (0, 5): 0.25, (3, 5): 0.25}
    assert outcomes(game, (0, 2), UP, UP) == (0.0, quarters)
    assert outcomes(game, (0, 2), UP, LEFT) == (0.0, {(0, 1): 0.5, (3, 1): 0.5})
    assert outcomes(game, (0, 2), RIGHT, UP) == (0.0, {(1, 2): 0.5, (1, 5): 0.5})
    assert outcomes(game, (1, 2), RIGHT, UP) == (-0.5, {(1, 2): 0.5, (2, 5): 0.5})
    assert outcomes(game, (3, 4), RIGHT, LEFT) == (0.0, {(4, 3): 1.0})  # they may swap
    assert outcomes(game, (4, 8), UP, LEFT) == (100.0, {"end": 1.0})
    assert outcomes(game, (4, 8), LEFT, LEFT) == (0.0, {"end": 1.0})
    assert make("grid-game-2", barrier=0.0).n_states < game.n_states
    assert outcomes(make("grid-game-2", barrier=1.0), (0, 2), UP, UP)[1] == {(0, 2): 1.0}


@pytest.mark.parametrize("name", ["grid-game-1", "grid-game-2"])
def test_grid_games_are_symmetric(name):
    """Mirroring the grid and swapping the players gives the same game."""
    game = make(name)
    transition, reward = game.dense()

    def mirrored(cell):
        return cell + 2 - 2 * (cell % 3)

    images = [
        game.states.index(s if s == "end" else (mirrored(s[1]), mirrored(s[0])))
        for s in game.states
    ]
    moves = [UP, DOWN, RIGHT, LEFT]
    live = [k for k, state in enumerate(game.states) if state != "end"]
    np.testing.assert_array_equal(game.legal[0][live], game.legal[1][images][:, moves][live])
    twin = transition[np.ix_(images, moves, moves, images)].swapaxes(1, 2)
    np.testing.assert_allclose(transition[live], twin[live])
    twin = reward[1][np.ix_(images, moves, moves)].swapaxes(1, 2)
    np.testing.assert_allclose(reward[0][live], twin[live])


# --- bargaining


def offers(rounds, pieces, patience):
    """Backward induction: what every round's proposer offers, and how far the nearest tie is."""
    found, margin, k = [1], Fraction(1), 1
    for turn in reversed(range(rounds - 1)):
        worth = patience[1 - turn % 2] * (pieces - k)  # to the responder, of proposing next
        rejected = patience[turn % 2] * k  # to the proposer
        k = max(1, ceil(worth))
        found.append(k)
        margin = min(margin, *(abs(j - worth) for j in range(pieces)), pieces - k - rejected)
    return found[::-1], margin


def test_bargaining_by_backward_induction():
    assert offers(6, 20, (Fraction("0.9"), Fraction("0.8"))) == (
        [*BARGAINING_OFFERS],
        Fraction("0.2"),
    )
    for rounds, pieces, patience in (
        (1, 10, ("0.5", "0.5")),
        (2, 10, ("0.5", "0.55")),
        (5, 30, ("0.95", "0.85")),
        (9, 40, ("0.9", "0.8")),
    ):
        exact = tuple(Fraction(text) for text in patience)
        shares, margin = offers(rounds, pieces, exact)
        assert margin > 0
        game = make("bargaining", rounds=rounds, pieces=pieces, patience=[*map(float, patience)])
        arrays = [mask / mask.sum(1, keepdims=True) for mask in game.legal]
        for k, state in enumerate(game.states):
            if state[0] == "offer":
                arrays[state[1] % 2][k] = np.eye(pieces + 3)[shares[state[1]] - 1]
            elif state[0] == "answer":
                refuse = int(state[2] < shares[state[1]])
                arrays[1 - state[1] % 2][k] = np.eye(pieces + 3)[pieces + refuse]
        policy = JointPolicy(arrays)
        value = 1 - shares[0] / pieces
        np.testing.assert_allclose(evaluate(game, policy), [value, 1 - value])
        assert Evaluator(game).node_gaps(policy.flat(game)).max() < 1e-12  # subgame-perfect


def test_bargaining_tends_to_rubinstein():
    patience = (Fraction("0.9"), Fraction("0.8"))
    shares, _ = offers(40, 2000, patience)
    rubinstein = (1 - patience[1]) / (1 - patience[0] * patience[1])
    assert 1 - shares[0] / 2000 == pytest.approx(float(rubinstein), abs=2e-3)


def test_bargaining_by_hand():
    game = make("bargaining", pie=10.0)
    accept, reject, wait = 20, 21, 22
    assert not game.nodes.cyclic
    assert game.horizon is None
    assert outcomes(game, ("offer", 0), 4, wait) == (0.0, {("answer", 0, 5): 1.0})
    assert outcomes(game, ("answer", 0, 5), wait, accept) == (7.5, {("end",): 1.0})
    assert outcomes(game, ("answer", 0, 5), wait, reject) == (0.0, {("offer", 1): 1.0})
    assert outcomes(game, ("answer", 1, 5), accept, wait) == (2.25, {("end",): 1.0})
    assert outcomes(game, ("answer", 5, 20), reject, wait) == (0.0, {("end",): 1.0})
    assert bargaining_play(0, ("answer", 1, 6)) == reject


# --- random games


def test_random_zero_sum_games_are_what_they_were():
    """The draws, told again: rewards first, then transitions, then the noise's."""
    game = make("random", states=3, actions=(2, 4), seed=5, noise=0.25, variant=9)

    def draws(rng):
        R, P = rng.random((3, 2, 4)), np.maximum(rng.gamma(0.2, size=(3, 2, 4, 3)), 1e-300)
        return R, P / P.sum(-1, keepdims=True)

    R, P = draws(np.random.default_rng(5))
    rng = np.random.default_rng([5, 9])
    R = np.clip(R + 0.25 * rng.uniform(-1.0, 1.0, R.shape), 0.0, 1.0)
    P = 0.75 * P + 0.25 * draws(rng)[1]
    assert_same(game, MarkovGame(P, np.stack([R, -R]), horizon=5))


@pytest.mark.parametrize("actions", [(3,), (2, 3), (3, 3, 3), (2, 1, 3, 2)])
@pytest.mark.parametrize("kind", ["general-sum", "potential"])
def test_random_games_of_any_number_of_players(kind, actions):
    options = {"states": 4, "actions": actions, "kind": kind}
    game = make("random", **options)
    related = tasks("random", n=2, spread=0.3, **options)
    for task in (game, *related):
        assert task.n_actions == actions
        assert task.kind == (kind if len(actions) > 1 else "potential")
        assert 0.0 <= task.table.reward.min() <= task.table.reward.max() <= 1.0
    assert not np.array_equal(related[0].table.reward, related[1].table.reward)
    assert_same(tasks("random", n=1, spread=0.0, **options)[0], game)


# --- sizes


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bargaining", {"rounds": 1, "pieces": 2, "patience": (0, 0)}),
        ("grid-game-2", {"barrier": 0.0, "discount": 0.0, "collision": 0}),
        ("matching-pennies", {"players": 10}),
        ("prisoners", {"horizon": None, "discount": 0.0}),
        ("routing", {"drivers": 1, "incident": 0.0}),
        ("routing", {"drivers": 6, "free": (0, 0), "slope": (1, 1), "clearing": 1.0}),
        ("safe-distancing", {"agents": 1, "weights": (1, 1), "penalty": 0}),
        ("safe-distancing", {"agents": 5, "weights": range(1, 6), "horizon": 3}),
        ("stag-hunt", {"hunters": 12, "horizon": None, "discount": 0.5}),
    ],
)
def test_unusual_sizes(name, options):
    game = make(name, **options)
    for task in tasks(name, n=2, spread=0.5, **options):
        assert task.states == game.states
        assert task.n_actions == game.n_actions
    assert nash_gap(game, JointPolicy.uniform(game)) >= 0.0
