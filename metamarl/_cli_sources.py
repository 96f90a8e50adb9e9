"""Where the games of `metamarl compare` come from: a benchmark game, or one's own environment."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from metamarl import _cli_support as support
from metamarl._cli_environment import find_maker, read_ranges
from metamarl.envs import MarkovGame
from metamarl.envs import tasks as related


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark game, whose knobs are varied by `spread`."""

    game: str
    knobs: list[str]
    spread: float

    @property
    def name(self) -> str:
        """For the folder."""
        return self.game

    def check(self) -> None:
        """Raise ValueError for unknown games and knobs."""
        support.read_knobs(self.game, self.knobs, related=True)

    def draw(self, n: int, seed: int) -> list[MarkovGame]:
        """`n` related games."""
        knobs = support.read_knobs(self.game, self.knobs, related=True)
        return related(self.game, n, self.spread, seed, **knobs)

    def words(self) -> list[str]:
        """What names it on the command line."""
        knobs = [word for knob in self.knobs for word in ("-o", knob)]
        return [self.game, *knobs, "--spread", str(self.spread)]


@dataclass(frozen=True, kw_only=True)
class OwnEnvironment:
    """A PettingZoo environment, whose constructor's arguments are varied."""

    env: str
    arguments: list[str]
    vary: list[str]
    horizon: int | None
    discount: float | None

    @property
    def name(self) -> str:
        """For the folder."""
        return self.env.rpartition(":")[2].replace("/", "-")

    def check(self) -> None:
        """Raise ValueError where there is nothing to vary, or no such environment."""
        if not self.vary:
            raise ValueError("With --env say what differs: --vary name=smallest:largest.")
        given = support.parse_pairs(self.arguments, "-o")
        twice = sorted(given.keys() & read_ranges(self.vary).keys())
        if twice:
            raise ValueError(f"'{twice[0]}' is given by -o and by --vary.")
        find_maker(self.env)

    def draw(self, n: int, seed: int) -> list[Any]:
        """`n` related games."""
        from metamarl.envs.environment_family import environment_tasks

        make = partial(find_maker(self.env), **support.parse_pairs(self.arguments, "-o"))
        clock = {"horizon": self.horizon, "discount": self.discount}
        return list(environment_tasks(make, read_ranges(self.vary), n, seed, **clock))

    def words(self) -> list[str]:
        """What names it on the command line."""
        words = ["--env", self.env]
        words += [word for argument in self.arguments for word in ("-o", argument)]
        words += [word for one in self.vary for word in ("--vary", one)]
        for name in ("horizon", "discount"):
            if getattr(self, name) is not None:
                words += [f"--{name}", str(getattr(self, name))]
        return words


def find_source(
    game: str | None,
    env: str | None,
    knobs: list[str],
    spread: float,
    vary: list[str],
    horizon: int | None,
    discount: float | None,
) -> Benchmark | OwnEnvironment:
    """The source that the command line names; ValueError where it names none, or two."""
    if (game is None) == (env is None):
        raise ValueError("Name a benchmark game ('metamarl games' lists them), or --env.")
    if env is not None:
        return OwnEnvironment(
            env=env, arguments=knobs, vary=vary, horizon=horizon, discount=discount
        )
    if vary or horizon is not None or discount is not None:
        raise ValueError("--vary, --horizon and --discount go with --env; games have knobs (-o).")
    assert game is not None
    return Benchmark(game=game, knobs=knobs, spread=spread)
