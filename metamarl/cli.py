"""The command `metamarl`: list the games, solve one, compare starts over related ones.

What takes its time to import (Numba, SciPy, Matplotlib) is imported by the commands that use it.
"""

from typing import Annotated

import typer

from metamarl import _cli_compare, _cli_environment, _cli_learn, _cli_run, _cli_tiered
from metamarl import _cli_support as support
from metamarl._cli_options import GameName, Knobs, MaxIterations, SolverOptions
from metamarl.installation import installed

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
    metamarl tiered permuted    learn in cheap tasks, act carefully in the costly one
    metamarl learn soccer       self-play with neural networks
    metamarl inspect --env …    what a PettingZoo environment is, as a game

    Exit codes: 0 done, 1 solve did not reach the tolerance, 2 bad input, 130 interrupted.
    """  # noqa: D301  (\b keeps the lines as they are)
    if version:
        typer.echo(f"metamarl {installed()}")
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
        typer.Option(
            metavar="NAME",
            help="auto, exact, regret-matching, omd, q-ascent, pg, npg or v-learning.",
        ),
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


for command in (
    _cli_compare.compare,
    _cli_environment.inspect,
    _cli_tiered.tiered,
    _cli_run.run,
    _cli_learn.learn,
):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    support.run_quietly_into_pipes(app)
