"""Solving one game: policies, exact values and gaps, solvers and their kernels."""

import atexit
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numba
from numba.misc.appdirs import AppDirs

from metamarl.algorithms._compiling import announce_compilation


def _make_room_for_kernels() -> bool:
    """Where Numba could store compiled kernels nowhere, let it do so for this process.

    It would refuse to compile at all: in a container, say, with neither a home nor a writable
    installation. Returns whether they are stored for good.
    """
    quantecon = find_spec("quantecon")
    beside = [__file__, *([quantecon.origin] if quantecon and quantecon.origin else [])]
    if not numba.config.CACHE_DIR and all(os.access(Path(p).parent, os.W_OK) for p in beside):
        return True
    usual = AppDirs(appname="numba", appauthor=False).user_cache_dir
    place = Path(numba.config.CACHE_DIR or usual)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        pass
    numba.config.CACHE_DIR = tempfile.mkdtemp(prefix="metamarl-")
    atexit.register(shutil.rmtree, numba.config.CACHE_DIR, ignore_errors=True)
    return False


announce_compilation(lasting=_make_room_for_kernels())
