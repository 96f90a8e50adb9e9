"""The kernels of tiers against plain NumPy, and every branch of Trust till Failure by hand."""

import numpy as np
import pytest
from plain_tiers import SplitMix, Task, run, stream, trust_till_failure

import metamarl as mm
from metamarl import _tiers_kernel as kernel


def random_tier(seed, S=3, A=2, H=3, *, discount=1.0, masked=False, timed=True):
    rng = np.random.default_rng(seed)
    shape = (H, S, A) if timed else (S, A)
    legal = np.ones((S, A), bool)
    if masked:
        legal = rng.random((S, A)) < 0.6
        legal[np.arange(S), rng.integers(0, A, S)] = True
    P = rng.dirichlet(np.full(S, 0.4), shape)
    return P, rng.random(shape)[None], {"horizon": H, "discount": discount, "legal": [legal]}


def games(count, *, discount=1.0, masked=False, timed=True, **sizes):
    """Tasks with the same legal actions; the first two are the same."""
    _, _, options = random_tier(0, discount=discount, masked=masked, **sizes)
    drawn = [random_tier(max(w, 1), timed=timed, **sizes)[:2] for w in range(count)]
    return [mm.MarkovGame(P, R, **options) for P, R in drawn]


AGENTS = {
    "naive": mm.NaiveTransfer(occupancy=0.9),
    "published": mm.RobustTransfer(evidence=None, slack=0.02),
    "delayed": mm.RobustTransfer(evidence=None, delay=30, correction=1.0),
    "default": mm.RobustTransfer(power=0.4, evidence=1.0),
}
CASES = {
    "one source": {"count": 2},
    "three sources": {"count": 4, "A": 3},
    "discounted": {"count": 3, "discount": 0.8},
    "masked": {"count": 3, "A": 4, "masked": True},
    "one step": {"count": 2, "H": 1},
    "one state": {"count": 2, "S": 1},
    "one action": {"count": 2, "A": 1},
    "homogeneous": {"count": 2, "timed": False},
}


@pytest.mark.parametrize("bonus", ["bernstein", "strong-euler"])
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("case", CASES)
def test_runs_against_numpy(case, agent, bonus):
    high, *low = games(**CASES[case])
    c = 0.1  # bounds that leave the clips, and so decide something, within few episodes
    expected, trust = run(low, high, AGENTS[agent], 60, 3, bonus, c)
    found = mm.tiered(low, high, AGENTS[agent], 60, 3, bonus=bonus, coefficient=c)
    increments = np.diff(np.vstack([found.regret_low, found.regret_high]), prepend=0.0)
    np.testing.assert_allclose(increments, expected, atol=1e-9)
    np.testing.assert_array_equal(found.trust[-1], trust)


def test_the_cases_above_trust_and_distrust():
    """They would show nothing if no source were ever followed, or always."""
    high, *low = games(**CASES["three sources"])
    followed = set()
    for agent in AGENTS.values():
        trust = mm.tiered(low, high, agent, 60, 3, coefficient=0.1).trust
        assert (trust >= 0).any()
        assert (trust < 0).any()
        followed |= set(np.unique(trust))
    assert followed == {-1, 0, 1, 2}


@pytest.mark.parametrize("bonus", ["bernstein", "strong-euler"])
@pytest.mark.parametrize("case", ["three sources", "masked"])
def test_pessimistic_and_oracle_against_numpy(case, bonus):
    _, high, *low = games(**CASES[case] | {"count": 5})
    known = np.where(mm.diagnose_tiers(low, high, slack=0.1).covered, best_actions(high), -1)
    assert (known >= 0).any()
    assert (known < 0).any()
    for agent in (mm.PessimisticTransfer(), mm.OracleTransfer(slack=0.1)):
        oracle = known if agent.name == "oracle" else None
        expected, _ = run(low, high, agent, 60, 1, bonus, 0.1, oracle)
        found = mm.tiered(low, high, agent, 60, 1, bonus=bonus, coefficient=0.1)
        np.testing.assert_allclose(np.diff(found.regret_high, prepend=0.0), expected[-1], atol=1e-9)


def best_actions(game):
    """Positions of the optimal actions among the legal ones."""
    task = Task(game, None)
    best = np.zeros((task.H, task.S), int)
    for h, s in np.ndindex(best.shape):
        Q = task.R[h, s] + task.discount * task.P[h, s] @ task.optimal[h + 1]
        best[h, s] = Q[task.legal[s]].argmax()
    return best


def test_random_numbers():
    """The first numbers of SplitMix64 from seed 1234567 (Vigna's splitmix64.c)."""
    first = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    states, plain = np.array([1234567], np.uint64), SplitMix(1234567)
    for number in first:
        drawn = kernel.draw(states, 0)
        assert drawn == plain() == (number >> 11) / 2**53


def test_streams_do_not_depend_on_each_other():
    from metamarl.tier_recorder import streams

    assert streams(5, 3).tolist() == [*(stream(5, p).state for p in (1, 2)), stream(5, 0).state]
    assert streams(5, 6)[:2].tolist() == streams(5, 3)[:2].tolist()
    assert streams(5, 6)[-1] == streams(5, 3)[-1]
    assert len(np.unique([streams(s, 6) for s in range(9)])) == 54


@pytest.mark.parametrize(
    ("feasible", "advice", "source", "action", "expected"),
    [
        ([1, 1, 1], [0, 1, 2], 1, 1, 1),  # trusted, and still feasible: kept
        ([1, 1, 1], [0, 2, 2], 1, 1, 1),  # even where its advice has changed
        ([1, 0, 1], [0, 1, 1], 1, 1, 2),  # failed: the first one with the same advice,
        ([0, 0, 1], [1, 1, 1], 1, 1, 2),  # which is feasible itself,
        ([1, 0, 1], [0, 1, 2], 1, 1, 0),  # else the first feasible one
        ([0, 0, 1], [1, 1, 0], 1, 1, 2),
        ([0, 0, 0], [1, 1, 1], 1, 1, -1),  # nobody left
        ([0, 1, 1], [0, 0, 1], -1, -1, 1),  # nobody trusted before: the first feasible one
        ([0, 0, 0], [0, 0, 1], -1, -1, -1),
        ([1], [0], 0, 0, 0),
        ([0], [0], 0, 0, -1),
    ],
)
def test_trust_till_failure(feasible, advice, source, action, expected):
    mask, said = np.array(feasible, bool), np.array(advice)
    assert kernel.pick(mask, said, source, action) == expected
    assert trust_till_failure(np.flatnonzero(mask).tolist(), said, source, action) == expected


def test_regret_is_where_it_was_lost():
    """By hand: two steps, two states; the wrong first action costs 0.3 and leads astray."""
    first, gaps = np.array([0, 2, 4]), np.array([[0.0, 0.3, 0.0, 0.1], [0.0, 0.5, 0.2, 0.0]])
    transition = np.zeros((2, 4, 2))
    transition[0, [0, 1, 2, 3], [0, 1, 1, 1]] = 1.0
    transition[1, :, 0] = 1.0
    by_state = np.full((2, 2), np.nan)
    policy = np.array([[1, 0], [1, 0]])
    for discount in (1.0, 0.5):
        args = np.array([0.75, 0.25]), discount, policy, np.zeros(2), np.zeros(2), by_state
        total = kernel.lost(first, transition, gaps, *args)
        np.testing.assert_allclose(by_state, [[0.225, 0.0], [0.0, discount * 0.2]])
        assert total == pytest.approx(0.225 + discount * 0.2)


@pytest.mark.parametrize("seed", range(5))
def test_estimates_are_as_good_as_they_say(seed):
    """Plug-in values lie around what the policy is worth, within some standard deviations."""
    (game,) = games(1, S=4, A=3, H=4)
    rng = np.random.default_rng(seed)
    task, errors = Task(game, rng.random), []
    for _ in range(1000):
        task.play(rng.integers(0, 3, (4, 4)))
    _, _, estimate, variance, _, safe, _ = task.plan(np.log(1e4), "bernstein", 0.5)
    values = np.zeros((5, 4))
    for h in reversed(range(4)):
        rows = np.arange(4), safe[h]
        values[h] = task.R[h][rows] + task.P[h][rows] @ values[h + 1]
    assert (variance[-2:] == 0).all()  # rewards are known
    errors = (estimate - values)[:-2] / np.sqrt(variance[:-2])
    assert 0.1 < np.sqrt((errors**2).mean()) < 2.0
    assert np.abs(errors).max() < 4.0
