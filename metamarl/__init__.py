"""metamarl: meta-reinforcement learning for multi-agent games.

Solve one Markov game with a certified distance from equilibrium, learn across related games where
to start, and compare the two.
"""

from pathlib import Path as _Path

_root = _Path(__file__).parent
if not (_root / "envs" / "__init__.py").exists():  # a checkout without symbolic links
    __path__.append(str(_root.parent))
