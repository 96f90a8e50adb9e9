"""metamarl: meta-reinforcement learning for multi-agent games.

Solve one Markov game with a certified distance from equilibrium, learn across related games where
to start, and compare the two.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

_root = _Path(__file__).parent
if not (_root / "envs" / "__init__.py").exists():  # a checkout without symbolic links
    __path__.append(str(_root.parent))

if _TYPE_CHECKING:
    from metamarl.algorithms.correlated import CorrelatedPolicy
    from metamarl.algorithms.evaluation import (
        best_response,
        cce_gap,
        ce_gap,
        evaluate,
        nash_gap,
    )
    from metamarl.algorithms.exact import Exact
    from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
    from metamarl.algorithms.policy import JointPolicy
    from metamarl.algorithms.policy_gradient import (
        NaturalPolicyGradient,
        PolicyGradient,
        QAscent,
        potential_value,
    )
    from metamarl.algorithms.regret_matching import RegretMatching
    from metamarl.algorithms.solution import Solution, SolveError, SolveInterrupted, Status
    from metamarl.algorithms.solve import solve
    from metamarl.algorithms.stage_equilibria import (
        cce_range,
        ce_range,
        pure_equilibria,
        stage_payoffs,
        two_player_equilibria,
    )
    from metamarl.bounds import Bound, convergence_bound
    from metamarl.comparing import compare
    from metamarl.comparison import Comparison
    from metamarl.distances import (
        Similarity,
        divergence,
        payoff_distance,
        potential_difference,
        similarity,
        transition_distance,
    )
    from metamarl.envs import MarkovGame, from_rules, games, make, register, tasks
    from metamarl.envs.anonymous import AnonymousGame
    from metamarl.envs.counts import count_vectors
    from metamarl.envs.pettingzoo import to_pettingzoo
    from metamarl.envs.potential import find_potential
    from metamarl.meta import Average, Last, MetaLearner, Oracle, Robust, Scratch

_HOMES = {
    "algorithms.correlated": ["CorrelatedPolicy"],
    "algorithms.evaluation": ["best_response", "cce_gap", "ce_gap", "evaluate", "nash_gap"],
    "algorithms.exact": ["Exact"],
    "algorithms.optimistic_mirror_descent": ["OptimisticMirrorDescent"],
    "algorithms.policy": ["JointPolicy"],
    "algorithms.policy_gradient": [
        "NaturalPolicyGradient",
        "PolicyGradient",
        "QAscent",
        "potential_value",
    ],
    "algorithms.regret_matching": ["RegretMatching"],
    "algorithms.solution": ["Solution", "SolveError", "SolveInterrupted", "Status"],
    "algorithms.solve": ["solve"],
    "algorithms.stage_equilibria": [
        "cce_range",
        "ce_range",
        "pure_equilibria",
        "stage_payoffs",
        "two_player_equilibria",
    ],
    "bounds": ["Bound", "convergence_bound"],
    "comparing": ["compare"],
    "comparison": ["Comparison"],
    "distances": [
        "Similarity",
        "divergence",
        "payoff_distance",
        "potential_difference",
        "similarity",
        "transition_distance",
    ],
    "envs": ["MarkovGame", "from_rules", "games", "make", "register", "tasks"],
    "envs.anonymous": ["AnonymousGame"],
    "envs.counts": ["count_vectors"],
    "envs.pettingzoo": ["to_pettingzoo"],
    "envs.potential": ["find_potential"],
    "meta": ["Average", "Last", "MetaLearner", "Oracle", "Robust", "Scratch"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [
    "AnonymousGame",
    "Average",
    "Bound",
    "Comparison",
    "CorrelatedPolicy",
    "Exact",
    "JointPolicy",
    "Last",
    "MarkovGame",
    "MetaLearner",
    "NaturalPolicyGradient",
    "OptimisticMirrorDescent",
    "Oracle",
    "PolicyGradient",
    "QAscent",
    "RegretMatching",
    "Robust",
    "Scratch",
    "Similarity",
    "Solution",
    "SolveError",
    "SolveInterrupted",
    "Status",
    "best_response",
    "cce_gap",
    "cce_range",
    "ce_gap",
    "ce_range",
    "compare",
    "convergence_bound",
    "count_vectors",
    "divergence",
    "evaluate",
    "find_potential",
    "from_rules",
    "games",
    "make",
    "nash_gap",
    "payoff_distance",
    "potential_difference",
    "potential_value",
    "pure_equilibria",
    "register",
    "similarity",
    "solve",
    "stage_payoffs",
    "tasks",
    "to_pettingzoo",
    "transition_distance",
    "two_player_equilibria",
]


def __getattr__(name: str) -> _Any:
    """Import a public name where it is first used: Numba and PettingZoo take their time."""
    if name not in _HOME:
        raise AttributeError(f"module 'metamarl' has no attribute {name!r}")
    value = getattr(_import_module(f"metamarl.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
