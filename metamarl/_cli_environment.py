"""Environments on the command line: `--env pkg.mod:MyEnv`, `--env ./my_env.py:MyEnv`."""

import difflib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial, reduce
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from metamarl import _cli_support as support
from metamarl._cli_options import Discount, Environment, Horizon, Knobs

KINDS = ("aec", "parallel")
FORMS = "package.module:MyEnv, ./my_env.py:MyEnv, or aec:classic/tictactoe-v3 for PettingZoo's own"


def find_maker(spec: str) -> Callable[..., Any]:
    """What makes the environment that `spec` names; ValueError where there is none."""
    place, sign, name = spec.rpartition(":")
    if not sign or not place or not name:
        raise ValueError(f"--env wants {FORMS}. Got {spec!r}.")
    if place in KINDS:
        return partial(_make_registered, place, name)
    module = _from_file(Path(place)) if place.endswith(".py") else _from_package(place)
    try:
        maker = reduce(getattr, name.split("."), module)
    except AttributeError:
        near = difflib.get_close_matches(name, [x for x in vars(module) if x[0] != "_"], n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise ValueError(f"There is no '{name}' in {place}{hint}.") from None
    if not callable(maker):
        raise ValueError(f"'{name}' in {place} makes no environment: it is no class or function.")
    return maker


def _make_registered(kind: str, name: str, **arguments: Any) -> Any:
    import pettingzoo

    try:
        return pettingzoo.make(kind, name, **arguments)
    except Exception as error:
        if type(error).__module__.startswith("pettingzoo.env_registry"):
            raise ValueError(str(error)) from error
        raise


def _from_package(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"{name} cannot be imported: {error}.") from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    path = path.resolve()
    digest = sha256(str(path).encode()).hexdigest()[:12]
    name = re.sub(r"\W", "_", f"_environment_{path.stem}_{digest}")  # hides no other module
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for what lies beside it
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)  # for copies of its objects
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        raise ValueError(f"{path.name} cannot be imported: {kind}{error}.") from error
    return module


def read_ranges(texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """`["slip=0.05:0.15"]` as `{"slip": (0.05, 0.15)}`."""
    found = {}
    for text in texts:
        name, sign, values = text.partition("=")
        low, colon, high = values.partition(":")
        try:
            ends = [support.parse_pairs([f"{name}={end}"], "--vary")[name] for end in (low, high)]
            assert all(isinstance(end, (int, float)) for end in ends)
        except (ValueError, KeyError, AssertionError):
            sign = ""
        if not sign or not colon:
            wants = "name=smallest:largest, such as --vary slip=0.05:0.15"
            raise ValueError(f"--vary wants {wants}. Got {text!r}.")
        found[name] = (ends[0], ends[1])
    return found


def carry_out_inspection(spec: str, arguments: list[str], options: dict[str, Any]) -> None:
    """Print the report; exit with 1 where the environment is not exact."""
    from metamarl.envs.plugging_in import inspect

    make = partial(find_maker(spec), **support.parse_pairs(arguments, "-o"))
    report = inspect(make, progress=True, **options)
    typer.echo(report)
    if not report.exact:
        raise typer.Exit(support.NOT_CONVERGED)


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
        options = {"horizon": horizon, "discount": discount, "max_states": max_states, "seed": seed}
        carry_out_inspection(env, option or [], options)
