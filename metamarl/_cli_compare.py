"""The command `metamarl compare`."""

from typing import Annotated

import typer

from metamarl import _cli_support as support
from metamarl._cli_options import (
    Backend,
    Discount,
    Environment,
    Horizon,
    Knobs,
    MaxIterations,
    Scheduler,
    SolverOptions,
)


def compare(
    game: Annotated[
        str | None,
        typer.Argument(metavar="[GAME]", help="A benchmark game; 'metamarl games' lists them."),
    ] = None,
    env: Annotated[str | None, Environment] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LOW:HIGH",
            help="With --env: an argument of its constructor that differs; may be repeated.",
        ),
    ] = None,
    horizon: Horizon = None,
    discount: Discount = None,
    option: Knobs = None,
    tasks: Annotated[
        int, typer.Option(min=1, metavar="N", help="Related games in a sequence.")
    ] = 20,
    spread: Annotated[
        float,
        typer.Option(
            metavar="X",
            help="How much they differ, from 0 (not at all) to 1. 0.02 changes most knobs by up to "
            "2 %: the same game, measured again.",
        ),
    ] = 0.02,
    seeds: Annotated[
        int, typer.Option(min=1, metavar="N", help="Sequences, for the interval.")
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the first sequence.")] = 0,
    meta: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="How starts are learned: none, last, average, robust, select, neural, oracle; may "
            "be repeated, or separated by commas.  [default: robust]",
            show_default=False,
        ),
    ] = None,
    solver: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="omd, q-ascent, pg, npg, v-learning, exact, regret-matching or auto.  [default: "
            "omd; q-ascent for potential games]",
            show_default=False,
        ),
    ] = None,
    solver_option: SolverOptions = None,
    tol: Annotated[
        float, typer.Option(metavar="X", help="Gap to reach, in units of the rewards.")
    ] = 1e-2,
    max_iterations: MaxIterations = None,
    jobs: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Worker processes, at most 4 per core; -1: one per core. The numbers do not "
            "depend on it.",
        ),
    ] = -1,
    backend: Backend = "processes",
    scheduler: Scheduler = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the results, whose files are replaced.  [default: runs/compare-GAME]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare meta-learned starts with starts from scratch.

    Solves sequences of related games with both. Prints a table and its outcome, and writes
    figure.png, rows.csv (one row per solve), traces.csv (the gap along the way), table.txt and
    config.json (with the command that repeats it). The seconds are summed over the workers. After
    Ctrl-C the same holds for the solves that were finished.

    \b
    metamarl compare soccer
    metamarl compare goofspiel -o cards=4 --spread 0.1 --meta average,robust
    metamarl compare rps -o weights=2,1,1 --tasks 10 --seeds 5 --out runs/rps
    metamarl compare --env ./my_env.py:MyEnv --vary slip=0.05:0.15
    """  # noqa: D301  (\b keeps the lines as they are)
    with support.plain_errors():
        from metamarl._cli_sources import find_source
        from metamarl._compare_plan import Plan

        source = find_source(game, env, option or [], spread, vary or [], horizon, discount)
        Plan(
            source=source,
            tasks=tasks,
            seeds=seeds,
            seed=seed,
            meta=[name.strip() for text in meta or ["robust"] for name in text.split(",")],
            solver=solver,
            solver_options=solver_option or [],
            tol=tol,
            max_iterations=max_iterations,
            jobs=jobs,
            backend=backend,
            scheduler=scheduler,
            out=f"runs/compare-{source.name}" if out is None else out,
        ).carry_out()
