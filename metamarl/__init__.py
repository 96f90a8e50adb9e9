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
    from metamarl.algorithms.adapters import (
        Adapter,
        AllAdapter,
        BottomAdapter,
        CoLoRA,
        HeadAdapter,
        ScaleAdapter,
        SparseAdapter,
    )
    from metamarl.algorithms.correlated import CorrelatedPolicy
    from metamarl.algorithms.episodic import EpisodicSolution
    from metamarl.algorithms.evaluation import best_response, cce_gap, ce_gap, evaluate, nash_gap
    from metamarl.algorithms.exact import Exact
    from metamarl.algorithms.gymnasium import to_gymnasium
    from metamarl.algorithms.learning import NeuralSolution, learn
    from metamarl.algorithms.loading import load
    from metamarl.algorithms.many_games import solve_many
    from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
    from metamarl.algorithms.neural_policy import NeuralPolicy
    from metamarl.algorithms.observation_policy import ObservationPolicy
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
    from metamarl.algorithms.regret_matching import RegretMatching
    from metamarl.algorithms.response import response_game
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
    from metamarl.algorithms.stage_starts import LastPlays, StageStart
    from metamarl.algorithms.v_learning import VLearning
    from metamarl.algorithms.value_span import value_span
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
    from metamarl.envs.enumeration import EnumerationInterrupted
    from metamarl.envs.environment_family import environment_tasks
    from metamarl.envs.episodes import EpisodicEnvironment
    from metamarl.envs.openspiel import from_openspiel
    from metamarl.envs.pettingzoo import to_pettingzoo
    from metamarl.envs.plug_in import PettingZooGame, PlugIn, Report, sight
    from metamarl.envs.potential import find_potential
    from metamarl.envs.tier_families import Tiers, tier_families, tier_tasks
    from metamarl.meta import Average, Last, MetaLearner, Oracle, Robust, Scratch
    from metamarl.network_training import train_network
    from metamarl.neural import Neural
    from metamarl.plugging import from_pettingzoo, inspect
    from metamarl.rolling_out import Rollouts, rollouts
    from metamarl.sources import Select
    from metamarl.stage_network import StageNetwork
    from metamarl.start_learning import learn_start
    from metamarl.starts import LearnedStart, load_start
    from metamarl.tier_agents import (
        NaiveTransfer,
        NoTransfer,
        OracleTransfer,
        PessimisticTransfer,
        RobustTransfer,
        TierAgent,
    )
    from metamarl.tier_bandits import tiered_bandits
    from metamarl.tier_comparing import compare_tiers
    from metamarl.tier_comparison import TierComparison
    from metamarl.tier_diagnostics import TierDiagnosis, diagnose_tiers
    from metamarl.tier_opponents import opponent_tiers, task_against
    from metamarl.tier_run import TieredRun
    from metamarl.tiers import tiered

_HOMES = {
    "algorithms.adapters": [
        "Adapter",
        "AllAdapter",
        "BottomAdapter",
        "CoLoRA",
        "HeadAdapter",
        "ScaleAdapter",
        "SparseAdapter",
    ],
    "algorithms.correlated": ["CorrelatedPolicy"],
    "algorithms.episodic": ["EpisodicSolution"],
    "algorithms.evaluation": ["best_response", "cce_gap", "ce_gap", "evaluate", "nash_gap"],
    "algorithms.exact": ["Exact"],
    "algorithms.gymnasium": ["to_gymnasium"],
    "algorithms.learning": ["NeuralSolution", "learn"],
    "algorithms.loading": ["load"],
    "algorithms.many_games": ["solve_many"],
    "algorithms.neural_mirror_descent": ["NeuralMirrorDescent"],
    "algorithms.neural_policy": ["NeuralPolicy"],
    "algorithms.observation_policy": ["ObservationPolicy"],
    "algorithms.optimistic_mirror_descent": ["OptimisticMirrorDescent"],
    "algorithms.playing": ["Player"],
    "algorithms.policy": ["JointPolicy"],
    "algorithms.policy_gradient": [
        "NaturalPolicyGradient",
        "PolicyGradient",
        "QAscent",
        "potential_value",
    ],
    "algorithms.refinement": ["refine"],
    "algorithms.regret_matching": ["RegretMatching"],
    "algorithms.response": ["response_game"],
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
    "algorithms.stage_starts": ["LastPlays", "StageStart"],
    "algorithms.v_learning": ["VLearning"],
    "algorithms.value_span": ["value_span"],
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
    "envs.enumeration": ["EnumerationInterrupted"],
    "envs.environment_family": ["environment_tasks"],
    "envs.episodes": ["EpisodicEnvironment"],
    "envs.openspiel": ["from_openspiel"],
    "envs.pettingzoo": ["to_pettingzoo"],
    "envs.plug_in": ["PettingZooGame", "PlugIn", "Report", "sight"],
    "envs.potential": ["find_potential"],
    "envs.tier_families": ["Tiers", "tier_families", "tier_tasks"],
    "meta": ["Average", "Last", "MetaLearner", "Oracle", "Robust", "Scratch"],
    "network_training": ["train_network"],
    "neural": ["Neural"],
    "plugging": ["from_pettingzoo", "inspect"],
    "rolling_out": ["Rollouts", "rollouts"],
    "sources": ["Select"],
    "stage_network": ["StageNetwork"],
    "start_learning": ["learn_start"],
    "starts": ["LearnedStart", "load_start"],
    "tier_agents": [
        "NaiveTransfer",
        "NoTransfer",
        "OracleTransfer",
        "PessimisticTransfer",
        "RobustTransfer",
        "TierAgent",
    ],
    "tier_bandits": ["tiered_bandits"],
    "tier_comparing": ["compare_tiers"],
    "tier_comparison": ["TierComparison"],
    "tier_diagnostics": ["TierDiagnosis", "diagnose_tiers"],
    "tier_opponents": ["opponent_tiers", "task_against"],
    "tier_run": ["TieredRun"],
    "tiers": ["tiered"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [
    "Adapter",
    "AllAdapter",
    "AnonymousGame",
    "Average",
    "BottomAdapter",
    "Bound",
    "CoLoRA",
    "Comparison",
    "CorrelatedPolicy",
    "EnumerationInterrupted",
    "EpisodicEnvironment",
    "EpisodicSolution",
    "Exact",
    "GapEstimate",
    "HeadAdapter",
    "JointPolicy",
    "Last",
    "LastPlays",
    "LearnedStart",
    "MarkovGame",
    "MetaLearner",
    "NaiveTransfer",
    "NaturalPolicyGradient",
    "Neural",
    "NeuralMirrorDescent",
    "NeuralPolicy",
    "NeuralSolution",
    "NoTransfer",
    "ObservationPolicy",
    "OptimisticMirrorDescent",
    "Oracle",
    "OracleTransfer",
    "PessimisticTransfer",
    "PettingZooGame",
    "Player",
    "PlugIn",
    "PolicyGradient",
    "QAscent",
    "RegretMatching",
    "Report",
    "Robust",
    "RobustTransfer",
    "Rollouts",
    "ScaleAdapter",
    "Scratch",
    "Select",
    "Similarity",
    "Solution",
    "SolveError",
    "SolveInterrupted",
    "SparseAdapter",
    "StageNetwork",
    "StageStart",
    "Status",
    "TierAgent",
    "TierComparison",
    "TierDiagnosis",
    "TieredRun",
    "Tiers",
    "VLearning",
    "best_response",
    "cce_gap",
    "cce_range",
    "ce_gap",
    "ce_range",
    "compare",
    "compare_tiers",
    "convergence_bound",
    "count_vectors",
    "diagnose_tiers",
    "divergence",
    "earnings",
    "environment_tasks",
    "estimate_gap",
    "evaluate",
    "find_potential",
    "from_openspiel",
    "from_pettingzoo",
    "from_rules",
    "games",
    "inspect",
    "learn",
    "learn_start",
    "load",
    "load_start",
    "make",
    "nash_gap",
    "opponent_tiers",
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
    "solve_many",
    "stage_payoffs",
    "task_against",
    "tasks",
    "tier_families",
    "tier_tasks",
    "tiered",
    "tiered_bandits",
    "to_gymnasium",
    "to_pettingzoo",
    "train_network",
    "transition_distance",
    "two_player_equilibria",
    "value_span",
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
