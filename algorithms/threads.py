"""Threads for kernels that release the interpreter: how many, and who runs them.

The parts of a piece of work write to different places, so that results do not depend on how many
threads there are.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any

WORTH_IT = 2e5  # nanoseconds of work below which handing it to threads costs more than it saves


def default_threads() -> int:
    """Numba's number of threads: all cores this process may use, or `NUMBA_NUM_THREADS`.

    That variable is how joblib tells its worker processes what is theirs. `OMP_NUM_THREADS`, which
    Dask and Ray set, counts too. One outside the main thread: there somebody else runs threads.
    """
    from numba import config

    if threading.current_thread() is not threading.main_thread():
        return 1
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(min(config.NUMBA_NUM_THREADS, int(told) if told.isdigit() and int(told) else 2**31))


def run_parts(task: Callable[[Any], None], parts: Sequence[Any]) -> None:
    """Call `task` with every part, each in a thread of its own; the first one in this thread."""
    if len(parts) > 1:
        waiting = [_pool(os.getpid(), len(parts) - 1).submit(task, part) for part in parts[1:]]
        try:
            task(parts[0])
        finally:
            wait(waiting)
        for done in waiting:
            done.result()
    elif parts:
        task(parts[0])


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001
    return ThreadPoolExecutor(threads, thread_name_prefix="metamarl")
