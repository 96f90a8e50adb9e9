r"""One learner: networks, optimiser, copies; updates, the loss, and a state to go on from.

The **loss** of a batch, `mirror_descent_loss`, is a function of a network and a batch: it can be
taken of other networks than the learner's, with other parameters (`torch.func.functional_call`),
for meta-learning.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parametrize

from metamarl.algorithms.networks import ActorCritic, Networks, log_policy
from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
from metamarl.algorithms.self_play import Batch, SelfPlay
from metamarl.algorithms.stepping import AbstractStepper
from metamarl.envs.checks import complaint, said


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Means over a batch."""

    policy: Tensor
    """What the actor minimises: -η (gain - α KL(p ‖ ρ)) + KL(p ‖ π), up to a constant."""
    value: Tensor
    """What the critic minimises: half the squared error of the λ-returns."""
    divergence: Tensor
    """KL(p ‖ π), from the previous policy."""
    entropy: Tensor
    """Of p, in nats."""

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.policy + self.value


def mirror_descent_loss(
    network: ActorCritic,
    batch: Batch,
    step_size: float,
    temperature: float,
    magnet: Tensor | None = None,
) -> Losses:
    """The loss of a network on a batch.

    Args:
        network: any module with an `actor` and a `critic`.
        batch: what was met.
        step_size: η.
        temperature: α.
        magnet: `(B, A)` log-probabilities of ρ; uniform over the legal actions if left out.
    """
    logs = log_policy(network.actor, batch.inputs, batch.masks)
    p = logs.exp()
    if magnet is None:
        magnet = -batch.masks.sum(1, keepdim=True).float().log()
    chosen = batch.actions[:, None]
    expected = batch.values.gather(1, chosen)[:, 0]
    ratio = (logs - batch.log_policy).gather(1, chosen)[:, 0].exp()
    gain = ((p * batch.values).sum(1) + ratio * (batch.returns - expected)) / batch.unit
    divergence = (p * (logs - batch.log_policy)).sum(1)
    drawn = (p * (logs - magnet)).sum(1)
    found = network.critic(batch.inputs).gather(1, chosen)[:, 0]
    return Losses(
        policy=(divergence - step_size * (gain - temperature * drawn)).mean(),
        value=0.5 * (found - batch.returns).square().mean(),
        divergence=divergence.mean(),
        entropy=-(p * logs).sum(1).mean(),
    )


def check_batches(batches: list[Batch | None], rollout: int, where: str) -> None:
    """Raise ValueError where a rollout shows of no choice what it led to."""
    if not any(batch is not None and len(batch) for batch in batches):
        must = "larger: nobody chose twice, or came to an end, within it"
        raise ValueError(complaint("rollout", where, must, rollout))


class Learner:
    """Learns by self-play, update by update.

    Args:
        stepper: the copies of the environment.
        options: of the algorithm.
        discount: γ.
        seed: of everything.
        device: "cpu" or "cuda".

    Attributes:
        networks: of all groups, by name; load other weights into them to start from these.
    """

    def __init__(
        self,
        stepper: AbstractStepper,
        options: NeuralMirrorDescent,
        discount: float,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self.stepper, self.options, self.device = stepper, options, device
        self.rng = np.random.default_rng(seed)
        layout = stepper.layout
        first = int(self.rng.integers(2**31 - 1))
        self.networks = Networks(layout.sizes, layout.n_actions, options.hidden, first).to(device)
        self.magnets = None
        if options.magnet == "moving":
            self.magnets = Networks(layout.sizes, layout.n_actions, options.hidden, first)
            self.magnets.to(device).requires_grad_(False)
        self.play = SelfPlay(
            stepper, self.networks, discount, options.trace, self.rng, device, options.normalise
        )
        self.use(self.networks)

    def use(self, networks: Networks) -> None:
        """Play with these networks from now on, and learn what of them requires gradients."""
        self.networks = self.play.networks = networks
        learning = [p for p in networks.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(learning, lr=1.0, eps=1e-6, fused=True)
        self._follow(1.0)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Start from the `networks.state_dict()` of another learner, magnets included.

        Raises ValueError where they do not fit.
        """
        try:
            self.networks.load_state_dict(weights)
        except RuntimeError as error:
            must = "weights of the same networks"
            raise ValueError(complaint("init", "learn", must, said(str(error)))) from None
        if self.magnets is not None:
            self.magnets.load_state_dict(weights)

    def gather(self) -> list[Batch | None]:
        """A rollout: a batch for every group."""
        with parametrize.cached():  # weights that an adapter makes are made once
            return self.play.gather(self.options.rollout)

    def update(self, batches: list[Batch | None], progress: float) -> dict[str, float]:
        """Go through the batches, after this part of the budget; means of what was met."""
        options, sums = self.options, np.zeros(4)
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = options.at("learning_rate", progress)
        step_size = options.at("step_size", progress)
        temperature = options.at("temperature", progress)
        magnets = [self._magnet(g, batch) for g, batch in enumerate(batches)]
        count = 0
        for _ in range(options.epochs):
            for g, batch in enumerate(batches):
                if batch is None or not len(batch):
                    continue
                order = torch.from_numpy(self.rng.permutation(len(batch))).to(self.device)
                for which in order.chunk(max(1, round(len(batch) / options.minibatch))):
                    network, magnet = self.networks.groups[g], magnets[g]
                    losses = mirror_descent_loss(
                        network, batch.part(which), step_size, temperature,
                        None if magnet is None else magnet[which],
                    )  # fmt: skip
                    self._descend(network, losses)
                    found = (losses.policy, losses.value, losses.divergence, losses.entropy)
                    sums += [x.item() for x in found]
                    count += 1
        self._follow(options.magnet_rate)
        names = ("loss/policy", "loss/value", "policy/divergence", "policy/entropy")
        scalars = dict(zip(names, (sums / max(1, count)).tolist(), strict=True))
        return {**scalars, "schedule/temperature": temperature, "schedule/step_size": step_size}

    @torch.no_grad()
    def _follow(self, rate: float) -> None:
        """Draw the magnets towards the networks' weights, also those that an adapter makes."""
        if self.magnets is not None:
            for name, behind in self.magnets.named_parameters():
                path, _, own = name.rpartition(".")
                behind.lerp_(getattr(self.networks.get_submodule(path), own), rate)

    def _descend(self, network: Any, losses: Losses) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        for part in (network.actor, network.critic):
            torch.nn.utils.clip_grad_norm_(part.parameters(), self.options.largest_gradient)
        self.optimiser.step()

    @torch.no_grad()
    def _magnet(self, g: int, batch: Batch | None) -> Tensor | None:
        if self.magnets is None or batch is None:
            return None
        return log_policy(self.magnets.groups[g].actor, batch.inputs, batch.masks)

    def state(self) -> dict[str, Any]:
        """Everything to go on from, between rollouts that begin anew: tensors, numbers, text."""
        scale = self.play.scale
        return {
            "networks": self.networks.state_dict(),
            "magnets": None if self.magnets is None else self.magnets.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": json.dumps(self.rng.bit_generator.state),
            "scale": [scale.count, scale.total.tolist(), scale.squares.tolist()],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.networks.load_state_dict(state["networks"])
        if self.magnets is not None:
            self.magnets.load_state_dict(state["magnets"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state = json.loads(state["generator"])
        count, total, squares = state["scale"]
        scale = self.play.scale
        scale.count, scale.total, scale.squares = count, np.array(total), np.array(squares)
