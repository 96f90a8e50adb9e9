"""The command `metamarl tiered` and its options; `metamarl._tiered_plan` does the work."""

from typing import Annotated

import typer

from metamarl import _cli_support as support
from metamarl._cli_options import Scheduler


def tiered(
    family: Annotated[
        str,
        typer.Argument(
            metavar="FAMILY",
            help="identical, permuted, shifted, violating, unrelated or integer: how the sources "
            "differ from the high-tier task; or opponents: pursuit against learners, then against "
            "an equilibrium.",
        ),
    ],
    sources: Annotated[
        int, typer.Option(min=1, metavar="N", help="Low-tier tasks to learn from.")
    ] = 1,
    episodes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Episodes of every task.")
    ] = 100_000,
    agents: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Agents of the high tier: none, naive, robust, pessimistic, oracle, with options "
            "as in 'robust(delay=5000)'; may be repeated, or separated by commas. The first is "
            "what the others are measured against.  [default: none,robust,oracle]",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        int, typer.Option(min=1, metavar="N", help="High-tier tasks, drawn with their sources.")
    ] = 1,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Runs with each of them.")] = 5,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Seed of the first task and of the first run.")
    ] = 0,
    bonus: Annotated[
        str, typer.Option(metavar="NAME", help="bernstein or strong-euler.")
    ] = "bernstein",
    coefficient: Annotated[
        float, typer.Option(metavar="X", help="What the bonus is multiplied by.")
    ] = 0.5,
    states: Annotated[int | None, typer.Option(min=1, metavar="N", help="States.")] = None,
    actions: Annotated[int | None, typer.Option(min=1, metavar="N", help="Actions.")] = None,
    horizon: Annotated[int | None, typer.Option(min=1, metavar="N", help="Steps.")] = None,
    gap: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Smallest gap between the best and other actions.  [default: 0.1]",
            show_default=False,
        ),
    ] = None,
    shift: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="How far rewards of sources are shifted.  [default: 0.2]",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Threads or worker processes, at most 4 per core; -1: one per core. The numbers "
            "do not depend on it.",
        ),
    ] = -1,
    backend: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Who does the work: threads, processes, or a cluster, dask or ray."
        ),
    ] = "threads",
    scheduler: Scheduler = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the results, whose files are replaced.  [default: runs/tiered-FAMILY]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Learn in cheap tasks, act carefully in the costly one.

    Low-tier tasks and a high-tier task are learned in parallel; the agents differ in what the high
    tier takes over. Prints a table and what there is to say of the tasks, and writes figure.png,
    rows.csv (one row per run), regret.csv (along the way, with trust), states.csv (where sources
    can help, and why), table.txt and config.json (with the command that repeats it). After Ctrl-C
    the same holds for the runs that were finished.

    \b
    metamarl tiered permuted
    metamarl tiered permuted --sources 5 --models 4 --seeds 2 --bonus strong-euler
    metamarl tiered shifted --agents none,robust --agents "robust(evidence=none, delay=5000)"
    """  # noqa: D301  (\b keeps the lines as they are)
    with support.plain_errors():
        from metamarl._tiered_plan import Plan

        Plan(
            family=family,
            sources=sources,
            episodes=episodes,
            agents=agents or ["none,robust,oracle"],
            models=models,
            seeds=seeds,
            seed=seed,
            bonus=bonus,
            coefficient=coefficient,
            states=states,
            actions=actions,
            horizon=horizon,
            gap=gap,
            shift=shift,
            jobs=jobs,
            backend=backend,
            scheduler=scheduler,
            out=f"runs/tiered-{family}" if out is None else out,
        ).carry_out()
