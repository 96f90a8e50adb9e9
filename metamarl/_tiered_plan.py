"""The work of `metamarl tiered`: check, run, write, report."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from metamarl import _cli_support as support
from metamarl.envs.checks import check_choice, complaint
from metamarl.envs.tier_families import Tiers
from metamarl.files import check_folder, made_folder
from metamarl.tier_agents import TierAgent
from metamarl.tier_comparing import compare_tiers
from metamarl.tier_comparison import FILES, TierComparison
from metamarl.tier_drawing import KNOBS, draw_tiers, read_agents
from metamarl.workers import BACKENDS

MOST_RUNS = 10_000
NOT_REPEATED = {"family", "agents", "jobs", "backend", "scheduler", "out"}  # field by field


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `metamarl tiered` was asked to do."""

    family: str
    sources: int
    episodes: int
    agents: list[str]
    models: int
    seeds: int
    seed: int
    bonus: str
    coefficient: float
    states: int | None
    actions: int | None
    horizon: int | None
    gap: float | None
    shift: float | None
    jobs: int
    backend: str
    scheduler: str | None
    out: str

    def carry_out(self) -> None:
        """Run the comparison; bad input and folders are found out before the long work."""
        agents = read_agents(self.agents)
        runs = self.models * self.seeds * len(agents)
        if runs > MOST_RUNS:
            raise ValueError(
                f"These would be {runs:,} runs, and more than {MOST_RUNS:,} are refused."
            )
        if self.jobs == 0:
            must = "a number of threads or worker processes, or -1 for one per core"
            raise ValueError(complaint("jobs", "tiered", must, 0))
        check_choice(self.backend, "backend", "tiered", ("threads", *BACKENDS))
        folder = check_folder(self.out, FILES)
        tiers = {seed: self._draw(seed) for seed in range(self.seed, self.seed + self.models)}
        console = Console(stderr=True)
        with console.status("getting ready"):
            self._compare(next(iter(tiers.values())), agents, 1, range(1), None, n_jobs=1)
        with made_folder(folder), _progress_bar(console) as show:
            seeds = range(self.seed, self.seed + self.seeds)
            found = self._compare(
                tiers, agents, self.episodes, seeds, show, n_jobs=self.jobs,
                backend=self.backend, scheduler=self.scheduler,
            )  # fmt: skip
            self._report(found, folder)

    def _draw(self, seed: int) -> Tiers:
        knobs = {name: getattr(self, name) for name in KNOBS}
        return draw_tiers(self.family, self.sources, seed, **knobs)

    def _compare(
        self,
        tiers: Tiers | dict[int, Tiers],
        agents: Sequence[TierAgent],
        episodes: int,
        seeds: Sequence[int],
        show: Callable[[int, int], None] | None,
        **workers: Any,
    ) -> TierComparison:
        return compare_tiers(
            tiers, agents, episodes, seeds, progress=show,
            bonus=self.bonus, coefficient=self.coefficient, **workers,
        )  # fmt: skip

    def _report(self, comparison: TierComparison, folder: object) -> None:
        if not comparison.runs:
            typer.echo("Interrupted before the first episode was recorded.", err=True)
            raise typer.Exit(support.INTERRUPTED)
        comparison.config["command"] = self.command()
        comparison.config["interrupted"] = comparison.interrupted
        comparison.save(str(folder))
        typer.echo(comparison.table())
        typer.echo()
        for sentence in outcome(comparison):
            typer.echo(sentence)
        typer.echo(f"Written to {folder}: {', '.join(FILES)}.")
        if comparison.interrupted:
            done = sum(not run.interrupted for run in comparison.runs.values())
            total = self.models * self.seeds * len(comparison.agents)
            over = "the table is over the runs that every agent has finished"
            typer.echo(f"Interrupted: {done} of {total} runs were finished; {over}.", err=True)
            raise typer.Exit(support.INTERRUPTED)

    def command(self) -> str:
        """The command that repeats this; what depends on the family only where it was given."""
        words = ["metamarl", "tiered", self.family]
        for agent in self.agents:
            words += ["--agents", agent]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in NOT_REPEATED and value is not None:
                words += [f"--{field.name}", str(value)]
        return shlex.join(words)


def outcome(comparison: TierComparison) -> Iterator[str]:
    """What was found, in words."""
    pairs = comparison.finished()
    first = {key[0]: run for key, run in reversed(comparison.runs.items())}
    if len(first) == 1:
        yield from next(iter(first.values())).diagnosis.sentences()
    else:
        found = [run.diagnosis for run in first.values()]
        mean = sum(d.covered.mean() for d in found) / len(found)
        yield f"{mean:.0%} of all (step, state) pairs are transferable, over {len(found)} models."
        broken = sum(not d.dominates for d in found)
        if broken:
            worst = max(d.violation.max() for d in found)
            yield f"Optimal Value Dominance is violated in {broken} of them, by up to {worst:.3g}."
        else:
            yield "Optimal Value Dominance holds in all of them."
    base = comparison.agents[0]
    for row in comparison.summary()[1:] if pairs else ():
        ratio = row["ratio"]
        much = "an undefined multiple" if ratio.mean != ratio.mean else f"{ratio.mean:.2f} times"
        interval = "" if ratio.low != ratio.low else f" ({ratio.low:.2f} to {ratio.high:.2f})"
        unsure = ", which could be chance" if ratio.low < 1.0 < ratio.high else ""
        yield f"'{row['agent']}' had {much}{interval} the regret of '{base}'{unsure}."


@contextmanager
def _progress_bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; nothing elsewhere."""
    columns = (TextColumn("learning"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("learning", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
