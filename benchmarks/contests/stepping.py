"""Playing rock-paper-scissors step by step: the environment alone, and episodes of a policy.

Both environments are parallel ones of PettingZoo; both agents' moves are one step. The answer of
the first contest is the first agent's sum of rewards for given moves, of the second its mean return
under the uniform policy, whose value is 0, to five standard errors.
"""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

import metamarl as mm
from contests.measuring import Contest, Contestant, Work
from contests.sizes import Sizes

ROUNDS = 100
PETTINGZOO = {"needs": ["pettingzoo", "pygame"], "compiled": False}


def contests(sizes: Sizes) -> Iterator[Contest]:
    steps, episodes = (200, 20) if sizes.quick else (5_000, 200)
    moves = np.random.default_rng(sizes.seed).integers(0, 3, (steps, 2))
    won = (moves[:, 0] - moves[:, 1]) % 3
    right = float((won == 1).sum() - (won == 2).sum())
    game = mm.make("rps", rounds=ROUNDS)
    yield Contest(
        name="stepping",
        title="Rock-paper-scissors as a PettingZoo environment",
        contestants=[
            Contestant(
                name="metamarl to_pettingzoo", compiled=False,
                prepare=lambda: _walk(mm.to_pettingzoo(game), moves),
            ),
            Contestant(
                name="PettingZoo rps_v2", prepare=lambda: _walk(_pettingzoo(), moves), **PETTINGZOO
            ),
        ],
        error=lambda total: abs(total - right),
        tolerance=1e-9,
        per=steps,
        unit="step",
    )  # fmt: skip
    yield Contest(
        name="episodes",
        title="Episodes of a policy in rock-paper-scissors",
        contestants=[
            Contestant(name="metamarl rollouts", prepare=lambda: _rollouts(game, episodes, sizes)),
            Contestant(
                name="PettingZoo rps_v2, a loop in Python",
                prepare=lambda: _loop(_pettingzoo(), episodes, sizes), **PETTINGZOO,
            ),
        ],
        error=abs,
        tolerance=5 * float(np.sqrt(2 / 3 * ROUNDS / episodes)),
        per=episodes * ROUNDS,
        unit="step",
    )  # fmt: skip


def _pettingzoo() -> Any:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    from pettingzoo.classic import rps_v2

    return rps_v2.parallel_env(max_cycles=ROUNDS)


def _walk(env: Any, moves: Any) -> Work:
    pairs = moves.tolist()

    def work() -> float:
        total = 0.0
        env.reset(seed=0)
        for a, b in pairs:
            if not env.agents:
                env.reset()
            first, second = env.agents
            _, rewards, _, _, _ = env.step({first: a, second: b})
            total += rewards[first]
        return total

    return work


def _rollouts(game: mm.MarkovGame, episodes: int, sizes: Sizes) -> Work:
    player = mm.Player(game, mm.JointPolicy.uniform(game), sizes.seed)
    env = mm.to_pettingzoo(game)
    return lambda: float(mm.rollouts(env, player, episodes, seed=sizes.seed).mean[0])


def _loop(env: Any, episodes: int, sizes: Sizes) -> Work:
    def work() -> float:
        rng, total = np.random.default_rng(sizes.seed), 0.0
        uniform = np.full(3, 1.0 / 3.0)
        for k in range(episodes):
            env.reset(seed=k)
            while env.agents:
                actions = {agent: int(rng.choice(3, p=uniform)) for agent in env.agents}
                first = env.agents[0]
                _, rewards, _, _, _ = env.step(actions)
                total += rewards[first]
        return total / episodes

    return work
