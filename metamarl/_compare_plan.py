"""The work of `metamarl compare`: check, get ready, run, write, report."""

import math
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from metamarl import _cli_support as support
from metamarl._cli_sources import Benchmark, OwnEnvironment
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.solver import AbstractSolver
from metamarl.comparing import compare, usual_solver
from metamarl.comparison import BASELINE, FILES, Comparison
from metamarl.distances import Similarity
from metamarl.envs import MarkovGame
from metamarl.envs.checks import available_memory, check_real, complaint
from metamarl.files import check_folder, made_folder
from metamarl.learners import META_LEARNERS, find_meta
from metamarl.workers import Workers

MOST_SOLVES = 10**6
BYTES_PER_GAME = 10_000  # beside its table


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `metamarl compare` was asked to do."""

    source: Benchmark | OwnEnvironment
    tasks: int
    seeds: int
    seed: int
    meta: list[str]
    solver: str | None
    solver_options: list[str]
    tol: float
    max_iterations: int | None
    jobs: int
    backend: str
    scheduler: str | None
    out: str

    def carry_out(self) -> None:
        """Run the comparison; bad input and folders are found out before the long work."""
        self.source.check()
        arms = {BASELINE, *(find_meta(name).name for name in self.meta)}
        check_real(self.tol, "tol", "compare", above=0.0)
        if self.jobs == 0:
            must = "a number of worker processes, or -1 for one per core"
            raise ValueError(complaint("jobs", "compare", must, 0))
        Workers(self.jobs, self.backend, self.scheduler)
        folder = check_folder(self.out, FILES)
        self._check_size(len(arms), BYTES_PER_GAME)
        console = Console(stderr=True)
        with console.status("getting ready"):
            (game,) = self.source.draw(1, self.seed)
            self._check_size(len(arms), game.compact.n_bytes + BYTES_PER_GAME)
            solver = self.solver or usual_solver(game)
            options = support.read_solver(solver, self.solver_options, game, "compare")
            sequences = {
                seed: self.source.draw(self.tasks, seed)
                for seed in range(self.seed, self.seed + self.seeds)
            }
            self._get_ready(game, options)
        with made_folder(folder):
            with _progress_bar(console, self.tasks * self.seeds * len(arms)) as show:
                comparison = compare(
                    sequences, self.meta, options, self.tol, n_jobs=self.jobs,
                    max_iterations=self.max_iterations, progress=show, backend=self.backend,
                    scheduler=self.scheduler,
                )  # fmt: skip
            self._report(comparison, folder)

    def _check_size(self, arms: int, bytes_per_game: int) -> None:
        """Refuse what could never be carried out."""
        asked, games = f"{self.tasks:,} tasks for {self.seeds:,} seeds", self.tasks * self.seeds
        if games * arms > MOST_SOLVES:
            solves = f"{games * arms:,} solves, and more than {MOST_SOLVES:,} are refused"
            raise ValueError(f"{asked} would be {solves}. Ask for fewer tasks or seeds.")
        needed, free = games * bytes_per_game / 2**30, available_memory() / 2**30
        if needed > free:
            memory = f"about {needed:,.1f} GiB of memory, and {free:,.1f} GiB are available"
            raise ValueError(f"{asked} need {memory}. Ask for fewer tasks or seeds.")

    def _get_ready(self, game: MarkovGame, options: AbstractSolver) -> None:
        """Let every arm play a little, so that the kernels are compiled once and not timed."""
        tried = compare(
            [game, game], self.meta, options, self.tol, n_jobs=1,
            max_iterations=min(effective_horizon(game) + 1, self.max_iterations or 2**62),
        )  # fmt: skip
        if tried.interrupted:
            raise KeyboardInterrupt

    def _report(self, comparison: Comparison, folder: Path) -> None:
        if not comparison.rows:
            typer.echo("Interrupted before the first solve was finished.", err=True)
            raise typer.Exit(support.INTERRUPTED)
        comparison.config["command"] = self.command(comparison.config["solver"]["name"])
        comparison.config["interrupted"] = comparison.interrupted
        comparison.save(folder)
        typer.echo(comparison.table())
        typer.echo()
        for sentence in outcome(comparison):
            typer.echo(sentence)
        typer.echo(f"Written to {folder}: {', '.join(FILES)}.")
        if comparison.interrupted:
            total = self.tasks * self.seeds * len(comparison.arms)
            done = f"{len(comparison.rows)} of {total} solves were finished"
            over = "the table is over the games that were finished from every start"
            typer.echo(f"Interrupted: {done}; {over}.", err=True)
            raise typer.Exit(support.INTERRUPTED)

    def command(self, solver: str) -> str:
        """The command that repeats this, with every default written out."""
        words = ["metamarl", "compare", *self.source.words()]
        for name in ("tasks", "seeds", "seed"):
            words += [f"--{name}", str(getattr(self, name))]
        words += ["--meta", ",".join(self.meta)]
        words += ["--solver", solver]
        words += [word for option in self.solver_options for word in ("-s", option)]
        words += ["--tol", str(self.tol)]
        if self.max_iterations is not None:
            words += ["--max-iterations", str(self.max_iterations)]
        return shlex.join(words)


@contextmanager
def _progress_bar(console: Console, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; nothing elsewhere."""
    columns = (TextColumn("solving"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("solving", total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _alike(found: list[Similarity]) -> Iterator[str]:
    """How alike the games were, in the terms of the theory (means over seeds)."""
    if not found:
        return
    facts = []
    for name, values in (
        ("rewards by up to {}", [s.payoff for s in found]),
        ("transitions by up to {} in total variation", [s.transition for s in found]),
        ("solutions by {} from their mean (KL)", [s.kl for s in found if s.kl is not None]),
        ("potentials by {} in all", [s.potential for s in found if s.potential is not None]),
    ):
        if values:
            facts.append(name.format(_number(sum(values) / len(values))))
    yield f"The games differ: {'; '.join(facts)}."


def _elsewhere(comparison: Comparison) -> Iterator[str]:
    """Where other starts led to equilibria of another worth: more than the tolerance on average."""
    values = {(r["arm"], r["seed"], r["task"]): r["value"] for r in comparison.rows}
    pairs = comparison.common()
    for arm in comparison.arms[1:]:
        own, other = (
            sum(values[name, *pair] for pair in pairs) / len(pairs) for name in (arm, BASELINE)
        )
        if abs(own - other) > comparison.config["tol"]:
            yield (
                f"What was reached from the starts of '{arm}' is worth {own:,.4g} to a player on "
                f"average, from scratch {other:,.4g}."
            )


def outcome(comparison: Comparison) -> Iterator[str]:
    """What came out, in one sentence per arm; and what to be careful about."""
    unit = comparison.unit
    over = f"over {len({seed for seed, _ in comparison.common()})} seeds"
    if not comparison.common():
        others = " and ".join(f"'{arm}'" for arm in comparison.arms[1:])
        yield f"No game was solved both from scratch and from the starts of {others}."
        return
    for arm, speedup in comparison.speedups().items():
        learns = arm not in META_LEARNERS or META_LEARNERS[arm].learns
        starts = f"meta-learned starts ({arm})" if learns else f"the starts of '{arm}'"
        ratio, low, high, word = speedup.mean, speedup.low, speedup.high, "fewer"
        if ratio < 1.0:
            ratio, low, high, word = 1 / ratio, 1 / high, 1 / low, "more"
        much = f"{_number(ratio)} times {word} {unit} than from scratch"
        if ratio < 1.005:
            much = f"about as many {unit} as from scratch"
        interval = ""
        if not math.isnan(low):
            interval = f" (95 % interval {_number(low)} to {_number(high)}, {over})"
        unsure = ", which could be chance" if low < 1.0 < high else ""
        yield f"From {starts} the games needed {much}{interval}{unsure}."
    yield from _elsewhere(comparison)
    yield from _alike(list(comparison.similarity.values()))
    if len(comparison.arms) == 1:
        yield f"Every game was solved from scratch ('{BASELINE}'): there is nothing to compare."
    failed = sum(not row["converged"] for row in comparison.rows)
    if failed:
        yield (
            f"{failed} of {len(comparison.rows)} solves did not reach the gap "
            f"{comparison.config['tol']:g}; they count with the {unit} they had."
        )


def _number(x: float) -> str:
    if x < 100:
        return f"{x:.2g}" if x < 1 else f"{x:.2f}" if x < 3 else f"{x:.1f}"
    return f"{x:,.0f}" if x < 1e6 else f"{x:.0e}"
