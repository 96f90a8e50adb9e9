"""The work of `metamarl tiered`: check, run, write, report."""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from metamarl import _cli_support as support
from metamarl.envs.checks import check_choice, complaint
from metamarl.envs.tier_families import Tiers, tier_families, tier_tasks
from metamarl.files import check_folder, made_folder
from metamarl.tier_agents import TIER_AGENTS, TierAgent
from metamarl.tier_comparing import compare_tiers
from metamarl.tier_comparison import FILES, TierComparison
from metamarl.tier_opponents import opponent_tiers

MOST_RUNS = 10_000
OPPONENTS = "opponents"
AGENT = re.compile(r"\s*([^\s,()]*)\s*(?:\(([^()]*)\))?\s*(?:,|$)")


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
            must = "a number of threads, or -1 for one per core"
            raise ValueError(complaint("jobs", "tiered", must, 0))
        folder = check_folder(self.out, FILES)
        tiers = {seed: self._draw(seed) for seed in range(self.seed, self.seed + self.models)}
        console = Console(stderr=True)
        with console.status("getting ready (the first run compiles, which takes a while)"):
            self._compare(next(iter(tiers.values())), agents, 1, range(1), 1, None)
        with made_folder(folder), _progress_bar(console) as show:
            seeds = range(self.seed, self.seed + self.seeds)
            found = self._compare(tiers, agents, self.episodes, seeds, self.jobs, show)
            self._report(found, folder)

    def _draw(self, seed: int) -> Tiers:
        check_choice(self.family, "FAMILY", "tiered", [*tier_families(), OPPONENTS])
        if self.family == OPPONENTS:
            if any(x is not None for x in (self.states, self.actions, self.gap, self.shift)):
                raise ValueError(
                    "--states, --actions, --gap and --shift do not apply to 'opponents'."
                )
            knobs = {} if self.horizon is None else {"horizon": self.horizon}
            return opponent_tiers("pursuit", self.sources, seed, **knobs)
        given = {name: getattr(self, name) for name in ("gap", "shift")}
        return tier_tasks(
            self.family, self.sources, seed, states=self.states, actions=self.actions,
            horizon=self.horizon, **{k: x for k, x in given.items() if x is not None},
        )  # fmt: skip

    def _compare(
        self,
        tiers: Tiers | dict[int, Tiers],
        agents: Sequence[TierAgent],
        episodes: int,
        seeds: Sequence[int],
        jobs: int,
        show: Callable[[int, int], None] | None,
    ) -> TierComparison:
        return compare_tiers(
            tiers, agents, episodes, seeds, jobs, show,
            bonus=self.bonus, coefficient=self.coefficient,
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
            if field.name not in {"family", "agents", "jobs", "out"} and value is not None:
                words += [f"--{field.name}", str(value)]
        return shlex.join(words)


def read_agents(texts: Sequence[str]) -> list[TierAgent]:
    """Agents from `["none,robust(delay=5)", "oracle"]`; ValueError for unknown ones and options."""
    found: list[TierAgent] = []
    for text in texts:
        at = 0
        while at < len(text) or not text:
            match = AGENT.match(text, at)
            if match is None or match.end() == at:
                raise ValueError(
                    "--agents wants names, such as none,robust or 'robust(delay=5000)'. "
                    f"Got {text!r}."
                )
            kind = TIER_AGENTS[check_choice(match[1], "agents", "tiered", TIER_AGENTS)]
            options = support.parse_pairs(
                (match[2] or "").split(",") if match[2] else [], "--agents"
            )
            known = [field.name for field in fields(kind)]
            for option in options:
                support.check_known(option, f"The agent '{kind.name}' has no option", known)
            found.append(kind(**options))
            at = match.end()
    return found


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
