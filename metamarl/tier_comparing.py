"""Run agents of the high tier side by side, over several tasks and seeds."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from numbers import Integral
from typing import Any

import numpy as np
from joblib import cpu_count, delayed, effective_n_jobs

from metamarl.envs.checks import check_choice, check_integer, complaint
from metamarl.envs.tier_families import Tiers
from metamarl.keeping import Kept
from metamarl.tier_agents import TierAgent, find_agent
from metamarl.tier_arms import Finished, TierPart, plain_run, run_there
from metamarl.tier_comparison import Key, TierComparison
from metamarl.tier_run import TieredRun
from metamarl.workers import BACKENDS, Workers, distribute

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
    backend: str = "threads",
    scheduler: str | None = None,
    keep: str | os.PathLike[str] | None = None,
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
        n_jobs: threads or worker processes (-1: one per core). The numbers do not depend on it.
        progress: called with the numbers of episodes done and to do, in all: along every run in
            threads, else as runs are finished.
        backend: "threads" of this process, which is enough on one machine; "processes", or a
            cluster, "dask" or "ray" (see `workers`).
        scheduler: the cluster's address, such as "tcp://10.0.0.1:8786".
        keep: a folder for finished runs. What it has of the same work is not done again; after a
            crash the same call goes on from there.
        bonus: as for `tiered`.
        coefficient: as for `tiered`.
        reward_range: as for `tiered`.

    Returns:
        A `TierComparison`. After Ctrl-C it holds what there was: runs that were finished, and from
        threads the beginnings of others.

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
    check_choice(backend, "backend", WHERE, ("threads", *BACKENDS))
    if backend == "threads":
        if isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs == 0:
            must = "a number of threads, or -1 for one per core"
            raise ValueError(complaint("n_jobs", WHERE, must, n_jobs))
        if scheduler is not None:
            must = "left out for backend 'threads', which needs none"
            raise ValueError(complaint("scheduler", WHERE, must, scheduler))
    else:
        workers = Workers(n_jobs, backend, scheduler, WHERE)
    options: dict[str, Any] = {
        "bonus": bonus, "coefficient": coefficient, "reward_range": reward_range
    }  # fmt: skip
    kept = None if keep is None else Kept(keep, WHERE)
    by_label = dict(zip(labels, found, strict=True))
    keys = [(m, s, a) for m in models for s in draws for a in labels]
    parts = [TierPart(key, models[key[0]], by_label[key[2]], episodes, options) for key in keys]
    counter = _Counter(len(keys) * episodes, progress)
    done: dict[Key, Finished] = {}
    missing = parts
    if kept is not None:
        there = {part.key: kept.find(part.digest(), part.read) for part in parts}
        done = {key: run for key, run in there.items() if run is not None}
        missing = [part for part in parts if part.key not in done]
        for key in done:
            counter.of(key)(episodes, episodes)
    if backend == "threads":
        threads = min(effective_n_jobs(int(n_jobs)), len(missing), THREADS_PER_CORE * cpu_count())
        coming = _in_threads(missing, threads, counter)
    else:
        coming = _elsewhere(missing, workers, counter)
    try:
        for part, run, seconds in coming:
            if run.episodes:
                done[part.key] = run, seconds
            if kept is not None and not run.interrupted:
                kept.put(part.digest(), plain_run(run, seconds))
    except KeyboardInterrupt:
        counter.stopped = True
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


def _in_threads(
    parts: Sequence[TierPart], threads: int, counter: _Counter
) -> Iterator[tuple[TierPart, TieredRun, float]]:
    """Runs as they end; after Ctrl-C those that were begun. Kernels hold no lock."""

    def work(part: TierPart) -> tuple[TierPart, TieredRun, float]:
        return part, *part.run(counter.of(part.key))

    if threads <= 1:
        for part in parts:
            result = work(part)
            yield result
            if result[1].interrupted:
                counter.stopped = True
                return
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting = {pool.submit(work, part) for part in parts}
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


def _elsewhere(
    parts: Sequence[TierPart], workers: Workers, counter: _Counter
) -> Iterator[tuple[TierPart, TieredRun, float]]:
    """Runs as they end, in worker processes or on a cluster; after Ctrl-C no more of them."""
    if not parts:
        return
    try:
        with workers.at_work(len(parts)) as n:
            if n == 1:
                yield from _in_threads(parts, 1, counter)
                return
            work = [delayed(run_there)(k, part) for k, part in enumerate(parts)]
            with closing(distribute(work, n)) as results:
                for k, run, seconds in results:
                    if run.interrupted:
                        raise KeyboardInterrupt
                    yield parts[k], parts[k].complete(run), seconds
                    counter.of(parts[k].key)(run.episodes, run.episodes)
    except KeyboardInterrupt:
        counter.stopped = True
