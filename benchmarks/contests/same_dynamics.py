"""The same learning dynamics as a user of NumPy, JAX and PyTorch would write them.

`entropy` iterates entropic optimistic mirror descent on N fixed matrices from uniform plays and
returns the average plays and values; games lie on the last axis, the fastest layout of those tried
for NumPy and JAX. `match` plays predictive regret matching+ until every gap is small enough.
Matrices are `(A, B, N)` in NumPy and JAX, `(N, A, B)` in PyTorch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from contests.arrays import Array


def numpy_entropy(Q: Array, eta: float, times: int) -> tuple[Array, Array, Array]:
    """Return mean x `(A, N)`, mean y `(B, N)`, mean value `(N,)`."""
    A, B, N = Q.shape
    x, y = np.full((A, N), 1.0 / A), np.full((B, N), 1.0 / B)
    g, p = np.einsum("abn,bn->an", Q, y), np.einsum("abn,an->bn", Q, x)
    M, L, xs, ys = np.zeros_like(x), np.zeros_like(y), np.zeros_like(x), np.zeros_like(y)
    value = np.zeros(N)
    for _ in range(times):
        x = _softmax(M + eta * g)
        y = _softmax(L - eta * p)
        g, p = np.einsum("abn,bn->an", Q, y), np.einsum("abn,an->bn", Q, x)
        M += eta * g
        L -= eta * p
        xs += x
        ys += y
        value += np.einsum("an,an->n", x, g)
    return xs / times, ys / times, value / times


def _softmax(u: Array) -> Array:
    u -= u.max(0)
    np.exp(u, out=u)
    u /= u.sum(0)
    return u


def jax_entropy() -> Callable[..., Any]:
    """Make the same, compiled; `times` is no constant of it."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def run(Q: Any, eta: Any, times: Any) -> Any:
        A, B, N = Q.shape
        x, y = jnp.full((A, N), 1.0 / A), jnp.full((B, N), 1.0 / B)
        g, p = (Q * y[None]).sum(1), (Q * x[:, None]).sum(0)

        def body(_: Any, at: Any) -> Any:
            M, L, g, p, xs, ys, value = at
            x, y = jax.nn.softmax(M + eta * g, axis=0), jax.nn.softmax(L - eta * p, axis=0)
            g, p = (Q * y[None]).sum(1), (Q * x[:, None]).sum(0)
            return M + eta * g, L - eta * p, g, p, xs + x, ys + y, value + (x * g).sum(0)

        start = (0 * x, 0 * y, g, p, 0 * x, 0 * y, jnp.zeros(N))
        _, _, _, _, xs, ys, value = jax.lax.fori_loop(0, times, body, start)
        return xs / times, ys / times, value / times

    return jax.jit(run)


def torch_entropy(Q: Array, eta: float, times: int, *, compiled: bool) -> Callable[[], Any]:
    """Make the same; batched products, or sums that torch.compile can fuse."""
    import torch

    matrices = torch.as_tensor(Q)
    N, A, B = Q.shape

    def products(x: Any, y: Any) -> Any:
        if compiled:
            return (matrices * y[:, None, :]).sum(2), (matrices * x[:, :, None]).sum(1)
        g = torch.bmm(matrices, y.unsqueeze(2)).squeeze(2)
        return g, torch.bmm(x.unsqueeze(1), matrices).squeeze(1)

    def step(M: Any, L: Any, g: Any, p: Any, xs: Any, ys: Any, value: Any) -> Any:
        x, y = torch.softmax(M + eta * g, 1), torch.softmax(L - eta * p, 1)
        g, p = products(x, y)
        return M + eta * g, L - eta * p, g, p, xs + x, ys + y, value + (x * g).sum(1)

    step_once = torch.compile(step) if compiled else step

    @torch.no_grad()
    def work() -> Any:
        x = torch.full((N, A), 1.0 / A, dtype=matrices.dtype)
        y = torch.full((N, B), 1.0 / B, dtype=matrices.dtype)
        zero = (torch.zeros_like(x), torch.zeros_like(y))
        at = (*zero, *products(x, y), *zero, torch.zeros(N, dtype=matrices.dtype))
        for _ in range(times):
            at = step_once(*at)
        return at[4].numpy() / times, at[5].numpy() / times

    return work


def numpy_match(Q: Array, gap: float, most: int = 100_000) -> tuple[Array, Array]:
    """Predictive regret matching+ in turns, averages weighted by t², until every gap is small."""
    A, B, N = Q.shape
    x, y = np.full((A, N), 1.0 / A), np.full((B, N), 1.0 / B)
    R, T, upper, lower = np.zeros_like(x), np.zeros_like(y), np.zeros_like(x), np.zeros_like(y)
    xs, ys, total, weight = np.zeros_like(x), np.zeros_like(y), 0.0, 0.0
    for t in range(1, most + 1):
        g = np.einsum("abn,bn->an", Q, y)
        upper += weight * g
        if t > 1 and (upper.max(0) - lower.min(0)).max() <= gap * total:
            break
        R, x = _regrets(R, g, x)
        p = np.einsum("abn,an->bn", Q, x)
        weight = float(t) * t
        lower += weight * p
        T, y = _regrets(T, -p, y)
        xs += weight * x
        ys += weight * y
        total += weight
    return xs / total, ys / total


def _regrets(R: Array, g: Array, x: Array) -> tuple[Array, Array]:
    gain = g - (x * g).sum(0)
    R = np.maximum(R + gain, 0.0)
    x = np.maximum(R + gain, 0.0)
    total = x.sum(0)
    return R, np.where(total > 0, x / np.where(total > 0, total, 1.0), 1.0 / len(x))


def jax_match() -> Callable[..., Any]:
    """Make the same, compiled."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def regrets(R: Any, g: Any, x: Any) -> Any:
        gain = g - (x * g).sum(0)
        R = jnp.maximum(R + gain, 0.0)
        x = jnp.maximum(R + gain, 0.0)
        total = x.sum(0)
        return R, jnp.where(total > 0, x / jnp.where(total > 0, total, 1.0), 1.0 / len(x))

    def run(Q: Any, gap: Any) -> Any:
        A, B, N = Q.shape
        x, y = jnp.full((A, N), 1.0 / A), jnp.full((B, N), 1.0 / B)

        def goes_on(at: Any) -> Any:
            t, upper, lower, total = at[0], at[5], at[6], at[9]
            return (t == 1) | ((upper.max(0) - lower.min(0)).max() > gap * total)

        def body(at: Any) -> Any:
            t, x, y, R, T, upper, lower, xs, ys, total, g = at
            R, x = regrets(R, g, x)
            p = (Q * x[:, None]).sum(0)
            T, y = regrets(T, -p, y)
            g, w = (Q * y[None]).sum(1), t * t
            return (
                t + 1, x, y, R, T, upper + w * g, lower + w * p, xs + w * x, ys + w * y,
                total + w, g,
            )  # fmt: skip

        zero = (0 * x, 0 * y)
        start = (1.0, x, y, *zero, *zero, *zero, 0.0, (Q * y[None]).sum(1))
        at = jax.lax.while_loop(goes_on, body, start)
        return at[7] / at[9], at[8] / at[9]

    return jax.jit(run)
