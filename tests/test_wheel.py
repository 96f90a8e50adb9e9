"""What is shipped: the wheel, by way of the source distribution, installed outside the clone."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {"metamarl": "metamarl", "envs": "metamarl/envs", "algorithms": "metamarl/algorithms"}


def run(*command, cwd):
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV_"))}
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True, text=True, check=False, cwd=cwd, env=outside,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources():
    """The paths that the wheel must have: all modules, and the mark of a typed package."""
    modules = {
        f"{there}/{path.name}"
        for here, there in FLOORS.items()
        for path in (ROOT / here).glob("*.py")
    }
    return modules | {"metamarl/py.typed"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with a source distribution, and a wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("metamarl-*-py3-none-any.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of a new environment with the wheel, which borrows what metamarl depends on."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    run(
        sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check",
        "--python", programs / "python", "install", "--no-deps", "--no-index", wheel,
        cwd=folder,
    )  # fmt: skip
    # Path files that lie in a folder added by a path file are not read: no editable install.
    site = run(
        programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))",
        cwd=folder,
    )  # fmt: skip
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    borrowed |= {
        str(Path(importlib.util.find_spec(name).origin).parents[1]) for name in ("numpy", "typer")
    }
    (Path(site.strip()) / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    return programs


def test_the_wheel_holds_the_three_floors_under_one_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    found = {name for name in names if ".dist-info/" not in name}
    assert found == sources()
    assert {name.split("/")[0] for name in found} == {"metamarl"}  # no envs, no algorithms


def test_what_the_wheel_says_of_itself(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {n.split("/")[0] for n in archive.namelist() if ".dist-info/" in n}
        about = message_from_string(archive.read(f"{folder}/METADATA").decode())
        entries = archive.read(f"{folder}/entry_points.txt").decode()
    assert about["Name"] == "metamarl"
    assert "metamarl = metamarl.cli:main" in entries
    required = [line for line in about.get_all("Requires-Dist") if "extra ==" not in line]
    assert any(line.startswith("numpy") for line in required)
    assert not any("torch" in line for line in required)


def test_the_source_distribution_has_the_floors_and_no_links(built):
    (path,) = built.glob("metamarl-*.tar.gz")
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    assert not [member.name for member in members if member.issym() or member.islnk()]
    names = {member.name.split("/", 1)[1] for member in members if "/" in member.name}
    assert {"envs/game.py", "algorithms/solve.py", "metamarl/__init__.py"} <= names
    assert "metamarl/envs/game.py" not in names


def test_the_installed_package_is_the_wheel(installed, tmp_path):
    code = (
        "import metamarl, metamarl.envs, metamarl.algorithms, importlib.util as u\n"
        "print(metamarl.__file__, metamarl.envs.__file__, metamarl.algorithms.__file__)\n"
        "assert metamarl.make('rps').n_players == 2\n"
        "assert u.find_spec('envs') is None and u.find_spec('algorithms') is None"
    )
    for path in run(installed / "python", "-c", code, cwd=tmp_path).split():
        assert Path(path).is_relative_to(installed.parent)


def test_the_console_script_runs(installed, tmp_path):
    text = run(installed / "metamarl", "--help", cwd=tmp_path)
    for command in ("games", "solve", "compare"):
        assert command in text


def test_the_package_runs_as_a_module(installed, tmp_path):
    text = run(installed / "python", "-m", "metamarl", "games", cwd=tmp_path)
    for game in ("rps", "soccer", "tictactoe"):
        assert game in text
