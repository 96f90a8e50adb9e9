"""What neural self-play learns: exact gaps of games of ours, returns against baselines elsewhere.

Games are learned from one-hot observations, and the gap of the last iterate is exact, divided by
`mm.value_span`. In PettingZoo's environments, each role of what was learned plays against opponents
of a kind (random, or a script) in episodes of its own, and so does that kind in its place: the
difference of the returns is what learning is worth there, with its 95 % interval over episodes
(Student's t). Scripts: in `simple_adversary` everyone walks to its nearest landmark; in
`simple_tag` pursuers walk towards the prey, which walks away from the nearest of them; in
`connect_four` who can win at once does, else blocks a win of the opponent, else plays at random.
Everything runs on one core; learned numbers depend on the seed alone.

    python benchmarks/self_play.py [--only rps soccer ...] [--seeds 0 1 2] [--episodes 2000]
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import metamarl as mm
from metamarl.envs.environment import Environment
from metamarl.statistics import mean_interval

EXACT = mm.NeuralMirrorDescent(  # temperatures in units of the game's returns
    normalise=False, share=False, copies=256, rollout=8, epochs=1, learning_rate=(3e-3, 1e-4),
    step_size=(1.0, 0.2), temperature=(0.3, 0.03), trace=0.7,
)  # fmt: skip
PURSUIT = replace(EXACT, step_size=(1.0, 0.1), temperature=(0.3, 0.035))
GAMES = {  # game, options and steps
    "rps": (mm.make("rps"), EXACT, 1_000_000),
    "rps, weights 2, 1, 1": (mm.make("rps", weights=(2, 1, 1)), EXACT, 1_000_000),
    "soccer": (mm.make("soccer"), EXACT, 4_000_000),
    "pursuit": (mm.make("pursuit"), PURSUIT, 40_000_000),
}
CHASE = mm.NeuralMirrorDescent(
    hidden=(128, 128), copies=32, rollout=25, epochs=4, minibatch=800, learning_rate=(2e-3, 2e-4),
    step_size=(5.0, 1.0), temperature=(0.2, 0.01), trace=0.9,
)  # fmt: skip
HIDE = replace(CHASE, hidden=(64, 64), temperature=(0.2, 0.02))
BOARD = mm.NeuralMirrorDescent(
    hidden=(256, 256), copies=64, rollout=32, epochs=4, minibatch=512, learning_rate=(1e-3, 2e-4),
    step_size=(2.0, 1.0), temperature=(0.5, 0.04), trace=0.8,
)  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """What an actor is asked with."""

    agent: str
    observation: Any
    info: Any
    legal: np.ndarray
    rng: np.random.Generator


Act = Callable[[Turn], int]


def without_checks(module: Any) -> Any:
    """The `parallel_env` of 25 steps, less wrappers that check its use, for speed."""
    from pettingzoo.utils.conversions import aec_to_parallel

    return aec_to_parallel(module.raw_env(max_cycles=25))


def make_adversary() -> Any:
    from mpe2 import simple_adversary_v3

    return without_checks(simple_adversary_v3)


def make_tag() -> Any:
    from mpe2 import simple_tag_v3

    return without_checks(simple_tag_v3)


def make_connect_four() -> Any:
    import pettingzoo

    return pettingzoo.make("aec", "classic/connect_four-v3")


def at_random(turn: Turn) -> int:
    return int(turn.rng.choice(turn.legal))


def towards(place: np.ndarray) -> int:
    """The move of a particle that brings it nearest to a relative place: 1 to 4, left to up."""
    axis = int(np.abs(place).argmax())
    return 1 + 2 * axis + int(place[axis] > 0)


def to_landmark(turn: Turn) -> int:
    first = 0 if turn.agent.startswith("adversary") else 2  # the others see the goal before
    landmarks = turn.observation[first : first + 4].reshape(2, 2)
    return towards(landmarks[np.square(landmarks).sum(1).argmin()])


def hunt(turn: Turn) -> int:
    if turn.agent.startswith("adversary"):
        return towards(turn.observation[12:14])  # two other pursuers come before the prey
    pursuers = turn.observation[8:14].reshape(3, 2)
    return towards(-pursuers[np.square(pursuers).sum(1).argmin()])


def win_or_block(turn: Turn) -> int:
    board = turn.observation["observation"].astype(bool)
    taken = board.any(2)
    for side in (0, 1):
        for column in turn.legal:
            row = int(np.flatnonzero(~taken[:, column])[-1])
            stones = board[:, :, side].copy()
            stones[row, column] = True
            if has_four(stones):
                return int(column)
    return at_random(turn)


def has_four(stones: np.ndarray) -> bool:
    a = stones
    lines = [
        a[:, :-3] & a[:, 1:-2] & a[:, 2:-1] & a[:, 3:],
        a[:-3] & a[1:-2] & a[2:-1] & a[3:],
        a[:-3, :-3] & a[1:-2, 1:-2] & a[2:-1, 2:-1] & a[3:, 3:],
        a[3:, :-3] & a[2:-1, 1:-2] & a[1:-2, 2:-1] & a[:-3, 3:],
    ]
    return any(line.any() for line in lines)


@dataclass(frozen=True)
class Arena:
    """An environment, its script, its roles by the agents that play them, and a budget."""

    make: Callable[[], Any]
    script: Act
    roles: dict[str, tuple[str, ...]]
    options: mm.NeuralMirrorDescent
    discount: float
    steps: int


ARENAS = {
    "simple_adversary": Arena(
        make_adversary, to_landmark,
        {"adversary": ("adversary_0",), "good agents": ("agent_0", "agent_1")},
        HIDE, 0.9, 1_000_000,
    ),
    "simple_tag": Arena(
        make_tag, hunt,
        {"pursuers": ("adversary_0", "adversary_1", "adversary_2"), "prey": ("agent_0",)},
        CHASE, 0.97, 1_000_000,
    ),
    "connect_four": Arena(
        make_connect_four, win_or_block,
        {"first": ("player_0",), "second": ("player_1",)},
        BOARD, 1.0, 6_000_000,
    ),
}  # fmt: skip


def returns(arena: Arena, acts: dict[str, Act], episodes: int, seed: int) -> np.ndarray:
    """`(episodes, n)` returns."""
    view, rng = Environment(arena.make(), seed), np.random.default_rng(seed)
    found = np.zeros((episodes, view.n_players))
    for k in range(episodes):
        view.reset(int(np.random.SeedSequence((seed, k)).generate_state(1)[0] // 2))
        while not view.over:
            actions = {}
            for i in view.movers:
                agent = view.agents[i]
                turn = Turn(agent, view.observation(i), view.info(i), view.legal(i), rng)
                actions[i] = acts[agent](turn)
            found[k] += view.step(actions)
    view.env.close()
    return found


def grade(name: str, arena: Arena, found: mm.NeuralSolution, episodes: int) -> None:
    """Print what each role is worth against random and scripted opponents."""

    def learned(turn: Turn) -> int:
        return found.act(turn.agent, turn.observation, turn.info)

    agents = [agent for members in arena.roles.values() for agent in members]
    for kind, act in (("random", at_random), ("script", arena.script)):
        base = dict.fromkeys(agents, act)
        alone = returns(arena, base, episodes, 10_000)
        for role, members in arena.roles.items():
            found.policy.begin(0)
            mixed = {**base, **dict.fromkeys(members, learned)}
            player = found.policy.env.agents.index(members[0])
            together = returns(arena, mixed, episodes, 10_000)
            got, instead = together[:, player], alone[:, player]
            gain = mean_interval((got - instead).tolist())
            words = f"{name:18}{role:14}{kind:8}{got.mean():>9.3f}{instead.mean():>9.3f}"
            print(f"{words}   {gain:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*GAMES, *ARENAS], default=[*GAMES, *ARENAS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--scale", type=float, default=1.0, help="Of all budgets of steps.")
    arguments = parser.parse_args()
    print(f"{'':22}{'seed':>5}{'steps':>12}{'processor s':>12}{'gap':>9}{'of the span':>12}")
    for name in (name for name in GAMES if name in arguments.only):
        game, options, steps = GAMES[name]
        gaps = []
        for seed in arguments.seeds:
            began = time.process_time()
            found = mm.learn(game, options, int(arguments.scale * steps), seed, device="cpu")
            spent = time.process_time() - began
            gaps.append(found.relative_gap)
            words = f"{name:22}{seed:>5}{found.steps:>12,}{spent:>12.0f}{found.gap:>9.4f}"
            print(f"{words}{found.relative_gap:>12.4f}", flush=True)
        print(f"{name:22}  mean of the span {mean_interval(gaps):.4f}", flush=True)
    for name in (name for name in ARENAS if name in arguments.only):
        arena = ARENAS[name]
        for seed in arguments.seeds:
            began = time.process_time()
            steps = int(arguments.scale * arena.steps)
            env = mm.EpisodicEnvironment(arena.make, discount=arena.discount)
            found = mm.learn(env, arena.options, steps, seed, device="cpu")
            spent = time.process_time() - began
            print(f"\n{name}, seed {seed}: {found.steps:,} steps, {spent:.0f} processor seconds")
            print(f"{'':18}{'role':14}{'against':8}{'learned':>9}{'instead':>9}   difference")
            grade(name, arena, found, arguments.episodes)


if __name__ == "__main__":
    main()
