"""Episodes of a policy in an environment, and what they are worth: means with intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.learning import NeuralSolution
from metamarl.algorithms.playing import Player
from metamarl.algorithms.solution import Solution
from metamarl.envs.checks import check_integer, complaint, said
from metamarl.envs.environment import Environment
from metamarl.envs.episodes import EpisodicEnvironment
from metamarl.envs.game import MarkovGame
from metamarl.envs.pettingzoo import to_pettingzoo
from metamarl.envs.plug_in import PettingZooGame
from metamarl.statistics import Estimate, mean_interval

if TYPE_CHECKING:
    from metamarl.algorithms.neural_policy import NeuralPolicy

WHERE = "rollouts"


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """What episodes were worth to each agent (K episodes, n agents)."""

    agents: tuple[Any, ...]
    """The agents, in the order of the players."""
    returns: NDArray[np.float64]
    """`(K, n)` discounted sums of rewards."""
    steps: NDArray[np.int64]
    """`(K,)` moves of the whole game until the end."""

    @property
    def mean(self) -> NDArray[np.float64]:
        """`(n,)` mean returns: estimates of the values."""
        return self.returns.mean(0)

    @property
    def intervals(self) -> Sequence[Estimate]:
        """n means with their 95 % intervals (Student's t over episodes)."""
        return [mean_interval(column.tolist()) for column in self.returns.T]

    def __str__(self) -> str:
        lines = [f"{len(self.returns):,} episodes, {self.steps.mean():.4g} steps on the average"]
        for agent, interval in zip(self.agents, self.intervals, strict=True):
            lines.append(f"{agent}: {interval:.4g}")
        return "\n".join(lines)


def rollouts(
    env: Any,
    policy: "Solution | Player | NeuralSolution | NeuralPolicy",
    episodes: int = 1000,
    seed: int = 0,
    max_steps: int | None = None,
) -> Rollouts:
    """Play episodes in an environment, every agent by the policy, and count what they get.

    The returns are discounted as the game is, once for every move of the whole game (moves that an
    AEC environment asks for in turns, though they are simultaneous, count once). Their means thus
    estimate `solution.value`, with no bias but that of episodes that are cut off by `max_steps`.
    Where the game has a horizon, its episodes end there, though the environment would go on.

    Args:
        env: a PettingZoo environment, parallel or AEC, a function that makes one, or None for the
            one that the game came from (`from_pettingzoo`), or that `to_pettingzoo` makes of it.
        policy: a solution, a `Player`, or what `learn` returned or its policy, whose steps are
            those of the environment.
        episodes: how many.
        seed: of the environment's resets (episode k gets a number drawn from (seed, k)) and of the
            agents' draws.
        max_steps: cut episodes off after so many moves; if left out, at the game's horizon only.

    Raises:
        TypeError, ValueError: a bad parameter, or an environment that is not the game's.
    """
    player: Any = policy.policy if isinstance(policy, NeuralSolution) else policy
    neural = hasattr(player, "networks")
    if not neural:
        player = _player(player, seed)
    episodes = check_integer(episodes, "episodes", WHERE)
    seed = check_integer(seed, "seed", WHERE, 0)
    if max_steps is not None:
        max_steps = check_integer(max_steps, "max_steps", WHERE)
    game: Any = player.env if neural else player.game
    play: Callable[..., int] = _play_on if neural else _play
    limits = [max_steps, game.max_steps if neural else game.horizon]
    limit = min((x for x in limits if x is not None), default=None)
    made = _make(env, game)
    view = Environment(made, seed)
    try:
        if len(view.agents) != game.n_players:
            must = f"the one of the game, with {game.n_players} agents"
            raise ValueError(complaint("env", WHERE, must, said(f"agents {list(view.agents)}")))
        returns, steps = np.zeros((episodes, game.n_players)), np.zeros(episodes, np.int64)
        for k in range(episodes):
            first, second = np.random.SeedSequence((seed, k)).generate_state(2).tolist()
            view.reset(first // 2)  # some environments take no more than 31 bits
            player.begin(second)
            steps[k] = play(view, player, game.discount, limit, returns[k])
    finally:
        if made is not env:
            made.close()
    return Rollouts(agents=tuple(view.agents), returns=returns, steps=steps)


def _player(policy: Any, seed: Any) -> Player:
    if isinstance(policy, Player):
        return policy
    if not isinstance(policy, Solution):
        must = "a Solution, a Player or what learn returned"
        raise TypeError(complaint("policy", WHERE, must, policy))
    if policy.game is None:
        must = "loaded with its game: load(path, game)"
        raise ValueError(complaint("policy", WHERE, must, policy))
    return Player(
        policy.game, policy.correlated or policy.policy, check_integer(seed, "seed", WHERE, 0)
    )


def _make(env: Any, game: MarkovGame | EpisodicEnvironment) -> Any:
    if env is not None:
        return env() if callable(env) else env
    if isinstance(game, EpisodicEnvironment):
        return game.make()
    if isinstance(game, PettingZooGame):
        return game.plug_in.make()
    return to_pettingzoo(game)


def _play(
    view: Environment,
    player: Player,
    discount: float,
    limit: int | None,
    total: NDArray[np.float64],
) -> int:
    """Play one episode, adding up the discounted rewards; return how long it was."""
    while not view.over:
        actions = {}
        for i in view.movers:
            chosen = player.act(view.agents[i], view.observation(i), view.info(i))
            actions[i] = int(chosen) - view.starts[i]
        if player.step == limit:
            return player.step
        total += discount**player.step * view.step(actions)
    return player.step + 1


def _play_on(
    view: Environment,
    policy: "NeuralPolicy",
    discount: float,
    limit: int | None,
    total: NDArray[np.float64],
) -> int:
    """The same with networks, step by step of the environment, whose rules have no other clock."""
    step = 0
    while not view.over and step != limit:
        actions = {}
        for i in view.movers:
            chosen = policy.act(view.agents[i], view.observation(i), view.info(i))
            actions[i] = int(chosen) - view.starts[i]
        total += discount**step * view.step(actions)
        step += 1
    return step
