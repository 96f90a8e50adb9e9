"""Studies: several comparisons in one file, whose finished parts outlive whatever happens.

Of starts for related games, and of agents of the high tier:

    [[compare]]
    name = "soccer-close"    # the folder of its results
    game = "soccer"
    knobs = {columns = 5}    # of the game, where they differ from the defaults
    tasks = 20
    spread = 0.02
    seeds = 5
    seed = 0                 # the first one
    meta = ["robust", "average"]
    solver = "omd"
    options = {step_size = "adaptive"}    # of the solver
    tol = 0.01
    max_iterations = 100000

    [[tiered]]
    family = "permuted"      # or another of `tier_families`, or "opponents"
    sources = 2
    models = 3
    seeds = 2
    seed = 0
    agents = ["none", "robust", "robust(delay=5000)"]
    episodes = 100000
    bonus = "bernstein"
    coefficient = 0.5
    knobs = {horizon = 5}    # states, actions, horizon, gap, shift

Only `game` and `family` are needed, and the name where one comes twice. Comparisons of starts are
carried out first.
"""

import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solver import AbstractSolver
from metamarl.algorithms.solvers import find_solver
from metamarl.comparing import compare, usual_solver
from metamarl.comparison import Comparison
from metamarl.envs import MarkovGame, family
from metamarl.envs import tasks as related
from metamarl.envs.checks import check_integer, check_kind, check_real, complaint
from metamarl.files import check_folder
from metamarl.learners import find_meta
from metamarl.study_checks import PARTS, check_keys, check_label
from metamarl.study_tiers import PlannedTiers
from metamarl.tier_comparison import TierComparison


@dataclass(frozen=True, kw_only=True)
class PlannedComparison:
    """One comparison of a study; see the module for an example."""

    game: str
    """A benchmark game."""
    name: str = ""
    """What to call it, and its folder; the game's name if left out."""
    knobs: dict[str, Any] = field(default_factory=dict)
    """The game's options."""
    tasks: int = 20
    """Games in a sequence."""
    spread: float = 0.02
    """How much they differ."""
    seeds: int = 3
    """Sequences."""
    seed: int = 0
    """Seed of the first one."""
    meta: Sequence[str] = ("robust",)
    """Meta-learners."""
    solver: str = ""
    """A solver's name; if left out, the one that `metamarl compare` would take."""
    options: dict[str, Any] = field(default_factory=dict)
    """The solver's options."""
    tol: float = 0.01
    """Gap to reach."""
    max_iterations: int | None = None
    """Where a solve gives up."""

    def __post_init__(self) -> None:
        where = "a [[compare]]"
        for name, kind in (("game", str), ("name", str), ("solver", str)):
            check_kind(getattr(self, name), kind, name, where, "a string")
        for name in ("knobs", "options"):
            check_kind(getattr(self, name), dict, name, where, "a table, such as {cards = 4}")
        for name, least in (("tasks", 1), ("seeds", 1), ("seed", 0)):
            check_integer(getattr(self, name), name, where, least)
        check_real(self.spread, "spread", where, 0.0)
        check_real(self.tol, "tol", where, above=0.0)
        if self.max_iterations is not None:
            check_integer(self.max_iterations, "max_iterations", where)
        if not isinstance(self.meta, (list, tuple)):
            raise TypeError(complaint("meta", where, "a list of meta-learners", self.meta))
        learners = {find_meta(meta).label for meta in self.meta}
        if not learners or len(learners) < len(self.meta):
            raise ValueError(complaint("meta", where, "one or more different learners", self.meta))
        check_label(self.label, where)
        check_keys(self.knobs, [k for k in family(self.game).knobs if k != "seed"], self.game)
        (game,) = self.sequence(self.seed, 1)
        self.find_solver(game).start(game, JointPolicy.uniform(game).flat(game))

    @property
    def label(self) -> str:
        """The name, or the game's."""
        return self.name or self.game

    def sequence(self, seed: int, n: int) -> Sequence[MarkovGame]:
        """The first n games of a sequence."""
        return related(self.game, n, self.spread, seed, **self.knobs)

    def find_solver(self, game: MarkovGame) -> AbstractSolver:
        """The solver's options."""
        kind = type(find_solver(self.solver or usual_solver(game), game, "a [[compare]]", self.tol))
        check_keys(self.options, [f.name for f in fields(kind)], f"solver '{kind.name}'")
        return kind(**self.options)

    def run(self, keep: Path, **options: Any) -> Comparison:
        """Run it, or what of it is not kept yet."""
        sequences = {
            seed: self.sequence(seed, self.tasks)
            for seed in range(self.seed, self.seed + self.seeds)
        }
        solver = self.find_solver(sequences[self.seed][0])
        return compare(
            sequences, list(self.meta), solver, self.tol,
            max_iterations=self.max_iterations, keep=keep, **options,
        )  # fmt: skip


Planned = PlannedComparison | PlannedTiers
KINDS: dict[str, tuple[type[Planned], str]] = {
    "compare": (PlannedComparison, "game"),
    "tiered": (PlannedTiers, "family"),
}


def read_study(path: str | os.PathLike[str]) -> list[Planned]:
    """The comparisons of a study's file, checked: names, numbers, and that each solver can begin.

    Raises:
        OSError: no such file.
        TypeError, ValueError: what is wrong in it; unknown keys with the nearest known one.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}.") from None
    check_keys(content, list(KINDS), str(path))
    found: list[Planned] = []
    for table, (kind, needed) in KINDS.items():
        entries = content.get(table, [])
        if not isinstance(entries, list):
            raise ValueError(f"{path} has a [{table}] where a [[{table}]] should be.")
        known = [f.name for f in fields(kind)]
        for k, entry in enumerate(entries, 1):
            what = f"[[{table}]] number {k} of {path}"
            check_keys(entry, known, what)
            if needed not in entry:
                raise ValueError(f"{what} has no '{needed}'.")
            try:
                found.append(kind(**entry))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{what}: {error}") from None
    if not found:
        raise ValueError(f"{path} has no [[compare]] and no [[tiered]].")
    labels = [one.label for one in found]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"{path} has two comparisons named '{label}'. Give one a 'name'.")
    return found


def run_study(
    planned: Sequence[Planned],
    out: str | os.PathLike[str],
    progress: Callable[[str, int, int], None] | None = None,
    **workers: Any,
) -> Iterator[tuple[str, Comparison | TierComparison]]:
    """Run comparisons one after another, each kept part by part and written when it is done.

    Args:
        planned: the comparisons.
        out: folder for the results, and for the finished parts.
        progress: called with a comparison's name and the numbers of solves, or of episodes, done
            and to do.
        workers: `n_jobs`, `backend` and `scheduler` of `compare` and `compare_tiers`.

    Yields:
        Name and result. After Ctrl-C the last one is `interrupted`, and is not written.
    """
    folder = check_folder(out)
    for one in planned:

        def show(done: int, total: int, name: str = one.label) -> None:
            if progress is not None:
                progress(name, done, total)

        comparison = one.run(folder / PARTS, progress=show, **workers)
        if not comparison.interrupted:
            comparison.save(folder / one.label, seconds=False)
        yield one.label, comparison
        if comparison.interrupted:
            return
