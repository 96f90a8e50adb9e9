"""What the commands share: options from text, one sentence for every error, columns."""

import _thread
import ast
import difflib
import os
import shutil
import signal
import sys
import textwrap
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import typer

if TYPE_CHECKING:
    from metamarl.algorithms.solver import AbstractSolver
    from metamarl.envs.game import MarkovGame

NOT_CONVERGED, BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141
CONSTANTS = {"true": True, "false": False, "none": None}


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn an error into one sentence and an exit code."""
    try:
        yield
    except KeyboardInterrupt as stop:  # the enumeration of an environment says how far it came
        typer.echo(f"{str(stop).capitalize() or 'Interrupted'}.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise typer.Exit(BROKEN_PIPE) from None
    except Exception as error:
        text = _said_by_environment(error) or _in_words(error)
        if text is None:
            raise
        typer.echo(f"Error: {text}", err=True)
        raise typer.Exit(BAD_INPUT) from None


def _in_words(error: Exception) -> str | None:
    """What a bad parameter, file, installation or size is refused with; None for a defect."""
    if isinstance(error, (MemoryError, OverflowError)):
        return "there is not enough memory for this."
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error) if isinstance(error, (ValueError, TypeError, OSError, ImportError)) else None


def _said_by_environment(error: Exception) -> str | None:
    """One sentence for what a PettingZoo environment's own code raised; None for anything else."""
    pettingzoo, text = sys.modules.get("pettingzoo"), None
    if pettingzoo is None:
        return None
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        own = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
        outside = not frame.f_globals.get("__name__", "").startswith("metamarl")
        if outside and isinstance(own, (pettingzoo.AECEnv, pettingzoo.ParallelEnv)):
            what = " ".join(f"{type(error).__name__}: {error}".split())
            place = f"{type(own).__name__}.{code.co_name}, {code.co_filename}:{line}"
            text = f"the environment raised {what} ({place})"
    return text


def _interrupt_again(unraisable: Any) -> None:
    """Ctrl-C that hits a destructor is printed and lost: send it once more."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Timer(0.05, _thread.interrupt_main).start()  # not in here: it would be lost too
    else:
        sys.__unraisablehook__(unraisable)


def run_quietly_into_pipes(run: Callable[[], object]) -> None:
    """Run a command line; where nobody reads its output (any more), end without a word.

    SIGTERM is taken as Ctrl-C: what is finished is kept, and workers do not outlive the command.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.unraisablehook = _interrupt_again
    sys.stdout = sys.stdout or _nowhere()  # None where it was closed before the start
    sys.stderr = sys.stderr or _nowhere()
    try:
        try:
            run()
        finally:
            sys.stdout.flush()
    except OSError as error:
        # Python flushes once more as it ends: let that go nowhere.
        os.dup2(_nowhere().fileno(), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE if isinstance(error, BrokenPipeError) else BAD_INPUT)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # until the process ends


def parse_pairs(texts: Sequence[str], flag: str) -> dict[str, Any]:
    """`["rows=3", "slip=0.1,0"]` as `{"rows": 3, "slip": (0.1, 0)}`.

    Values are read as Python literals where they are such, else as strings; true, false and none
    may be written in any case.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        name = name.strip()
        if not sign or not name:
            raise ValueError(f"{flag} wants name=value, such as {flag} size=3. Got {text!r}.")
        if name in found:
            raise ValueError(f"{flag} {name}=… is given twice.")
        found[name] = _literal(value.strip())
    return found


def _literal(text: str) -> Any:
    if text.lower() in CONSTANTS:
        return CONSTANTS[text.lower()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def read_knobs(game: str, texts: Sequence[str], *, related: bool = False) -> dict[str, Any]:
    """Knobs of a benchmark game from `-o name=value`; ValueError for unknown games and knobs."""
    from metamarl.envs import family

    known, knobs = family(game).knobs, parse_pairs(texts, "-o")
    for name in knobs:
        check_known(name, f"The game '{game}' has no knob", known)
        if related and name == "seed":
            raise ValueError("The knob 'seed' of a family of games is set by --seed.")
    return knobs


def read_solver(
    name: str, texts: Sequence[str], game: "MarkovGame", where: str
) -> "AbstractSolver":
    """A solver's options object from its name and `-s name=value`."""
    from dataclasses import fields

    from metamarl.algorithms.solvers import find_solver

    solver = type(find_solver(name, game, where))
    options, known = parse_pairs(texts, "-s"), [field.name for field in fields(solver)]
    for option in options:
        check_known(option, f"The solver '{solver.name}' has no option", known)
    return solver(**options)


def check_known(name: str, complaint: str, known: Iterable[str]) -> None:
    """Raise ValueError where `name` is not among `known`; the error names the nearest one."""
    names = list(known)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise ValueError(f"{complaint} '{name}'{hint}. It has {', '.join(names) or 'none'}.")


def show_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells, the first one being the head; a terminal's width wraps the last one."""
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]) - 1)]
    left = sum(widths) + 2 * len(widths)
    room = shutil.get_terminal_size().columns - left if sys.stdout.isatty() else 10**6
    for row in rows:
        begin = "".join(cell.ljust(width + 2) for cell, width in zip(row, widths, strict=False))
        for line in textwrap.wrap(row[-1], max(room, 20)):
            typer.echo(begin + line)
            begin = " " * left
