"""The changes that adapters make of a weight, as PyTorch's parametrizations; zero at first.

Each is called with the weight so far and returns the weight as changed. Its parameters are the
personal part, or, where `shared`, what tasks have in common.
"""

import math

import torch
from torch import Tensor, nn


class Change(nn.Module):
    """A change of one weight."""

    shared = False

    @property
    def size(self) -> int:
        """How many numbers say what the change is."""
        return sum(parameter.numel() for parameter in self.parameters())


class Difference(Change):
    """`weight + difference`."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.difference = nn.Parameter(torch.zeros_like(weight))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.difference


class Scale(Change):
    """Every row of a matrix times `1 + scale`."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(weight.new_zeros(len(weight)))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (1 + self.scale).view(-1, *[1] * (weight.ndim - 1))


class SparseDifference(Change):
    """`weight + difference` where the difference is largest, else `weight`."""

    def __init__(self, weight: Tensor, density: float) -> None:
        super().__init__()
        self.difference = nn.Parameter(torch.zeros_like(weight))
        self.kept = math.ceil(density * weight.numel())

    @property
    def size(self) -> int:
        return self.kept

    def forward(self, weight: Tensor) -> Tensor:
        change = self.difference
        largest = change.detach().abs().flatten().topk(self.kept).indices
        few = torch.zeros_like(change).view(-1)
        few[largest] = change.detach().flatten()[largest]
        # The value is that of the few; gradients pass to all. Exact: a number minus itself is 0.
        return weight + (few.view_as(change) + (change - change.detach()))


class LowRank(Change):
    """`weight + left @ right`, of rank `rank`; what has more than two axes is taken as a matrix."""

    def __init__(
        self, weight: Tensor, rank: int, generator: torch.Generator, *, shared: bool = False
    ) -> None:
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        rank = min(rank, rows, columns)
        drawn = torch.randn(
            rank, columns, generator=generator, device="cpu", dtype=torch.float32
        ) / math.sqrt(max(rank, 1))
        self.left = nn.Parameter(weight.new_zeros(rows, rank))
        self.right = nn.Parameter(drawn.to(weight))
        self.shared = shared

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.left @ self.right).view_as(weight)

    @torch.no_grad()
    def add(self, change: Tensor) -> None:
        """Move to the matrix of this rank that is nearest to the present one plus `change`.

        Eckart & Young (1936): its leading singular vectors, here with the root of the singular
        values on either side.
        """
        wanted = self.left @ self.right + change.reshape(len(self.left), -1)
        u, s, v = torch.linalg.svd(wanted, full_matrices=False)
        rank = self.left.shape[1]
        root = s[:rank].sqrt()
        self.left.copy_(u[:, :rank] * root)
        self.right.copy_(root[:, None] * v[:rank])
