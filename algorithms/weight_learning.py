"""Neural self-play as learning across tasks needs it: networks come in, are trained, are judged."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from metamarl.algorithms._learning_run import make_stepper
from metamarl.algorithms.learner import Learner, check_batches, mirror_descent_loss
from metamarl.algorithms.learning import as_environment
from metamarl.algorithms.networks import Networks
from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
from metamarl.algorithms.torch_extra import one_thread
from metamarl.envs.checks import complaint, said

WHERE = "learn_start"


class SelfPlayWeights:
    """Trains given networks by neural policy mirror descent, on a CPU, with one thread.

    Args:
        options: of the algorithm. Its schedules are run through anew every time, so that what is
            learned from a good start should not begin with a high temperature.
    """

    def __init__(self, options: NeuralMirrorDescent) -> None:
        self.options = options

    def networks(self, environments: Sequence[Any], seed: int) -> Networks:
        """Random networks for the players of environments; ValueError unless these are alike."""
        layouts = [make_stepper(as_environment(env), self.options).layout for env in environments]
        first = layouts[0]
        for k, layout in enumerate(layouts):
            if layout != first:
                must = "alike in players, actions, and the sizes of what is seen"
                got = said(f"{layout} as task {k} after {first}")
                raise ValueError(complaint("environments", WHERE, must, got))
        return Networks(first.sizes, first.n_actions, self.options.hidden, seed)

    def train(self, env: Any, networks: Networks, steps: int, seed: int) -> int:
        """Learn what requires gradients, for `steps` rounded down to whole updates, at least one.

        Returns the steps played. ValueError where `options.rollout` steps are too few to learn
        anything from.
        """
        per_update = self.options.copies * self.options.rollout
        n_updates = max(1, steps // per_update)
        with one_thread():
            learner = self._learner(env, networks, seed)
            try:
                for k in range(n_updates):
                    batches = learner.gather()
                    if not k:
                        check_batches(batches, self.options.rollout, WHERE)
                    learner.update(batches, k / n_updates)
            finally:
                learner.stepper.close()
        return n_updates * per_update

    def loss(self, env: Any, networks: Networks, seed: int) -> tuple[Tensor, int]:
        """The loss on a rollout of new episodes, mean over groups, at the end of the schedules.

        Returns it with the steps played. ValueError where these are too few to learn anything from.
        """
        options = self.options
        with one_thread():
            learner = self._learner(env, networks, seed)
            try:
                batches = learner.gather()
            finally:
                learner.stepper.close()
            check_batches(batches, options.rollout, WHERE)
            step_size, temperature = options.at("step_size", 1.0), options.at("temperature", 1.0)
            losses = [
                mirror_descent_loss(networks.groups[g], batch, step_size, temperature).total
                for g, batch in enumerate(batches)
                if batch is not None and len(batch)
            ]
        return sum(losses[1:], losses[0]) / len(losses), options.copies * options.rollout

    def _learner(self, env: Any, networks: Networks, seed: int) -> Learner:
        found = as_environment(env)
        learner = Learner(make_stepper(found, self.options), self.options, found.discount, seed)
        learner.use(networks)
        learner.play.begin()
        return learner
