"""Studies: read, run, killed, gone on with; on processes and on a cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import metamarl as mm
from metamarl.fingerprint import fingerprint
from metamarl.keeping import Kept, read_rows
from metamarl.study import read_study, run_study

STUDY = """
[[compare]]
name = "close"
game = "random"
knobs = {states = 3, actions = [3, 3], horizon = 3}
tasks = 6
seeds = 3
spread = 0.05
meta = ["robust", "average"]
tol = 0.002

[[compare]]
game = "prisoners"
tasks = 3
seeds = 1

[[tiered]]
family = "permuted"
sources = 2
seeds = 2
episodes = 1000
agents = ["none", "robust(delay=100)"]
"""
SAME = ("table.txt", "rows.csv", "traces.csv", "regret.csv", "states.csv")


def written(tmp_path, text=STUDY):
    path = tmp_path / "study.toml"
    path.write_text(text)
    return path


def tables(out):
    return {
        f"{folder.name}/{name}": (folder / name).read_bytes()
        for folder in sorted(out.iterdir())
        if folder.name != "parts"
        for name in SAME
        if (folder / name).exists()
    }


def start(path, out, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "metamarl", "run", str(path), "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    path = written(folder)
    done = dict(run_study(read_study(path), folder / "out"))
    assert list(done) == ["close", "prisoners", "permuted"]
    return tables(folder / "out"), done


def test_what_a_study_finds_is_what_compare_finds(reference):
    knobs = {"states": 3, "actions": (3, 3), "horizon": 3}
    tasks = {seed: mm.tasks("random", n=6, spread=0.05, seed=seed, **knobs) for seed in range(3)}
    found = mm.compare(tasks, ["robust", "average"], "omd", tol=0.002)
    kept = reference[1]["close"]
    strip = [{k: v for k, v in row.items() if k != "seconds"} for row in found.rows]
    assert strip == [{k: v for k, v in row.items() if k != "seconds"} for row in kept.rows]
    assert kept.similarity == found.similarity
    for key, trace in found.traces.items():
        np.testing.assert_array_equal(trace.gap, kept.traces[key].gap)


def test_what_a_study_finds_is_what_compare_tiers_finds(reference, tmp_path):
    tiers = {0: mm.tier_tasks("permuted", 2, 0)}
    agents = ["none", mm.RobustTransfer(delay=100)]
    options = {"episodes": 1000, "seeds": range(2)}
    found = mm.compare_tiers(tiers, agents, **options)
    kept = reference[1]["permuted"]
    for key, run in found.runs.items():
        np.testing.assert_array_equal(run.regret_high, kept.runs[key].regret_high)
    mm.compare_tiers(tiers, agents, **options, keep=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(files) == 4
    again = mm.compare_tiers(tiers, agents, **options, keep=tmp_path)
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert list(again.runs) == list(found.runs)
    for key, run in found.runs.items():
        same = again.runs[key]
        assert same.config == run.config
        for name in ("recorded", "trust", "followed", "regret_by_state", "regret_low"):
            np.testing.assert_array_equal(getattr(same, name), getattr(run, name))
        assert list(same.regret_rows()) == list(run.regret_rows())
        assert list(same.state_rows()) == list(run.state_rows())
    mm.compare_tiers(tiers, agents, **options | {"episodes": 999}, keep=tmp_path)
    assert len(list(tmp_path.iterdir())) == 8


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX")
def test_killed_and_gone_on_with(tmp_path, reference):
    path, out = written(tmp_path), tmp_path / "out"
    process = start(path, out, "--jobs", "1")
    parts = out / "parts"
    while not parts.exists() or len(list(parts.glob("[!.]*.json"))) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    before = {p.name: p.stat().st_mtime_ns for p in parts.glob("[!.]*.json")}
    for _ in run_study(read_study(path), out, n_jobs=2):
        pass
    after = {p.name: p.stat().st_mtime_ns for p in parts.glob("[!.]*.json")}
    assert before.items() <= after.items()  # nothing was done again
    assert len(after) > len(before)
    assert tables(out) == reference[0]


def test_two_processes_on_one_folder(tmp_path, reference):
    path, out = written(tmp_path), tmp_path / "out"
    both = [start(path, out, "--jobs", "1") for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert tables(out) == reference[0]


def test_a_damaged_part_is_named_and_the_others_stay(tmp_path, reference):
    path, out = written(tmp_path), tmp_path / "out"
    for _ in run_study(read_study(path), out):
        pass
    part = min((out / "parts").glob("*.json"))
    part.write_text(part.read_text()[:100])
    with pytest.raises(ValueError, match=f"{part.name} is damaged. Remove it"):
        list(run_study(read_study(path), out))
    assert tables(out) == reference[0]
    part.unlink()
    list(run_study(read_study(path), out))
    assert tables(out) == reference[0]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_into(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o500)
    with pytest.raises(OSError, match="not writable"):
        list(run_study(read_study(written(tmp_path)), out))


def test_a_full_disk(tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    path, out = written(tmp_path), tmp_path / "out"
    planned = read_study(path)
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*parts.*json'"):
        list(run_study(planned, out))
    assert list((out / "parts").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[[compare]]\ngame = 3", "'game' parameter of a .*compare.* must be a string"),
        ("[[compare]]\ngame = 'socer'", "socer"),
        ("[[compare]]\ngame = 'rps'\ntaks = 3", "unknown key 'taks'. Did you mean 'tasks'"),
        ("[[compare]]\ngame = 'rps'\noptions = {stepsize = 1}", "Did you mean 'step_size'"),
        ("[[compare]]\ngame = 'rps'\nsolver = 'odm'", "solver"),
        ("[[compare]]\ngame = 'rps'\nmeta = ['robst']", "robst"),
        ("[[compare]]\ngame = 'rps'\nmeta = 'robust'", "a list of meta-learners"),
        ("[[compare]]\ngame = 'rps'\ntol = -1", "'tol' parameter"),
        ("[[compare]]\ngame = 'rps'\ntasks = 0", "'tasks' parameter"),
        ("[[compare]]\ngame = 'rps'\nname = '../x'", "a folder's"),
        ("[[compare]]\ngame = 'rps'\nname = 'parts'", "a folder's"),
        ("[[compare]]\ngame = 'rps'\n[[compare]]\ngame = 'rps'", "two comparisons named 'rps'"),
        ("[[compare]]\ngame = 'rps'\nknobs = {round = 3}", "round"),
        ("[[compare]]\ngame = 'random'\nknobs = {seed = 3}", "unknown key 'seed'"),
        ("[[compare]]\ngame = 'rps'\nmeta = ['robust', 'robust']", "different learners"),
        ("[[compare]]\ngame = 'rps'\nmeta = []", "different learners"),
        ("[[compare]]\ngame = 'prisoners'\nsolver = 'exact'", "for solver 'exact'"),
        ("[[compare]]\ntasks = 3", "has no 'game'"),
        ("[compare]\ngame = 'rps'", r"has a \[compare\] where a \[\[compare\]\] should be"),
        ("[[tiered]]\nsources = 2", "has no 'family'"),
        ("[[tiered]]\nfamily = 3", "'family' parameter of a .*tiered.* must be a string"),
        ("[[tiered]]\nfamily = 'permutd'", "permutd"),
        ("[[tiered]]\nfamily = 'permuted'\nepisods = 3", "Did you mean 'episodes'"),
        ("[[tiered]]\nfamily = 'permuted'\nepisodes = 0", "'episodes' parameter"),
        ("[[tiered]]\nfamily = 'permuted'\nbonus = 'x'", "'bonus' parameter"),
        ("[[tiered]]\nfamily = 'permuted'\ncoefficient = 0", "'coefficient' parameter"),
        ("[[tiered]]\nfamily = 'permuted'\nknobs = {state = 3}", "Did you mean 'states'"),
        ("[[tiered]]\nfamily = 'permuted'\nknobs = {gap = 2}", "'gap' parameter"),
        ("[[tiered]]\nfamily = 'opponents'\nknobs = {gap = 0.1}", "do not apply to 'opponents'"),
        ("[[tiered]]\nfamily = 'permuted'\nagents = 'none'", "a list of agents"),
        ("[[tiered]]\nfamily = 'permuted'\nagents = []", "different agents"),
        ("[[tiered]]\nfamily = 'permuted'\nagents = ['none', 'none']", "different agents"),
        ("[[tiered]]\nfamily = 'permuted'\nagents = ['robust(dely=3)']", "dely"),
        ("[[tiered]]\nfamily = 'permuted'\nname = '../x'", "a folder's"),
        ("[[compare]]\ngame = 'rps'\n[[tiered]]\nfamily = 'permuted'\nname = 'rps'", "named 'rps'"),
        ("[[compar]]\ngame = 'rps'", "Did you mean 'compare'"),
        ("", r"has no \[\[compare\]\]"),
        ("game = ", "not a TOML file"),
    ],
)
def test_bad_studies_are_refused(tmp_path, text, match):
    with pytest.raises((TypeError, ValueError), match=match):
        read_study(written(tmp_path, text))


def test_the_command_says_what_is_wrong(tmp_path):
    process = start(tmp_path / "none.toml", tmp_path / "out")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "none.toml" in err
    assert "Traceback" not in err


def test_what_a_fingerprint_tells_apart():
    rng = np.random.default_rng(0)
    counts = rng.normal(size=(1, 3, 2))
    anonymous = mm.AnonymousGame(2, counts, np.ones((1, 3, 1)), discount=0.9)
    assert fingerprint([anonymous]) != fingerprint([anonymous.aggregate])
    common = np.stack([rng.normal(size=(2, 2, 2))] * 2)
    still = np.zeros((2, 2, 2, 2))
    still[..., 0] = 1.0
    games = [
        mm.MarkovGame(still, common, discount=0.9, potential=common[0] + shift) for shift in (0, 1)
    ]
    assert fingerprint([games[0]]) != fingerprint([games[1]])
    assert fingerprint([], mm.Average()) != fingerprint([], mm.Last())
    assert fingerprint([], 1) != fingerprint([], "1")
    with pytest.raises(TypeError, match="'keep' parameter of compare"):
        fingerprint([], np.zeros(3))


def test_seeds_of_any_integer_type_are_kept(tmp_path):
    tasks = mm.tasks("rps", n=1)
    found = mm.compare({np.int64(3): tasks}, "last", keep=tmp_path, tol=0.5)
    assert found.rows == mm.compare({3: tasks}, "last", keep=tmp_path, tol=0.5).rows


def test_auto_is_what_solve_would_take(tmp_path):
    path = written(tmp_path, "[[compare]]\ngame = 'prisoners'\nsolver = 'auto'\ntasks = 1")
    (planned,) = read_study(path)
    assert planned.find_solver(mm.make("prisoners")).name == "omd"


def test_fingerprints():
    one, other = mm.make("rps"), mm.make("rps", rounds=14)
    assert fingerprint([one], 1) == fingerprint([mm.make("rps")], 1)
    assert fingerprint([one], 1) != fingerprint([other], 1)
    assert fingerprint([one], 1) != fingerprint([one], 2)
    assert fingerprint([one], 1) != fingerprint([one, one], 1)


def test_parts_come_back_as_they_were(tmp_path):
    tasks = mm.tasks("prisoners", n=2)
    found = mm.compare(tasks, "average", "q-ascent", keep=tmp_path)
    again = mm.compare(tasks, "average", "q-ascent", keep=tmp_path)
    assert found.rows == again.rows  # the seconds too: nothing was done again
    assert found.similarity == again.similarity
    assert Kept(tmp_path).find("0" * 64, read_rows) is None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"backend": "spark"}, "'backend' parameter of compare"),
        ({"backend": 3}, "'backend' parameter of compare"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "left out for backend 'processes'"),
        ({"backend": "dask", "scheduler": 3}, "the address of a cluster"),
        ({"keep": ""}, "a folder needs a name"),
        ({"keep": 3}, "'keep' parameter of compare"),
    ],
)
def test_bad_workers_are_refused(options, match):
    with pytest.raises((TypeError, ValueError), match=match):
        mm.compare(mm.tasks("rps", n=1), **options)


def test_without_a_clusters_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'metamarl\[dask\]'"):
        mm.compare(mm.tasks("rps", n=1), backend="dask")


@pytest.fixture
def cluster():
    """A Dask scheduler and two workers, each a process: its address, and the workers."""
    pytest.importorskip("distributed")
    from distributed import Client

    command, quiet = [sys.executable, "-m"], {"stderr": subprocess.DEVNULL}
    port = 20_000 + os.getpid() % 20_000
    address = f"tcp://127.0.0.1:{port}"
    scheduler = subprocess.Popen(
        [*command, "distributed.cli.dask_scheduler", "--port", str(port), "--no-dashboard"], **quiet
    )
    workers = [
        subprocess.Popen(
            [*command, "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny",
             "--no-dashboard"], **quiet,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


@pytest.mark.filterwarnings("ignore")  # of a cluster that loses a worker
def test_a_cluster_that_loses_a_worker(cluster, tmp_path, reference):
    address, workers = cluster
    killed = False

    def progress(_name, done, _total):
        nonlocal killed
        if done >= 3 and not killed:
            workers[0].kill()
            killed = True

    planned = read_study(written(tmp_path))
    out = tmp_path / "out"
    for _ in run_study(planned, out, progress, backend="dask", scheduler=address):
        pass
    assert killed
    assert workers[0].wait(10) != 0
    assert tables(out) == reference[0]


@pytest.mark.filterwarnings("ignore")
def test_a_ray_cluster(tmp_path, reference):
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        for _ in run_study(read_study(written(tmp_path)), tmp_path / "out", backend="ray"):
            pass
    finally:
        ray.shutdown()
    assert tables(tmp_path / "out") == reference[0]
