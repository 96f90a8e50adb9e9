"""What networks have learned, as a policy: to play it, to look at it, and to grade it exactly."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.stepping_environments import Eyes
from metamarl.envs.checks import complaint
from metamarl.envs.environment import WAIT
from metamarl.envs.episodes import EpisodicEnvironment
from metamarl.envs.game import MarkovGame

if TYPE_CHECKING:
    from metamarl.algorithms.networks import Networks

WHERE = "NeuralPolicy.act"
ROWS = 8192  # of the game, evaluated at once


class NeuralPolicy:
    """What every player does by what it sees; the players draw independently.

    Args:
        env: the environment that it was learned in.
        networks: of its players, on any device.
        eyes: what its players see.
        seed: for the draws of `act`.

    Attributes:
        networks: a `torch.nn.Module`; `networks.state_dict()` are the weights by name.
    """

    def __init__(
        self, env: EpisodicEnvironment, networks: "Networks", eyes: Eyes, seed: int = 0
    ) -> None:
        self.env, self.networks, self.eyes = env, networks, eyes
        self.begin(seed)

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.networks.parameters())
        groups = len(self.networks.groups)
        return f"NeuralPolicy({self.env.name!r}, groups={groups}, {count:,} weights)"

    def begin(self, seed: int) -> None:
        """Begin the draws of `act` anew."""
        self.rng = np.random.default_rng(seed)

    def many(
        self, player: int, rows: NDArray[Any], masks: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """`(K, A)` probabilities for K inputs of a player's network and masks `(K, A)`."""
        import torch

        network: Any = self.networks.groups[self.eyes.layout.group[player]]
        device = next(network.parameters()).device
        x, legal = torch.from_numpy(rows).to(device), torch.from_numpy(masks).to(device)
        with torch.no_grad():
            policy = network.log_policy(x, legal).exp().double().cpu().numpy()
        policy = np.where(masks, policy, 0.0)
        return np.asarray(policy / policy.sum(1, keepdims=True))

    def probabilities(
        self, agent: Any, observation: Any, info: Mapping[str, Any] | None = None
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Numbers of the agent's legal actions, from 0, and with which probabilities to play them.

        Args:
            agent: one of the environment's `possible_agents`.
            observation: what the environment shows it.
            info: the environment's further words to it, which may hold its mask.
        """
        if agent not in self.env.agents:
            must = f"one of {', '.join(map(repr, self.env.agents))}"
            raise ValueError(complaint("agent", WHERE, must, agent))
        player = self.env.agents.index(agent)
        legal = self.env.legal(player, observation, info or {})
        if not len(legal):
            legal = np.array([WAIT])
        masks = np.zeros((1, self.env.n_actions[player]), bool)
        masks[0, legal] = True
        rows = self.eyes.row(player, observation)[None]
        return legal, self.many(player, rows, masks)[0, legal]

    def act(
        self,
        agent: Any,
        observation: Any,
        info: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> Any:
        """Draw an action of `agent`, as the environment takes it; None where it sees nothing.

        The step is not needed: the parameter is there for what plays other policies as well.
        """
        del step
        if observation is None:
            return None
        legal, chances = self.probabilities(agent, observation, info)
        k = int(np.searchsorted(chances.cumsum(), self.rng.random() * chances.sum(), "right"))
        drawn = legal[min(k, len(legal) - 1)]
        return self.env.starts[self.env.agents.index(agent)] + int(drawn)

    def joint_policy(self) -> JointPolicy:
        """The policy as arrays, for a game of `to_pettingzoo`: `nash_gap` grades it exactly.

        Raises ValueError for other environments.
        """
        game = self.env.game
        if game is None or not self.env.is_own:
            must = "one that was learned in a MarkovGame, or in what to_pettingzoo makes of it"
            raise ValueError(complaint("policy", "joint_policy", must, self))
        return JointPolicy([self._array(game, i) for i in range(game.n_players)])

    def _array(self, game: MarkovGame, player: int) -> NDArray[np.float64]:
        S, H = game.n_states, game.horizon or 1
        legal = game.legal[player]
        array = np.empty((H * S, legal.shape[1]))
        for first in range(0, H * S, ROWS):
            step, state = np.divmod(np.arange(first, min(first + ROWS, H * S)), S)
            rows = self.eyes.places(player, state, step if game.horizon is not None else None)
            array[first : first + ROWS] = self.many(player, rows, legal[state])
        return array if game.horizon is None else array.reshape(H, S, -1)
