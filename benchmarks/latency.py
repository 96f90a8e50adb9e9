"""How long one waits: for the import, for --help, and for the first use after installation.

    python benchmarks/latency.py

Every case in processes of its own, the first with an empty folder for compiled kernels, the second
with what the first has left there. Seconds are those of the call, by the clock and of processor
time; the import of the library is apart.
"""

import os
import subprocess
import sys
import tempfile
import time

CASES = {
    "evaluate": "mm.nash_gap(mm.make('rps'), mm.JointPolicy.uniform(mm.make('rps')))",
    "exact": "mm.solve(mm.make('soccer'))",
    "exact, horizon": "mm.solve(mm.make('goofspiel'))",
    "regret-matching": "mm.solve(mm.make('soccer'), 'regret-matching')",
    "omd": "mm.solve(mm.make('soccer'), 'omd', tol=0.5)",
    "omd, general-sum": "mm.solve(mm.make('prisoners'))",
    "q-ascent": "mm.solve(mm.make('stag-hunt'))",
    "v-learning": "mm.solve(mm.make('pursuit', size=2, horizon=4), 'v-learning', tol=5.0)",
    "tiered": "mm.tiered(*mm.tier_tasks('permuted'), episodes=100)",
}
COMPARE = "metamarl compare soccer --tasks 1 --seeds 1 --tol 0.5 --jobs 1 --out"
CODE = """
import time
import metamarl as mm
clock, cpu = time.perf_counter(), time.process_time()
{call}
print(time.perf_counter() - clock, time.process_time() - cpu)
"""


def timed(command: list[str], cache: str = "") -> tuple[str, float]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache} if cache else dict(os.environ)
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout, time.perf_counter() - began


def main() -> None:
    python = [sys.executable]
    for name, command in (
        ("import metamarl", [*python, "-c", "import metamarl"]),
        ("metamarl --help", [*python, "-m", "metamarl", "--help"]),
    ):
        seconds = min(timed(command)[1] for _ in range(5))
        print(f"{name}: {seconds:.2f} s, of which Python itself ", end="")
        print(f"{min(timed([*python, '-c', ''])[1] for _ in range(5)):.2f} s")
    print(f"\n{'first use of':18} first, s   (processor)  second, s")
    for name, call in CASES.items():
        with tempfile.TemporaryDirectory() as cache:
            command = [*python, "-c", CODE.format(call=call)]
            first, second = (timed(command, cache)[0].split() for _ in range(2))
        clock, cpu, again = float(first[0]), float(first[1]), float(second[0])
        print(f"{name:18} {clock:>8.1f} {cpu:>12.1f} {again:>11.2f}")
    with tempfile.TemporaryDirectory() as cache:
        command = [*python, "-m", *COMPARE.split(), f"{cache}/out"]
        first_seconds, second_seconds = (timed(command, cache)[1] for _ in range(2))
    print(f"{'metamarl compare':18} {first_seconds:>8.1f} {'':12} {second_seconds:>11.2f}", end="")
    print("  (whole processes)")


if __name__ == "__main__":
    main()
