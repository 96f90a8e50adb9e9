"""What learning across tasks leaves for the next one: weights to start from, and what adapts."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar

from metamarl.algorithms.adapters import ADAPTERS, Adapter
from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
from metamarl.algorithms.torch_extra import digest_of, is_state, need_torch
from metamarl.envs.checks import check_kind, complaint, said
from metamarl.envs.files import write_atomically
from metamarl.labels import labelled
from metamarl.meta import MetaLearner

if TYPE_CHECKING:
    from torch import Tensor

    from metamarl.algorithms.adapted import Adapted

FORMAT = "metamarl learned start 2"
NOT_A_START = (  # what reading another file may raise
    AttributeError, EOFError, LookupError, RuntimeError, TypeError, UnpicklingError, ValueError,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedStart(MetaLearner):
    """Weights to start a task from, and what adapts then: what `learn_start` returns.

    It is a meta-learner for `compare` with neural solvers, beside which "none" starts from random
    weights that adapt as a whole. It looks at no past solution: the tasks it has learned from are
    others.
    """

    name: ClassVar[str] = "start"
    learns: ClassVar[bool] = False

    weights: Mapping[str, "Tensor"] = field(repr=False)
    """What tasks share, by name: the base, and a shared adapter (see `Adapted.shared`)."""
    adapter: Adapter
    """What adapts."""
    method: str
    """How it was learned."""
    rounds: int
    """Rounds that it was learned for; fewer than wanted after Ctrl-C."""
    steps: int
    """Steps that were played for it, over all tasks, those of the start before it included."""
    seed: int
    """It was learned with, and personal parts are drawn with."""
    options: NeuralMirrorDescent | None = None
    """How the networks learned, and should go on in a new task."""

    def __post_init__(self) -> None:
        need_torch("LearnedStart")
        if not is_state(self.weights):
            raise TypeError(complaint("weights", "LearnedStart", "tensors by name", self.weights))
        check_kind(self.adapter, Adapter, "adapter", "LearnedStart", "an Adapter")

    @property
    def checksum(self) -> str:
        """SHA-256 of the weights."""
        return digest_of(self.weights)

    @property
    def label(self) -> str:
        """How it was learned and what adapts: "reptile, colora(rank=1)"."""
        return f"{self.method}, {labelled(self.adapter)}"

    def described(self) -> dict[str, Any]:
        """The options, and of the weights a checksum."""
        adapter = {"name": self.adapter.name, **asdict(self.adapter)}
        plain = {name: getattr(self, name) for name in ("method", "rounds", "steps", "seed")}
        options = None if self.options is None else asdict(self.options)
        words = {"name": self.name, "adapter": adapter, "options": options, **plain}
        return {**words, "checksum": self.checksum}

    def start(self, game: Any, past: Sequence[Any]) -> Any:  # noqa: ARG002
        """Itself: the solver attaches it to its networks."""
        return self

    def attach(self, network: Any) -> "Adapted":
        """Give a network these weights, and what adapts, in place.

        Raises:
            ValueError: a network of another shape than those that it was learned with.
        """
        adapted = self.adapter.attach(network, self.seed)
        if found := adapted.unlike_shared(self.weights):
            adapted.merge()  # the network is as it was
            must = "a start for networks of this shape"
            got = said(f"one with other {found}")
            raise ValueError(complaint("start", "LearnedStart.attach", must, got))
        adapted.write_shared(self.weights)
        return adapted

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file, atomically, for `load_start`."""
        import torch

        content = {"format": FORMAT, "weights": dict(self.weights), **self.described()}

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:  # torch takes no name that begins with a dot
                torch.save(content, file)

        write_atomically(Path(path), write)
        return Path(path)


def load_start(path: str | os.PathLike[str]) -> LearnedStart:
    """The start that `LearnedStart.save(path)` wrote.

    Raises:
        TypeError: no path.
        OSError: the file cannot be read.
        ValueError: it holds no start. Nothing in it is executed.
        ImportError: torch is missing.
    """
    torch = need_torch("load_start")
    check_kind(path, (str, os.PathLike), "path", "load_start", "a path")
    with Path(path).open("rb") as file:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
            if content["format"] != FORMAT:
                raise ValueError(content["format"])
            adapter, options = dict(content["adapter"]), content["options"]
            start = LearnedStart(
                weights=dict(content["weights"]),
                adapter=ADAPTERS[adapter.pop("name")](**adapter),
                options=None if options is None else NeuralMirrorDescent(**options),
                method=str(content["method"]),
                **{name: int(content[name]) for name in ("rounds", "steps", "seed")},
            )
            if start.checksum != content["checksum"]:
                raise ValueError(content["checksum"])
            return start
        except NOT_A_START as error:
            must = "a file that LearnedStart.save has written"
            got = said(f"{os.fspath(path)} ({type(error).__name__})")
            raise ValueError(complaint("path", "load_start", must, got)) from None
