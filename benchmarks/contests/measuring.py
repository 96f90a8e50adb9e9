"""One contest: the same work done by several contestants in turn, and whether their answers agree.

A contest runs in rounds. In every round all contestants work once, one after the other, each round
beginning with another one, so that what else the machine does hits all alike. Short work is
repeated within a turn until a turn takes `SHORTEST`; who has used up the seconds of a contest
leaves it. Preparing (imports, copies into a library's own arrays, compilation) is not timed. The
first answer of every contestant is checked before any of its times count.
"""

import gc
import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from metamarl.envs.progress import without_collector

SHORTEST = 5e-3  # seconds of a turn
BREATH = 5e-3  # seconds between turns: the threads of some libraries spin a while before they sleep
BASELINE = "metamarl"

Work = Callable[[], Any]


class NotOfferedError(Exception):
    """What a contestant is asked for is not in the version that is installed."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way of doing a contest's work."""

    name: str
    prepare: Callable[[], Work]
    """Makes what is timed; it may raise `NotOfferedError`."""
    needs: Sequence[str] = ()
    """Modules that must be there."""
    compiled: bool = True
    """Whether the first call takes longer, and is not timed."""
    threads: str = "1"
    """How many threads it was given; "all" where the library takes what there is."""
    tolerance: float | None = None
    """Its own, where its answer is known to be less exact than the contest asks."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The same work for all contestants; the first one named metamarl is the unit of ratios."""

    name: str
    title: str
    contestants: Sequence[Contestant]
    error: Callable[[Any], float]
    """How far an answer is from right."""
    tolerance: float
    per: float = 1.0
    """Units of work in a call."""
    unit: str = "solve"


@dataclass(kw_only=True)
class Row:
    """What a contestant needed: seconds per unit of work, and how far its answer was off."""

    contest: str
    name: str
    status: str = "measured"
    """"measured", "disagrees", "not installed", "not offered" or "failed"."""
    why: str = ""
    threads: str = "1"
    minimum: float | None = None
    median: float | None = None
    ratio: float | None = None
    """Its minimum over metamarl's."""
    rounds: int = 0
    error: float | None = None
    tolerance: float = 0.0
    unit: str = ""
    seconds: list[float] = field(default_factory=list)
    """Per unit of work, of every round."""


@dataclass(kw_only=True)
class _Turn:
    row: Row
    work: Work
    calls: int
    spent: float


def hold(
    contest: Contest,
    rounds: int,
    budget: float,
    show: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Hold a contest: at most `rounds` turns each, and about `budget` seconds per contestant."""
    rows, turns = [], []
    for contestant in contest.contestants:
        show(contestant.name)
        row, turn = _enter(contest, contestant)
        rows.append(row)
        if turn:
            turns.append(turn)
    with without_collector():
        for k in range(rounds):
            show(f"round {k + 1} of {rounds}")
            shift = k % max(1, len(turns))
            for turn in turns[shift:] + turns[:shift]:
                if turn.spent < budget and len(turn.row.seconds) < rounds:
                    time.sleep(BREATH)
                    seconds = _timed(turn.work, turn.calls)[0]
                    turn.spent += seconds
                    turn.row.seconds.append(seconds / turn.calls / contest.per)
            gc.collect()
    _compare(rows)
    return rows


def _timed(work: Work, calls: int) -> tuple[float, Any]:
    began = time.perf_counter()
    for _ in range(calls):
        answer = work()
    return time.perf_counter() - began, answer


def _enter(contest: Contest, contestant: Contestant) -> tuple[Row, _Turn | None]:
    """Prepare a contestant, check its answer, and find out how long it takes."""
    tolerance = contestant.tolerance or contest.tolerance
    row = Row(
        contest=contest.name, name=contestant.name, threads=contestant.threads,
        tolerance=tolerance, unit=contest.unit,
    )  # fmt: skip
    missing = [name for name in contestant.needs if importlib.util.find_spec(name) is None]
    if missing:
        row.status, row.why = "not installed", ", ".join(missing)
        return row, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other libraries' own
            work = contestant.prepare()
            seconds, answer = _timed(work, 1)
            row.error = float(contest.error(answer))
            if not row.error <= tolerance:
                row.status, row.why = "disagrees", f"off by {row.error:.2g}, not {tolerance:.2g}"
                return row, None
            if contestant.compiled:
                seconds, spent = _timed(work, 1)[0], 0.0
            else:
                spent = seconds
                row.seconds.append(seconds / contest.per)
    except NotOfferedError as error:
        row.status, row.why = "not offered", str(error)
        return row, None
    except Exception as error:  # one library's failure must not end the others' contest
        row.status, row.why = "failed", f"{type(error).__name__}: {error}"[:300]
        return row, None
    calls = max(1, int(SHORTEST / max(seconds, 1e-9)))
    return row, _Turn(row=row, work=work, calls=calls, spent=spent)


def _compare(rows: Sequence[Row]) -> None:
    for row in rows:
        row.rounds = len(row.seconds)
        if row.seconds:
            row.minimum, row.median = min(row.seconds), statistics.median(row.seconds)
    unit = next((r.minimum for r in rows if r.name.startswith(BASELINE) and r.minimum), None)
    for row in rows:
        if unit and row.minimum:
            row.ratio = row.minimum / unit
