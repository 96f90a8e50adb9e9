r"""Thousands of small zero-sum games at once, on the CPU or a CUDA device, with torch.

The staged mirror descent of `optimistic_mirror_descent`, step by step, for all games together:
games of one shape (the same nodes and numbers of legal actions, the same clock) are one batch, in
which every matrix of one size is a slice of one tensor. What has reached its tolerance leaves the
batch. In double precision throughout; policies, values and step sizes are those of `solve` to
rounding, and the gap that `solve` would measure is measured on the device when `solve` would
measure it. In the end every answer is measured once more, exactly, by the same evaluator.

One game occupies, with N nodes of $A_j × B_j$ legal actions, R rows (legal joint actions of all
states, of all steps where they depend on it) and at most K successors of a row, about

$$16 R K + 8 R + 32 \sum_j A_j B_j + 96 \sum_j (A_j + B_j)\ \text{bytes}$$

and work space of $32 K$ bytes per joint action of its largest group. Batches that do not fit into
the memory that is free are cut.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from metamarl.algorithms._batch_shapes import bytes_per_game, shape_of
from metamarl.algorithms._batch_work import BatchWork
from metamarl.algorithms._solving_status import SolvingStatus
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.solution import Solution, SolveError, SolveInterrupted
from metamarl.algorithms.torch_extra import find_device, need_torch
from metamarl.envs.checks import available_memory, check_integer, check_real, complaint, said
from metamarl.envs.game import MarkovGame
from metamarl.envs.sampled_game import SampledGame

WHERE = "solve_many"
PART = 0.5  # of the free memory that a batch may take


def solve_many(
    games: Sequence[MarkovGame],
    solver: str | OptimisticMirrorDescent = "omd",
    tol: float = 1e-3,
    max_iterations: int | None = None,
    device: str = "cpu",
    throw: bool = True,
    progress: bool = False,
    batch_size: int | None = None,
) -> list[Solution]:
    """Solve many two-player zero-sum games at once, each with a certified gap.

    Args:
        games: the games, of any shapes and clocks; it pays where many have the same.
        solver: "omd", or an `OptimisticMirrorDescent`, but not with `output="chained"` or
            `precision="single"`; threads are torch's.
        tol: gap to reach, in units of the games' rewards.
        max_iterations: where to give up; the solver's own limit if left out.
        device: "cpu", "cuda", "cuda:1", …, or "auto": CUDA where it is there.
        throw: raise `SolveError` if a gap does not reach `tol`, `SolveInterrupted` on Ctrl-C; both
            carry all games' `solutions`. False: return them.
        progress: show on a terminal what goes on.
        batch_size: most games in a batch; as many as fit into half of the free memory if left out.

    Returns:
        A `Solution` per game, in their order, as `solve` returns it; `seconds` is the time until
        the game was solved, with all the others at work.

    Raises:
        TypeError, ValueError: a bad parameter, or a game that is not zero-sum.
        ImportError: without torch.
        SolveError: see `throw`.
    """
    began = time.perf_counter()
    games = _check_games(games)
    tol = check_real(tol, "tol", WHERE, above=0.0)
    options = _check_solver(solver)
    limit = options.max_iterations
    if max_iterations is not None:
        limit = check_integer(max_iterations, "max_iterations", WHERE)
    if batch_size is not None:
        batch_size = check_integer(batch_size, "batch_size", WHERE)
    place = need_torch(WHERE).device(find_device(device, WHERE))
    works = [
        (numbers, BatchWork([games[k] for k in numbers], options, tol, limit, place, began))
        for numbers in _batches(games, place, batch_size)
    ]
    interrupted = False
    with SolvingStatus(progress, tol) as show:
        try:
            for _, work in works:
                work.carry_out(show)
        except KeyboardInterrupt:
            interrupted = True
    solved = {k: s for numbers, w in works for k, s in zip(numbers, w.solutions(), strict=True)}
    found = [solved[k] for k in range(len(games))]
    failed = [solution for solution in found if not solution.converged]
    if throw and failed:
        raise (SolveInterrupted if interrupted else SolveError)(failed[0], found)
    return found


def _check_games(games: Any) -> list[MarkovGame]:
    must = "a sequence of MarkovGames"
    if not isinstance(games, Sequence) or not all(isinstance(g, MarkovGame) for g in games):
        raise TypeError(complaint("games", WHERE, must, games))
    for k, game in enumerate(games):
        if game.kind != "zero-sum" or game.n_players != 2:
            got = said(f"a {game.kind} game of {game.n_players} players as game {k}")
            raise ValueError(complaint("games", WHERE, "two-player zero-sum games", got))
        if isinstance(game, SampledGame):
            got = said(f"one that was estimated from draws as game {k}")
            raise ValueError(complaint("games", WHERE, "exact ('solve' takes the others)", got))
    return list(games)


def _check_solver(solver: Any) -> OptimisticMirrorDescent:
    must = "'omd' or an OptimisticMirrorDescent"
    options = OptimisticMirrorDescent() if solver == "omd" else solver
    if not isinstance(options, OptimisticMirrorDescent):
        kind = ValueError if isinstance(solver, str) else TypeError
        raise kind(complaint("solver", WHERE, must, solver))
    for name, bad in (
        ("output", "chained"),
        ("equilibrium", "ce"),
        ("step_size", "logarithmic"),
        ("precision", "single"),
    ):
        if getattr(options, name) == bad:
            raise ValueError(complaint(name, WHERE, f"another one than {bad!r}", bad))
    return options


def _batches(games: list[MarkovGame], device: Any, batch_size: int | None) -> Iterator[list[int]]:
    """Numbers of games that are solved together: of one shape, and not more than fit."""
    shapes: dict[Any, list[int]] = {}
    for k, game in enumerate(games):
        shapes.setdefault(shape_of(game), []).append(k)
    for numbers in shapes.values():
        needed = max(bytes_per_game(games[k]) for k in numbers)
        most = int(PART * _free_memory(device) / needed)
        if most < 1:
            raise ValueError(
                f"A game of {games[numbers[0]]!r} needs {needed / 2**30:,.1f} GiB of memory on "
                f"{device}, where there is less. Make the game smaller."
            )
        most = min(most, batch_size or most)
        for first in range(0, len(numbers), most):
            yield numbers[first : first + most]


def _free_memory(device: Any) -> float:
    """Bytes."""
    if device.type != "cuda":
        return available_memory()
    import torch

    return float(torch.cuda.mem_get_info(device)[0])
