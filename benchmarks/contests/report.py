"""What came of the contests: a table on the terminal, Markdown, a JSON file, a figure."""

import dataclasses
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from contests.measuring import Row
from metamarl.files import write_text
from metamarl.installation import installed

LIBRARIES = (
    "cvxpy", "jax", "nashpy", "numba", "numpy", "open_spiel", "pettingzoo", "pygambit",
    "quantecon", "scipy", "sgamesolver", "torch",
)  # fmt: skip
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def seconds(value: float | None) -> str:
    """Seconds in the unit that suits them."""
    if value is None:
        return "–"
    units = {"s": 1.0, "ms": 1e3, "µs": 1e6, "ns": 1e9}
    unit = next((name for name, factor in units.items() if value * factor >= 1.0), "ns")
    return f"{value * units[unit]:.3g} {unit}"


def ratio(row: Row) -> str:
    """Times the seconds of metamarl."""
    if row.ratio is None:
        return "–"
    return f"{row.ratio:,.0f}" if row.ratio >= 100 else f"{row.ratio:.2g}"


def said(row: Row) -> str:
    """What there is to say of a row that has no times, or how far its answer was off."""
    if row.status == "measured":
        return f"{row.error:.0e}"
    return f"{row.status}: {row.why}" if row.why else row.status


def print_table(console: Console, title: str, rows: Sequence[Row]) -> None:
    """Print one contest."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("threads", justify="right")
    table.add_column(f"per {rows[0].unit}", justify="right")
    for name in ("median", "ratio", "rounds"):
        table.add_column(name, justify="right")
    table.add_column("error")
    for row in rows:
        table.add_row(
            row.name, row.threads, seconds(row.minimum), seconds(row.median), ratio(row),
            str(row.rounds), said(row),
            style="red" if row.status in ("disagrees", "failed") else "",
        )  # fmt: skip
    console.print(table)


def markdown(titles: dict[str, str], rows: Sequence[Row]) -> str:
    """All contests as one Markdown table; who was not measured is named below it."""
    lines = ["| | threads | time | ratio |", "| --- | --- | --- | --- |"]
    absent: dict[str, list[str]] = {}
    for contest, title in titles.items():
        inside = [row for row in rows if row.contest == contest]
        lines.append(f"| **{title}**, per {inside[0].unit} | | | |")
        for row in inside:
            if row.minimum is None:
                absent.setdefault(said(row), []).append(f"{row.name} ({contest})")
                continue
            lines.append(f"| {row.name} | {row.threads} | {seconds(row.minimum)} | {ratio(row)} |")
    for why, names in absent.items():
        lines += ["", f"Not measured ({why}): {'; '.join(names)}."]
    return "\n".join(lines) + "\n"


def machine() -> dict[str, Any]:
    """Where this runs."""
    name, cpuinfo = platform.processor(), Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((x.partition(":")[2].strip() for x in lines if x.startswith("model na")), name)
    can_tell = hasattr(os, "sched_getaffinity")
    return {
        "processor": name,
        "cores": len(os.sched_getaffinity(0)) if can_tell else os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
    }


def versions() -> dict[str, str | None]:
    """Of metamarl and of what it is measured beside; None for what is not installed."""
    found: dict[str, str | None] = {"metamarl": installed()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def write_json(path: Path, rows: Iterable[Any], **others: Any) -> None:
    """Write rows (dataclasses) with the machine, the versions and the command, atomically."""
    content = {
        "machine": machine(), "versions": versions(), "command": sys.argv[1:], **others,
        "rows": [dataclasses.asdict(row) for row in rows],
    }  # fmt: skip
    write_text(path, json.dumps(content, indent=1) + "\n")
