"""Tiers: the low ones never pay, identical ones end regret, wrong ones are found out."""

import numpy as np
import pytest

import metamarl as mm


def random_tier(seed, S=3, A=3, H=5, lowest=0.1, highest=1.0):
    """Rewards and transitions with gaps of at least 0.1."""
    rng = np.random.default_rng(seed)
    R = lowest + (highest - lowest) * rng.random((H, S, A))
    P = rng.integers(1, 10, (H, S, A, S)).astype(float)
    P /= P.sum(-1, keepdims=True)
    V = np.zeros(S)
    for h in reversed(range(H)):
        Q = R[h] + P[h] @ V
        V = Q.max(1)
        short = np.where(V[:, None] > Q, np.maximum(0.1 - (V[:, None] - Q), 0.0), 0.0)
        R[h] -= short
    return R, P


def tier(R, P, **options):
    return mm.MarkovGame(P, R[None], horizon=len(R), **options)


SAME = tier(*random_tier(0))


def test_identical_tasks_end_regret():
    published = mm.RobustTransfer(evidence=None)
    run = mm.tiered([SAME], SAME, published, episodes=30_000)
    high = run.regret_high
    assert high.shape == (30_000,)
    assert run.regret_low.shape == (1, 30_000)
    assert high[20_000] == high[-1] < 0.8 * run.regret_low[0, -1]


@pytest.mark.parametrize("agent", ["none", "naive", "robust", "pessimistic", "oracle"])
def test_low_tier_is_alone(agent):
    other = tier(*random_tier(1))
    run = mm.tiered([other, SAME], SAME, agent, episodes=2000)
    alone = mm.tiered([other, other], other, "none", episodes=2000)
    np.testing.assert_array_equal(run.regret_low[0], alone.regret_low[0])
