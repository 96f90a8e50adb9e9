"""Says so, once per process, where kernels have to be compiled: after installation, or a change."""

import logging
import multiprocessing
import sys

from numba.core.event import Event, Listener, register

LOG = logging.getLogger("metamarl")


class _Announcer(Listener):
    """Hears of every compilation, but of none that the cache saves."""

    def __init__(self, lasting: bool) -> None:
        self.said = False
        self.text = "metamarl compiles its kernels, which takes some seconds"
        self.text += ", once." if lasting else ": no folder can be written into to keep them."

    def on_start(self, event: Event) -> None:
        dispatcher = event.data["dispatcher"]
        if self.said or not dispatcher.py_func.__module__.startswith("metamarl."):
            return
        self.said = True
        LOG.info(self.text)
        here = multiprocessing.current_process().name == "MainProcess"  # workers are many
        if here and sys.stderr is not None and (sys.stderr.isatty() or hasattr(sys, "ps1")):
            print(self.text, file=sys.stderr, flush=True)

    def on_end(self, event: Event) -> None:
        """Nothing to say."""


def announce_compilation(*, lasting: bool) -> None:
    """From now on write one line to a terminal, or a notebook, when compilation begins.

    Elsewhere it is a message to the logger "metamarl", of level INFO. `lasting` says whether what
    is compiled is kept for the next process.
    """
    register("numba:compile", _Announcer(lasting))
