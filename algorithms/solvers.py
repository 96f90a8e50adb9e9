"""The solvers by name."""

from typing import Any

from metamarl.algorithms.exact import Exact, is_exactly_solvable
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.policy_gradient import (
    NaturalPolicyGradient,
    PolicyGradient,
    QAscent,
)
from metamarl.algorithms.regret_matching import RegretMatching, is_quicker
from metamarl.algorithms.solver import AbstractSolver
from metamarl.algorithms.v_learning import VLearning
from metamarl.envs.checks import check_choice, complaint
from metamarl.envs.game import MarkovGame

SOLVERS: dict[str, type[AbstractSolver]] = {
    solver.name: solver
    for solver in (
        Exact,
        RegretMatching,
        OptimisticMirrorDescent,
        QAscent,
        PolicyGradient,
        NaturalPolicyGradient,
        VLearning,
    )
}


def find_solver(
    solver: str | AbstractSolver,
    game: Any = None,
    where: str = "solve",
    tol: float = 0.0,
) -> AbstractSolver:
    """Options object for a solver's name ("auto" needs the game); ValueError for unknown ones."""
    if isinstance(solver, AbstractSolver):
        return solver
    if not isinstance(solver, str):
        must = "a solver's name or an options object"
        raise TypeError(complaint("solver", where, must, solver))
    check_choice(solver, "solver", where, ["auto", *SOLVERS])
    if solver != "auto":
        return SOLVERS[solver]()
    if game is not None and not isinstance(game, MarkovGame):
        return VLearning()
    if game is not None and not is_exactly_solvable(game):
        return QAscent() if game.kind == "potential" else OptimisticMirrorDescent()
    if game is not None and game.kind == "zero-sum" and is_quicker(game, tol):
        return RegretMatching()
    return Exact()
