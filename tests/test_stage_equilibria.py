"""Equilibria of games in normal form: known games, laws, the gaps' own verdict, bad input."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_evaluation import CLOCKS, random_game

import metamarl as mm
from metamarl.envs import MarkovGame

FAST = settings(deadline=None, max_examples=40, derandomize=True)
SENTENCE = r"The '\S+' parameter of \w+ must be .+\. Got .+ instead\."


def bimatrix(rows):
    """`(2, k_1, k_2)` from rows of pairs."""
    return np.moveaxis(np.array(rows, float), -1, 0)


def zero_sum(matrix):
    return np.stack([np.array(matrix, float), -np.array(matrix, float)])


PRISONERS = bimatrix([[(3, 3), (0, 5)], [(5, 0), (1, 1)]])
CHICKEN = bimatrix([[(6, 6), (2, 7)], [(7, 2), (0, 0)]])
BATTLE = bimatrix([[(2, 1), (0, 0)], [(0, 0), (1, 2)]])
PENNIES = zero_sum([[1, -1], [-1, 1]])
RPS = zero_sum([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
_SIGNS = np.array([1.0, -1.0])
JORDAN = np.stack(  # each matches the next one, but for the last, who wants to differ
    [
        np.einsum("a,b,c->abc", _SIGNS, _SIGNS, _SIGNS**2),
        np.einsum("a,b,c->abc", _SIGNS**2, _SIGNS, _SIGNS),
        -np.einsum("a,b,c->abc", _SIGNS, _SIGNS**2, _SIGNS),
    ]
)


def as_game(payoffs):
    """The game in normal form as a Markov game of one step."""
    shape = payoffs.shape[1:]
    return MarkovGame(np.ones((1, *shape, 1)), payoffs[:, None], horizon=1)


def gaps(payoffs, joint):
    """Gaps of a joint distribution: (coarse correlated, correlated)."""
    game, policy = as_game(payoffs), mm.CorrelatedPolicy(joint[None, None])
    return mm.cce_gap(game, policy), mm.ce_gap(game, policy)


def span(payoffs):
    return np.ptp(payoffs) or 1.0


def close(one, other, tolerance=1e-9):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


# --- known games


def test_prisoners_have_one_equilibrium_of_any_kind():
    assert mm.pure_equilibria(PRISONERS).tolist() == [[1, 1]]
    ((x, y),) = mm.two_player_equilibria(PRISONERS)
    assert (x.tolist(), y.tolist()) == ([0.0, 1.0], [0.0, 1.0])
    for ranged in (mm.ce_range, mm.cce_range):
        for weights in (None, (1, 0), (0, 1), (1, -2)):
            found = ranged(PRISONERS, weights)
            close([found.lowest, found.highest], [[[0, 0], [0, 1]]] * 2)
            value = np.sum((1, 1) if weights is None else weights)
            close([found.smallest, found.largest], [value, value])


def test_chicken_as_aumann_has_it():
    """Aumann 1974: (6, 6) with 1/2, (2, 7) and (7, 2) with 1/4 each; both kinds agree in 2 x 2."""
    for ranged in (mm.ce_range, mm.cce_range):
        found = ranged(CHICKEN)
        close(found.largest, 10.5)
        close(found.highest, [[0.5, 0.25], [0.25, 0.0]])
        close(found.smallest, 7.2)  # the two who swerve alone with 2/5 each, the crash with 1/5
        close(found.lowest, [[0.0, 0.4], [0.4, 0.2]])
        one = ranged(CHICKEN, [1, 0])
        close([one.smallest, one.largest], [2.0, 7.0])
    equilibria = mm.two_player_equilibria(CHICKEN)
    assert mm.pure_equilibria(CHICKEN).tolist() == [[0, 1], [1, 0]]
    close(equilibria[2], [[2 / 3, 1 / 3]] * 2)
    assert len(equilibria) == 3


def test_battle_of_the_sexes():
    equilibria = mm.two_player_equilibria(BATTLE)
    close(equilibria, [[[1, 0], [1, 0]], [[0, 1], [0, 1]], [[2 / 3, 1 / 3], [1 / 3, 2 / 3]]])
    found = mm.ce_range(BATTLE, [1, 0])
    close([found.smallest, found.largest], [2 / 3, 2.0])
    found = mm.ce_range(BATTLE)
    close([found.smallest, found.largest], [4 / 3, 3.0])


@pytest.mark.parametrize("payoffs", [PENNIES, RPS], ids=["pennies", "rps"])
def test_zero_sum_games_have_one_value(payoffs):
    k = payoffs.shape[1]
    assert mm.pure_equilibria(payoffs).shape == (0, 2)
    close(mm.two_player_equilibria(payoffs), [np.full((2, k), 1 / k)])
    for ranged in (mm.ce_range, mm.cce_range):
        found = ranged(payoffs, [1, 0])
        close([found.smallest, found.largest], [0.0, 0.0])
        close([found.lowest.sum(0), found.highest.sum(1)], np.full((2, k), 1 / k))


def test_coarse_equilibria_of_rps_need_not_be_products():
    """Never a draw, every other profile alike: no constant answer gains, answers to words do."""
    joint = (1 - np.eye(3)) / 6
    assert gaps(RPS, joint)[0] == pytest.approx(0.0, abs=1e-12)
    assert gaps(RPS, joint)[1] > 0.4
    draws = (RPS[0] == 0).astype(float)
    both = np.stack([RPS[0] - 0.1 * draws, -RPS[0] - 0.1 * draws])  # draws cost both a little
    assert mm.cce_range(both).largest == pytest.approx(0.0)
    assert mm.ce_range(both).largest < -0.01


def test_matching_pennies_of_three():
    """Jordan 1993: one Nash equilibrium, half and half. Correlated ones are many (not one): the
    first two may agree always, for all the third one knows.
    """
    assert len(mm.pure_equilibria(JORDAN)) == 0
    assert gaps(JORDAN, np.full((2, 2, 2), 1 / 8)) == (0.0, 0.0)
    agreed = np.zeros((2, 2, 2))
    agreed[0, 0] = agreed[1, 1] = 1 / 4
    assert gaps(JORDAN, agreed) == (0.0, 0.0)
    for ranged in (mm.ce_range, mm.cce_range):
        found = ranged(JORDAN)
        close([found.smallest, found.largest], [0.0, 1.0])
        for weights in np.eye(3):
            assert ranged(JORDAN, weights).smallest == pytest.approx(0.0, abs=1e-9)


def test_one_player_only_takes_the_best():
    found = mm.cce_range([[1.0, 3.0, 2.0]])
    close([found.smallest, found.largest], [3.0, 3.0])
    assert mm.pure_equilibria([[1.0, 3.0, 3.0]]).tolist() == [[1], [2]]


def test_games_where_nothing_matters():
    flat = np.full((2, 2, 3), 4.0)
    assert len(mm.pure_equilibria(flat)) == 6
    for ranged in (mm.ce_range, mm.cce_range):
        found = ranged(flat)
        assert found.smallest == found.largest == pytest.approx(8.0)
    assert all(x.sum() == y.sum() == 1.0 for x, y in mm.two_player_equilibria(flat))


def test_gains_up_to_a_tolerance():
    payoffs = np.array([[1.0, 1.0 + 1e-12, 0.0]])
    assert mm.pure_equilibria(payoffs).tolist() == [[1]]
    assert mm.pure_equilibria(payoffs, tol=1e-9).tolist() == [[0], [1]]


# --- laws


@st.composite
def normal_forms(draw, shapes=((2, 2), (3, 3), (2, 4), (2, 2, 2), (2, 3, 2))):
    shape = draw(st.sampled_from(shapes))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    if draw(st.booleans()):  # ties
        payoffs = rng.integers(0, 3, size=(len(shape), *shape)).astype(float)
    else:
        payoffs = rng.normal(size=(len(shape), *shape)) * 10.0 ** rng.integers(-3, 4)
    return payoffs, rng.normal(size=len(shape))


@FAST
@given(normal_forms())
def test_the_sets_nest(situation):
    payoffs, weights = situation
    inner, outer = mm.ce_range(payoffs, weights), mm.cce_range(payoffs, weights)
    slack = 1e-8 * span(payoffs)
    assert outer.smallest - slack <= inner.smallest <= inner.largest + slack
    assert inner.largest <= outer.largest + slack
    for profile in mm.pure_equilibria(payoffs):
        joint = np.zeros(payoffs.shape[1:])
        joint[tuple(profile)] = 1.0
        assert gaps(payoffs, joint) == (0.0, 0.0)
        value = weights @ payoffs[(slice(None), *profile)]
        assert inner.smallest - slack <= value <= inner.largest + slack


@FAST
@given(normal_forms(shapes=((2, 2), (3, 3), (2, 4), (4, 3))))
def test_equilibria_of_two_players(situation):
    payoffs, weights = situation
    equilibria, found = mm.two_player_equilibria(payoffs), mm.ce_range(payoffs, weights)
    slack = 1e-8 * span(payoffs)
    pure = [(int(x.argmax()), int(y.argmax())) for x, y in equilibria if x.max() == y.max() == 1.0]
    assert pure == [tuple(profile) for profile in mm.pure_equilibria(payoffs)]
    for x, y in equilibria:
        assert mm.nash_gap(as_game(payoffs), mm.JointPolicy([x[None, None], y[None, None]])) < slack
        value = weights @ [x @ u @ y for u in payoffs]
        assert found.smallest - slack <= value <= found.largest + slack
    if (payoffs % 1).any():  # almost surely nondegenerate (Wilson 1971)
        assert len(equilibria) % 2 == 1


@FAST
@given(normal_forms())
def test_the_gaps_agree(situation):
    """The extreme points are equilibria, and whatever is worth more than the largest is none."""
    payoffs, weights = situation
    total = np.tensordot(weights, payoffs, 1)
    for k, ranged in enumerate((mm.cce_range, mm.ce_range)):
        found = ranged(payoffs, weights)
        for joint, value, sign in (
            (found.lowest, found.smallest, -1.0),
            (found.highest, found.largest, 1.0),
        ):
            assert joint.min() >= 0.0
            assert joint.sum() == pytest.approx(1.0)
            assert (joint * total).sum() == pytest.approx(value)
            assert gaps(payoffs, joint)[k] <= 1e-8 * span(payoffs)
            best = np.zeros(total.shape)
            best.flat[(sign * total).argmax()] = 1.0
            beyond = 0.9 * joint + 0.1 * best
            if sign * (total * best).sum() > sign * value + 1e-3 * span(total):
                assert gaps(payoffs, beyond)[k] > 1e-7 * span(payoffs)


@FAST
@given(normal_forms(), st.floats(0.01, 100), st.floats(-5, 5))
def test_ranges_scale_and_shift(situation, scale, shift):
    payoffs, weights = situation
    for ranged in (mm.cce_range, mm.ce_range):
        one, two = ranged(payoffs, weights), ranged(scale * payoffs + shift, weights)
        slack = 1e-7 * (scale * span(payoffs) + abs(shift))
        moved = shift * weights.sum()
        assert two.smallest == pytest.approx(scale * one.smallest + moved, abs=slack)
        assert two.largest == pytest.approx(scale * one.largest + moved, abs=slack)


# --- stage games


@pytest.mark.parametrize("n_actions", [(3,), (2, 3), (2, 2, 3)])
@pytest.mark.parametrize("kind", CLOCKS)
def test_stages_of_markov_games(kind, n_actions):
    arguments = random_game(kind, n_actions, seed=2)
    game, n = MarkovGame(**arguments), len(n_actions)
    values = np.random.default_rng(3).normal(size=(n, 4))
    timed = kind.startswith("timed")
    for state in range(4):
        for step in range(4) if timed else [None]:
            P = arguments["transition"][step] if timed else arguments["transition"]
            R = arguments["reward"][:, step] if timed else arguments["reward"]
            full = R[:, state] + game.discount * np.moveaxis(P[state] @ values.T, -1, 0)
            legal = [np.flatnonzero(mask[state]) for mask in game.legal]
            close(
                mm.stage_payoffs(game, state, step, values),
                full[np.ix_(range(n), *legal)],
                1e-12,
            )
            close(mm.stage_payoffs(game, state, step), R[:, state][np.ix_(range(n), *legal)], 0)


def test_the_last_stage_of_a_repeated_game_is_the_game():
    game = MarkovGame(np.ones((1, 2, 2, 1)), PRISONERS[:, None], horizon=5)
    close(mm.stage_payoffs(game, 0), PRISONERS)
    close(mm.stage_payoffs(game, 0, 3), PRISONERS)
    close(
        mm.stage_payoffs(game, 0, values=[[2.0], [-1.0]]), PRISONERS + np.array([[[2.0]], [[-1.0]]])
    )


# --- bad input


@pytest.mark.parametrize(
    "use", [mm.pure_equilibria, mm.two_player_equilibria, mm.ce_range, mm.cce_range]
)
def test_bad_payoffs_get_one_sentence(use):
    for payoffs in (
        5.0, [1.0, 2.0], np.ones((3, 2, 2)), np.ones((2, 2)), np.ones((2, 2, 0)), np.ones((0,)),
        "x", [[1.0], [1.0, 2.0]], None, np.full((2, 2, 2), np.nan), PENNIES * np.inf,
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=r"^The 'payoffs' parameter of") as error:
            use(payoffs)
        assert re.fullmatch(SENTENCE, str(error.value))
    payoffs = JORDAN.copy() if use is not mm.two_player_equilibria else PENNIES.copy()
    payoffs[1, 0, 1] = np.inf
    with pytest.raises(ValueError, match=r"Got inf for player 1 at \(0, 1"):
        use(payoffs)


def test_two_players_are_two():
    with pytest.raises(ValueError, match="must be of two players"):
        mm.two_player_equilibria(JORDAN)
    with pytest.raises(ValueError, match="pairs of supports"):
        mm.two_player_equilibria(np.ones((2, 40, 40)))


def test_bad_weights_and_tolerances():
    for weights in ([1.0], [1.0, np.nan], "x", [[1.0, 1.0]], 3):
        with pytest.raises((TypeError, ValueError), match=r"^The 'weights' parameter of cce_range"):
            mm.cce_range(PENNIES, weights)
    for tol in (-1, np.nan, "x", None):
        with pytest.raises((TypeError, ValueError), match=r"^The 'tol' parameter of pure_eq"):
            mm.pure_equilibria(PENNIES, tol)


def test_bad_stages():
    game, timed = MarkovGame(**random_game("steps", (2, 2))), random_game("timed", (2, 2))
    endless = MarkovGame(**random_game("discounted", (2, 2)))
    for name, arguments in (
        ("state", (game, 4)),
        ("state", (game, -1)),
        ("state", (game, "0")),
        ("step", (game, 0, 4)),
        ("step", (game, 0, 0.5)),
        ("step", (endless, 0, 0)),
        ("step", (MarkovGame(**timed), 0)),
        ("values", (game, 0, 0, [1.0, 2.0])),
        ("values", (game, 0, 0, np.full((2, 4), np.nan))),
        ("values", (game, 0, 0, "x")),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^The '{name}' parameter") as error:
            mm.stage_payoffs(*arguments)
        assert re.fullmatch(SENTENCE, str(error.value))
