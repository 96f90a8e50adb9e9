"""The work of `metamarl solve`: check, run, write, report."""

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import typer

from metamarl import _cli_support as support
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solution import Solution, Status
from metamarl.algorithms.solve import solve
from metamarl.envs import MarkovGame, make
from metamarl.envs.checks import check_real
from metamarl.envs.files import write_atomically
from metamarl.files import check_folder, made_folder, write_csv, write_text

FILES = ("policy.npz", "trace.csv", "solution.json")
SHOWN_STATES = 3
SHOWN_PROBABILITY = 0.0005
ROUNDING = 12  # digits after the point: a value of 1e-14 is 0


def carry_out(
    name: str,
    knobs: list[str],
    solver: str,
    solver_options: list[str],
    tol: float,
    max_iterations: int | None,
    seed: int,
    out: str | None,
) -> None:
    """Solve one game; bad input and folders are found out before the long work."""
    folder = None if out is None else check_folder(out, FILES)
    settings = support.read_knobs(name, knobs)
    game = make(name, **settings)
    options = support.read_solver(solver, solver_options, game, "solve")
    check_real(tol, "tol", "solve", above=0.0)
    with nullcontext() if folder is None else made_folder(folder):
        solution = solve(
            game, options, tol=tol, max_iterations=max_iterations, seed=seed, throw=False,
            progress=True,
        )  # fmt: skip
        if folder is not None:
            _write(folder, solution, {"game": name, "knobs": settings, "tol": tol, "seed": seed})
    facts = {
        "game": repr(game),
        "solver": repr(solution.solver),
        "value": ", ".join(
            f"{round(value, ROUNDING) + 0.0:.6g} (player {player})"
            for player, value in enumerate(solution.value.tolist())
        ),
        "gap": f"{solution.gap:.3g} (to reach: {tol:g}; {_concept(solution)})",
        solution.solver.unit: f"{solution.iterations:,}",
        "seconds": f"{solution.seconds:.3g}",
        "status": solution.status.name.lower().replace("_", " "),
        **({"note": solution.note} if solution.note else {}),
    }
    for fact, found in facts.items():
        typer.echo(f"{fact:<12}{found}")
    for line in _first_moves(game, solution.policy):
        typer.echo(line)
    if folder is not None:
        typer.echo(f"Written to {folder}: {', '.join(FILES)}.")
    if not solution.converged:
        typer.echo(solution.status.value, err=True)
        interrupted = solution.status is Status.INTERRUPTED
        raise typer.Exit(support.INTERRUPTED if interrupted else support.NOT_CONVERGED)


def _concept(solution: Solution) -> str:
    """What the gap is a gap to."""
    if solution.correlated is None:
        return "Nash equilibrium"
    kind = getattr(solution.solver, "equilibrium", "cce")
    return "correlated equilibrium" if kind == "ce" else "coarse correlated equilibrium"


def _first_moves(game: MarkovGame, policy: JointPolicy) -> list[str]:
    """What the players do first: one line per player for the likeliest initial states."""
    flat, nodes = policy.flat(game), game.nodes
    states = [int(s) for s in np.argsort(-game.initial, kind="stable") if game.initial[s] > 0]
    lines = []
    for state in states[:SHOWN_STATES]:
        name = state if game.states is None else game.states[state]
        lines.append(f"first in state {name} (probability {game.initial[state]:.3g}):")
        node = int(np.argmax(nodes.states == state))  # the one of step 0
        for player, legal in enumerate(game.legal):
            row = flat[nodes.slots[player, node] : nodes.slots[player, node + 1]]
            actions = game.actions[player] if game.actions is not None else range(len(legal[0]))
            names = [actions[k] for k in np.flatnonzero(legal[state]).tolist()]
            chances = [
                f"{name}: {p:.3f}"
                for name, p in zip(names, row.tolist(), strict=True)
                if p >= SHOWN_PROBABILITY
            ]
            lines.append(f"  player {player}  {', '.join(chances)}")
    if len(states) > SHOWN_STATES:
        lines.append(f"(and {len(states) - SHOWN_STATES} more initial states)")
    return lines


def _write(folder: Path, solution: Solution, config: dict[str, Any]) -> None:
    """Write policy.npz, trace.csv and solution.json, each atomically."""
    arrays = {f"player_{i}": array for i, array in enumerate(solution.policy)}
    if solution.correlated is not None:
        arrays["joint"] = solution.correlated.joint

    def write(temporary: Path) -> None:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]

    write_atomically(folder / "policy.npz", write)
    trace = solution.trace
    columns = (trace.iteration.tolist(), trace.gap.tolist(), trace.seconds.tolist())
    rows = [
        {"iteration": i, "gap": gap, "seconds": seconds}
        for i, gap, seconds in zip(*columns, strict=True)
    ]
    write_csv(folder / "trace.csv", rows)
    found = {
        **config,
        "solver": {"name": solution.solver.name, **asdict(solution.solver)},
        "status": solution.status.name.lower(),
        "converged": solution.converged,
        "value": solution.value.tolist(),
        "gap": solution.gap,
        "iterations": solution.iterations,
        "seconds": solution.seconds,
    }
    write_text(folder / "solution.json", json.dumps(found, indent=2) + "\n")
