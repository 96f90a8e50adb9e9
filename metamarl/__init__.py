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

_import_module("metamarl._registration").register_when_imported()

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
    from metamarl.algorithms.gymnasium import to_gymnasium
    from metamarl.algorithms.loading import load
    from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
    from metamarl.algorithms.playing import Player
    from metamarl.algorithms.policy import JointPolicy
    from metamarl.algorithms.policy_gradient import (
        NaturalPolicyGradient,
        PolicyGradient,
        QAscent,
        potential_value,
    )
    from metamarl.algorithms.refinement import refine
    from metamarl.algorithms.response import response_game
    from metamarl.algorithms.solution import Solution, SolveError, SolveInterrupted, Status
    from metamarl.algorithms.solve import solve
    from metamarl.algorithms.stage_equilibria import (
        cce_range,
        ce_range,
        pure_equilibria,
        stage_payoffs,
        two_player_equilibria,
    )
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
    from metamarl.envs.openspiel import from_openspiel
    from metamarl.envs.pettingzoo import to_pettingzoo
    from metamarl.envs.plug_in import PettingZooGame, PlugIn, Report, sight
    from metamarl.envs.potential import find_potential
    from metamarl.meta import Average, Last, MetaLearner, Oracle, Robust, Scratch
    from metamarl.plugging import from_pettingzoo, inspect
    from metamarl.rolling_out import Rollouts, rollouts

_HOMES = {
    "algorithms.correlated": ["CorrelatedPolicy"],
    "algorithms.evaluation": ["best_response", "cce_gap", "ce_gap", "evaluate", "nash_gap"],
    "algorithms.exact": ["Exact"],
    "algorithms.gymnasium": ["to_gymnasium"],
    "algorithms.loading": ["load"],
    "algorithms.optimistic_mirror_descent": ["OptimisticMirrorDescent"],
    "algorithms.playing": ["Player"],
    "algorithms.policy": ["JointPolicy"],
    "algorithms.policy_gradient": [
        "NaturalPolicyGradient",
        "PolicyGradient",
        "QAscent",
        "potential_value",
    ],
    "algorithms.response": ["response_game"],
    "algorithms.refinement": ["refine"],
    "algorithms.solution": ["Solution", "SolveError", "SolveInterrupted", "Status"],
    "algorithms.solve": ["solve"],
    "algorithms.stage_equilibria": [
        "cce_range",
        "ce_range",
        "pure_equilibria",
        "stage_payoffs",
        "two_player_equilibria",
    ],
    "comparing": ["compare"],
    "comparison": ["Comparison"],
    "distances": [
        "Similarity",
        "divergence",
        "payoff_distance",
        "potential_difference",
        "rollouts",
        "similarity",
        "transition_distance",
    ],
    "envs": ["MarkovGame", "from_rules", "games", "make", "register", "tasks"],
    "envs.enumeration": ["EnumerationInterrupted"],
    "envs.environment_family": ["environment_tasks"],
    "envs.openspiel": ["from_openspiel"],
    "envs.pettingzoo": ["to_pettingzoo"],
    "envs.plug_in": ["PettingZooGame", "PlugIn", "Report", "sight"],
    "envs.potential": ["find_potential"],
    "meta": ["Average", "Last", "MetaLearner", "Oracle", "Robust", "Scratch"],
    "plugging": ["from_pettingzoo", "inspect"],
    "rolling_out": ["Rollouts", "rollouts"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [
    "Average",
    "Comparison",
    "CorrelatedPolicy",
    "EnumerationInterrupted",
    "Exact",
    "JointPolicy",
    "Last",
    "MarkovGame",
    "MetaLearner",
    "NaturalPolicyGradient",
    "OptimisticMirrorDescent",
    "Oracle",
    "PettingZooGame",
    "Player",
    "PlugIn",
    "PolicyGradient",
    "QAscent",
    "Report",
    "Robust",
    "Rollouts",
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
    "divergence",
    "environment_tasks",
    "evaluate",
    "find_potential",
    "from_openspiel",
    "from_pettingzoo",
    "from_rules",
    "games",
    "inspect",
    "load",
    "make",
    "nash_gap",
    "payoff_distance",
    "potential_difference",
    "potential_value",
    "pure_equilibria",
    "refine",
    "register",
    "response_game",
    "rollouts",
    "sight",
    "similarity",
    "solve",
    "stage_payoffs",
    "tasks",
    "to_gymnasium",
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
