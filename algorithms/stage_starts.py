"""Where every stage of mirror descent begins: a policy from the stage matrix itself."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

Plays = tuple[NDArray[np.float64], NDArray[np.float64]]


class StageStart(ABC):
    """Proposes where to begin a stage, for all nodes of one shape at once.

    In a stage of mirror descent on a two-player zero-sum game every (step, state) holds a matrix
    still, and begins from one given policy, the same in every stage. `solve(game, "omd", init)`
    with a `StageStart` as `init` asks for a policy at every stage instead.
    """

    @abstractmethod
    def propose(self, matrices: NDArray[np.float64], plays: Plays) -> Plays:
        """Both players' policies to begin with.

        Args:
            matrices: `(n, A, B)` stage matrices, which player 0 maximises; not to be changed.
            plays: `(n, A)` and `(n, B)` average plays of the last stage; the initial policies
                before the first one.

        Returns:
            `(n, A)` and `(n, B)` policies; rows sum to 1.
        """
