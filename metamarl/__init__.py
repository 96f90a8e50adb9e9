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
    from metamarl.algorithms.episodic import EpisodicSolution
    from metamarl.algorithms.evaluation import (
        best_response,
        cce_gap,
        ce_gap,
        evaluate,
        nash_gap,
    )
    from metamarl.algorithms.exact import Exact
    from metamarl.algorithms.observation_policy import ObservationPolicy
    from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
    from metamarl.algorithms.policy import JointPolicy
    from metamarl.algorithms.policy_gradient import (
        NaturalPolicyGradient,
        PolicyGradient,
        QAscent,
        potential_value,
    )
    from metamarl.algorithms.rollouts import GapEstimate, earnings, estimate_gap
    from metamarl.algorithms.solution import Solution, SolveError, SolveInterrupted, Status
    from metamarl.algorithms.solve import solve
    from metamarl.algorithms.stage_equilibria import (
        cce_range,
        ce_range,
        pure_equilibria,
        stage_payoffs,
        two_player_equilibria,
    )
    from metamarl.algorithms.v_learning import VLearning
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
    from metamarl.envs.enumeration import EnumerationInterrupted
    from metamarl.envs.environment_family import environment_tasks
    from metamarl.envs.episodes import EpisodicEnvironment
    from metamarl.envs.pettingzoo import to_pettingzoo
    from metamarl.envs.plug_in import PettingZooGame, PlugIn, Report, sight
    from metamarl.envs.plugging_in import from_pettingzoo, inspect
    from metamarl.envs.potential import find_potential
    from metamarl.meta import Average, Last, MetaLearner, Oracle, Robust, Scratch

_HOMES = {
    "algorithms.correlated": ["CorrelatedPolicy"],
    "algorithms.evaluation": ["best_response", "cce_gap", "ce_gap", "evaluate", "nash_gap"],
    "algorithms.episodic": ["EpisodicSolution"],
    "algorithms.exact": ["Exact"],
    "algorithms.observation_policy": ["ObservationPolicy"],
    "algorithms.optimistic_mirror_descent": ["OptimisticMirrorDescent"],
    "algorithms.policy": ["JointPolicy"],
    "algorithms.policy_gradient": [
        "NaturalPolicyGradient",
        "PolicyGradient",
        "QAscent",
        "potential_value",
    ],
    "algorithms.rollouts": ["GapEstimate", "earnings", "estimate_gap"],
    "algorithms.solution": ["Solution", "SolveError", "SolveInterrupted", "Status"],
    "algorithms.solve": ["solve"],
    "algorithms.stage_equilibria": [
        "cce_range",
        "ce_range",
        "pure_equilibria",
        "stage_payoffs",
        "two_player_equilibria",
    ],
    "algorithms.v_learning": ["VLearning"],
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
    "envs.enumeration": ["EnumerationInterrupted"],
    "envs.environment_family": ["environment_tasks"],
    "envs.episodes": ["EpisodicEnvironment"],
    "envs.pettingzoo": ["to_pettingzoo"],
    "envs.plug_in": ["PettingZooGame", "PlugIn", "Report", "sight"],
    "envs.plugging_in": ["from_pettingzoo", "inspect"],
    "envs.potential": ["find_potential"],
    "meta": ["Average", "Last", "MetaLearner", "Oracle", "Robust", "Scratch"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [
    "Average",
    "Comparison",
    "CorrelatedPolicy",
    "EnumerationInterrupted",
    "EpisodicEnvironment",
    "EpisodicSolution",
    "Exact",
    "GapEstimate",
    "JointPolicy",
    "Last",
    "MarkovGame",
    "MetaLearner",
    "NaturalPolicyGradient",
    "ObservationPolicy",
    "OptimisticMirrorDescent",
    "Oracle",
    "PettingZooGame",
    "PlugIn",
    "PolicyGradient",
    "QAscent",
    "Report",
    "Robust",
    "Scratch",
    "Similarity",
    "Solution",
    "SolveError",
    "SolveInterrupted",
    "Status",
    "VLearning",
    "best_response",
    "cce_gap",
    "cce_range",
    "ce_gap",
    "ce_range",
    "compare",
    "divergence",
    "earnings",
    "environment_tasks",
    "estimate_gap",
    "evaluate",
    "find_potential",
    "from_pettingzoo",
    "from_rules",
    "games",
    "inspect",
    "make",
    "nash_gap",
    "payoff_distance",
    "potential_difference",
    "potential_value",
    "pure_equilibria",
    "register",
    "sight",
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
