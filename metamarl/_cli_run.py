"""The command `metamarl run`."""

from pathlib import Path
from typing import Annotated

import typer

from metamarl import _cli_support as support
from metamarl._cli_options import Backend, Scheduler


def run(
    study: Annotated[Path, typer.Argument(metavar="STUDY.TOML", help="What to compare.")],
    jobs: Annotated[
        int, typer.Option(metavar="N", help="Worker processes; -1: one per core.")
    ] = -1,
    backend: Backend = "processes",
    scheduler: Scheduler = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the results.  [default: runs/STUDY]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a study: comparisons that a TOML file describes.

    Every finished part is written at once. After a crash, or Ctrl-C, the same command does only
    what is missing, and its tables are the same, byte by byte. `metamarl.study` describes the file.

    \b
    metamarl run study.toml
    metamarl run study.toml --backend dask --scheduler tcp://10.0.0.1:8786
    """  # noqa: D301  (\b keeps the lines as they are)
    with support.plain_errors():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        from metamarl.comparison import Comparison
        from metamarl.study import read_study, run_study

        planned = read_study(study)
        folder = out or f"runs/{study.stem}"
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        hidden = not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
            tasks = {one.label: bar.add_task(one.label, total=None) for one in planned}

            def show(name: str, done: int, total: int) -> None:
                bar.update(tasks[name], completed=done, total=total)

            done = 0
            for name, comparison in run_study(
                planned, folder, show, n_jobs=jobs, backend=backend, scheduler=scheduler
            ):
                if comparison.interrupted:
                    break
                done += 1
                table = (
                    comparison.table(seconds=False)
                    if isinstance(comparison, Comparison)
                    else comparison.table()
                )
                typer.echo(f"{name}\n{table}\n")
        if done < len(planned):
            typer.echo(
                f"Interrupted. What was finished is in {folder}: the same command goes on from "
                "there.", err=True,
            )  # fmt: skip
            raise typer.Exit(support.INTERRUPTED)
        typer.echo(f"Written to {folder}.")
