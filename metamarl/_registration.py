"""The benchmark games in the registries of PettingZoo and Gymnasium, under `metamarl/`.

Neither library looks for plug-ins: what is to be in its registry must be put there, and that takes
the library, which `import metamarl` does not load. So the games wait for it: they are registered
when, and only if, the library is imported, be it before or after metamarl.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PETTINGZOO = "metamarl.envs.pettingzoo"
GYMNASIUM = "metamarl.algorithms.gymnasium"


def _fill_pettingzoo(pettingzoo: ModuleType) -> None:
    from metamarl.envs import games

    for kind, known in (
        ("parallel", pettingzoo.parallel_registry),
        ("aec", pettingzoo.aec_registry),
    ):
        for game in games():
            if f"metamarl/{game}-v0" not in known:
                entry = f"{PETTINGZOO}:make_{kind}"
                pettingzoo.register(kind, f"metamarl/{game}-v0", entry, kwargs={"game": game})


def _fill_gymnasium(gymnasium: ModuleType) -> None:
    from metamarl.envs import games

    for game in games():
        if f"metamarl/{game}-v0" not in gymnasium.registry:
            entry = f"{GYMNASIUM}:make_response"
            gymnasium.register(f"metamarl/{game}-v0", entry, kwargs={"game": game})


FILL: dict[str, Callable[[ModuleType], None]] = {
    "gymnasium": _fill_gymnasium,
    "pettingzoo": _fill_pettingzoo,
}


class _Waiting(MetaPathFinder):
    """Finds what the other finders find, and fills its registry once it has been executed."""

    def __init__(self) -> None:
        self._busy = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if self._busy or fullname not in FILL:
            return None
        self._busy = True  # the others are asked, not this one again
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None:
            _follow(spec.loader, FILL[fullname])
        return spec


def _follow(loader: object, fill: Callable[[ModuleType], None]) -> None:
    execute = loader.exec_module  # type: ignore[attr-defined]

    def execute_and_fill(module: ModuleType) -> None:
        execute(module)
        fill(module)

    loader.exec_module = execute_and_fill  # type: ignore[attr-defined]


def register_when_imported() -> None:
    """Fill the registries that are there, and wait for the others; once per process."""
    if any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Waiting())
    for name, fill in FILL.items():
        library = sys.modules.get(name)
        if library is not None and hasattr(library, "register"):  # not half-imported
            fill(library)
