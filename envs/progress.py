"""Long work in Python: counts on a terminal, and no search for garbage."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console  # not later: it draws from `random` when it is imported
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def without_collector() -> Iterator[None]:
    """Without the search for garbage in circles, which would go through all snapshots again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def shown(wanted: bool) -> Iterator[Callable[[int, int], None]]:
    """Counts on a terminal, where wanted; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not (wanted and console.is_terminal)
    ) as bar:
        task: Any = bar.add_task("enumerating", total=None)

        def show(states: int, expanded: int) -> None:
            words = f"{states:,} states found, {expanded:,} expanded"
            bar.update(task, description=words, total=states, completed=expanded)

        yield show
