r"""The networks of neural self-play: plain modules with a named body and head.

A **group** of players with the same observations and actions has an actor and a critic, or every
player has its own. Both are a `Network`: `body`, fully connected layers, and `head`, one linear
layer with an output per action. The actor's are logits, the critic's the values of the player's own
actions, in units of the player's scale. Parameters are reached by name, as in any module:
`groups.0.actor.body.0.weight`, `groups.0.actor.head.bias`.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

NEVER = -1e9  # logit of an illegal action
PLAIN: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}  # whatever torch's defaults are


class InputLayer(nn.Linear):
    """A linear layer that also takes one-hot rows by the places of their ones, which is faster.

    Its input is `(B, d)` numbers, or `(B, k)` integers: the k places of a row's ones.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`(B, width)` outputs."""
        if x.is_floating_point():
            return super().forward(x)
        return nn.functional.embedding_bag(x, self.weight.t(), mode="sum") + self.bias


class Network(nn.Module):
    """`n_in` inputs, hidden layers of widths `hidden`, `n_out` outputs.

    Attributes:
        body: all layers but the last one.
        head: the last one.
    """

    def __init__(self, n_in: int, hidden: Sequence[int], n_out: int, gain: float = 1.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = n_in
        for k, following in enumerate(hidden):
            layers += [(nn.Linear if k else InputLayer)(width, following, **PLAIN), nn.ReLU()]
            width = following
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, n_out, **PLAIN)
        for layer in layers[::2]:
            _begin(layer, math.sqrt(2.0))
        _begin(self.head, gain)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, n_out)`."""
        return self.head(self.body(x))


class ActorCritic(nn.Module):
    """What one group of players plays by, and what it expects.

    Attributes:
        actor: logits.
        critic: values of the actions.
    """

    def __init__(self, n_in: int, hidden: Sequence[int], n_actions: int) -> None:
        super().__init__()
        self.actor = Network(n_in, hidden, n_actions, gain=0.01)  # nearly uniform at first
        self.critic = Network(n_in, hidden, n_actions)

    def log_policy(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, A)` log-probabilities for inputs `(B, …)` and masks; very low where illegal."""
        return log_policy(self.actor, x, mask)


class Networks(nn.Module):
    """Those of all players.

    Args:
        sizes: inputs of every group.
        n_actions: actions of every group.
        hidden: widths of the hidden layers.
        seed: of the first weights; PyTorch's own generator is left as it was.
    """

    def __init__(
        self, sizes: Sequence[int], n_actions: Sequence[int], hidden: Sequence[int], seed: int
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # and not those of CUDA devices
            self.groups = nn.ModuleList(
                ActorCritic(n_in, hidden, k) for n_in, k in zip(sizes, n_actions, strict=True)
            )


def log_policy(actor: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    """`(B, A)` log-probabilities of an actor over the legal actions."""
    return actor(x).masked_fill(~mask, NEVER).log_softmax(-1)


def _begin(layer: nn.Module, gain: float) -> None:
    assert isinstance(layer, nn.Linear)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
