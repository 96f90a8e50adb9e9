"""The stages of mirror descent: lengths, outputs, and when to measure."""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.solver import AbstractRun


class StagedRun(AbstractRun):
    """A run cut into stages, of length H first and 1 + 1/H times the last one then.

    Subclasses hold the games of a stage and play them. What they put out, a flat policy or a flat
    joint policy, is an average of the plays: over the last stage, over all iterations, or chained.

    Args:
        horizon: H.
        output: "last-stage", "chained" or "average".
        resolution: part by which iterations grow between measurements.
        first: the output before anything is played.
        spans: for each group of nodes, the slices of the output that belong to it.
    """

    def __init__(
        self,
        horizon: int,
        output: str,
        resolution: float,
        first: NDArray[np.float64],
        spans: list[list[slice]],
    ) -> None:
        self.H, self.output, self.resolution, self.spans = horizon, output, resolution, spans
        self.length, self.played = horizon, 0
        self.all_plays, self.all_count = np.zeros_like(first), 0
        self.past = [first] * (len(spans) - 1)

    @abstractmethod
    def _begin(self) -> None:
        """Begin a stage from the values of the last one and the initial policies."""

    @abstractmethod
    def _play(self, times: int) -> None:
        """Iterate inside the stage."""

    @abstractmethod
    def _plays(self) -> NDArray[np.float64]:
        """Sum of the stage's plays so far, in the form of the output."""

    @abstractmethod
    def _keep_values(self) -> None:
        """Take the stage's average values for the values to come."""

    def advance(self, iterations: int) -> int:
        if self.played == self.length:
            self._end_stage()
        times = min(iterations, self.length - self.played)
        self._play(times)
        self.played += times
        return times

    def _end_stage(self) -> None:
        plays = self._plays()
        if self.output == "chained":
            self.past = [plays / self.played, *self.past][: len(self.past)]
        self.all_plays += plays
        self.all_count += self.played
        self._keep_values()
        self.length = self.length * (self.H + 1) // self.H
        self._begin()
        self.played = 0

    def policy(self) -> NDArray[np.float64]:
        plays = self._plays()
        if self.output == "average":
            return (self.all_plays + plays) / (self.all_count + self.played)
        plays /= self.played
        if self.output == "chained":
            for spans, older in zip(self.spans[1:], self.past, strict=True):
                for span in spans:
                    plays[span] = older[span]
        return plays

    def next_check(self, done: int) -> int:
        return max(1, int(self.resolution * done)) if self.resolution else 2**62
