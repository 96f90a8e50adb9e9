r"""What players meet while they play each other, and what their choices were worth.

Rewards between a player's choices belong to the last one, discounted per step of the environment,
so that players who move in turn, wait, or are gone early are treated alike. With $F$ what follows a
choice up to the player's next one, rewards and then the next value V', discounted, and $A'$ the
next advantage, discounted alike, $A = F - V + λ A'$ (generalised advantage estimation).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metamarl.algorithms.networks import ActorCritic, Networks
from metamarl.algorithms.reward_scale import Scale
from metamarl.algorithms.stepping import AbstractStepper, Integers

Array = NDArray[Any]
LEAST_UNIT = 1e-3  # ours: advantages below are left as small as they are


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Choices of one group's players (B of them, A actions, inputs of any width)."""

    inputs: Tensor
    """`(B, d)` numbers, or `(B, k)` places of ones."""
    masks: Tensor
    """`(B, A)` what was legal."""
    actions: Tensor
    """`(B,)` what was played."""
    log_policy: Tensor
    """`(B, A)` by which log-probabilities."""
    values: Tensor
    """`(B, A)` what the critic expected of the actions, in units of the player's scale."""
    returns: Tensor
    """`(B,)` λ-returns, in the same units."""
    unit: Tensor
    """`(B,)` by what the actor divides advantages, in the same units."""

    def __len__(self) -> int:
        return len(self.actions)

    def part(self, which: Tensor) -> "Batch":
        """Some of the choices."""
        return Batch(**{name: column[which] for name, column in vars(self).items()})


def advantages(
    rewards: Array, values: Array, moves: Array, ended: Array, beyond: Array, after: Array,
    known: Array, discount: float, trace: float,
) -> tuple[Array, Array]:  # fmt: skip
    """Advantages of all choices `(T, N, n)`, and which of them are known.

    Args:
        rewards: `(T, N, n)`.
        values: `(T, N, n)` V where a player chooses.
        moves: `(T, N, n)` who chooses.
        ended: `(T, N, n)` whose episode ended with the step.
        beyond: `(T, N, n)` what would have followed episodes that were cut off, else 0.
        after: `(N, n)` values of the choices that come after the last step.
        known: `(N, n)` who makes such a choice, or none any more: of others, what follows is not
            known.
        discount: γ.
        trace: λ.
    """
    found, sure = np.zeros_like(values), np.zeros_like(moves)
    follow, lead = np.where(known, after, 0.0), np.zeros_like(after)
    for t in reversed(range(len(rewards))):
        known = known | ended[t]
        lead = np.where(ended[t], 0.0, discount * lead)
        follow = rewards[t] + discount * np.where(ended[t], beyond[t], follow)
        found[t] = follow - values[t] + trace * lead
        sure[t] = moves[t] & known
        lead = np.where(moves[t], np.where(known, found[t], 0.0), lead)
        follow = np.where(moves[t], values[t], follow)
        known = known | moves[t]
    return found, sure


class SelfPlay:
    """Plays all copies with the networks, and gathers batches.

    Args:
        stepper: the copies.
        networks: of the groups.
        discount: γ.
        trace: λ.
        rng: of all draws.
        device: where the networks are.
        normalise: whether the `unit` of a batch is the root mean square of its advantages; else 1.
    """

    def __init__(
        self, stepper: AbstractStepper, networks: Networks, discount: float, trace: float,
        rng: np.random.Generator, device: str, normalise: bool,
    ) -> None:  # fmt: skip
        self.stepper, self.networks, self.rng, self.device = stepper, networks, rng, device
        self.discount, self.trace, self.normalise = discount, trace, normalise
        self.group = np.array(stepper.layout.group)
        self.scale = Scale(len(self.group), discount)
        self.earned: list[Array] = []
        """`(n,)` undiscounted sums of rewards of the episodes that ended in the last rollout."""

    def begin(self) -> None:
        """Begin all copies anew."""
        self.stepper.reset(self.rng)
        self._sums = np.zeros(self.stepper.moves.shape)
        self._earned = np.zeros(self.stepper.moves.shape)

    @torch.no_grad()
    def gather(self, steps: int) -> list[Batch | None]:
        """Play `steps` steps of all copies; a batch for every group, None where nobody chose."""
        stepper = self.stepper
        shape = (steps, *stepper.moves.shape)
        rewards, values, beyond = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        moves, ended = np.zeros(shape, bool), np.zeros(shape, bool)
        notes: list[list[tuple[Any, ...]]] = [[] for _ in stepper.layout.sizes]
        self.earned = []
        for t in range(steps):
            moves[t] = stepper.moves
            actions = np.zeros(shape[1:], np.int64)
            for g, copies, players in self._movers():
                x, legal, masks = self._look(copies, players)
                log_policy = self._network(g).log_policy(x, legal)
                chosen = _draw(log_policy.exp().double().cpu().numpy(), masks, self.rng)
                actions[copies, players] = chosen
                place = np.stack([np.full_like(copies, t), copies, players])
                notes[g].append((x, legal, torch.from_numpy(chosen), log_policy, place))
            outcome = stepper.step(actions)
            rewards[t], ended[t] = outcome.rewards, outcome.ended
            self._earned += outcome.rewards
            over = np.flatnonzero(outcome.ended.all(1))
            self.earned.extend(self._earned[over])
            self._earned[over] = 0.0
            if self.discount < 1 and outcome.cut.any():
                self._look_beyond(outcome.cut, beyond[t])
        self._sums = self.scale.update(rewards, ended, self._sums)
        after = np.zeros(shape[1:])
        for g, copies, players in self._movers():
            x, legal, _ = self._look(copies, players)
            after[copies, players] = self._values(g, x, self._network(g).log_policy(x, legal))[1]
        joined: list[tuple[Any, ...] | None] = []
        for g, found in enumerate(notes):
            if not found:
                joined.append(None)
                continue
            *columns, places = zip(*found, strict=True)
            x, legal, chosen, log_policy = (torch.cat(column) for column in columns)
            t, copies, players = np.concatenate(places, axis=1)
            q, values[t, copies, players] = self._values(g, x, log_policy)
            joined.append((x, legal, chosen, log_policy, q, t, copies, players))
        gain, sure = advantages(
            rewards / self.scale.now(), values, moves, ended, beyond, after,
            stepper.moves | stepper.gone, self.discount, self.trace,
        )  # fmt: skip
        return [None if one is None else self._batch(one, values + gain, sure) for one in joined]

    def _movers(self) -> list[tuple[int, Integers, Integers]]:
        """For every group with movers, their copies and who they are."""
        found = []
        for g in range(len(self.stepper.layout.sizes)):
            copies, players = np.nonzero(self.stepper.moves & (self.group == g))
            if len(copies):
                found.append((g, copies, players))
        return found

    def _look(
        self, copies: Integers, players: Integers
    ) -> tuple[Tensor, Tensor, NDArray[np.bool_]]:
        inputs, masks = self.stepper.see(copies, players)
        x = torch.from_numpy(inputs).to(self.device)
        return x, torch.from_numpy(masks).to(self.device), masks

    def _values(self, g: int, x: Tensor, log_policy: Tensor) -> tuple[Tensor, Array]:
        """What the critic expects of the actions `(K, A)`, and of the policy `(K,)`."""
        q = self._network(g).critic(x)
        return q, (log_policy.exp() * q).sum(1).double().cpu().numpy()

    def _look_beyond(self, cut: NDArray[np.bool_], into: Array) -> None:
        """Values of what was cut off: by the critic, under the policy."""
        for g in range(len(self.stepper.layout.sizes)):
            copies, players = np.nonzero(cut & (self.group == g))
            if len(copies):
                found = self.stepper.last(copies, players)
                x, legal = (torch.from_numpy(part).to(self.device) for part in found)
                into[copies, players] = self._values(g, x, self._network(g).log_policy(x, legal))[1]

    def _network(self, g: int) -> ActorCritic:
        network = self.networks.groups[g]
        assert isinstance(network, ActorCritic)
        return network

    def _batch(self, columns: tuple[Any, ...], returns: Array, sure: Array) -> Batch:
        inputs, masks, actions, log_policy, q, *place = columns
        worth = torch.from_numpy(returns[tuple(place)].astype(np.float32)).to(self.device)
        batch = Batch(
            inputs=inputs,
            masks=masks,
            actions=actions.to(self.device),
            log_policy=log_policy,
            values=q,
            returns=worth,
            unit=torch.ones_like(worth),
        )
        batch = batch.part(torch.from_numpy(np.flatnonzero(sure[tuple(place)])).to(self.device))
        if self.normalise and len(batch):
            surplus = batch.returns - (batch.log_policy.exp() * batch.values).sum(1)
            batch.unit.fill_(surplus.square().mean().sqrt().clamp(min=LEAST_UNIT))
        return batch


def _draw(policy: Array, masks: NDArray[np.bool_], rng: np.random.Generator) -> Integers:
    """`(K,)` actions drawn from `(K, A)` probabilities; never an illegal one."""
    sums = np.where(masks, policy, 0.0).cumsum(1)
    drawn = (sums <= (rng.random(len(sums)) * sums[:, -1])[:, None]).sum(1)
    last = masks.shape[1] - 1 - masks[:, ::-1].argmax(1)
    return np.minimum(drawn, last)
