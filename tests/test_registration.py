"""The benchmark games in the registries of other libraries, whoever is imported first."""

import itertools
import subprocess
import sys

import pettingzoo
import pytest

import metamarl as mm


def _run(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "order", [*itertools.permutations(["metamarl", "pettingzoo", "gymnasium"])]
)
def test_whoever_is_imported_first(order):
    code = "\n".join(f"import {name}" for name in order)
    code += (
        "\nenv = pettingzoo.make('aec', 'metamarl/rps-v0', rounds=3)\n"
        "env.reset(seed=0)\n"
        "print(env.game.horizon, pettingzoo.make('parallel', 'metamarl/soccer').game.n_states,\n"
        "      gymnasium.make('metamarl/grid-game-1-v0').unwrapped.game.name,\n"
        "      sum('metamarl/' in key for key in gymnasium.registry))"
    )
    assert _run(code) == f"3 761 grid-game-1 {len(mm.games())}"


def test_nothing_is_loaded_that_is_not_used():
    code = (
        "import metamarl, sys\n"
        "assert not {'gymnasium', 'pettingzoo', 'numpy'} & {*sys.modules}\n"
        "import gymnasium\n"
        "assert not {'pettingzoo', 'metamarl.algorithms.solve'} & {*sys.modules}\n"
        "import importlib; importlib.reload(gymnasium); importlib.reload(metamarl)\n"
        "print(sum(type(f).__name__ == '_Waiting' for f in sys.meta_path))"
    )
    assert _run(code) == "1"


@pytest.mark.parametrize("kind", ["aec", "parallel"])
@pytest.mark.parametrize("name", mm.games())
def test_every_game_is_registered(kind, name):
    spec = pettingzoo.spec(kind, f"metamarl/{name}-v0")
    env = pettingzoo.make(kind, spec, max_cycles=2)
    assert env.game.name == mm.make(name).name
    assert env.max_steps == 2
    assert isinstance(env, pettingzoo.AECEnv if kind == "aec" else pettingzoo.ParallelEnv)


def test_knobs_and_render_modes_are_passed_on():
    env = pettingzoo.make("parallel", "metamarl/soccer-v0", render_mode="ansi", slip=(0.25, 0.1))
    assert env.render_mode == "ansi"
    env.reset(seed=0)
    assert env.render().startswith("soccer")
    with pytest.raises(ValueError, match="did you mean 'slip'"):
        pettingzoo.make("parallel", "metamarl/soccer-v0", slipp=0.25)
    with pytest.raises(pettingzoo.env_registry.exceptions.NameNotFound):
        pettingzoo.make("parallel", "metamarl/nonsense-v0")
