"""What `solve` shows on a terminal while it works."""

from typing import Any


class SolvingStatus:
    """Shows iterations and gap where wanted and where there is a terminal."""

    def __init__(self, wanted: bool, tol: float) -> None:
        self._status: Any = None
        self._tol = tol
        if wanted:
            from rich.console import Console

            console = Console(stderr=True)
            if console.is_terminal:
                self._status = console.status("solving")

    def __enter__(self) -> "SolvingStatus":
        if self._status is not None:
            self._status.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status is not None:
            self._status.__exit__(*error)

    def __call__(self, done: int, gap: float) -> None:
        if self._status is not None:
            self._status.update(f"{done:,} iterations, gap {gap:.3g} (to reach {self._tol:g})")
