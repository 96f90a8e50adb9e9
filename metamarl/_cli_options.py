"""Options that several commands have."""

from typing import Annotated

import typer

GameName = Annotated[
    str, typer.Argument(metavar="GAME", help="A benchmark game; 'metamarl games' lists them.")
]
Knobs = Annotated[
    list[str] | None,
    typer.Option(
        "--option", "-o", metavar="KNOB=VALUE",
        help="A knob of the game, such as -o rows=3 or -o slip=0.1,0; may be repeated.",
    ),
]  # fmt: skip
SolverOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--solver-option", "-s", metavar="NAME=VALUE",
        help="An option of the solver, such as -s step_size=theory; may be repeated.",
    ),
]  # fmt: skip
Environment = typer.Option(
    metavar="PLACE:NAME",
    help="A PettingZoo environment of your own: package.module:MyEnv or ./my_env.py:MyEnv; "
    "aec:classic/tictactoe-v3 or parallel:… is one of PettingZoo.",
)
Horizon = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="With --env: steps, where play does not end by itself."),
]
Discount = Annotated[
    float | None, typer.Option(metavar="X", help="With --env: a discount, 1 if left out.")
]
MaxIterations = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Where a solve gives up; the solver's own limit if left out."
    ),
]
