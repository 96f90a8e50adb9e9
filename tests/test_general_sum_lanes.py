"""Nodes of general-sum games side by side, and in threads: neither may change the answers."""

import numpy as np
import pytest
from test_evaluation import CLOCKS, random_game, random_policy

from metamarl.algorithms import _general_sum_run, backward
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.policy import JointPolicy
from metamarl.envs import MarkovGame

SIZES = [(3,), (1,), (3, 1), (1, 4), (1, 1), (2, 3), (2, 1, 3), (2, 2, 2, 2)]


def played(game, start, times, **options):
    """A run after so many iterations, cut in odd places."""
    run = OptimisticMirrorDescent(**options).start(game, JointPolicy(start).flat(game))
    while times:
        times -= run.advance(min(times, 7))
    return run


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", CLOCKS)
def test_lanes_against_nodes_alone(kind, sizes, monkeypatch):
    """Masks make shapes of all sizes: blocks that are full, padded, and of a single node."""
    for masked, options in (
        (True, {"step_size": 0.3}),
        (False, {"optimism": False, "first_values": "policy"}),
        (True, {"step_size": 0.3, "equilibrium": "ce"}),
        (False, {"step_size": 0.3, "equilibrium": "ce", "optimism": False}),
    ):
        arguments = random_game(kind, sizes, 3, 6, masked=masked)
        game, start = MarkovGame(**arguments), random_policy(arguments, 4)
        runs = [played(game, start, 40, **options)]
        with monkeypatch.context() as patch:
            patch.setattr(_general_sum_run, "ROOM", 0)
            runs.append(played(game, start, 40, **options))
        blocks, alone = (sum(len(part[k]) for part in run.parts) for k, run in enumerate(runs))
        assert blocks <= alone == len(game.nodes.states)
        np.testing.assert_allclose(runs[0].policy(), runs[1].policy(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(runs[0].V, runs[1].V, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("equilibrium", ["cce", "ce"])
def test_threads_change_no_bit(equilibrium, monkeypatch):
    for module in (_general_sum_run, backward):
        monkeypatch.setattr(module, "WORTH_IT", 0.0)
    arguments = random_game("timed", (3, 2, 3), 1, 6)
    game, start = MarkovGame(**arguments), random_policy(arguments, 2)
    found = [
        played(game, start, 60, equilibrium=equilibrium, threads=n).policy() for n in (1, 2, 3, 99)
    ]
    for policy in found[1:]:
        np.testing.assert_array_equal(policy, found[0])


def test_a_policy_that_is_no_number_is_noticed():
    game = MarkovGame(**random_game("steps", (2, 3), 0, 3))
    run = OptimisticMirrorDescent(step_size=0.1).start(game, JointPolicy.uniform(game).flat(game))
    run.advance(100)
    run.advance(1)
    run.Q[:] = np.nan
    run.advance(2)
    assert np.isnan(run.policy()).any()
