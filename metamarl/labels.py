"""What options are called in tables and figures."""

from dataclasses import fields
from typing import Any


def labelled(options: Any) -> str:
    """The name of a dataclass of options, with those that differ from their defaults."""
    shown = [f for f in fields(options) if f.repr]
    changed = [f for f in shown if getattr(options, f.name) != f.default]
    words = ", ".join(f"{f.name}={getattr(options, f.name)!r}" for f in changed)
    return f"{options.name}({words})" if words else str(options.name)
