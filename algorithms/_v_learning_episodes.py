"""Stage-based V-learning in an environment that is reset and stepped (see `v_learning`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _v_learning as kernels
from metamarl.algorithms._v_learning_run import Learners
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.observation_policy import ObservationPolicy
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.rollouts import Story, play_episode
from metamarl.envs.episodes import EpisodicEnvironment, Slot, check_slots

if TYPE_CHECKING:
    from metamarl.algorithms.v_learning import VLearning

FIRST_STAGE = 10  # visits, where there is no discount


class EpisodesRun:
    """All players' learners, one for every slot that a player has met; iterations are episodes.

    Args:
        options: the solver's.
        env: the environment.
        initial: policy with which stages begin; uniform if left out.
        seed: of all draws, the environment's included.
    """

    def __init__(
        self,
        options: "VLearning",
        env: EpisodicEnvironment,
        initial: ObservationPolicy | None,
        seed: int,
    ) -> None:
        self.env, self.options = env, options
        self.initial = initial or ObservationPolicy.uniform(env)
        self.rng = np.random.default_rng(seed)
        self.view = env.open(seed)
        length = FIRST_STAGE if env.discount == 1.0 else max(1, round(1 / (1 - env.discount)))
        nothing = np.zeros(0)
        self.learners = Learners(np.zeros(1, np.int64), nothing, length, nothing, nothing, options)
        self.index: list[dict[Slot, int]] = [{} for _ in env.agents]
        self.legal: list[NDArray[np.intp]] = []
        self.places: list[set[tuple[int, int]]] = []
        self.paths: list[list[tuple[int, int, float]]] = []
        self.judge = None if env.game is None else Evaluator(env.game)
        self.episodes = self.steps = 0

    def advance(self, episodes: int) -> None:
        """Play so many episodes, and learn after each."""
        for _ in range(episodes):
            self.paths = [[] for _ in self.env.agents]
            number = int(self.rng.integers(2**31 - 1))
            stories = play_episode(self.env, self.view, number, self._choose)
            for i, story in enumerate(stories):
                self._learn(i, story)
            self.episodes += 1
            self.steps += max(len(story.pay) for story in stories)

    def _choose(
        self,
        i: int,
        seen: Any,
        info: Mapping[str, Any],
        legal: NDArray[np.intp],
        step: int,
        moves: int,
    ) -> int:
        slot = self.env.slot(seen, info, step)
        k = self.index[i].get(slot)
        if k is None:
            start = self.initial.tables[i].get(slot)
            if start is None or len(start) != len(legal):
                start = np.full(len(legal), 1.0 / len(legal))
            k = self.index[i][slot] = self.learners.add(start)
            self.legal.append(legal)
            self.places.append(set())
        check_slots(slot, legal, self.legal[k])
        self.places[k].update(self.env.places(i, seen, info, moves))
        a, chance = kernels.choose(self.rng, k, *self.learners.arrays)
        self.paths[i].append((k, a, chance))
        return int(a)

    def _learn(self, i: int, story: Story) -> None:
        times = len(story.pay)
        if not times:
            return
        path, moves, drawn = zip(*self.paths[i], strict=True)
        last = -1
        if not story.over:
            seen, info = self.view.observation(i), self.view.info(i)
            if seen is not None:
                last = self.index[i].get(self.env.slot(seen, info, times), -1)
        fade = np.repeat(np.array(story.fade)[:, None], 2, axis=1)
        kernels.learn(
            np.array(path), np.array(moves), np.array(drawn), np.array(story.pay), fade, times,
            last, story.over, np.zeros(times), *self.learners.arrays,
        )  # fmt: skip

    def policy(self) -> ObservationPolicy:
        """Every player's mean policy."""
        rows = np.split(self.learners.policy(), self.learners.first[1 : self.learners.size])
        tables = [{slot: rows[k] for slot, k in index.items()} for index in self.index]
        return ObservationPolicy(self.env, tables)

    def joint_policy(self) -> JointPolicy:
        """The same on the exact game; uniform in states that were never met."""
        game = self.env.game
        assert game is not None
        arrays = [np.array(array) for array in JointPolicy.uniform(game)]
        rows = np.split(self.learners.policy(), self.learners.first[1 : self.learners.size])
        for array, index in zip(arrays, self.index, strict=True):
            for k in index.values():
                for step, state in self.places[k]:
                    row = array[step, state] if game.horizon is not None else array[state]
                    row[:] = 0.0
                    row[self.legal[k]] = rows[k]
        return JointPolicy(arrays)

    def exact_gap(self) -> float:
        """Return the Nash gap on the exact game: the grade, which the learners do not see."""
        assert self.judge is not None
        assert self.env.game is not None
        return self.judge.nash_gap(self.joint_policy().flat(self.env.game))
