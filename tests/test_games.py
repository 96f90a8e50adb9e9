"""One contract for every benchmark game in the registry, then facts about each of them."""

import itertools
import pickle
from math import comb

import numpy as np
import pytest
from known_games import KNOWN_GAMES

from metamarl.envs import family, from_rules, games, make, tasks

OTHER_KINDS = {  # players and kind of those games that are not zero-sum
    "bargaining": (2, "general-sum"),
    "grid-game-1": (2, "general-sum"),
    "grid-game-2": (2, "general-sum"),
    "matching-pennies": (3, "general-sum"),
    "prisoners": (2, "general-sum"),
    "routing": (3, "potential"),
    "safe-distancing": (8, "potential"),
    "stag-hunt": (2, "potential"),
}
WRONG = ["x", b"x", object(), {"a": 1}, [], [[]], [["x"]], float("nan"), 1j, True]


def assert_same(one, other):
    """The same table, start and clock, bit for bit."""
    assert (one.horizon, one.discount, one.kind) == (other.horizon, other.discount, other.kind)
    np.testing.assert_array_equal(one.initial, other.initial)
    for name in ("counts", "rows", "reward", "indptr", "indices", "probabilities"):
        np.testing.assert_array_equal(getattr(one.table, name), getattr(other.table, name))
    for mine, theirs in zip(one.legal, other.legal, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def same_rules(one, other):
    """Whether rewards and transitions are the same."""
    return np.array_equal(one.table.reward, other.table.reward) and np.array_equal(
        one.table.successors().toarray(), other.table.successors().toarray()
    )


def outcomes(game, state, *joint):
    """Reward of player 0 and {next state: probability} of a joint action in a state, by names."""
    state = game.states.index(state)
    options = [np.flatnonzero(mask[state]).tolist() for mask in game.legal]
    shape = [len(option) for option in options]
    digits = [option.index(a) for option, a in zip(options, joint, strict=True)]
    row = game.table.rows[state] + np.ravel_multi_index(digits, shape)
    span = slice(*game.table.indptr[row : row + 2])
    following = (game.states[k] for k in game.table.indices[span])
    chances = game.table.probabilities[span].tolist()
    return game.table.reward[0, row], dict(zip(following, chances, strict=True))


# --- the contract


@pytest.mark.parametrize("name", games())
class TestContract:
    def test_builds_with_its_defaults(self, name):
        game = make(name)
        players, kind = OTHER_KINDS.get(name, (2, "zero-sum"))
        assert game.n_players == players
        assert game.kind == kind
        assert abs(game.initial.sum() - 1.0) < 1e-12
        assert (game.initial >= 0).all()
        assert len(game.legal) == len(game.n_actions) == players
        np.testing.assert_allclose(game.table.successors().sum(axis=1), 1.0, atol=1e-12)

    def test_names_fit(self, name):
        game = make(name)
        if game.states is not None:
            assert len(set(game.states)) == game.n_states
        if game.actions is not None:
            assert tuple(map(len, game.actions)) == game.n_actions
            assert all(len(set(names)) == len(names) for names in game.actions)

    def test_no_spread_gives_the_game_itself(self, name):
        game, drawn = make(name), tasks(name, n=2, spread=0.0, seed=3)
        if "seed" in family(name).knobs:
            game = make(name, seed=3)
        for task in drawn:
            assert_same(task, game)

    def test_a_spread_gives_related_games(self, name):
        game, (one, other) = make(name), tasks(name, n=2, spread=0.1, seed=4)
        assert not same_rules(one, other)
        for task in (one, other):
            assert not same_rules(task, game)
            assert (task.n_states, task.n_actions) == (game.n_states, game.n_actions)
            assert (task.horizon, task.discount, task.kind) == (
                game.horizon,
                game.discount,
                game.kind,
            )
            assert task.states == game.states
            for mine, theirs in zip(task.legal, game.legal, strict=True):
                np.testing.assert_array_equal(mine, theirs)

    def test_the_widest_spread_gives_games(self, name):
        _, kind = OTHER_KINDS.get(name, (2, "zero-sum"))
        assert all(task.kind == kind for task in tasks(name, n=4, spread=1.0, seed=1))

    def test_tasks_depend_on_seed_and_number_alone(self, name):
        three = tasks(name, n=3, spread=0.1, seed=5)
        for task, again in zip(three, tasks(name, n=2, spread=0.1, seed=5), strict=False):
            assert_same(task, again)
        assert not same_rules(three[0], tasks(name, n=1, spread=0.1, seed=6)[0])

    def test_pickles(self, name):
        game = make(name)
        again = pickle.loads(pickle.dumps(game))
        assert_same(game, again)
        assert (again.name, again.states, again.actions) == (game.name, game.states, game.actions)
        if game.board is not None and game.states is not None:
            assert again.board(again.states[0]) == game.board(game.states[0])

    def test_boards_are_lines_of_equal_length(self, name):
        game = make(name)
        if game.board is None or game.states is None:
            pytest.skip("no board")
        shapes = set()
        for state in game.states:
            lines = game.board(state)
            assert all(isinstance(line, str) for line in lines)
            shapes.add((len(lines), *sorted({len(line) for line in lines})))
        assert len(shapes) == 1
        assert len(shapes.pop()) == 2

    def test_unknown_knobs_are_refused(self, name):
        knob = next(iter(family(name).knobs))
        with pytest.raises(ValueError, match=rf"did you mean '{knob}'\?.* Got '{knob}x' instead"):
            make(name, **{knob + "x": 1})

    def test_wrong_knobs_are_refused_in_one_sentence(self, name):
        for knob, wrong in itertools.product(family(name).knobs, WRONG):
            with pytest.raises((TypeError, ValueError), match=r"The '.*must be .* Got .*\.$"):
                make(name, **{knob: wrong})

    def test_families_refuse_wrong_knobs_too(self, name):
        drawn = family(name).vary(np.random.default_rng(0), 0.1, **family(name).knobs)
        own = (
            set(drawn) if name == "random" else set()
        )  # its noise is the spread, whatever is given
        for knob, wrong in itertools.product(set(family(name).knobs) - own, WRONG):
            with pytest.raises((TypeError, ValueError), match=r"The '.*must be .* Got .*\.$"):
                tasks(name, n=1, **{knob: wrong})


@pytest.mark.parametrize("known", KNOWN_GAMES, ids=lambda known: known.name)
def test_known_games_build(known):
    game = known.build()
    assert game.kind == "zero-sum"
    assert known.source
    assert known.n_states in (None, game.n_states)
    if known.policy is not None:
        first = int(game.initial.argmax())
        for mask, strategy in zip(game.legal, known.policy, strict=True):
            assert mask[first].sum() == len(strategy)
            assert abs(sum(strategy) - 1.0) < 1e-12


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rps", {"rounds": 1}),
        ("goofspiel", {"cards": 1}),
        ("goofspiel", {"hands": [(1, 2, 3), (2, 2)], "prizes": (5,)}),
        ("goofspiel", {"hands": [range(16), (1,)]}),
        ("goofspiel", {"prizes": (0, 0), "payoff": "win"}),
        ("goofspiel", {"prizes": (-1, 2.5, 1e-3), "payoff": "win", "order": "ascending"}),
        ("pursuit", {"size": 2, "horizon": 1}),
        ("pursuit", {"slip": 1.0, "pursuer_slip": 1.0}),
        ("soccer", {"rows": 1, "columns": 2}),
        ("soccer", {"rows": 2, "columns": 2}),
        ("soccer", {"rows": 3, "columns": 3, "discount": 0.0}),
        ("soccer", {"rows": 7, "columns": 4, "slip": (1.0, 0.3), "first": 0.0}),
        ("stopping", {"payoff": [[1, 2, 3]], "stop": [[1, 1, 0.1]]}),
        ("big-match", {"horizon": 3, "discount": 0.5}),
        ("tictactoe", {"prizes": (0, 0), "draw": -2}),
    ],
)
def test_unusual_sizes(name, options):
    game = make(name, **options)
    assert game.kind == "zero-sum"
    for task in tasks(name, n=2, spread=0.5, **options):
        assert task.n_states == game.n_states
        assert task.states == game.states
    if game.board is not None:
        assert len({len(line) for state in game.states for line in game.board(state)}) == 1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rps", {"rounds": 10**12}),
        ("goofspiel", {"cards": 12}),
        ("goofspiel", {"cards": 16, "payoff": "win", "prizes": np.linspace(1, 2, 16)}),
        ("pursuit", {"size": 10**4}),
        ("pursuit", {"horizon": 10**12}),
        ("soccer", {"rows": 10**6, "columns": 10**6}),
        ("big-match", {"horizon": 10**12}),
        ("bargaining", {"rounds": 10**9}),
        ("bargaining", {"pieces": 10**9}),
        ("matching-pennies", {"players": 10**400}),
        ("random", {"kind": "general-sum", "actions": (3,) * 30}),
        ("routing", {"drivers": 10**400}),
        ("safe-distancing", {"agents": 10**4}),
        ("stag-hunt", {"hunters": 10**10}),
    ],
)
def test_games_that_do_not_fit_are_refused(name, options):
    with pytest.raises(ValueError, match="of memory"):
        make(name, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("goofspiel", {"cards": 17}),
        ("goofspiel", {"prizes": (1, 2, 3, 4, 5)}),
        ("goofspiel", {"hands": [(1, 2)]}),
        ("goofspiel", {"payoff": "wins"}),
        ("pursuit", {"size": 1}),
        ("soccer", {"columns": 1}),
        ("soccer", {"discount": 1.0}),
        ("soccer", {"slip": (0.0, 1.5)}),
        ("stopping", {"stop": [[0.5, 0.0], [0.1, 0.1]]}),
        ("stopping", {"stop": [[0.5, 0.1]]}),
        ("stopping", {"payoff": [[1, 2], [3]]}),
        ("big-match", {"payoff": [[1, 2, 3], [4, 5, 6]]}),
        ("rps", {"weights": (1, 2)}),
        ("rps", {"weights": (1, 1, -1)}),
        ("bargaining", {"pieces": 1}),
        ("bargaining", {"patience": (0.5, 1.5)}),
        ("bargaining", {"pie": 0.0}),
        ("grid-game-1", {"discount": 1.0}),
        ("grid-game-2", {"barrier": 1.5}),
        ("grid-game-2", {"prizes": (1.0, -1.0)}),
        ("matching-pennies", {"players": 1}),
        ("matching-pennies", {"wins": (1.0, 0.0)}),
        ("matching-pennies", {"loss": -1.0}),
        ("prisoners", {"payoffs": (3, 5, 1, 0)}),
        ("prisoners", {"payoffs": (5, 3, 1, 1)}),
        ("prisoners", {"horizon": None}),
        ("random", {"actions": (2, 3, 4)}),
        ("random", {"actions": (), "kind": "potential"}),
        ("random", {"actions": (1,) * 31, "kind": "general-sum"}),
        ("routing", {"free": (1.0,)}),
        ("routing", {"slope": (1.0, 2.0)}),
        ("routing", {"severity": 0.5}),
        ("safe-distancing", {"weights": (1.0,)}),
        ("safe-distancing", {"weights": (1.0, -2.0)}),
        ("stag-hunt", {"hunters": 1}),
        ("stag-hunt", {"hare": 4.0}),
        ("stag-hunt", {"alone": 3.0}),
    ],
)
def test_impossible_knobs_are_refused(name, options):
    with pytest.raises(ValueError, match=r"The '.*must be .* Got .* instead\.$"):
        make(name, **options)


# --- rock-paper-scissors, stopping, the Big Match


def test_weighted_rps_pays_what_the_weights_say():
    _, reward = make("rps", weights=(2, 1, 1)).dense()
    np.testing.assert_array_equal(reward[0, 0], [[0, -1, 2], [1, 0, -1], [-2, 1, 0]])
    np.testing.assert_array_equal(reward[1], -reward[0])


def test_stopping_goes_on_or_ends():
    game = make("stopping")
    assert outcomes(game, "play", 1, 1) == (2.0, {"play": 0.5, "end": 0.5})
    assert outcomes(game, "play", 0, 1) == (0.0, {"play": 0.75, "end": 0.25})
    assert outcomes(game, "end", 0, 0) == (0.0, {"end": 1.0})


def test_stopping_tasks_still_stop():
    for task in tasks("stopping", n=20, spread=1.0):
        assert task.dense()[0][0, ..., 1].min() >= 0.05


def test_big_match_pays_the_stopped_round_for_ever():
    game = make("big-match", payoff=[[3, 5], [7, 11]])
    assert outcomes(game, "play", 0, 1) == (5.0, {"stopped right": 1.0})
    assert outcomes(game, "stopped right", 0, 0) == (5.0, {"stopped right": 1.0})
    assert outcomes(game, "stopped left", 0, 0) == (3.0, {"stopped left": 1.0})
    assert outcomes(game, "play", 1, 0) == (7.0, {"play": 1.0})
    assert make("big-match").discount == 0.9
    assert make("big-match", horizon=7).discount == 1.0


# --- goofspiel


@pytest.mark.parametrize("cards", [1, 2, 3, 4, 5])
def test_goofspiel_counts(cards):
    game = make("goofspiel", cards=cards)
    left = range(1, cards + 1)
    assert game.n_states == 1 + sum(comb(cards, k) ** 3 * k for k in left)
    assert game.table.n_rows == 1 + sum(comb(cards, k) ** 3 * k**3 for k in left)
    assert len(game.table.indices) == 1 + sum(
        comb(cards, k) ** 3 * k**3 * max(k - 1, 1) for k in left
    )
    assert game.horizon == cards


def test_goofspiel_keeps_reachable_states_only():
    game = make("goofspiel", cards=6, order="descending", payoff="win")
    assert game.n_states == 10_300  # of 27 845 with every lead that could be thought of
    assert len(game.nodes.states) == game.n_states - 1  # the end comes after the last step


def goofspiel_rules(hands, prizes, order, payoff):
    """The same game, state by state: an independent telling of the rules."""
    n = len(prizes)
    turns = sorted(range(n), key=lambda k: prizes[k], reverse=order == "descending")

    def shown(first, second, left, lead):
        if not left:
            return {"end": 1.0}
        picks = left if order == "random" else [turns[n - len(left)]]
        lead = () if payoff == "points" else (lead,)
        return {
            (first, second, p + 1, tuple(q + 1 for q in left if q != p), *lead): 1 / len(picks)
            for p in picks
        }

    def legal(state):
        return [[0], [0]] if state == "end" else [[c - 1 for c in hand] for hand in state[:2]]

    def step(state, joint):
        if state == "end":
            return [(1.0, "end", (0.0, 0.0))]
        first, second, prize, others, *lead = state
        bids = [hand[a] for hand, a in zip(hands, joint, strict=True)]
        gain = prizes[prize - 1] * ((bids[0] > bids[1]) - (bids[0] < bids[1]))
        total = gain + sum(lead)
        pay = gain
        if payoff == "win":
            pay = 0 if others else (total > 0) - (total < 0)
        after = [
            tuple(c for c in hand if c != a + 1)
            for hand, a in zip((first, second), joint, strict=True)
        ]
        following = shown(*after, tuple(q - 1 for q in others), total)
        return [(chance, name, (pay, -pay)) for name, chance in following.items()]

    everything = (tuple(range(1, len(hand) + 1)) for hand in hands)
    start = shown(*everything, tuple(range(n)), 0.0)
    return from_rules(start, legal, step, [len(hand) for hand in hands], horizon=n)


@pytest.mark.parametrize(
    ("hands", "prizes", "order", "payoff"),
    [
        ([(1, 2, 3)] * 2, (1, 2, 3), "random", "points"),
        ([(1, 2, 3, 4)] * 2, (1, 2, 3, 4), "descending", "win"),
        ([(1, 2, 3)] * 2, (1, 2, 3), "random", "win"),
        ([(1, 3, 3, 7), (2, 3, 5)], (4, 1, 4), "ascending", "points"),
        ([(5, 1), (2, 9, 4)], (2, 6), "random", "win"),
    ],
)
def test_goofspiel_follows_its_rules(hands, prizes, order, payoff):
    game = make("goofspiel", hands=hands, prizes=prizes, order=order, payoff=payoff)
    rules = goofspiel_rules(hands, prizes, order, payoff)
    assert set(game.states) == set(rules.states)
    np.testing.assert_allclose(
        game.initial, rules.initial[[rules.states.index(name) for name in game.states]]
    )
    for state in game.states:
        k = game.states.index(state)
        for joint in itertools.product(*(np.flatnonzero(mask[k]).tolist() for mask in game.legal)):
            assert outcomes(game, state, *joint) == outcomes(rules, state, *joint)


def test_goofspiel_by_hand():
    game = make("goofspiel", cards=3)
    start = ((1, 2, 3), (1, 2, 3), 2, (1, 3))
    assert game.initial[game.states.index(start)] == pytest.approx(1 / 3)
    assert outcomes(game, start, 2, 0) == (
        2.0,
        {((1, 2), (2, 3), 1, (3,)): 0.5, ((1, 2), (2, 3), 3, (1,)): 0.5},
    )
    assert outcomes(game, start, 1, 1)[0] == 0.0  # nobody gets the prize
    assert outcomes(game, ((1,), (2,), 3, ()), 0, 1) == (-3.0, {"end": 1.0})
    assert game.board(start) == ["A 1  2  3 ", "B 1  2  3 ", "$ 1 [2] 3 "]


def test_goofspiel_stakes_and_ties_of_rounded_totals():
    whole = make("goofspiel", prizes=(1, 2, 3), order="given", payoff="win", stakes=(5, 7))
    tenths = make("goofspiel", prizes=(0.1, 0.2, 0.3), order="given", payoff="win", stakes=(5, 7))
    np.testing.assert_array_equal(whole.table.reward, tenths.table.reward)
    np.testing.assert_array_equal(whole.table.indices, tenths.table.indices)
    assert set(whole.table.reward[0]) == {-7.0, 0.0, 5.0}


def test_large_goofspiel_is_lean():
    game = make("goofspiel", cards=6, payoff="win")
    assert game.states is None
    assert game.n_states == 397_453


# --- soccer and pursuit


@pytest.mark.parametrize(("rows", "columns"), [(2, 5), (4, 3), (3, 4)])
def test_soccer_is_symmetric(rows, columns):
    """Turning the field by 180 degrees and swapping the players gives the same game."""
    game = make("soccer", rows=rows, columns=columns, slip=(0.1, 0.1))
    transition, reward = game.dense()

    def turned(cell):
        return rows - 1 - cell[0], columns - 1 - cell[1]

    images = [
        game.states.index((turned(s[1]), turned(s[0]), 1 - s[2]) if s != "end" else s)
        for s in game.states
    ]
    moves = [1, 0, 3, 2, 4]
    mirrored = transition[np.ix_(images, moves, moves, images)].swapaxes(1, 2)
    np.testing.assert_allclose(transition[:-1], mirrored[:-1], atol=1e-15)
    payoffs = reward[0][np.ix_(images, moves, moves)].swapaxes(1, 2)
    np.testing.assert_allclose(reward[0], -payoffs, atol=1e-15)
    np.testing.assert_allclose(game.initial, game.initial[images])


def test_soccer_by_hand():
    north, south, east, west, stand = range(5)
    game = make("soccer", prizes=(2.0, 3.0))
    start = ((1, 3), (2, 1), 0)
    assert game.initial[game.states.index(start)] == 0.5
    assert game.n_states == 761
    assert game.board(start) == [".....", "...A.", ".b...", "....."]
    assert outcomes(game, start, north, stand) == (0.0, {((0, 3), (2, 1), 0): 1.0})
    assert outcomes(game, ((1, 0), (2, 1), 0), west, stand) == (2.0, {"end": 1.0})
    assert outcomes(game, ((1, 0), (2, 4), 1), west, east) == (-3.0, {"end": 1.0})
    away_from_the_goal = ((0, 0), (2, 1), 0)
    assert outcomes(game, away_from_the_goal, west, stand) == (0.0, {away_from_the_goal: 1.0})
    run_in = ((1, 2), (1, 1), 0)
    assert outcomes(game, run_in, west, stand) == (0.0, {((1, 2), (1, 1), 1): 1.0})
    # A leads: it bumps and loses the ball, then B goes on; B leads: it leaves, then A moves in.
    assert outcomes(game, run_in, west, south) == (
        0.0,
        {((1, 2), (2, 1), 1): 0.5, ((1, 1), (2, 1), 0): 0.5},
    )
    # B leads: it runs into A, which scores with the ball it got; A leads: too early by one move.
    assert outcomes(game, ((1, 0), (1, 1), 1), west, west) == (
        1.0,
        {"end": 0.5, ((1, 0), (1, 1), 0): 0.5},
    )
    # Both run into each other: the ball goes to who led, and who follows loses it again.
    assert outcomes(game, ((1, 0), (1, 1), 1), east, west) == (
        0.0,
        {((1, 0), (1, 1), 0): 0.5, ((1, 0), (1, 1), 1): 0.5},
    )


def test_soccer_slips():
    north, south, east, west, stand = range(5)
    game, sure = make("soccer", slip=(0.25, 0.5), first=1.0), make("soccer")
    start = ((1, 3), (2, 1), 0)
    assert outcomes(game, start, north, south) == (
        0.0,
        {
            ((0, 3), (3, 1), 0): 0.375,
            ((0, 3), (2, 1), 0): 0.375,
            ((1, 3), (3, 1), 0): 0.125,
            ((1, 3), (2, 1), 0): 0.125,
        },
    )
    always = make("soccer", slip=(1.0, 0.0))
    assert outcomes(always, start, west, east) == outcomes(sure, start, stand, east)


def test_pursuit_by_hand():
    north, south, east, west, stand = range(5)
    game = make("pursuit", slip=0.25, prize=8.0)
    start = ((0, 0), (3, 3))
    assert game.initial[game.states.index(start)] == 1.0
    assert game.board(start) == ["P...", "....", "....", "...E"]
    assert outcomes(game, start, north, west) == (
        0.0,
        {((0, 0), (3, 2)): 0.75, ((0, 0), (3, 3)): 0.25},
    )
    # Changing places is a catch, and so is moving onto an evader that slips.
    assert outcomes(game, ((1, 1), (1, 2)), east, west) == (8.0, {"end": 1.0})
    assert outcomes(game, ((1, 1), (1, 2)), east, north) == (
        2.0,
        {((1, 2), (0, 2)): 0.75, "end": 0.25},
    )
    assert outcomes(game, ((1, 1), (1, 2)), stand, south)[0] == 0.0


# --- tic-tac-toe


def test_tictactoe_by_hand():
    game = make("tictactoe", prizes=(2.0, 3.0), draw=0.5)
    assert game.n_states == 5478
    assert not game.nodes.cyclic
    wait = 9
    assert outcomes(game, "." * 9, 4, wait) == (0.0, {"....X....": 1.0})
    assert outcomes(game, "XX.OO....", 2, wait) == (2.0, {"XXXOO....": 1.0})
    assert outcomes(game, "XX.OO...X", wait, 5) == (-3.0, {"XX.OOO..X": 1.0})
    assert outcomes(game, "XOXXOO.XO", 6, wait)[0] == 2.0  # the last cell completes a column
    assert outcomes(game, "XOXXOOO.X", 7, wait) == (0.5, {"XOXXOOOXX": 1.0})
    assert outcomes(game, "XXXOO....", wait, wait) == (0.0, {"XXXOO....": 1.0})
    turns = sum(mask[:, :9].any(1).astype(int) for mask in game.legal)
    assert set(turns.tolist()) == {0, 1}
    assert game.board("XX.OO....") == ["XX.", "OO.", "..."]
