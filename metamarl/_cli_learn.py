"""The command `metamarl learn`."""

from functools import partial
from typing import Annotated, Any

import typer

from metamarl import _cli_support as support
from metamarl._cli_environment import find_maker
from metamarl._cli_options import Environment, Knobs


def learn(
    game: Annotated[
        str | None, typer.Argument(metavar="[GAME]", help="A benchmark game; or give --env.")
    ] = None,
    option: Knobs = None,
    env: Annotated[str | None, Environment] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--setting",
            "-s",
            metavar="NAME=VALUE",
            help="An option of the learner, such as -s share=false or -s hidden=128,128.",
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Steps of the environment, all copies together.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of everything.")] = 0,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:1.")
    ] = "auto",
    out: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Folder for a checkpoint and TensorBoard's scalars."),
    ] = None,
) -> None:
    """Learn by self-play with neural networks (pip install 'metamarl[torch]').

    With --out, the same command goes on where it was interrupted. Prints the exact gap of what was
    learned where the environment is a benchmark game.

    \b
    metamarl learn soccer --steps 2000000 -s share=false
    metamarl learn --env parallel:metamarl/pursuit-v0 --out runs/pursuit
    metamarl learn --env ./my_env.py:MyEnv -o slip=0.1
    """  # noqa: D301  (\b keeps the lines as they are)
    with support.plain_errors():
        carry_out(game, env, option or [], setting or [], steps, seed, device, out)


def carry_out(
    game: str | None, env: str | None, knobs: list[str], settings: list[str], steps: int,
    seed: int, device: str, out: str | None,
) -> None:  # fmt: skip
    """Check, learn and report."""
    from dataclasses import fields

    from metamarl.algorithms.learning import learn as carry_on
    from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
    from metamarl.envs import make
    from metamarl.files import check_folder

    if (game is None) == (env is None):
        raise ValueError("learn wants a benchmark game or --env, and not both.")
    found = support.parse_pairs(settings, "-s")
    for name in found:
        support.check_known(
            name, "The learner has no option", [f.name for f in fields(NeuralMirrorDescent)]
        )
    if isinstance(found.get("hidden"), int):
        found["hidden"] = (found["hidden"],)
    options = NeuralMirrorDescent(**found)
    source: Any = (
        make(game, **support.read_knobs(game, knobs))
        if game is not None
        else partial(find_maker(str(env)), **support.parse_pairs(knobs, "-o"))
    )
    folder = None if out is None else check_folder(out, ["checkpoint.pt"])
    solution = carry_on(
        source, options, steps, seed, folder=folder, tensorboard=folder, device=device,
        progress=True,
    )  # fmt: skip
    facts = {
        "environment": repr(solution.policy.env.name),
        "steps": f"{solution.steps:,}",
        "seconds": f"{solution.seconds:.3g}",
    }
    if solution.gap is not None:
        facts["gap"] = f"{solution.gap:.3g}, {solution.relative_gap:.3g} of the span of values"
    facts |= {
        name: f"{number:.4g} in the last rollout"
        for name, number in solution.losses.items()
        if name.startswith("return/")
    }
    for fact, said in facts.items():
        typer.echo(f"{fact:<24}{said}")
    if folder is not None:
        typer.echo(f"Written to {folder}.")
    if solution.interrupted:
        typer.echo("Interrupted." + " The same command goes on." * (folder is not None), err=True)
        raise typer.Exit(support.INTERRUPTED)
