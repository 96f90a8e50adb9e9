"""Staged mirror descent on a batch of zero-sum games, as torch tensors (see `many_games`)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms._batch import Batch, Bucket, Policies, Tensor
from metamarl.algorithms._step_size import POWER_ITERATIONS
from metamarl.algorithms._zero_sum_run import LONG_STAGE

if TYPE_CHECKING:
    from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent


class BatchRun:
    """Both players' mirror descent in all games of a batch; the same steps as `ZeroSumRun`'s.

    Args:
        options: the solver's.
        batch: the games.
        initial: `(G, F)` flat policies to start from.
        values: `(G, N)` the values that the first stage begins with; None: Q = 0.
        spans: `(G,)` largest minus smallest reward of every game.
    """

    def __init__(
        self,
        options: "OptimisticMirrorDescent",
        batch: Batch,
        initial: NDArray[np.float64],
        values: NDArray[np.float64] | None,
        spans: NDArray[np.float64],
    ) -> None:
        import torch

        self.options, self.batch, self.H = options, batch, batch.H
        self.entropy = options.regularizer == "entropy"
        self.length, self.played, self.all_count = batch.H, 0, 0
        put = torch.from_numpy(initial).to(batch.device)
        self.first: Policies = [
            (put[:, bucket.slots[0]], put[:, bucket.slots[1]]) for bucket in batch.buckets
        ]
        self.sums = [(x.clone(), y.clone()) for x, y in self.first]
        self.all_sums = [(torch.zeros_like(x), torch.zeros_like(y)) for x, y in self.first]
        self.fixed = torch.from_numpy(self._fixed_steps(spans)).to(batch.device)
        still = values is None
        self.values = batch.no_values() if still else torch.from_numpy(values).to(batch.device)
        self._begin(still=still)

    def _fixed_steps(self, spans: NDArray[np.float64]) -> NDArray[np.float64]:
        if not isinstance(self.options.step_size, str):
            return np.full(len(spans), float(self.options.step_size))
        cells = max(bucket.A * bucket.B for bucket in self.batch.buckets)
        root = 1.0 if self.entropy else float(np.sqrt(cells))
        return 1.0 / (4.0 * self.H * np.where(spans > 0, spans, 1.0) * root)

    def _begin(self, *, still: bool = False) -> None:
        batch, adaptive = self.batch, self.options.step_size == "adaptive"
        self.Q = batch.fill(self.values)
        if still:
            self.Q = [matrix.zero_() for matrix in self.Q]
        self.eta = [
            _adapted(Q, plays, self.options.factor, self.entropy)
            if adaptive
            else self.fixed[:, None].expand(Q.shape[:2])
            for Q, plays in zip(self.Q, self.sums, strict=True)
        ]
        points = self.first
        if self.entropy:
            points = [(x.log(), y.log()) for x, y in self.first]
        self.M = [(x.clone(), y.clone()) for x, y in points]
        self.G = [_gradients(Q, *plays) for Q, plays in zip(self.Q, self.first, strict=True)]
        for x, y in self.sums:
            x.zero_()
            y.zero_()
        self.V = [Q.new_zeros(Q.shape[:2]) for Q in self.Q]

    def advance(self, iterations: int) -> int:
        """Do at most this many iterations, up to the end of the stage; return how many."""
        if self.played == self.length:
            self._end_stage()
        times = min(iterations, self.length - self.played)
        for k in range(len(self.Q)):
            self._play(k, times)
        self.played += times
        return times

    def _play(self, k: int, times: int) -> None:
        """Iterate in one bucket."""
        Q, eta = self.Q[k], self.eta[k][..., None]
        (m, w), (g, u), (s, t), V = self.M[k], self.G[k], self.sums[k], self.V[k]
        to_policy = _softmax if self.entropy else _projected
        optimistic = self.options.optimism
        if Q.shape[2:] == (1, 1):
            s += times
            t += times
            V += times * Q[..., 0, 0]
            return
        for _ in range(times):
            if self.entropy or optimistic:
                x, y = (to_policy(a + eta * b) if optimistic else to_policy(a)
                        for a, b in ((m, g), (w, u)))  # fmt: skip
            else:
                x, y = m, w
            g, u = _gradients(Q, x, y)
            m, w = m + eta * g, w + eta * u
            if not self.entropy:
                m, w = _projected(m), _projected(w)
            s += x
            t += y
            V += (x * g).sum(2)
        self.M[k], self.G[k] = (m, w), (g, u)

    def _end_stage(self) -> None:
        for (x, y), (all_x, all_y) in zip(self.sums, self.all_sums, strict=True):
            all_x += x
            all_y += y
        self.all_count += self.played
        for bucket, Q, V, (x, y) in zip(self.batch.buckets, self.Q, self.V, self.sums, strict=True):
            value = V / self.played
            if self.played >= LONG_STAGE:
                first, second = _gradients(Q, x / self.played, y / self.played)
                value = value.clamp(-second.amax(2), first.amax(2))
            self.values[:, bucket.nodes] = value
        self.length = self.length * (self.H + 1) // self.H
        self._begin()
        self.played = 0

    def policies(self) -> Policies:
        """The answer so far, bucket by bucket."""
        if self.options.output == "average":
            n = self.all_count + self.played
            return [
                ((x + all_x) / n, (y + all_y) / n)
                for (x, y), (all_x, all_y) in zip(self.sums, self.all_sums, strict=True)
            ]
        return [(x / self.played, y / self.played) for x, y in self.sums]

    def keep(self, which: Tensor) -> None:
        """Go on with some of the games."""
        self.batch.keep(which)
        for name in ("first", "sums", "all_sums", "M", "G"):
            setattr(self, name, [(x[which], y[which]) for x, y in getattr(self, name)])
        for name in ("Q", "V", "eta"):
            setattr(self, name, [array[which] for array in getattr(self, name)])
        self.values, self.fixed = self.values[which], self.fixed[which]


def flat_of(buckets: list[Bucket], policies: Policies, n_slots: int) -> NDArray[np.float64]:
    """`(G, F)` flat policies, on the CPU."""
    flat = np.empty((len(policies[0][0]), n_slots))
    for bucket, (x, y) in zip(buckets, policies, strict=True):
        flat[:, bucket.slots[0]], flat[:, bucket.slots[1]] = x.cpu().numpy(), y.cpu().numpy()
    return flat


def _gradients(Q: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Q·y and -Qᵀ·x."""
    return (Q @ y[..., None])[..., 0], -(x[..., None, :] @ Q)[..., 0, :]


def _softmax(u: Tensor) -> Tensor:
    return u.softmax(-1)


def _projected(u: Tensor) -> Tensor:
    """Euclidean projection onto the simplex (Held, Wolfe and Crowder 1974)."""
    import torch

    falling = u.sort(-1, descending=True).values
    excess = falling.cumsum(-1) - 1.0
    count = torch.arange(1, u.shape[-1] + 1, device=u.device, dtype=u.dtype)
    kept = (falling * count > excess).sum(-1, keepdim=True)
    return (u - excess.gather(-1, kept - 1) / kept).clamp(min=0.0)


def _adapted(Q: Tensor, plays: tuple[Any, Any], factor: float, weighted: bool) -> Tensor:
    """`(G, n)` η = factor / size of the stage matrix: `_step_size.adapt`, matrix by matrix."""
    import torch

    B = Q.shape[3]
    x, y = plays if weighted else (torch.ones_like(plays[0]), torch.ones_like(plays[1]))
    x, y = x / x.sum(-1, keepdim=True), y / y.sum(-1, keepdim=True)
    rows, columns = (Q * y[..., None, :]).sum(-1), (Q * x[..., None]).sum(-2)
    mean = (x * rows).sum(-1)[..., None, None]
    W = Q + mean - rows[..., None] - columns[..., None, :]
    if weighted:
        W = W * (x[..., None] * y[..., None, :]).sqrt()
    lengths = (W * W).sum(-1)
    longest, where = lengths.max(-1, keepdim=True)
    row = W.gather(-2, where[..., None].expand(*where.shape, B))[..., 0, :]
    trail = (torch.arange(B, device=Q.device, dtype=Q.dtype) + 2.0).sqrt() % 1.0
    v = row / longest.clamp(min=1e-300).sqrt() + 0.5 / B**0.5 * trail
    size = torch.zeros_like(longest)
    for _ in range(POWER_ITERATIONS):
        v = ((W @ v[..., None]).mT @ W)[..., 0, :]
        size = v.square().sum(-1, keepdim=True).sqrt()
        v = v / size.clamp(min=1e-300)
    norm = torch.where((size < 1e-300) | (longest == 0.0), 0.0, size.sqrt())[..., 0]
    low, high = Q.amin((-2, -1)), Q.amax((-2, -1))
    flat = high - low <= 1e-9 * torch.maximum(low.abs(), high.abs())
    eta = factor / torch.maximum(norm, (high - low) / 16.0)
    return torch.where(flat, 0.0, eta)
