"""Who does the work: processes of this machine, or a cluster, through joblib's backends.

`compare(…, backend="dask", scheduler="tcp://10.0.0.1:8786")` runs on the workers of a Dask cluster,
which need metamarl installed; a worker that is lost is replaced by another one, and its work done
again. "ray" joins a Ray cluster (`scheduler="auto"`, or its address) or starts one here; it hands
its work in in rounds, of one part for every worker. Everything is computed from what is sent, so
that on machines of one kind the numbers do not depend on who computes them.
"""

import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from joblib import Parallel, cpu_count, effective_n_jobs, parallel_config
from joblib._parallel_backends import LokyBackend
from joblib.parallel import get_active_backend

from metamarl.envs.checks import check_choice, complaint, said

BACKENDS = ("processes", "dask", "ray")
PER_CORE = 4


@dataclass(frozen=True)
class Workers:
    """How many workers, and where.

    Args:
        n_jobs: worker processes (-1: one per core); never more than there are parts of work, nor
            than four per core of this machine. A cluster's workers are all of them.
        backend: "processes", "dask" or "ray".
        scheduler: the cluster's address; None: for "dask" a cluster of this machine's cores, for
            "ray" a running one, or a new one.
        where: the function that errors name.

    Raises:
        TypeError, ValueError: a bad parameter.
    """

    n_jobs: int = 1
    backend: str = "processes"
    scheduler: str | None = None
    where: str = "compare"

    def __post_init__(self) -> None:
        n_jobs, where = self.n_jobs, self.where
        if isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs == 0:
            must = "a number of worker processes, or -1 for one per core"
            raise ValueError(complaint("n_jobs", where, must, n_jobs))
        check_choice(self.backend, "backend", where, BACKENDS)
        if self.scheduler is not None:
            must = "the address of a cluster, such as 'tcp://10.0.0.1:8786'"
            if not isinstance(self.scheduler, str):
                raise TypeError(complaint("scheduler", where, must, self.scheduler))
            if self.backend == "processes":
                must = "left out for backend 'processes', which needs none"
                raise ValueError(complaint("scheduler", where, must, self.scheduler))

    @contextmanager
    def at_work(self, parts: int) -> Iterator[int]:
        """Within it joblib sends its work to the workers; how many of them there are to use."""
        if self.backend == "processes":
            most = min(parts, PER_CORE * cpu_count())
            yield max(1, min(effective_n_jobs(int(self.n_jobs)), most))
            return
        client = self._join()
        try:
            with parallel_config(backend=self.backend, n_jobs=-1):
                yield max(2, effective_n_jobs(-1))  # one worker of a cluster is not this process
        finally:
            if client is not None:
                client.close()

    def _join(self) -> Any:
        if self.backend == "dask":
            try:
                from distributed import Client
            except ImportError:
                raise ImportError(_missing("dask")) from None
            try:
                return Client(self.scheduler, timeout=10) if self.scheduler else Client()
            except (OSError, ValueError) as error:
                must = "the address of a Dask scheduler that answers"
                got = said(f"{self.scheduler!r} ({error})")
                raise ValueError(complaint("scheduler", self.where, must, got)) from None
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError:
            raise ImportError(_missing("ray")) from None
        if not ray.is_initialized():
            ray.init(address=self.scheduler, log_to_driver=False)
        register_ray()
        return None


def distribute(work: Sequence[Any], n: int) -> Generator[Any, None, None]:
    """Results of joblib's delayed calls from `n` workers, as they come."""
    backend = get_active_backend()[0]
    if backend.supports_return_generator:
        how: dict[str, Any] = {}
        if isinstance(backend, LokyBackend):  # processes
            how["initializer"] = _leave_interrupts_alone
        results = Parallel(n_jobs=n, return_as="generator_unordered", batch_size=1, **how)(work)
        try:
            for result in results:  # noqa: UP028  (`yield from` would close them itself)
                yield result
        finally:
            with warnings.catch_warnings():  # of work that is cancelled
                warnings.simplefilter("ignore")
                results.close()
        return
    for first in range(0, len(work), n):
        yield from Parallel(n_jobs=n, batch_size=1)(work[first : first + n])


def _leave_interrupts_alone() -> None:
    """Ctrl-C reaches a worker too, which has nothing to say about it: the first process ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _missing(extra: str) -> str:
    return f"backend '{extra}' needs packages that are not here: pip install 'metamarl[{extra}]'."
