"""Related games from one environment: its constructor's arguments are varied."""

import functools
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import numpy as np

from metamarl.envs.checks import check_integer, check_reals, complaint, said
from metamarl.envs.exact_model import Whole, explore_exactly, finish
from metamarl.envs.exploring import NotExactError
from metamarl.envs.merging import find_classes, merge
from metamarl.envs.opening import Opened, open_environment
from metamarl.envs.plug_in import PettingZooGame
from metamarl.envs.plugging_in import check_request, refusal
from metamarl.envs.table import Table

WHERE = "environment_tasks"


def environment_tasks(
    make: Callable[..., Any],
    vary: Mapping[str, tuple[float, float]],
    n: int = 20,
    seed: int = 0,
    **options: Any,
) -> list[PettingZooGame]:
    """Draw `n` related games around a PettingZoo environment, for `metamarl.compare`.

    Every task is `from_pettingzoo(lambda: make(slip=…), mode="exact", …)` with other values; the
    same states are merged in all of them, so that a policy of one can be played in another.

    Args:
        make: makes the environment from keyword arguments: a class, or a function.
        vary: for every argument that differs the smallest and largest value; uniform in between,
            whole numbers where both are.
        n: number of tasks.
        seed: task k depends on (seed, k) alone.
        options: of `from_pettingzoo`, such as `horizon`, `discount` or `state`.

    Raises:
        TypeError, ValueError: a bad parameter, an environment that is not exact (see
            `from_pettingzoo`), or values for which the games have different states, actions or
            possible moves.
    """
    if not callable(make):
        must = "a class or function that makes a PettingZoo environment from keyword arguments"
        raise TypeError(complaint("make", WHERE, must, make))
    ranges = _check_ranges(vary)
    n = check_integer(n, "n", WHERE)
    seed = check_integer(seed, "seed", WHERE, 0)
    found: list[tuple[Opened, Whole]] = []
    for k in range(n):
        values = _draw(ranges, np.random.default_rng([seed, k]))
        request = check_request(make=functools.partial(make, **values), **options)
        if request.model is not None or request.mode not in ("auto", "exact"):
            must = "of mode 'exact', and without a 'model'"
            raise ValueError(complaint("options", WHERE, must, options))
        with open_environment(request) as opened:
            try:
                found.append((opened, explore_exactly(opened)))
            except NotExactError as error:
                raise ValueError(refusal(opened, error)) from None
        if not _alike(found[0][1].table, found[-1][1].table):
            must = "ranges in which the games have the same states and possible moves, such as "
            must += "chances that stay away from 0 and 1"
            raise ValueError(complaint("vary", WHERE, must, said(f"others for {values}")))
    classes = find_classes([whole.table for _, whole in found])
    return [finish(opened, whole, merge(whole.table, classes), classes) for opened, whole in found]


def _check_ranges(vary: Any) -> dict[str, tuple[float, float]]:
    must = "a mapping of argument names to (smallest, largest)"
    if not isinstance(vary, Mapping):
        raise TypeError(complaint("vary", WHERE, must, vary))
    found = {}
    for name, values in vary.items():
        low, high = check_reals(values, f"vary[{name!r}]", WHERE, 2)
        if low > high:
            raise ValueError(complaint("vary", WHERE, must, dict(vary)))
        whole = all(isinstance(value, Integral) for value in values)
        found[str(name)] = (int(low), int(high)) if whole else (low, high)
    return found


def _draw(ranges: Mapping[str, tuple[float, float]], rng: np.random.Generator) -> dict[str, Any]:
    return {
        name: int(rng.integers(low, high + 1))
        if isinstance(low, int) and isinstance(high, int)
        else float(rng.uniform(low, high))
        for name, (low, high) in ranges.items()
    }


def _alike(one: Table, other: Table) -> bool:
    """Whether the same states lead to the same ones by the same actions."""
    return (
        np.array_equal(one.rows, other.rows)
        and all(map(np.array_equal, one.legal, other.legal))
        and np.array_equal(one.indptr, other.indptr)
        and np.array_equal(one.indices, other.indices)
    )
