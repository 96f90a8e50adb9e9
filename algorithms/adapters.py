"""What adapts to a new task: all weights of a network, or a small part of it.

A network trained on related tasks is a *base* that a new task departs from. An adapter adds a
*personal* part to it, which alone is learned on the task; the base stands still. Whatever the
adapter, the network keeps its interface, and computes at first exactly what the base computes.

* "all": every weight.
* "head": the layers after the body, as in almost no inner loop (ANIL: Raghu, Raghu, Bengio &
  Vinyals, ICLR 2020).
* "bottom": the body's first layers.
* "scales": a factor for every output of every layer, and the biases; a model patch (Mudrakarta,
  Sandler, Zhmoginov & Howard, ICLR 2019).
* "sparse": the few weights whose change is largest (diff pruning: Guo, Rush & Kim, ACL 2021).
* "colora": a low-rank change of every matrix, beside one that all tasks share (CoLoRA: Magakyan,
  Reisizadeh, Park, Parrilo & Ozdaglar, arXiv 2602.07218, 2026; the form is that of LoRA: Hu et al.,
  ICLR 2022).

The mechanism is one, PyTorch's parametrizations: a weight becomes a function of the base's weight
and of personal parameters. Outside the class `Adapted` nobody need know.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from metamarl.algorithms.torch_extra import need_torch
from metamarl.envs.checks import check_choice, check_integer, check_kind, check_real, complaint

if TYPE_CHECKING:
    from metamarl.algorithms.adapted import Adapted


@dataclass(frozen=True, kw_only=True)
class Adapter(ABC):
    """What adapts; the options of an adapter are its fields."""

    name: ClassVar[str]

    def attach(self, network: Any, seed: int = 0) -> "Adapted":
        """Give a network its personal part, in place; nothing that it computes changes.

        Args:
            network: a `torch.nn.Module`. Its parts are told apart by their names: layers below a
                module called "body" and, after it, below one called "head" or "heads"; a container
                of several such networks is one network.
            seed: for adapters that draw numbers.

        Raises:
            TypeError, ValueError: no network, one that has an adapter already, or none of the parts
                that the adapter is for.
            ImportError: torch is missing.
        """
        torch = need_torch("Adapter.attach")
        from metamarl.algorithms.adapted import Adapted

        check_kind(network, torch.nn.Module, "network", "Adapter.attach", "a torch.nn.Module")
        return Adapted(network, self, check_integer(seed, "seed", "Adapter.attach", 0))

    @abstractmethod
    def changes(self, place: Any, generator: Any) -> list[Any]:
        """The parametrizations of one weight, from the base on; none where it stands still.

        Args:
            place: a `metamarl.algorithms.adapted.Place`.
            generator: a `torch.Generator` to draw from.
        """


@dataclass(frozen=True, kw_only=True)
class AllAdapter(Adapter):
    """Every weight adapts."""

    name: ClassVar[str] = "all"

    def changes(self, place: Any, generator: Any) -> list[Any]:  # noqa: ARG002
        """A difference of the weight's own size."""
        from metamarl.algorithms._parametrizations import Difference

        return [Difference(place.value)]


@dataclass(frozen=True, kw_only=True)
class HeadAdapter(Adapter):
    """The layers after the body adapt, as in "almost no inner loop" (Raghu et al. 2020)."""

    name: ClassVar[str] = "head"

    def changes(self, place: Any, generator: Any) -> list[Any]:  # noqa: ARG002
        """A difference of the weight's own size, in the head."""
        from metamarl.algorithms._parametrizations import Difference

        return [Difference(place.value)] if place.in_head else []


@dataclass(frozen=True, kw_only=True)
class BottomAdapter(Adapter):
    """The body's first layers adapt: the same game seen with other eyes."""

    name: ClassVar[str] = "bottom"

    layers: int = 1
    """How many of them."""

    def __post_init__(self) -> None:
        layers = check_integer(self.layers, "layers", "BottomAdapter")
        object.__setattr__(self, "layers", layers)

    def changes(self, place: Any, generator: Any) -> list[Any]:  # noqa: ARG002
        """A difference of the weight's own size, at the bottom."""
        from metamarl.algorithms._parametrizations import Difference

        return [Difference(place.value)] if place.layer < self.layers else []


@dataclass(frozen=True, kw_only=True)
class ScaleAdapter(Adapter):
    """A factor for every output of every layer adapts, and the biases.

    Mudrakarta et al. (2019) adapt the factors and biases of batch normalisation. Where a network
    has no normalisation, as here, the factors are those of the rows of its weight matrices.
    """

    name: ClassVar[str] = "scales"

    def changes(self, place: Any, generator: Any) -> list[Any]:  # noqa: ARG002
        """A factor per row, 1 at first; of vectors, which are scales or biases, a difference."""
        from metamarl.algorithms._parametrizations import Difference, Scale

        return [(Scale if place.value.ndim > 1 else Difference)(place.value)]


@dataclass(frozen=True, kw_only=True)
class SparseAdapter(Adapter):
    """The few weights adapt whose change has become largest.

    Diff pruning (Guo, Rush & Kim 2021) relaxes the number of changed weights by gates that are
    drawn at random, then keeps the largest changes. Simpler, and without a penalty to tune, is what
    is done here: in every weight matrix and vector the k largest changes are in force all along,
    and gradients pass as though all were (the straight-through estimate), so that others can take
    their place. The unpruned changes are memory of the training, not part of the answer.
    """

    name: ClassVar[str] = "sparse"

    density: float = 0.05
    """Part of every matrix and vector that may change: k = ⌈density · size⌉."""

    def __post_init__(self) -> None:
        must = "a number above 0 and of at most 1"
        density = check_real(self.density, "density", "SparseAdapter", 0.0, 1.0)
        if density == 0:
            raise ValueError(complaint("density", "SparseAdapter", must, self.density))
        object.__setattr__(self, "density", density)

    def changes(self, place: Any, generator: Any) -> list[Any]:  # noqa: ARG002
        """A difference of which only the largest entries count."""
        from metamarl.algorithms._parametrizations import SparseDifference

        return [SparseDifference(place.value, self.density)]


@dataclass(frozen=True, kw_only=True)
class CoLoRA(Adapter):
    """A low-rank change of every weight matrix adapts; another one is shared by all tasks.

    The weight is $W + B_0 A_0 + B A$ with a base W that nothing moves any more, a shared adapter
    $B_0 A_0$ of rank `shared_rank`, which learning across tasks moves, and the personal one $B A$
    of rank `rank`. Both begin at zero: B = 0, and A is drawn with variance 1/rank, so that a step
    of an optimiser that goes equally far in all coordinates changes a weight about as much as if it
    were adapted itself. Biases stand still. With `shared_rank=0` it is LoRA (Hu et al. 2022).
    """

    name: ClassVar[str] = "colora"

    rank: int = 2
    """Of the personal adapter; at most the rank that a matrix can have."""
    shared_rank: int = 4
    """Of the shared one."""

    def __post_init__(self) -> None:
        for name, least in (("rank", 1), ("shared_rank", 0)):
            rank = check_integer(getattr(self, name), name, "CoLoRA", least)
            object.__setattr__(self, name, rank)

    def changes(self, place: Any, generator: Any) -> list[Any]:
        """The shared change of a matrix, then the personal one."""
        from metamarl.algorithms._parametrizations import LowRank

        if place.value.ndim < 2:
            return []
        shared = [LowRank(place.value, self.shared_rank, generator, shared=True)]
        return [*shared[: self.shared_rank], LowRank(place.value, self.rank, generator)]


ADAPTERS: dict[str, type[Adapter]] = {
    adapter.name: adapter
    for adapter in (AllAdapter, HeadAdapter, BottomAdapter, ScaleAdapter, SparseAdapter, CoLoRA)
}


def find_adapter(adapter: Any, where: str) -> Adapter:
    """The adapter of a name in `ADAPTERS`, for `where`; objects are passed on."""
    if isinstance(adapter, Adapter):
        return adapter
    if not isinstance(adapter, str):
        raise TypeError(complaint("adapter", where, "an adapter's name, or an adapter", adapter))
    return ADAPTERS[check_choice(adapter, "adapter", where, ADAPTERS)]()
