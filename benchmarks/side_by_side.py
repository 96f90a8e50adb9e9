"""metamarl beside what people would use instead: the same arrays, in turn, in one run.

    python benchmarks/side_by_side.py [--only NAME] [--quick] [--large] [--out FOLDER] [--markdown]

Every contest (`benchmarks/contests`) checks all answers, then lets the contestants work in turn,
round by round; what counts is the fastest round, as a ratio to metamarl's, the first of its rows. A
library that is not there is a row that says so: `pip install "metamarl[peers]"`, and for
sgamesolver see `contests/discounted.py`. Writes `side_by_side.json` (machine, versions, seed, every
round), `side_by_side.md` and `side_by_side.png`. The exit status is 1 where an answer was wrong or
a library failed.
"""

import argparse
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import contests
from contests import drawing, report
from contests.measuring import Contest, Row, hold
from contests.sizes import Sizes
from rich.console import Console
from rich.status import Status

from metamarl.files import check_folder, made_folder, write_text

WIDTH = 120  # columns of tables that go into a file
FILES = ("side_by_side.json", "side_by_side.md", "side_by_side.png")


def run(entered: Iterable[Contest], sizes: Sizes, folder: Path, *, as_markdown: bool) -> int:
    """Hold contests and write what came of them after each; return the exit status."""
    console, progress = Console(), Console(stderr=True)
    if not console.is_terminal:
        console = Console(width=WIDTH)
    rows: list[Row] = []
    titles: dict[str, str] = {}
    for contest in entered:
        with progress.status(
            contest.title
        ) as status:  # it shows nothing where there is no terminal
            held = hold(contest, sizes.rounds, sizes.budget, partial(_show, status, contest.title))
        rows += held
        titles[contest.name] = contest.title
        if not as_markdown:
            report.print_table(console, contest.title, held)
        report.write_json(folder / FILES[0], rows, seed=sizes.seed, contests=titles)
        write_text(folder / FILES[1], report.markdown(titles, rows))
    if rows:
        drawing.draw(folder / FILES[2], titles, rows)
    if as_markdown:
        sys.stdout.write(report.markdown(titles, rows))
    return int(any(row.status in ("disagrees", "failed") for row in rows))


def _show(status: Status, title: str, words: str) -> None:
    status.update(f"{title}: {words}")


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--only", action="append", choices=contests.NAMES, metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="small arrays: does it all work?")
    parser.add_argument("--large", action="store_true", help="also what takes minutes")
    parser.add_argument("--torch-compile", action="store_true", help="also torch.compile")
    parser.add_argument("--markdown", action="store_true", help="print one Markdown table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs/side_by_side", metavar="FOLDER")
    given = parser.parse_args()
    sizes = Sizes(
        seed=given.seed, quick=given.quick, large=given.large, torch_compile=given.torch_compile
    )
    names = given.only or contests.NAMES
    folder = check_folder(given.out, FILES)
    with made_folder(folder):
        entered = (contest for name in names for contest in contests.find(name)(sizes))
        return run(entered, sizes, folder, as_markdown=given.markdown)


if __name__ == "__main__":
    sys.exit(main())
