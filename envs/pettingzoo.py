r"""A Markov game as a PettingZoo environment, for libraries that learn by playing.

Both of PettingZoo's interfaces: "parallel", where all players move at once, and "aec", where they
move in turn. The benchmark games are in PettingZoo's registry as well, once metamarl has been
imported: `pettingzoo.make("parallel", "metamarl/soccer-v0", slip=0.1)`.
"""

import math
from typing import Any, Literal, overload

from metamarl.envs._aec_env import MarkovGameAEC
from metamarl.envs._parallel_env import MarkovGameEnv
from metamarl.envs.checks import check_choice, check_integer, complaint
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import make
from metamarl.envs.render import has_board

WHERE = "to_pettingzoo"
INTERFACES = ("parallel", "aec")


@overload
def to_pettingzoo(
    game: MarkovGame,
    render_mode: str | None = None,
    max_steps: int | None = None,
    api: Literal["parallel"] = "parallel",
) -> MarkovGameEnv: ...


@overload
def to_pettingzoo(
    game: MarkovGame,
    render_mode: str | None = None,
    max_steps: int | None = None,
    *,
    api: Literal["aec"],
) -> MarkovGameAEC: ...


def to_pettingzoo(
    game: MarkovGame,
    render_mode: str | None = None,
    max_steps: int | None = None,
    api: Literal["parallel", "aec"] = "parallel",
) -> MarkovGameEnv | MarkovGameAEC:
    """A PettingZoo environment that plays `game`, and passes PettingZoo's own tests.

    * **Agents** are "player_0", …; player i has `Discrete(A_i)` actions.
    * **Observations**, the same for all players but for the mask, are dictionaries:
      "observation" is an int64 array, `[state, step]` in `MultiDiscrete([S, H + 1])` for a game
      with a horizon and `[state]` in `MultiDiscrete([S])` for one without; "action_mask" is an
      int8 array `(A_i,)`, 1 where an action is legal. `state()` is the "observation" alone.
    * **Infos** hold "state", "step" and "illegal".
    * **Illegal actions** never stop play: the first legal one is played in their place, and
      `infos[agent]["illegal"]` says so.
    * **Rewards** are those of the game's table, not discounted.
    * **The end.** The game *terminates* after its horizon (the horizon is part of the game: nothing
      is to be earned after it), and on reaching an absorbing state without rewards (where rows
      depend on the step, only the horizon ends it). It is *truncated*, all the players alike,
      after `max_steps`.
    * **Turns** (`api="aec"`). In every state the players who have more than one legal action move,
      player 0 first, and then the state changes; none of them sees what another one has chosen. In
      a turn-based game the player to move is thus the only one that is asked. Where nobody has a
      choice, player 0 plays its one action. `metadata["is_parallelizable"]` says whether all
      players move in every state.
    * **Copies** (`copy.deepcopy`, `pickle`) go on exactly where the original stands; deep copies
      share the game.

    Args:
        game: the game.
        render_mode: None; "ansi", where `render()` returns text; "human", where text is printed on
            every reset and step; or "rgb_array", where it returns a picture `(h, w, 3)` of uint8,
            for games with a `board`.
        max_steps: truncate after so many steps. If left out: ⌈10 / (1 - discount)⌉ for a discounted
            game without a horizon (what is cut off weighs less than e⁻¹⁰), else never.
        api: "parallel" for a `pettingzoo.ParallelEnv`, "aec" for a `pettingzoo.AECEnv`.

    Raises:
        TypeError, ValueError: one sentence that names the parameter.
    """
    check_choice(api, "api", WHERE, INTERFACES)
    env = play(game, render_mode, max_steps, WHERE)
    return env if api == "parallel" else MarkovGameAEC(env)


def play(
    game: MarkovGame, render_mode: str | None, max_steps: int | None, where: str
) -> MarkovGameEnv:
    """The parallel environment, for `where`, which the errors name."""
    if not isinstance(game, MarkovGame):
        raise TypeError(complaint("game", where, "a MarkovGame", game))
    modes = ["ansi", "human", *(["rgb_array"] if has_board(game) else [])]
    if render_mode is not None:
        check_choice(render_mode, "render_mode", where, modes)
    if max_steps is not None:
        max_steps = check_integer(max_steps, "max_steps", where)
    elif game.horizon is None and game.discount < 1:
        max_steps = math.ceil(round(10 / (1 - game.discount), 6))
    return MarkovGameEnv(game, render_mode, max_steps, modes)


def make_parallel(
    game: str, render_mode: str | None = None, max_cycles: int | None = None, **knobs: Any
) -> MarkovGameEnv:
    """What `pettingzoo.make("parallel", "metamarl/…")` calls, whose word for steps is cycles."""
    return to_pettingzoo(make(game, **knobs), render_mode, max_cycles)


def make_aec(
    game: str, render_mode: str | None = None, max_cycles: int | None = None, **knobs: Any
) -> MarkovGameAEC:
    """What `pettingzoo.make("aec", "metamarl/…")` calls."""
    return to_pettingzoo(make(game, **knobs), render_mode, max_cycles, api="aec")
