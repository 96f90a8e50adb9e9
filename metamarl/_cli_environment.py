"""Environments on the command line: `--env pkg.mod:MyEnv`, `--env ./my_env.py:MyEnv`."""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import partial, reduce
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

from metamarl import _cli_support as support

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
    sys.path.insert(0, str(path.resolve().parent))  # for what lies beside it
    try:
        return importlib.import_module(path.stem)
    except ImportError as error:
        raise ValueError(f"{path} cannot be imported: {error}.") from error


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
