"""A player's best-response problem as a Gymnasium environment, for single-agent learners.

The opponents play fixed policies, so they are a part of the world. Its optimal value is the
player's best-response value, `mm.best_response(game, policy, player)[0]`: what a learner reaches
there says how far it is from a best response, and how far the opponents are from equilibrium.

The benchmark games are in Gymnasium's registry as well, once metamarl has been imported:
`gymnasium.make("metamarl/soccer-v0", player=0)`, or `"metamarl:metamarl/soccer-v0"`, which imports
it.
"""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.sampling import POLICIES, Sampler
from metamarl.envs.checks import check_integer, check_kind, complaint
from metamarl.envs.game import MarkovGame
from metamarl.envs.pettingzoo import play
from metamarl.envs.registry import make

WHERE = "to_gymnasium"


def to_gymnasium(
    game: MarkovGame,
    player: int,
    opponents: JointPolicy | CorrelatedPolicy,
    render_mode: str | None = None,
    max_steps: int | None = None,
) -> "ResponseEnv":
    """A `gymnasium.Env` in which one player plays `game` against fixed opponents.

    It passes `gymnasium.utils.env_checker.check_env`.

    * **Actions** are `Discrete(A_i)`. An illegal one never stops play: the first legal one is
      played in its place, and `info["illegal"]` says so.
    * **Observations** are the state of the game, an int64 array: `[state, step]` in
      `MultiDiscrete([S, H + 1])` with a horizon, `[state]` in `MultiDiscrete([S])` without.
    * **Infos** hold "action_mask" (int8 `(A_i,)`, 1 where an action is legal: what
      `action_space.sample(mask=…)` takes), "state", "step", "illegal", and "actions", what all
      players have just played (none after a reset). Where it is not the player's turn, one action
      is legal: to wait.
    * **Rewards** are those of the game's table, not discounted; the attribute `discount` is the
      game's.
    * **The end** is that of `to_pettingzoo`: termination by the game, truncation by `max_steps`.

    Args:
        game: the game.
        player: the one that is left to play.
        opponents: what the others do. The player's own part is not looked at; of a
            `CorrelatedPolicy` the others follow theirs, and the player is not told its own.
        render_mode: None, "ansi", "human" or, for games with a `board`, "rgb_array", as in
            `to_pettingzoo`.
        max_steps: truncate after so many steps; if left out, as in `to_pettingzoo`.

    Raises:
        TypeError, ValueError: no game, no such player, a policy that does not fit.
    """
    check_kind(game, MarkovGame, "game", WHERE, "a MarkovGame")
    player = check_integer(player, "player", WHERE, 0)
    if player >= game.n_players:
        must = f"below the number of players, {game.n_players}"
        raise ValueError(complaint("player", WHERE, must, player))
    check_kind(opponents, (JointPolicy, CorrelatedPolicy), "opponents", WHERE, POLICIES)
    return ResponseEnv(game, player, opponents, render_mode, max_steps)


class ResponseEnv(gymnasium.Env):
    """What `to_gymnasium` returns."""

    def __init__(
        self,
        game: MarkovGame,
        player: int,
        opponents: JointPolicy | CorrelatedPolicy,
        render_mode: str | None,
        max_steps: int | None,
    ) -> None:
        self._env = play(game, render_mode, max_steps, WHERE)
        self._sampler = Sampler(game, opponents, WHERE)
        self.player = player
        self.discount = game.discount
        self.render_mode = render_mode
        self.metadata = {k: self._env.metadata[k] for k in ("name", "render_modes", "render_fps")}
        agent = self._env.possible_agents[player]
        self.action_space = self._env.action_space(agent)
        self.observation_space = self._env.state_space

    @property
    def game(self) -> MarkovGame:
        """The game that is played."""
        return self._env.game

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """Draw a first state. A `seed` reproduces all that follows; `options` are ignored."""
        super().reset(seed=seed)
        self._env.np_random = self.np_random  # one generator for chance and the opponents
        _, infos = self._env.reset(options=options)
        return self._env.state(), self._info(infos, ())

    def step(self, action: Any) -> tuple[NDArray[np.int64], float, bool, bool, dict[str, Any]]:
        """Play an action; the opponents draw theirs at the same time."""
        env = self._env
        env.check_reset("step")
        if not env.agents:
            must = "left alone until reset is called: the game is over"
            raise ValueError(complaint("action", "step", must, action))
        agent = env.agents[self.player]
        chosen = env.check_action(agent, action, "action")
        now = env.state()
        step = int(now[1]) if len(now) > 1 else 0
        joint = list(self._sampler.joint(self.np_random, int(now[0]), step))
        joint[self.player] = chosen
        actions = dict(zip(env.agents, joint, strict=True))
        _, rewards, terminated, truncated, infos = env.step(actions)
        info = self._info(infos, env.played)
        return env.state(), rewards[agent], terminated[agent], truncated[agent], info

    def _info(self, infos: dict[str, dict[str, Any]], played: Any) -> dict[str, Any]:
        mask = self._env.observe(self.player)["action_mask"]
        mine = infos[self._env.possible_agents[self.player]]
        return {**mine, "action_mask": mask, "actions": tuple(played)}

    def render(self) -> Any:
        """Text, a picture or None (the text being printed), after the render mode."""
        return self._env.render()


def make_response(
    game: str,
    player: int = 0,
    opponents: JointPolicy | CorrelatedPolicy | None = None,
    render_mode: str | None = None,
    max_steps: int | None = None,
    **knobs: Any,
) -> ResponseEnv:
    """What `gymnasium.make("metamarl/…")` calls; opponents play uniformly if left out."""
    built = make(game, **knobs)
    policy = JointPolicy.uniform(built) if opponents is None else opponents
    return to_gymnasium(built, player, policy, render_mode, max_steps)
