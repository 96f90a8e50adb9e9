"""Iterating entropic optimistic mirror descent on matrices that stand still.

The answer is the average play from the uniform start. Per state and iteration, both players.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from contests import ours, same_dynamics
from contests.arrays import Array
from contests.measuring import Contest, Contestant, NotOfferedError, Work
from contests.sizes import Sizes

ETA, TIMES = 0.1, 1000


def contests(sizes: Sizes) -> Iterator[Contest]:
    shapes = [("small", 500, 5), ("large", 5000, 10)]
    for name, N, A in [("tiny", 40, 3)] if sizes.quick else shapes:
        yield contest(name, N, A, sizes)


def contest(name: str, N: int, A: int, sizes: Sizes) -> Contest:
    Q = 5.0 * np.random.default_rng(sizes.seed).random((N, A, A))
    last = np.ascontiguousarray(Q.transpose(1, 2, 0))
    right = [mean.T for mean in same_dynamics.numpy_entropy(last, ETA, TIMES)[:2]]

    def error(answer: Any) -> float:
        return max(float(np.abs(a - b).max()) for a, b in zip(answer, right, strict=True))

    def own(**options: Any) -> Callable[[], Work]:
        return lambda: ours.iterate(Q, ETA, TIMES, **options)

    contestants = [
        Contestant(name="metamarl omd", prepare=own(threads=1)),
        Contestant(name="metamarl omd, two threads", prepare=own(threads=2), threads="2"),
        Contestant(
            name="metamarl omd, single precision",
            prepare=own(precision="single", threads=1), tolerance=1e-3,
        ),
        Contestant(
            name="metamarl omd, single precision, two threads",
            prepare=own(precision="single", threads=2), threads="2", tolerance=1e-3,
        ),
        Contestant(name="numpy, games last", prepare=lambda: _numpy(last), compiled=False),
        Contestant(
            name="JAX, jitted, games last", needs=["jax"], threads="all",
            prepare=lambda: _jax(last),
        ),
        Contestant(
            name="torch, bmm", needs=["torch"], threads="all",
            prepare=lambda: same_dynamics.torch_entropy(Q, ETA, TIMES, compiled=False),
        ),
        Contestant(
            name="torch.compile", needs=["torch"], threads="all",
            prepare=lambda: _torch_compiled(Q, wanted=sizes.torch_compile),
        ),
    ]  # fmt: skip
    return Contest(
        name=f"iteration, {name}",
        title=f"Optimistic mirror descent, {N:,} matrices {A} × {A}",
        contestants=contestants,
        error=error,
        tolerance=1e-9,
        per=N * TIMES,
        unit="state and iteration",
    )


def _numpy(Q: Array) -> Work:
    def work() -> Any:
        xs, ys, _ = same_dynamics.numpy_entropy(Q, ETA, TIMES)
        return xs.T, ys.T

    return work


def _jax(Q: Array) -> Work:
    run = same_dynamics.jax_entropy()
    import jax.numpy as jnp  # behind the switch to double precision

    matrices = jnp.asarray(Q)

    def work() -> Any:
        xs, ys, _ = run(matrices, ETA, TIMES)
        return np.asarray(xs).T, np.asarray(ys).T

    return work


def _torch_compiled(Q: Array, *, wanted: bool) -> Work:
    if not wanted:
        raise NotOfferedError("only with --torch-compile, which needs a C++ compiler")
    return same_dynamics.torch_entropy(Q, ETA, TIMES, compiled=True)
