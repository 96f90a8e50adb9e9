"""Games of one shape side by side on a device, as torch tensors (see `many_games`).

The games share their nodes and their numbers of legal actions; rewards, transitions (also which
states follow which) and discounts are their own. Nodes of one shape A x B are a `Bucket`: policies
are `(G, n, A)` and `(G, n, B)`, stage matrices `(G, n, A, B)`, for G games.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms._batch_shapes import longest_row
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.evaluator import expected_duration
from metamarl.envs.game import MarkovGame

Tensor = Any  # torch.Tensor: torch is imported where it is used
Policies = list[tuple[Tensor, Tensor]]  # of every bucket, player 0's and player 1's

SWEEPS = 30  # evaluations of a best response between two improvements
MOST_IMPROVEMENTS = 10_000
ROUNDING = 8e-16


@dataclass(frozen=True, eq=False, kw_only=True)
class Bucket:
    """Nodes of one shape."""

    A: int
    B: int
    nodes: Tensor
    """`(n,)` which nodes."""
    slots: tuple[NDArray[np.int64], NDArray[np.int64]]
    """`(n, A)` and `(n, B)` where their probabilities lie in a flat policy."""
    pieces: list[tuple[int, slice, Tensor, Tensor]]
    """By group: its number, which of the n nodes, and their rows of rewards and of successors."""


class Batch:
    """G games of one shape.

    Args:
        games: the games.
        device: a torch device.
    """

    def __init__(self, games: Sequence[MarkovGame], device: Any) -> None:
        import torch

        first = games[0]
        self.device, self.H, self.n_states = device, effective_horizon(first), first.n_states
        nodes, table = first.nodes, first.table
        self.cyclic, self.timed, self.n_nodes = nodes.cyclic, nodes.timed, len(nodes.states)
        self.groups, self.n_slots = nodes.groups.tolist(), int(nodes.slots[-1, -1])

        def put(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self.states = put(nodes.states)
        self.reward = put(np.stack([game.table.reward[0] for game in games]))
        width = max(map(longest_row, games))
        heads, odds = np.zeros((2, len(games), len(table.indptr) - 1, width))
        heads = np.zeros(odds.shape, np.int64)
        for k, game in enumerate(games):
            t = game.table
            lengths = np.diff(t.indptr)
            row = np.repeat(np.arange(len(lengths)), lengths)
            place = np.arange(len(row)) - t.indptr[row]
            heads[k, row, place], odds[k, row, place] = t.indices, t.probabilities
        self.heads, self.odds = put(heads), put(odds)
        self.discount = put(np.array([game.discount for game in games]))
        self.initial = put(np.stack([game.initial for game in games]))
        duration = [expected_duration(game) if self.cyclic else 0.0 for game in games]
        self.duration = put(np.array(duration))
        self.buckets = self._gather(first, put)
        self._last: list[Tensor] = [torch.zeros_like(self.no_values()) for _ in range(2)]

    def _gather(self, game: MarkovGame, put: Any) -> list[Bucket]:
        nodes, table = game.nodes, game.table
        counts = table.counts[nodes.states]
        group = np.repeat(np.arange(nodes.n_groups), np.diff(nodes.groups))
        buckets = []
        for A, B in np.unique(counts, axis=0).tolist():
            here = np.flatnonzero((counts == (A, B)).all(1))
            rows = table.rows[nodes.states[here]][:, None] + np.arange(A * B)
            step = (group[here] if nodes.timed else np.zeros_like(here))[:, None]
            pieces = []
            for g in np.unique(group[here]).tolist():
                low, high = np.searchsorted(group[here], [g, g + 1]).tolist()
                part = slice(low, high)
                pays, moves = (
                    put((rows + step * stride)[part].ravel())
                    for stride in (table.reward_stride, table.transition_stride)
                )
                pieces.append((g, part, pays, moves))
            slots = tuple(
                nodes.slots[i][here][:, None] + np.arange(k) for i, k in enumerate((A, B))
            )
            buckets.append(
                Bucket(A=A, B=B, nodes=put(here), slots=(slots[0], slots[1]), pieces=pieces)
            )
        return buckets

    def __len__(self) -> int:
        return len(self.reward)

    def keep(self, which: Tensor) -> None:
        """Go on with some of the games, in their order."""
        for name in ("reward", "heads", "odds", "discount", "initial", "duration"):
            setattr(self, name, getattr(self, name)[which])
        self._last = [values[which] for values in self._last]

    def no_values(self) -> Tensor:
        return self.reward.new_zeros((len(self), self.n_nodes))

    def _ahead(self, values: Tensor, group: int) -> Tensor:
        """`(G, S)` what every state is worth after a step of a group."""
        later = values.new_zeros((len(self), self.n_states))
        low, high = 0, self.n_nodes
        if self.timed:
            if group + 2 == len(self.groups):
                return later
            low, high = self.groups[group + 1 : group + 3]
        later[:, self.states[low:high]] = values[:, low:high]
        return later

    def matrices(self, bucket: Bucket, piece: Any, values: Tensor) -> Tensor:
        """`(G, m, A, B)` r + γ·P·values of the nodes of one piece."""
        group, _, pays, moves = piece
        later = self._ahead(values, group)
        heads = self.heads[:, moves]
        worth = later.gather(1, heads.reshape(len(self), -1)).reshape(heads.shape)
        Q = self.reward[:, pays] + self.discount[:, None] * (self.odds[:, moves] * worth).sum(2)
        return Q.reshape(len(self), -1, bucket.A, bucket.B)

    def fill(self, values: Tensor) -> list[Tensor]:
        """Every bucket's stage matrices `(G, n, A, B)`, from the nodes' values `(G, N)`."""
        import torch

        return [
            torch.cat([self.matrices(bucket, piece, values) for piece in bucket.pieces], dim=1)
            for bucket in self.buckets
        ]

    def gaps(self, policies: Policies, accuracy: float) -> Tensor:
        """`(G,)` duality gaps, as upper bounds: `accuracy` is what iterated values may be off."""
        upper, error_up = self._respond(policies, 0, accuracy)
        lower, error_low = self._respond(policies, 1, accuracy)
        span = slice(None, self.groups[1]) if self.timed else slice(None)
        weights = self.initial[:, self.states[span]]
        total = (weights * (upper - lower)[:, span]).sum(1) + error_up + error_low
        return total.clamp(min=0.0)

    def _respond(self, policies: Policies, player: int, accuracy: float) -> tuple[Tensor, Tensor]:
        """`(G, N)` player 0's values when `player` responds best, and `(G,)` their error."""
        if self.cyclic:
            return self._iterate(policies, player, accuracy)
        values = self.no_values()
        for group in range(len(self.groups) - 2, -1, -1):
            found = []
            for bucket, pair in zip(self.buckets, policies, strict=True):
                for piece in bucket.pieces:
                    if piece[0] == group:
                        best, _ = self._best(bucket, piece, pair, player, values)
                        found.append((bucket.nodes[piece[1]], best))
            for nodes, best in found:
                values[:, nodes] = best
        return values, values.new_zeros(len(self))

    def _best(
        self, bucket: Bucket, piece: Any, pair: tuple[Tensor, Tensor], player: int, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The best responses at the nodes of a piece: values and actions."""
        Q, other = self.matrices(bucket, piece, values), pair[1 - player][:, piece[1]]
        if player == 0:
            found = (Q @ other[..., None])[..., 0].max(2)
        else:
            found = (other[..., None, :] @ Q)[..., 0, :].min(2)
        return found.values, found.indices

    def _iterate(self, policies: Policies, player: int, accuracy: float) -> tuple[Tensor, Tensor]:
        """Modified policy iteration (see `_values.iterate`), from where the last one ended."""
        values = self._last[player]
        for _ in range(MOST_IMPROVEMENTS):
            fresh, plays = values.clone(), []
            for bucket, pair in zip(self.buckets, policies, strict=True):
                (piece,) = bucket.pieces
                best, choice = self._best(bucket, piece, pair, player, values)
                fresh[:, bucket.nodes] = best
                plays.append(self._follow(bucket, piece, pair, player, choice))
            error = (fresh - values).abs().amax(1) * self.duration
            enough = (ROUNDING * fresh.abs().amax(1) * self.duration).clamp(min=accuracy)
            values = fresh
            if bool((~(error > enough)).all()):
                break
            for _ in range(SWEEPS):
                later = self._ahead(values, 0)
                for bucket, (pay, heads, weights) in zip(self.buckets, plays, strict=True):
                    worth = later.gather(1, heads.reshape(len(self), -1)).reshape(heads.shape)
                    values[:, bucket.nodes] = pay + (weights * worth).sum(2)
        self._last[player] = values
        return values, error

    def _follow(
        self, bucket: Bucket, piece: Any, pair: tuple[Tensor, Tensor], player: int, choice: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What a pure answer to the other's policy pays, where it leads, and with what weight."""
        import torch

        G, n = choice.shape
        _, _, pays, moves = piece
        A, B = bucket.A, bucket.B
        others = torch.arange((B, A)[player], device=self.device)
        profile = choice[..., None] * B + others if player == 0 else others * B + choice[..., None]
        cell = profile + torch.arange(n, device=self.device)[:, None] * A * B
        cell = cell.reshape(G, -1)
        other = pair[1 - player]
        games = torch.arange(G, device=self.device)[:, None]
        pay = (self.reward[games, pays[cell]].reshape(G, n, -1) * other).sum(2)
        row = moves[cell]
        heads = self.heads[games, row].reshape(G, n, -1)
        weights = self.odds[games, row].reshape(G, n, len(others), -1) * other[..., None]
        weights = weights * self.discount[:, None, None, None]
        return pay, heads, weights.reshape(G, n, -1)
