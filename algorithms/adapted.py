"""A network with a personal part: the base that tasks share, and what adapts to one of them."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from metamarl.algorithms._parametrizations import Change, LowRank
from metamarl.algorithms.adapters import Adapter
from metamarl.envs.checks import complaint, said

WHERE = "Adapter.attach"
HEADS = ("head", "heads")
ABOVE = 2**62  # the layer of what is in no body


@dataclass(frozen=True)
class Place:
    """A weight of a network: what an adapter may change."""

    name: str
    """As in the network's `state_dict`: "body.0.weight"."""
    module: nn.Module
    tensor: str
    """Its name in its own module: "weight"."""
    value: nn.Parameter
    in_head: bool
    layer: int
    """Number of its layer in its body, from 0 on; very large outside."""


def places(network: nn.Module) -> Iterator[Place]:
    """The weights of a network, in order."""
    layers: dict[str, list[str]] = {}
    for path, module in network.named_modules():
        words = path.split(".")
        for tensor, value in module.named_parameters(recurse=False):
            layer = ABOVE
            if "body" in words:
                body = ".".join(words[: words.index("body") + 1])
                known = layers.setdefault(body, [])
                if path not in known:
                    known.append(path)
                layer = known.index(path)
            in_head = any(word in HEADS for word in words)
            yield Place(f"{path}.{tensor}".lstrip("."), module, tensor, value, in_head, layer)


class Adapted:
    """A network with an adapter attached (`Adapter.attach`): its parts, by name.

    The personal part is all that requires gradients: an optimiser of
    `[p for p in network.parameters() if p.requires_grad]` learns it and nothing else.
    """

    def __init__(self, network: nn.Module, adapter: Adapter, seed: int) -> None:
        if any(parametrize.is_parametrized(module) for module in network.modules()):
            must = "a network without parametrizations, such as those of another adapter"
            raise ValueError(complaint("network", WHERE, must, said(type(network).__name__)))
        self._places = list(places(network))
        if len({id(place.value) for place in self._places}) < len(self._places):
            must = "a network whose layers have weights of their own"
            raise ValueError(complaint("network", WHERE, must, said("two layers that share one")))
        generator = torch.Generator("cpu").manual_seed(seed)
        self.network, self.adapter = network, adapter
        changes = {place.name: adapter.changes(place, generator) for place in self._places}
        if not any(changes.values()):
            must = f"one with what adapter {adapter.name!r} adapts: see Adapter.attach"
            got = said(f"weights {', '.join(place.name for place in self._places) or 'none'}")
            raise ValueError(complaint("network", WHERE, must, got))
        self._bases = {place.name: place.value for place in self._places}
        self._changes: dict[str, list[Change]] = changes
        for place in self._places:
            place.value.requires_grad_(False)
            for change in changes[place.name]:
                # unsafe: its check would run the change once, and these keep shape and type
                parametrize.register_parametrization(
                    place.module, place.tensor, change, unsafe=True
                )
        for parameter in self._parameters(shared=True).values():
            parameter.requires_grad_(False)
        self._start = self.personal()

    def __repr__(self) -> str:
        return f"<{type(self.network).__name__} with {self.adapter}: {self.n_adapted:,} adapt>"

    def _parameters(self, *, shared: bool) -> dict[str, nn.Parameter]:
        """Those of the changes, by name: "body.0.weight.difference", "….shared.left"."""
        return {
            f"{name}.{'shared.' * shared}{own}": parameter
            for name, changes in self._changes.items()
            for change in changes
            if change.shared == shared
            for own, parameter in change.named_parameters()
        }

    @property
    def n_adapted(self) -> int:
        """How many numbers say what was learned on a task."""
        return sum(c.size for changes in self._changes.values() for c in changes if not c.shared)

    @property
    def n_weights(self) -> int:
        """How many weights the plain network has."""
        return sum(base.numel() for base in self._bases.values())

    def cached(self) -> AbstractContextManager[None]:
        """Within it weights are computed once: for play, where nothing learns."""
        return parametrize.cached()

    # --- the two parts

    def personal(self) -> dict[str, Tensor]:
        """A copy of the personal part."""
        return _copy(self._parameters(shared=False))

    def write_personal(self, values: Mapping[str, Tensor]) -> None:
        """Set the personal part; ValueError for other names or shapes."""
        _write(self._parameters(shared=False), values, "write_personal")

    def reset(self) -> None:
        """Set the personal part to its start: to no change at all."""
        self.write_personal(self._start)

    def shared(self) -> dict[str, Tensor]:
        """A copy of what tasks share: the base's weights, and a shared adapter."""
        return _copy({**self._bases, **self._parameters(shared=True)})

    def unlike_shared(self, values: Mapping[str, Tensor]) -> str:
        """The names in which tensors differ from what tasks share, or their shapes; "" for none."""
        return _differing({**self._bases, **self._parameters(shared=True)}, values)

    def write_shared(self, values: Mapping[str, Tensor]) -> None:
        """Set what tasks share; ValueError for other names or shapes."""
        _write({**self._bases, **self._parameters(shared=True)}, values, "write_shared")

    @property
    def movable(self) -> dict[str, nn.Parameter]:
        """What learning across tasks moves: a shared adapter where there is one, else the base.

        These are the parameters themselves, and require no gradients.
        """
        return self._parameters(shared=True) or self._bases

    # --- from one to the other

    def difference(self) -> dict[str, Tensor]:
        """By how much the personal part changes every weight that it changes."""
        with torch.no_grad():
            found = {}
            for name, changes in self._changes.items():
                start = end = self._bases[name].detach()
                for change in changes:
                    end = change(end)
                    start = change(start) if change.shared else start
                if changes:
                    found[name] = end - start
        return found

    @torch.no_grad()
    def absorb(self, difference: Mapping[str, Tensor], rate: float) -> None:
        """Move what tasks share by `rate` times a difference of weights, as far as it can.

        The base is moved just so; a shared adapter to the nearest matrices of its rank.
        """
        for name, change in difference.items():
            common = [c for c in self._changes[name] if isinstance(c, LowRank) and c.shared]
            for adapter in common:
                adapter.add(rate * change)
            if not common:
                self._bases[name].add_(change, alpha=rate)

    def merged(self) -> dict[str, Tensor]:
        """The weights as adapted, by the names that they have in the plain network."""
        with torch.no_grad():
            return {p.name: getattr(p.module, p.tensor).detach().clone() for p in self._places}

    def merge(self) -> Any:
        """Make the network a plain one with the weights as adapted; returns it.

        The adapter is gone then; every weight requires gradients.
        """
        for place in self._places:
            if self._changes[place.name]:
                parametrize.remove_parametrizations(place.module, place.tensor)
        self.network.requires_grad_(True)
        return self.network


def _copy(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def _differing(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> str:
    """The names that only one has, or whose shapes differ; nothing where all agree."""
    names = parameters.keys() ^ values.keys() or {
        name for name, value in values.items() if value.shape != parameters[name].shape
    }
    return ", ".join(sorted(names))


@torch.no_grad()
def _write(
    parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor], where: str
) -> None:
    if found := _differing(parameters, values):
        must = f"tensors named and shaped as those of {where.replace('write_', '')}()"
        raise ValueError(complaint("values", where, must, said(f"differing: {found}")))
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
