"""How fast environments are enumerated: (state, joint action) pairs per second, one process.

`python benchmarks/enumeration.py` (needs pygame-ce); the first run of each is not counted.
"""

import statistics
import time

import pettingzoo

from metamarl.envs.exploring import explore
from metamarl.envs.opening import open_environment
from metamarl.envs.plugging_in import check_request

ENVIRONMENTS = ("aec:classic/tictactoe-v3", "parallel:classic/rps-v2", "aec:classic/rps-v2")
RUNS = 5


def measure(kind: str, name: str) -> tuple[int, int, list[float]]:
    """States, pairs, and the seconds of every run."""
    with open_environment(check_request(make=lambda: pettingzoo.make(kind, name))) as opened:
        seconds = []
        for _ in range(RUNS + 1):
            began = time.perf_counter()
            found = explore(opened)
            seconds.append(time.perf_counter() - began)
    return len(found), found.n_rows, seconds[1:]


if __name__ == "__main__":
    print(
        f"{'environment':<26}{'states':>8}{'pairs':>8}{'seconds':>9}{'pairs/s':>9}  (best, worst)"
    )
    for environment in ENVIRONMENTS:
        states, pairs, seconds = measure(*environment.split(":"))
        rates = sorted(pairs / s for s in seconds)
        middle = statistics.median(seconds)
        ends = f"({rates[-1]:,.0f}, {rates[0]:,.0f})"
        line = f"{environment:<26}{states:>8,}{pairs:>8,}{middle:>9.3f}{pairs / middle:>9,.0f}"
        print(f"{line}  {ends}")
