"""The meta-learners by name."""

from typing import Any

from metamarl.envs.checks import check_choice, complaint
from metamarl.meta import Average, Last, MetaLearner, Oracle, Robust, Scratch
from metamarl.neural import Neural
from metamarl.sources import Select

META_LEARNERS: dict[str, type[MetaLearner]] = {
    learner.name: learner for learner in (Scratch, Last, Average, Robust, Select, Neural, Oracle)
}


def find_meta(meta: Any) -> MetaLearner:
    """Meta-learner for a name in `META_LEARNERS`; objects are passed on."""
    if isinstance(meta, MetaLearner):
        return meta
    if not isinstance(meta, str):
        must = "the name of a meta-learner, or one, or a list of them"
        raise TypeError(complaint("meta", "compare", must, meta))
    return META_LEARNERS[check_choice(meta, "meta", "compare", META_LEARNERS)]()
