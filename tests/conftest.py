"""One kernel cache per state of the sources, and nothing taken from the caller's environment.

Numba's own cache does not notice a change in another file that a kernel calls. So the cache's
folder is named after a hash of all sources; this must happen before Numba is imported.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHES = ROOT / ".numba_cache"
STALE = 3600.0  # seconds: younger ones may belong to a run that is still going on


def _sources() -> str:
    found = hashlib.sha256()
    for folder in ("envs", "algorithms", "metamarl"):
        for path in sorted((ROOT / folder).glob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            found.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def _use_cache() -> None:
    cache = CACHES / _sources()
    cache.mkdir(parents=True, exist_ok=True)
    os.utime(cache)
    for other in CACHES.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another run was faster
            if other != cache and time.time() - other.stat().st_mtime > STALE:
                shutil.rmtree(other, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = str(cache)


_use_cache()
os.environ["MPLBACKEND"] = "agg"  # no window, whatever the caller has set
os.environ.pop("FORCE_COLOR", None)  # rich and typer would colour what is no terminal
os.environ["COLUMNS"] = "80"

# A shell's background jobs ignore Ctrl-C, and so would every process that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
