"""The command `metamarl`: list the games, solve one, compare starts over related ones.

What takes its time to import (Numba, SciPy, Matplotlib) is imported by the commands that use it.
"""

from typing import Annotated

import typer

from metamarl import _cli_support as support
from metamarl._cli_options import (
    Discount,
    Environment,
    GameName,
    Horizon,
    Knobs,
    MaxIterations,
    SolverOptions,
)

app = typer.Typer(
    name="metamarl",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """Solve games, and learn across related games where to start.

    \b
    metamarl games              the benchmark games
    metamarl solve soccer       one game, with a certified distance from equilibrium
    metamarl compare soccer     meta-learned starts against starts from scratch
    metamarl inspect --env …    what a PettingZoo environment is, as a game

    Exit codes: 0 done, 1 solve did not reach the tolerance, 2 bad input, 130 interrupted.
    """  # noqa: D301  (\b keeps the lines as they are)
    if version:
        typer.echo(f"metamarl {support.find_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def games(
    name: Annotated[
        str | None,
        typer.Argument(help="Show this game's knobs and their defaults."),
    ] = None,
) -> None:
    """List the benchmark games, or the knobs of one.

    \b
    metamarl games
    metamarl games soccer
    """  # noqa: D301  (\b keeps the lines as they are)
    with support.plain_errors():
        from metamarl._cli_games import show_games

        show_games(name)


@app.command()
def solve(
    game: GameName,
    option: Knobs = None,
    solver: Annotated[
        str,
        typer.Option(metavar="NAME", help="auto, exact, omd, q-ascent, pg or npg."),
    ] = "auto",
    solver_option: SolverOptions = None,
    tol: Annotated[
        float, typer.Option(metavar="X", help="Gap to reach, in units of the rewards.")
    ] = 1e-3,
    max_iterations: MaxIterations = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="For solvers that draw numbers.")
    ] = 0,
    out: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Folder for policy.npz, trace.csv and solution.json."),
    ] = None,
) -> None:
    """Solve one benchmark game.

    Prints the value of every player, the exact gap to equilibrium, and what the players do first.
    Exits with 1 when the gap does not reach the tolerance.

    \b
    metamarl solve soccer
    metamarl solve goofspiel -o cards=5 -o order=descending
    metamarl solve soccer --solver omd -s regularizer=euclidean --tol 0.01 --out runs/soccer
    """  # noqa: D301  (\b keeps the lines as they are)
    with support.plain_errors():
        from metamarl._cli_solve import carry_out

        carry_out(game, option or [], solver, solver_option or [], tol, max_iterations, seed, out)


@app.command()
def inspect(
    env: Annotated[str, Environment],
    option: Knobs = None,
    horizon: Horizon = None,
    discount: Discount = None,
    max_states: Annotated[
        int, typer.Option(min=1, metavar="N", help="Give up beyond so many states.")
    ] = 50_000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="For reset.")] = 0,
) -> None:
    """Report what a PettingZoo environment is, as a game.

    Plays every joint action in every state with every outcome of chance, and says how many states
    there are, whether the players can tell the state, which moves are simultaneous, and which mode
    fits. Exits with 1 where no exact table of it can be made.

    \b
    metamarl inspect --env my_package.my_module:MyEnv
    metamarl inspect --env ./my_env.py:MyEnv -o slip=0.1
    metamarl inspect --env aec:classic/tictactoe-v3
    """  # noqa: D301  (\b keeps the lines as they are)
    with support.plain_errors():
        from metamarl._cli_environment import carry_out_inspection

        options = {"horizon": horizon, "discount": discount, "max_states": max_states, "seed": seed}
        carry_out_inspection(env, option or [], options)


@app.command()
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
            help="How starts are learned: none, last, average, robust, oracle; may be repeated, or "
            "separated by commas.  [default: robust]",
            show_default=False,
        ),
    ] = None,
    solver: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="omd, q-ascent, pg, npg, exact or auto.  [default: omd; q-ascent for potential "
            "games]",
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
        from metamarl._cli_compare import Plan
        from metamarl._cli_sources import find_source

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
            out=f"runs/compare-{source.name}" if out is None else out,
        ).carry_out()


def main() -> None:
    """Run the command line."""
    support.run_quietly_into_pipes(app)
