"""What a game is: Markov games, benchmark games, families of related ones, PettingZoo."""

from metamarl.envs import (  # noqa: F401  (each registers its game)
    bargaining,
    big_match,
    goofspiel,
    grid_games,
    matching_pennies,
    prisoners,
    pursuit,
    routing,
    rps,
    safe_distancing,
    soccer,
    stag_hunt,
    stopping,
    tictactoe,
)
from metamarl.envs import random as _random  # noqa: F401  (the same, beside Python's own)
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import family, games, make, register, tasks
from metamarl.envs.rules import from_rules

__all__ = ["MarkovGame", "family", "from_rules", "games", "make", "register", "tasks"]
