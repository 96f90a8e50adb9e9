"""The house: three floors, no import that runs back up, small modules, a light front door."""

import ast
import graphlib
import importlib
import importlib.util
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import metamarl

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ["envs", "algorithms", "metamarl"]  # from the ground up
DEPENDENCIES = ["numpy", "scipy"]  # what metamarl.envs needs
HEAVY = {"gymnasium", "matplotlib", "numba", "numpy", "pettingzoo", "quantecon", "scipy", "torch"}

MOST_LINES = 250
LONGER = {  # most lines, and why
    "algorithms/_policy_gradient.py": (
        310,
        "kernels that call each other live in one file: Numba's cache does not notice other files",
    ),
    "algorithms/_stage_games.py": (300, "the same"),
    "algorithms/_values.py": (300, "the same"),
    "metamarl/_tiers_kernel.py": (400, "the same"),
    "metamarl/__init__.py": (350, "the public names, four times over"),
    "algorithms/_v_learning.py": (300, "the same"),
    "envs/game.py": (300, "one class, and the checks of its arguments, each with its sentence"),
}


def module_name(path):
    floor, stem = path.parent.name, path.stem
    parts = ["metamarl"] + [floor] * (floor != "metamarl") + [stem] * (stem != "__init__")
    return ".".join(parts)


PATHS = {
    module_name(path): path
    for floor in FLOORS
    for path in sorted((ROOT / floor).rglob("*.py"))
    if path.parent == ROOT / floor  # not through the links
}


def floor_of(module):
    """0 for metamarl.envs, 1 for metamarl.algorithms, 2 for what lies above."""
    second = module.split(".")[1] if "." in module else ""
    return FLOORS.index(second) if second in FLOORS else 2


def is_for_type_checkers(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def import_nodes(tree, *, at_import_time):
    """The import statements; those that run when the module is imported, or all."""
    skipped = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        if at_import_time and (isinstance(node, skipped) or is_for_type_checkers(node)):
            continue
        waiting.extend(ast.iter_child_nodes(node))


def targets(node):
    """The modules that an import statement names; of ours, `from a import b` may name a.b."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    names = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name if name in PATHS else node.module for name in names]


def imports(module, *, at_import_time=False):
    tree = ast.parse(PATHS[module].read_text(encoding="utf-8"))
    nodes = import_nodes(tree, at_import_time=at_import_time)
    return {target for node in nodes for target in targets(node)}


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_floors_are_found():
    assert {floor_of(module) for module in PATHS} == {0, 1, 2}
    assert {"metamarl", "metamarl.envs.game", "metamarl.algorithms.solve"} <= set(PATHS)


@pytest.mark.parametrize("module", PATHS)
def test_a_floor_imports_from_its_own_and_from_those_below(module):
    for target in imports(module):
        if target.split(".")[0] == "metamarl":
            assert target in PATHS, f"{target} is no module"
            assert floor_of(target) <= floor_of(module), f"{module} imports {target}"


@pytest.mark.parametrize("module", PATHS)
def test_imports_are_absolute_and_by_the_package_name(module):
    tree = ast.parse(PATHS[module].read_text(encoding="utf-8"))
    for node in import_nodes(tree, at_import_time=False):
        assert getattr(node, "level", 0) == 0, f"a relative import in line {node.lineno}"
        assert not {target.split(".")[0] for target in targets(node)} & {"envs", "algorithms"}


def test_no_imports_run_in_circles():
    graph = {module: imports(module, at_import_time=True) & set(PATHS) for module in PATHS}
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the circle


@pytest.mark.parametrize("module", PATHS)
def test_modules_are_small(module):
    path = PATHS[module]
    most, _why = LONGER.get(path.relative_to(ROOT).as_posix(), (MOST_LINES, ""))
    assert len(path.read_text(encoding="utf-8").splitlines()) <= most


def test_long_modules_exist():
    for name in LONGER:
        assert (ROOT / name).is_file()


# --- the front door


def test_importing_the_package_is_light():
    code = "import json, sys, metamarl; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.split(".")[0] for name in json.loads(run(sys.executable, "-c", code))}
    assert "metamarl" in loaded
    assert not loaded & HEAVY


def test_every_public_name_is_there_without_torch():
    run(sys.executable, "-c", "import sys; sys.modules['torch'] = None; from metamarl import *")


@pytest.mark.parametrize("name", metamarl.__all__)
def test_public_names_resolve_and_are_documented(name):
    value = getattr(metamarl, name)
    assert callable(value)
    own = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
    assert own
    assert not own.startswith(f"{name}("), "a docstring that a dataclass made up"
    assert value.__module__.startswith("metamarl.")


def test_public_names_are_listed_once_and_where_type_checkers_look():
    assert metamarl.__all__ == sorted(set(metamarl.__all__))
    assert set(metamarl.__all__) == set(metamarl._HOME)
    assert set(metamarl.__all__) <= set(dir(metamarl))
    tree = ast.parse(PATHS["metamarl"].read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if is_for_type_checkers(node))
    seen = {
        alias.asname or alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: f"metamarl.{home}" for name, home in metamarl._HOME.items()}


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = metamarl.nonsense
    assert not hasattr(metamarl, "__wrapped__")


# --- the links


def test_links_are_relative():
    for floor in ("envs", "algorithms"):
        link = ROOT / "metamarl" / floor
        if link.is_symlink():
            assert os.readlink(link) == f"../{floor}"


def test_a_checkout_without_symbolic_links_works(tmp_path):
    for floor in FLOORS:
        shutil.copytree(
            ROOT / floor,
            tmp_path / floor,
            ignore=lambda folder, names: [
                name
                for name in names
                if name == "__pycache__" or (Path(folder) / name).is_symlink()
            ],
        )
    assert not (tmp_path / "metamarl" / "envs").exists()
    sites = {Path(importlib.util.find_spec(name).origin).parents[1] for name in DEPENDENCIES}
    paths = os.pathsep.join(map(str, [tmp_path, *sites]))
    code = (
        "import json, metamarl.envs, metamarl as mm\n"
        "game = mm.make('rps')\n"
        "print(json.dumps([mm.__file__, metamarl.envs.__file__, len(mm.games()), game.name]))"
    )
    # -S: without site, the editable install that this test may run in is not seen.
    environment = {**os.environ, "PYTHONPATH": paths}
    found = run(sys.executable, "-S", "-c", code, cwd=tmp_path, env=environment)
    package, envs, count, name = json.loads(found)
    assert Path(package).resolve() == (tmp_path / "metamarl" / "__init__.py").resolve()
    assert Path(envs).resolve() == (tmp_path / "envs" / "__init__.py").resolve()
    assert count == len(metamarl.games())
    assert name == metamarl.make("rps").name


COMPILING = """
import logging, sys
import metamarl as mm
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
if {terminal}:
    sys.ps1 = "In : "
mm.evaluate(mm.make("rps", rounds=1), mm.JointPolicy.uniform(mm.make("rps", rounds=1)))
mm.evaluate(mm.make("soccer"), mm.JointPolicy.uniform(mm.make("soccer")))
"""


def test_compilation_is_announced_once_and_only_when_it_happens(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = []
    for terminal in (True, True, False):
        code = [sys.executable, "-c", COMPILING.format(terminal=terminal)]
        done = subprocess.run(code, env=environment, capture_output=True, text=True, check=True)
        said.append((done.stdout, done.stderr))
    sentence = "metamarl compiles its kernels, which takes some seconds, once.\n"
    assert said[0] == (f"metamarl {sentence}", sentence)
    assert said[1:] == [("", "")] * 2


def test_compilation_is_no_message_where_there_is_no_terminal(tmp_path):
    code = [sys.executable, "-c", COMPILING.format(terminal=False)]
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path / "below"),
        "TMPDIR": str(tmp_path),
    }
    (tmp_path / "below").touch()  # no folder: what is compiled is for this process
    done = subprocess.run(code, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "metamarl metamarl compiles its kernels, which takes some seconds: no folder can be "
        "written into to keep them.\n"
    )
    assert done.stderr == ""


def test_the_command_line_is_light():
    code = "import json, sys, metamarl.cli; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.split(".")[0] for name in json.loads(run(sys.executable, "-c", code))}
    assert not loaded & HEAVY


def test_kernels_compile_where_nothing_can_be_stored(tmp_path):
    """Neither beside the sources nor in a home: a read-only container."""
    code = (
        "import os; real = os.access; os.access = lambda *a, **k: False\n"
        "import numba, metamarl.algorithms, pathlib\n"
        "print(pathlib.Path(numba.config.CACHE_DIR).is_dir())"
    )
    nowhere = str(tmp_path / "file" / "below")
    (tmp_path / "file").touch()
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "HOME": nowhere, "XDG_CACHE_HOME": nowhere, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "True", done.stderr
    assert not list(tmp_path.glob("metamarl-*"))  # gone with the process
