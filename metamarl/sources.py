r"""Source selection: which of the past games to learn from, at every (step, state) of a new one.

An average of equilibria helps where games are variations of one. Where they come from several, it
is near none of them. In tiered learning the high tier chooses, state by state, the source that it
trusts: one whose promise its own bounds do not refute (Huang and He, NeurIPS 2023; see
`metamarl.tiered`). The past games are such sources for a new game, which is known here, not
sampled: bounds become values, and the test whether a source's policy keeps its promise, at a state
and from there on, is exact. It stands for all three conditions of a transferable state: that the
source comes there, that what it does is right here too, and that it is not worth more there. And as
nothing has to be found out by trial, trust is settled before the first iteration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from metamarl._mixtures import certified
from metamarl.algorithms.composition import compose
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.policy import JointPolicy
from metamarl.envs.checks import check_real, complaint
from metamarl.envs.game import MarkovGame
from metamarl.meta import MetaLearner


@dataclass(frozen=True, kw_only=True)
class Select(MetaLearner):
    r"""The past solutions that are worth most in the game at hand, node by node (ours).

    The start is the composition of the past solutions and the uniform policy (see
    `metamarl.algorithms.composition`): at every node the mean of the best few of them, as many as
    make the gap smallest. It is mixed with a part $α = c g^2 / (1 + c g^2)$ of the uniform policy,
    and at least `least`, with $g$ its gap from the node on divided by that of the uniform policy;
    so a game unlike all the others is solved from near the uniform policy. It costs two
    measurements of the gap and a pass (in games with cycles at most 30) with one product per past
    solution, node and player, where an iteration has one; they are not counted as iterations.
    """

    name: ClassVar[str] = "select"

    caution: float = 25.0
    """c: larger values stay closer to uniform."""
    least: float = 0.01
    """Smallest part of the uniform policy."""

    def __post_init__(self) -> None:
        check_real(self.caution, "caution", "Select", 0.0)
        check_real(self.least, "least", "Select", 0.0, 1.0)

    def without_model(self) -> MetaLearner:
        """Raise ValueError: what past solutions are worth is read off the game's model."""
        must = "a learner other than 'select' for solvers that only play the games"
        raise ValueError(complaint("meta", "compare", must, self.label))

    def start(self, game: MarkovGame, past: Sequence[JointPolicy]) -> JointPolicy | None:
        """Compose the past solutions and mix them node by node; None without one."""
        if not past:
            return None
        judge = Evaluator(game)
        uniform = JointPolicy.uniform(game).flat(game)
        found = compose(game, [uniform, *(p.flat(game, "Select") for p in past)], judge)
        return certified(game, judge, found, self.caution, self.least)
