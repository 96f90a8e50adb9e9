r"""Learning across tasks where the next one should start: meta-learning of a network's weights.

Every round takes a task, plays it for a few steps from the present start, while the *personal* part
adapts (see `metamarl.algorithms.adapters`), and moves what the tasks *share*:

* **Reptile** (Nichol, Achiam & Schulman 2018) moves it towards the adapted weights,
  $θ ← θ + ε (\tilde θ - θ)$, with ε falling linearly to zero. It needs nothing but the adapted
  weights, and moves nothing but what adapted; of "head", "bottom" and "scales" the rest of the
  network stays as it was, and should come from a `start` that was learned with "all".
* **First-order MAML** (Finn, Abbeel & Levine 2017, section 5.2) plays new episodes with the adapted
  weights, and moves everything shared against the gradient of the loss there, as if the adapted
  weights were the start plus a constant; with "head" this is almost no inner loop (ANIL). In games
  the gradient is that of every player's own loss in its own weights.

What is shared is the base, the network itself, with one exception. "colora" has a shared low-rank
adapter, which alone moves then: its base stands still, and is that of the `start`, or else random
weights. (Magakyan et al. 2026 learn shared and personal adapters of known tasks jointly; here the
personal one starts from zero on a new task, as meta-learning has it.) Reptile moves it to the
matrices of its rank that are nearest to where the weights went.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from metamarl.algorithms.adapters import Adapter, find_adapter
from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
from metamarl.algorithms.torch_extra import need_torch
from metamarl.envs.checks import check_choice, check_integer, check_kind, check_real, complaint
from metamarl.starts import LearnedStart
from metamarl.tier_recorder import check_progress

if TYPE_CHECKING:
    from torch import Tensor

    from metamarl.algorithms.adapted import Adapted

WHERE = "learn_start"
RATES = {"reptile": 1.0, "fomaml": 1e-3}


class WeightLearner(Protocol):
    """What `learn_start` asks of a learner."""

    def networks(self, environments: Sequence[Any], seed: int) -> Any:
        """A `torch.nn.Module` with random weights, for all players of every environment.

        ValueError where the environments are not alike.
        """

    def train(self, env: Any, networks: Any, steps: int, seed: int) -> int:
        """Play `env` for `steps`, and learn what requires gradients; the steps played."""

    def loss(self, env: Any, networks: Any, seed: int) -> tuple[Any, int]:
        """The loss on new episodes, a scalar tensor to differentiate, and the steps played."""


def learn_start(
    environments: Sequence[Any],
    learner: Any,
    method: str = "reptile",
    adapter: str | Adapter = "all",
    rounds: int = 100,
    steps: int = 10_000,
    batch: int = 1,
    rate: float | None = None,
    start: LearnedStart | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LearnedStart:
    """Learn from related tasks what a new one should start from.

    Args:
        environments: the tasks to learn from, alike in shape: `MarkovGame` or
            `EpisodicEnvironment` objects, or functions that make PettingZoo environments.
        learner: `NeuralMirrorDescent` options, which the start keeps for new tasks; or another
            object with the methods of `WeightLearner`. The schedules of the options are run through
            anew in every round: what is learned from a good start should not begin by melting it.
        method: "reptile" or "fomaml".
        adapter: what adapts to a task: a name in `ADAPTERS`, or an `Adapter`.
        rounds: how often what is shared is moved.
        steps: environment steps that a task is played for in a round, to adapt.
        batch: tasks per round, over which the moves are averaged.
        rate: Reptile's first ε, at most 1 (default: 1), or the step size of Adam for "fomaml"
            (default: 0.001).
        start: an earlier start, whose weights, a shared adapter included, become the base; random
            ones if left out.
        seed: of weights, order, and play: the same seed gives the same start.
        progress: called with the numbers of rounds done and to do.

    Returns:
        The start, for `compare` or a file. After Ctrl-C what was learned so far: see its `rounds`.

    Raises:
        TypeError, ValueError: a bad parameter.
        ImportError: torch is missing.
    """
    need_torch(WHERE)
    if isinstance(environments, (str, bytes)) or not isinstance(environments, Sequence):
        raise TypeError(complaint("environments", WHERE, "a list of tasks", environments))
    if not environments:
        raise ValueError(complaint("environments", WHERE, "at least one task", environments))
    method = check_choice(method, "method", WHERE, RATES)
    found = find_adapter(adapter, WHERE)
    rounds, steps, batch = (
        check_integer(value, name, WHERE)
        for name, value in (("rounds", rounds), ("steps", steps), ("batch", batch))
    )
    if rate is None:
        rate = RATES[method]
    rate = check_real(rate, "rate", WHERE, above=0.0)
    if method == "reptile" and rate > 1:
        raise ValueError(complaint("rate", WHERE, "at most 1 for 'reptile'", rate))
    check_kind(start, (LearnedStart, type(None)), "start", WHERE, "a LearnedStart or None")
    seed = check_integer(seed, "seed", WHERE, 0)
    check_progress(progress, WHERE)
    options = None
    if isinstance(learner, NeuralMirrorDescent):
        from metamarl.algorithms.weight_learning import SelfPlayWeights

        options, learner = learner, SelfPlayWeights(learner)
    networks = learner.networks(environments, seed)
    if start is not None:
        start.attach(networks).merge()
    adapted = found.attach(networks, seed)
    outer = _Reptile(adapted, rate, rounds) if method == "reptile" else _Fomaml(adapted, rate)
    tasks = _in_turn(len(environments), seed)
    done, played = 0, 0 if start is None else start.steps
    shared = adapted.shared()
    try:
        for k in range(rounds):
            for j in range(batch):
                seeds = np.random.SeedSequence([seed, k, j]).generate_state(2).tolist()
                adapted.reset()
                env = environments[next(tasks)]
                played += learner.train(env, networks, steps, seeds[0])
                played += outer.look(learner, networks, env, seeds[1])
            outer.move(k)
            shared = adapted.shared()
            done = k + 1
            if progress is not None:
                progress(done, rounds)
    except KeyboardInterrupt:
        pass
    return LearnedStart(
        weights=shared, adapter=found, method=method, rounds=done, steps=played, seed=seed,
        options=options,
    )  # fmt: skip


def _in_turn(n: int, seed: int) -> Iterator[int]:
    """Tasks 0 … n - 1 in random order, again and again."""
    rng = np.random.default_rng([seed, n])
    while True:
        yield from rng.permutation(n).tolist()


class _Reptile:
    """Towards the mean of the adapted weights."""

    def __init__(self, adapted: "Adapted", rate: float, rounds: int) -> None:
        self.adapted, self.rate, self.rounds = adapted, rate, rounds
        self._seen: list[Mapping[str, Tensor]] = []

    def look(self, learner: WeightLearner, networks: Any, env: Any, seed: int) -> int:  # noqa: ARG002
        """Note where the weights went; steps played: none."""
        self._seen.append(self.adapted.difference())
        return 0

    def move(self, k: int) -> None:
        """One step, in round k."""
        share = 1.0 / len(self._seen)
        mean = {name: share * sum(d[name] for d in self._seen) for name in self._seen[0]}
        self.adapted.absorb(mean, self.rate * (1 - k / self.rounds))
        self._seen = []


class _Fomaml:
    """Against the mean gradient at the adapted weights, with Adam."""

    def __init__(self, adapted: "Adapted", rate: float) -> None:
        import torch

        self.movable = list(adapted.movable.values())
        self.adam = torch.optim.Adam(self.movable, rate)
        self._seen: list[Sequence[Tensor]] = []

    def look(self, learner: WeightLearner, networks: Any, env: Any, seed: int) -> int:
        """Note the gradient on new episodes; steps played."""
        import torch

        for parameter in self.movable:
            parameter.requires_grad_(True)
        loss, played = learner.loss(env, networks, seed)
        found = torch.autograd.grad(loss, self.movable, allow_unused=True, materialize_grads=True)
        self._seen.append(found)
        for parameter in self.movable:
            parameter.requires_grad_(False)
        return played

    def move(self, k: int) -> None:  # noqa: ARG002
        """One step of Adam."""
        for parameter, found in zip(self.movable, zip(*self._seen, strict=True), strict=True):
            parameter.grad = sum(found) / len(found)
        self.adam.step()
        self.adam.zero_grad()
        self._seen = []
