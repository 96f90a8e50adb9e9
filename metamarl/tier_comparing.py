"""Run agents of the high tier side by side, over several tasks and seeds."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from numbers import Integral
from typing import Any

import numpy as np
from joblib import cpu_count, effective_n_jobs

from metamarl.envs.checks import check_integer, complaint
from metamarl.envs.tier_families import Tiers
from metamarl.tier_agents import TierAgent, find_agent
from metamarl.tier_comparison import Key, TierComparison
from metamarl.tier_run import TieredRun
from metamarl.tiers import tiered

WHERE = "compare_tiers"
THREADS_PER_CORE = 4


def compare_tiers(
    tiers: Tiers | Mapping[int, Tiers],
    agents: Sequence[str | TierAgent] = ("none", "robust"),
    episodes: int = 100_000,
    seeds: Sequence[int] = (0,),
    n_jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
    *,
    bonus: str = "bernstein",
    coefficient: float = 0.5,
    reward_range: tuple[float, float] = (0.0, 1.0),
) -> TierComparison:
    """Run agents of the high tier side by side.

    Args:
        tiers: sources and a high-tier task (`tier_tasks`), or several such by a number.
        agents: names or `TierAgent`s; the first is what the others are measured against.
        episodes: of every run.
        seeds: of the runs, for the intervals; with each of them every agent sees the same sources.
        n_jobs: threads (-1: one per core). The numbers do not depend on it.
        progress: called with the numbers of episodes done and to do, in all.
        bonus: as for `tiered`.
        coefficient: as for `tiered`.
        reward_range: as for `tiered`.

    Returns:
        A `TierComparison`. After Ctrl-C it holds what there was.

    Raises:
        TypeError, ValueError: a bad parameter.
    """
    if isinstance(seeds, (str, bytes)) or not isinstance(seeds, (Sequence, np.ndarray)):
        raise TypeError(complaint("seeds", WHERE, "a list of different seeds, such as [0]", seeds))
    draws = [check_integer(seed, "seeds", WHERE, 0) for seed in seeds]
    if not draws or len(set(draws)) < len(draws):
        raise ValueError(complaint("seeds", WHERE, "one or more different seeds", seeds))
    drawn: Mapping[Any, Any] = tiers if isinstance(tiers, Mapping) else {0: tiers}
    for pair in drawn.values():
        if not isinstance(pair, Sequence) or len(pair) != 2:
            must = "(sources, high-tier task), or such pairs by a number"
            raise TypeError(complaint("tiers", WHERE, must, tiers))
    models = {key: Tiers(*pair) for key, pair in drawn.items()}
    if not models:
        raise ValueError(complaint("tiers", WHERE, "at least one high-tier task", tiers))
    names: Any = (
        agents if isinstance(agents, Sequence) and not isinstance(agents, str) else [agents]
    )
    found = [find_agent(agent, WHERE) for agent in names]
    labels = [agent.label for agent in found]
    if not found or len(set(labels)) < len(labels):
        raise ValueError(complaint("agents", WHERE, "one or more different agents", agents))
    episodes = check_integer(episodes, "episodes", WHERE)
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs == 0:
        must = "a number of threads, or -1 for one per core"
        raise ValueError(complaint("n_jobs", WHERE, must, n_jobs))
    options: dict[str, Any] = {
        "bonus": bonus, "coefficient": coefficient, "reward_range": reward_range
    }  # fmt: skip
    keys = [(m, s, a) for m in models for s in draws for a in labels]
    counter = _Counter(len(keys) * episodes, progress)
    by_label = dict(zip(labels, found, strict=True))

    def work(key: Key) -> tuple[Key, TieredRun, float]:
        began = time.perf_counter()
        model, seed, label = key
        run = tiered(
            *models[model], by_label[label], episodes, seed, progress=counter.of(key), **options
        )
        return key, run, time.perf_counter() - began

    done: dict[Key, tuple[TieredRun, float]] = {}
    workers = min(effective_n_jobs(int(n_jobs)), len(keys), THREADS_PER_CORE * cpu_count())
    for key, run, seconds in _carry_out(work, keys, workers, counter):
        if run.episodes:
            done[key] = run, seconds
    first = next(iter(models.values()))
    return TierComparison(
        runs={key: done[key][0] for key in keys if key in done},
        seconds={key: done[key][1] for key in keys if key in done},
        agents=labels,
        config={
            "models": {str(m): repr(t.high) for m, t in models.items()},
            "sources": len(first.low),
            "agents": labels,
            "episodes": episodes,
            "seeds": draws,
            **options,
        },
        interrupted=counter.stopped,
    )


class _Counter:
    """Adds up the episodes of all runs, and stops them."""

    def __init__(self, total: int, show: Callable[[int, int], None] | None) -> None:
        self.stopped = False
        self._total, self._show = total, show
        self._done: dict[Key, int] = {}
        self._lock = threading.Lock()

    def of(self, key: Key) -> Callable[[int, int], None]:
        """What a run calls as it goes on; KeyboardInterrupt ends it."""

        def count(done: int, _: int) -> None:
            if self.stopped:
                raise KeyboardInterrupt
            if self._show is not None:
                with self._lock:
                    self._done[key] = done
                    self._show(sum(self._done.values()), self._total)

        return count


def _carry_out(
    work: Callable[[Key], tuple[Key, TieredRun, float]],
    keys: Sequence[Key],
    workers: int,
    counter: _Counter,
) -> Iterator[tuple[Key, TieredRun, float]]:
    """Runs as they end; after Ctrl-C those that were begun. Threads do: kernels hold no lock."""
    if workers == 1:
        for key in keys:
            result = work(key)
            yield result
            if result[1].interrupted:
                counter.stopped = True
                return
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(work, key) for key in keys}
        try:
            for future in as_completed(set(waiting)):
                waiting.discard(future)
                yield future.result()
        except KeyboardInterrupt:
            counter.stopped = True
            pool.shutdown(cancel_futures=True)
            yield from (f.result() for f in waiting if not f.cancelled())
        except BaseException:
            counter.stopped = True  # one run has failed: no need to wait for the others
            pool.shutdown(cancel_futures=True)
            raise
