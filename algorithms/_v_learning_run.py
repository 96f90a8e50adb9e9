"""Stage-based V-learning on a game that is only simulated (see `v_learning`)."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _general_sum
from metamarl.algorithms import _v_learning as kernels
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.solver import AbstractRun
from metamarl.envs.checks import check_memory
from metamarl.envs.clock import at_rest
from metamarl.envs.game import MarkovGame

if TYPE_CHECKING:
    from metamarl.algorithms.v_learning import VLearning

MOST_STEPS = 2**20  # between two looks at Ctrl-C
ROOM = 4096  # steps of an episode without a horizon that are learned from at once


class Learners:
    """The learners of all players, in the arrays that the kernels work on; more can be added.

    Args:
        first: `(K + 1,)` where learner k's actions lie.
        start: `(P,)` the policies that stages begin with.
        length: of the first stage, H.
        largest: `(K,)` bounds of the values, and of their negatives; in scaled rewards.
        smallest: see `largest`.
        options: the solver's.
    """

    def __init__(
        self,
        first: NDArray[np.int64],
        start: NDArray[np.float64],
        length: int,
        largest: NDArray[np.float64],
        smallest: NDArray[np.float64],
        options: "VLearning",
    ) -> None:
        self.size = K = len(first) - 1
        self.options, self.length = options, length
        self.first, self.initial = first, start
        self.dial = options.dial(length)
        self.tally = np.zeros((K, 5), np.int64)
        self.tally[:, kernels.LENGTH] = length
        self.worth = np.zeros((K, 7))
        self.worth[:, kernels.LARGEST] = largest
        self.worth[:, kernels.RANGE] = np.where(largest > smallest, largest - smallest, 1.0)
        if self.dial[kernels.OPTIMISTIC]:
            self.worth[:, kernels.VALUE] = largest
        part = 1.0 if options.distance is None else options.distance
        self.worth[:, kernels.DIVERGENCE] = part * np.log(np.diff(first))
        self.act = np.zeros((len(start), 7))
        self.act[:, kernels.START] = np.log(np.maximum(start, options.SMALLEST))

    def add(self, start: NDArray[np.float64]) -> int:
        """Add a learner with this initial policy, where no bounds of values are known."""
        k, begin, A = self.size, int(self.first[self.size]), len(start)
        if k + 1 >= len(self.first):
            self.first = _longer(self.first, k + 2)
        if k >= len(self.tally):
            self.tally, self.worth = _longer(self.tally, k + 1), _longer(self.worth, k + 1)
        if begin + A > len(self.act):
            self.act = _longer(self.act, begin + A)
            self.initial = _longer(self.initial, begin + A)
        one = Learners(np.array([0, A]), start, self.length, np.ones(1), np.zeros(1), self.options)
        self.first[k + 1] = begin + A
        self.tally[k], self.worth[k] = one.tally[0], one.worth[0]
        self.initial[begin : begin + A], self.act[begin : begin + A] = start, one.act
        self.size += 1
        return k

    @property
    def arrays(self) -> tuple[NDArray, ...]:
        """What the kernels take last."""
        return self.first, self.tally, self.worth, self.act, self.dial

    def counts(self) -> NDArray[np.int64]:
        """`(K,)` visits in this stage and the one before."""
        tally = self.tally[: self.size]
        return tally[:, kernels.VISITS] + tally[:, kernels.LENGTH_BEFORE]

    def policy(self) -> NDArray[np.float64]:
        """`(P,)` every learner's mean policy over these visits; the initial one without any."""
        sizes = np.diff(self.first[: self.size + 1])
        count = np.repeat(np.where(sizes > 1, self.counts(), 0), sizes)
        act = self.act[: len(count)]
        total = act[:, kernels.SUM] + act[:, kernels.SUM_BEFORE]
        return np.where(count > 0, total / np.maximum(count, 1), self.initial[: len(count)])


def _longer(array: NDArray, least: int) -> NDArray:
    """A copy with room for at least so many rows, and as many again."""
    room = np.zeros((2 * least, *array.shape[1:]), array.dtype)
    room[: len(array)] = array
    return room


class VLearningRun(AbstractRun):
    """All players' learners on one game; iterations are episodes.

    In zero-sum games the output is the flat policy of the players' means, in others the flat joint
    policy: the mean of the products of their policies.
    """

    def __init__(
        self, options: "VLearning", game: MarkovGame, initial: NDArray[np.float64]
    ) -> None:
        nodes, table = game.nodes, game.table
        N, n = len(nodes.states), game.n_players
        H = effective_horizon(game)
        self.game, self.resolution = game, options.resolution
        self.concept = "nash" if game.kind == "zero-sum" else "cce"
        low, high = table.reward.min(1), table.reward.max(1)
        span = np.where(high > low, high - low, np.maximum(np.abs(high), 1e-300))
        self.scale = 1.0 / span
        steps = H - nodes.steps if nodes.timed else np.full(N, H)
        self.learners = Learners(
            np.append(nodes.slots[:, :-1], nodes.slots[-1, -1]),
            initial,
            H,
            np.outer(np.maximum(high, 0.0) / span, steps).ravel(),
            np.outer(np.minimum(low, 0.0) / span, steps).ravel(),
            options,
        )
        layers = game.horizon or 1
        check_memory(4.0 * layers * game.n_states, "Learning in so many (step, state) pairs")
        self.number = np.zeros((layers, game.n_states), np.int32)
        self.number[nodes.steps, nodes.states] = np.arange(N)
        self.starts = np.flatnonzero(game.initial)
        timed = table.reward_stride or table.transition_stride
        self.rest = np.zeros(game.n_states, bool) if timed else at_rest(table)
        self.joint, self.joint_before, self.product = (np.zeros(0) for _ in range(3))
        if self.concept == "cce":
            self.joint, self.joint_before, self.product = (
                np.zeros(int(nodes.joints[-1])) for _ in range(3)
            )
            _general_sum.multiply(
                table.counts[nodes.states], nodes.slots, nodes.joints, initial, self.product
            )
        room = layers if nodes.timed else ROOM
        self.room = (
            np.zeros((room, n), np.int64),
            np.zeros((room, n), np.int64),
            np.zeros((room, n)),
            np.zeros((room, n)),
            np.zeros((room, 2)),
            np.zeros((room, n)),
        )
        self.rng = np.random.default_rng(0)
        self.episodes = self.steps = 0

    def seed(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def advance(self, iterations: int) -> int:
        game, table, nodes = self.game, self.game.table, self.game.nodes
        episodes, steps = kernels.play(
            self.rng, iterations, MOST_STEPS, self.starts, game.initial[self.starts], self.number,
            nodes.timed, -1 if game.horizon is None else game.horizon, self.rest, game.discount,
            self.scale, table.counts, table.rows, table.reward, table.reward_stride, table.indptr,
            table.indices, table.probabilities, table.transition_stride, nodes.joints, self.joint,
            self.joint_before, *self.room, *self.learners.arrays,
        )  # fmt: skip
        self.episodes += episodes
        self.steps += steps
        self.note = f"Learned from {self.episodes:,} episodes, {self.steps:,} steps in all."
        return int(episodes)

    def policy(self) -> NDArray[np.float64]:
        if self.concept == "nash":
            return self.learners.policy()
        count = self.learners.counts()[: len(self.game.nodes.states)]  # the same for every player
        count = np.repeat(count, np.diff(self.game.nodes.joints))
        total = self.joint + self.joint_before
        return np.where(count > 0, total / np.maximum(count, 1), self.product)

    def next_check(self, done: int) -> int:
        return max(1, int(self.resolution * done)) if self.resolution else 2**62
