"""Solving one game: policies, exact values and gaps, solvers and their kernels."""

import atexit
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numba
from numba.misc.appdirs import AppDirs


def _make_room_for_kernels() -> None:
    """Where Numba could store compiled kernels nowhere, let it do so for this process.

    It would refuse to compile at all: in a container, say, with neither a home nor a writable
    installation.
    """
    quantecon = find_spec("quantecon")
    places = [__file__, *([quantecon.origin] if quantecon and quantecon.origin else [])]
    if numba.config.CACHE_DIR or all(os.access(Path(p).parent, os.W_OK) for p in places):
        return
    home = Path(AppDirs(appname="numba", appauthor=False).user_cache_dir)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return
    except OSError:
        numba.config.CACHE_DIR = tempfile.mkdtemp(prefix="metamarl-")
        atexit.register(shutil.rmtree, numba.config.CACHE_DIR, ignore_errors=True)


_make_room_for_kernels()
