r"""Neural policy mirror descent: all players learn at once, each against the others as they are.

Magnetic mirror descent (Sokota et al., "A Unified Approach to Reinforcement Learning, Quantal
Response Equilibria, and Two-Player Zero-Sum Games", ICLR 2023). Where q are the values of a
player's actions while the others stand still, π its policy, ρ its *magnet*, η the step size and α
the temperature, the next policy is

$$π^+ ∝ (π\, e^{η q} ρ^{η α})^{1 / (1 + η α)}
    = \arg\max_p\; ⟨p, q⟩ - \tfrac{1}{η} KL(p ‖ π) - α\, KL(p ‖ ρ).$$

In two-player zero-sum games in normal form its **last iterate** converges linearly to the quantal
response equilibrium of temperature α; here α falls, so that it is the last iterate that should come
near a Nash equilibrium. With networks, the objective on the right is ascended by minibatches of
what all players met, which has no such guarantee: the gap must be measured.

**What is ours.** q is not known. An action b at s is estimated *doubly robustly*: by the critic's
$\hat q(s, b)$, plus for the action a that was played the surprise $(G - \hat q(s, a)) / π(a|s)$, G
being the λ-return (generalised advantage estimation, Schulman et al. 2016) with baseline
$\sum_b π(b|s) \hat q(s, b)$. In the objective this is

$$\sum_b p(b|s)\, \hat q(s, b) + \frac{p(a|s)}{π(a|s)} (G - \hat q(s, a)),$$

with an expected gradient that does not depend on the critic, and with noise from surprises alone.
The critic sees what the player sees. Each player's rewards are divided by the running standard
deviation of its discounted sums of rewards. That is the scale of the critic, and of η and α where
`normalise` is False. The longer the episodes, the less of it is at stake in a single choice: by
default, q and G are therefore divided by the root mean square of the batch's advantages G - V, so
that η and α mean about the same in all games. (Dividing advantages is what others do with policy
gradients too; here it is the same as dividing η and multiplying α.)
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metamarl.envs.checks import check_choice, check_integer, check_real, complaint

WHERE = "NeuralMirrorDescent"
MAGNETS = ("uniform", "moving")


@dataclass(frozen=True, kw_only=True)
class NeuralMirrorDescent:
    """Options of neural policy mirror descent. Pairs fall geometrically, from first to last."""

    name: ClassVar[str] = "neural-mirror-descent"
    unit: ClassVar[str] = "steps"

    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actors and critics."""
    share: bool = True
    """Whether players with the same spaces share networks, which see who they play for."""
    copies: int = 64
    """Copies of the environment N, stepped side by side."""
    rollout: int = 32
    """Steps T of every copy between updates."""
    epochs: int = 4
    """How often an update goes through what was met."""
    minibatch: int = 1024
    """Choices in a minibatch, about."""
    learning_rate: tuple[float, float] = (2e-3, 2e-4)
    """Of Adam, first and last."""
    step_size: tuple[float, float] = (3.0, 1.0)
    """η, first and last: how far an update may go from the previous policy."""
    temperature: tuple[float, float] = (0.2, 0.02)
    """α, first and last: how strongly the magnet draws."""
    magnet: str = "uniform"
    """"uniform", or "moving": ρ is played by an exponential average of the actor's weights."""
    magnet_rate: float = 0.02
    """Of the moving magnet, per update."""
    trace: float = 0.9
    """λ of the returns: 0 trusts the critic, 1 what was earned."""
    normalise: bool = True
    """Whether η and α are in units of each batch's advantages; else of the players' scales."""
    largest_gradient: float = 1.0
    """Norm to which gradients are cut."""

    def __post_init__(self) -> None:
        must = "a sequence of layer widths, not empty"
        if not isinstance(self.hidden, (list, tuple)) and np.ndim(self.hidden) != 1:
            raise TypeError(complaint("hidden", WHERE, must, self.hidden))
        if not len(self.hidden):
            raise ValueError(complaint("hidden", WHERE, must, self.hidden))
        hidden = tuple(check_integer(k, "hidden", WHERE) for k in self.hidden)
        object.__setattr__(self, "hidden", hidden)
        for name in ("share", "normalise"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(complaint(name, WHERE, "True or False", getattr(self, name)))
        for name in ("copies", "rollout", "epochs", "minibatch"):
            object.__setattr__(self, name, check_integer(getattr(self, name), name, WHERE))
        for name in ("learning_rate", "step_size", "temperature"):
            pair = getattr(self, name)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise TypeError(complaint(name, WHERE, "a pair of numbers, first and last", pair))
            found = tuple(check_real(x, name, WHERE, above=0.0) for x in pair)
            object.__setattr__(self, name, found)
        largest = check_real(self.largest_gradient, "largest_gradient", WHERE, above=0.0)
        object.__setattr__(self, "largest_gradient", largest)
        for name in ("magnet_rate", "trace"):
            object.__setattr__(self, name, check_real(getattr(self, name), name, WHERE, 0.0, 1.0))
        object.__setattr__(self, "magnet", check_choice(self.magnet, "magnet", WHERE, MAGNETS))

    def at(self, name: str, progress: float) -> float:
        """Where a pair stands after this part of the budget."""
        first, last = getattr(self, name)
        return float(first * (last / first) ** progress)
