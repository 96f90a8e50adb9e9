"""An environment whose chance is under control."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.branching import Branch
from metamarl.envs.branching_generators import Patch
from metamarl.envs.environment import Environment
from metamarl.envs.object_parts import swap_generators


class Controlled(Environment):
    """An environment whose chance asks `branch`: what it had, and what it makes later.

    `made_at_random` says whether numbers were drawn while it was made.
    """

    def __init__(self, make: Callable[[], Any], seed: int, branch: Branch) -> None:
        self.patch = Patch(branch)
        with self.patch:
            env = make()
        self.made_at_random = branch.asked > 0
        super().__init__(env, seed)

    def reset(self, seed: int | None = None) -> None:
        """See `Environment`."""
        with self.patch:
            super().reset(seed)
        swap_generators(self, self.patch.stand_in)  # what was made by names that are not patched

    def step(self, actions: Mapping[int, int]) -> NDArray[np.float64]:
        """See `Environment`."""
        with self.patch:
            return super().step(actions)
