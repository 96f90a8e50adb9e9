"""Games whose answers are published or have a closed form: what solvers are checked against."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.envs import MarkovGame, make

SHAPLEY = 4.0 - 4.0 / sqrt(3.0)


@dataclass(frozen=True, kw_only=True)
class KnownGame:
    """A game, its value, and who says so."""

    name: str
    build: Callable[[], MarkovGame]
    value: float
    """Of player 0, from the initial distribution."""
    source: str
    note: str = ""
    policy: tuple[tuple[float, ...], ...] | None = None
    """Every player's equilibrium strategy in the first state, where it is unique."""
    n_states: int | None = None
    """Number of states, where it is published or counted by a formula."""


RPS = "von Neumann 1928: a symmetric game has value 0; the strategy solves a linear system"
SHAPLEY_1953 = "Shapley 1953: v = val(A + (1 - S) v), here 3 v² / 16 - 3 v / 2 + 2 = 0"
BIG_MATCH = "Gillette 1957; Blackwell and Ferguson 1968"
GOOFSPIEL = "Ross 1971; Rhoads and Bartholdi 2012: a symmetric game has value 0"
PURSUIT = "backward induction with linear programmes, lower and upper values to 1e-15"
SOCCER = "Littman 1994; Hoffman-Karp strategy iteration, Bellman residual 7e-12"
TICTACTOE = "a draw with perfect play; 5478 positions by enumeration"

_THIRDS = ((1 / 3, 1 / 3, 1 / 3),) * 2
_WEIGHTED = ((1 / 4, 1 / 2, 1 / 4),) * 2
_SHAPLEY_MIX = (2 - SHAPLEY / 4) / (3 - SHAPLEY / 2)


def _big_match_policy(discount: float) -> tuple[tuple[float, ...], ...]:
    stop = (1 - discount) / (2 - discount)
    return (stop, 1 - stop), (0.5, 0.5)


KNOWN_GAMES = [
    KnownGame(
        name="rps", build=partial(make, "rps"), value=0.0, source=RPS, policy=_THIRDS, n_states=1
    ),
    KnownGame(
        name="weighted rps, one round",
        build=partial(make, "rps", rounds=1, weights=(2, 1, 1)),
        value=0.0,
        source=RPS,
        note="[[0, -1, 2], [1, 0, -1], [-2, 1, 0]]",
        policy=_WEIGHTED,
    ),
    KnownGame(
        name="weighted rps, 12 rounds",
        build=partial(make, "rps", rounds=12, weights=(2, 1, 1)),
        value=0.0,
        source=RPS,
        policy=_WEIGHTED,
    ),
    KnownGame(
        name="stopping",
        build=partial(make, "stopping"),
        value=SHAPLEY,
        source=SHAPLEY_1953,
        note="1.6905989232414966",
        policy=((_SHAPLEY_MIX, 1 - _SHAPLEY_MIX),) * 2,
        n_states=2,
    ),
    KnownGame(
        name="big match, discount 0.9",
        build=partial(make, "big-match"),
        value=5.0,
        source=BIG_MATCH,
        note="1 / (2 (1 - γ)); stop with probability (1 - γ) / (2 - γ)",
        policy=_big_match_policy(0.9),
        n_states=3,
    ),
    KnownGame(
        name="big match, discount 0.99",
        build=partial(make, "big-match", discount=0.99),
        value=50.0,
        source=BIG_MATCH,
        policy=_big_match_policy(0.99),
    ),
    KnownGame(
        name="big match, 10 rounds",
        build=partial(make, "big-match", horizon=10),
        value=5.0,
        source=BIG_MATCH,
        note="H / 2; with H rounds left, stop with probability 1 / (H + 1)",
        policy=((1 / 11, 10 / 11), (0.5, 0.5)),
    ),
    KnownGame(
        name="goofspiel, 3 cards",
        build=partial(make, "goofspiel", cards=3),
        value=0.0,
        source=GOOFSPIEL,
        n_states=85,
    ),
    KnownGame(
        name="goofspiel, 4 cards",
        build=partial(make, "goofspiel", cards=4),
        value=0.0,
        source=GOOFSPIEL,
        n_states=693,
    ),
    KnownGame(
        name="goofspiel, 4 cards, larger total",
        build=partial(make, "goofspiel", cards=4, order="descending", payoff="win"),
        value=0.0,
        source=GOOFSPIEL,
    ),
    KnownGame(
        name="pursuit, 3 x 3, 6 moves",
        build=partial(make, "pursuit", size=3, horizon=6),
        value=0.488,
        source=PURSUIT,
        n_states=73,
    ),
    KnownGame(
        name="pursuit, 4 x 4, 6 moves",
        build=partial(make, "pursuit", size=4, horizon=6),
        value=0.1670857142857143,
        source=PURSUIT,
        n_states=241,
    ),
    KnownGame(
        name="pursuit, 4 x 4, 10 moves",
        build=partial(make, "pursuit"),
        value=0.6417399994296025,
        source=PURSUIT,
    ),
    KnownGame(
        name="soccer, A has the ball",
        build=partial(make, "soccer", ball=1.0),
        value=0.2184844404418088,
        source=SOCCER,
        n_states=761,
    ),
    KnownGame(
        name="soccer",
        build=partial(make, "soccer"),
        value=0.0,
        source=SOCCER,
        note="the field and the start are symmetric",
    ),
    KnownGame(
        name="tictactoe",
        build=partial(make, "tictactoe"),
        value=0.0,
        source=TICTACTOE,
        n_states=5478,
    ),
    KnownGame(
        name="tictactoe, a draw pays 0.3",
        build=partial(make, "tictactoe", draw=0.3),
        value=0.3,
        source=TICTACTOE,
        note="both can force a draw, so its prize is the value while it lies between the others",
    ),
]


# --- general-sum games: equilibria, and every player's value there


@dataclass(frozen=True, kw_only=True)
class KnownEquilibrium:
    """A Nash equilibrium of a general-sum game, and every player's value there."""

    name: str
    build: Callable[[], MarkovGame]
    play: Callable[[int, Any], Sequence[float] | int | None]
    """Of a player and a state's name: probabilities of the legal actions, or an action, or None
    where anything will do."""
    values: tuple[float, ...]
    """Of all players, from the initial distribution."""
    source: str
    unique: bool = False
    """Whether it is the only equilibrium, up to what is played where nobody comes."""

    def policy(self, game: MarkovGame) -> list[NDArray[np.float64]]:
        """What `JointPolicy` takes."""
        assert game.states is not None
        arrays = [mask / mask.sum(1, keepdims=True) for mask in game.legal]
        for (player, array), (k, state) in product(enumerate(arrays), enumerate(game.states)):
            choice = self.play(player, state)
            if choice is None:
                continue
            array[k] = 0.0
            if isinstance(choice, int):
                array[k, choice] = 1.0
            else:
                array[k, game.legal[player][k]] = choice
        if game.horizon is None:
            return arrays
        return [np.broadcast_to(array, (game.horizon, *array.shape)) for array in arrays]


def always(*strategies: Sequence[float]) -> Callable[[int, Any], Sequence[float]]:
    """Every player's strategy in every state."""
    return lambda player, state: strategies[player]  # noqa: ARG005


def _grid_path(*paths: dict[int, int]) -> Callable[[int, Any], int | None]:
    """Moves (up, down, left, right) by the player's own cell."""
    return lambda player, state: None if state == "end" else paths[player].get(state[player])


def distancing_play(agents: int) -> Callable[[int, Any], int]:
    """Half of the agents on each of the two best facilities; spread evenly while distancing."""
    return lambda player, state: (
        player % 4 if state == "distancing" else 2 + (player >= agents // 2)
    )


def distancing_values(agents: int) -> tuple[float, ...]:
    """Of `distancing_play`, safe and distancing being as likely; w = 1, 2, 4, 6 and γ = 0.99."""
    safe = [100.0 * agents / 2 * (6 if i >= agents // 2 else 4) for i in range(agents)]
    first = [(1, 2, 4, 6)[i % 4] * agents / 4 - 100.0 for i in range(agents)]
    return tuple((s + f + 0.99 * s) / 2 for s, f in zip(safe, first, strict=True))


DISTANCING_OPTIMUM = {4: (1000.0, 893.25), 8: (2000.0, 1886.5)}
"""Largest average value of the agents from "safe" and from "distancing", default weights and γ."""

BARGAINING_OFFERS = (11, 7, 13, 4, 16, 1)
"""What every round's proposer offers, with the default knobs: 20 pieces, patience (0.9, 0.8). Back
from the last round: 1, ⌈0.8·19⌉, ⌈0.9·(20 - 16)⌉, ⌈0.8·16⌉, ⌈0.9·7⌉, ⌈0.8·13⌉."""


def bargaining_play(player: int, state: Any) -> int | None:
    """Backward induction for the default knobs; 20 is "accept" and 21 "reject"."""
    if state[0] == "offer" and player == state[1] % 2:
        return BARGAINING_OFFERS[state[1]] - 1
    if state[0] == "answer" and player != state[1] % 2:
        return 20 if state[2] >= BARGAINING_OFFERS[state[1]] else 21
    return None


def routing_play(player: int, state: str) -> int:
    """The pure equilibrium of every state, for the default knobs, sorted by roads."""
    return {
        "clear": (0, 1, 2),
        "incident 0": (1, 2, 2),
        "incident 1": (0, 2, 2),
        "incident 2": (0, 1, 1),
    }[state][player]


def _routing_value(clear: float, *incidents: float) -> float:
    """From "clear": V_k = -d_k + γ (V_k + V) / 2 and V = -d + γ (0.8 V + 0.2/3 Σ V_k), γ = 0.9."""
    return -(clear + 0.06 / 0.55 * sum(incidents)) / (0.28 - 0.081 / 0.55)


PRISONERS = "Luce and Raiffa 1957: to defect is dominant"
STAG_HUNT = "Skyrms 2004; the mixed one by indifference, stag · p^(n-1) = hare"
JORDAN = "Jordan 1993"
HU_WELLMAN = "Hu and Wellman 2003: 97, and (98, 49), at the start"
RUBINSTEIN = "Rubinstein 1982, backward induction on the grid of offers, no ties"
LEONARDOS = "Leonardos et al. 2022; values by hand"
ROSENTHAL = "Rosenthal 1973; a pure equilibrium of every state"

UP, DOWN, LEFT, RIGHT = range(4)
_ROOT = sqrt(3.0 / 4.0)

KNOWN_EQUILIBRIA = [
    KnownEquilibrium(
        name="prisoners",
        build=partial(make, "prisoners"),
        play=always((0, 1), (0, 1)),
        values=(10.0, 10.0),
        source=PRISONERS,
        unique=True,
    ),
    KnownEquilibrium(
        name="prisoners, discounted",
        build=partial(make, "prisoners", horizon=None, discount=0.9),
        play=always((0, 1), (0, 1)),
        values=(10.0, 10.0),
        source=PRISONERS,
        unique=True,
    ),
    KnownEquilibrium(
        name="stag hunt, all stag",
        build=partial(make, "stag-hunt"),
        play=always((1, 0), (1, 0)),
        values=(40.0, 40.0),
        source=STAG_HUNT,
    ),
    KnownEquilibrium(
        name="stag hunt, all hare",
        build=partial(make, "stag-hunt"),
        play=always((0, 1), (0, 1)),
        values=(30.0, 30.0),
        source=STAG_HUNT,
    ),
    KnownEquilibrium(
        name="stag hunt, mixed",
        build=partial(make, "stag-hunt"),
        play=always((3 / 4, 1 / 4), (3 / 4, 1 / 4)),
        values=(30.0, 30.0),
        source=STAG_HUNT,
    ),
    KnownEquilibrium(
        name="stag hunt, three hunters, all stag",
        build=partial(make, "stag-hunt", hunters=3),
        play=always(*[(1, 0)] * 3),
        values=(40.0,) * 3,
        source=STAG_HUNT,
    ),
    KnownEquilibrium(
        name="stag hunt, three hunters, mixed",
        build=partial(make, "stag-hunt", hunters=3),
        play=always(*[(_ROOT, 1 - _ROOT)] * 3),
        values=(30.0,) * 3,
        source=STAG_HUNT,
    ),
    KnownEquilibrium(
        name="matching pennies of three",
        build=partial(make, "matching-pennies"),
        play=always(*[(0.5, 0.5)] * 3),
        values=(0.0,) * 3,
        source=JORDAN,
        unique=True,
    ),
    KnownEquilibrium(
        name="matching pennies of three, unequal wins",
        build=partial(make, "matching-pennies", wins=(3, 1), loss=0, horizon=1),
        play=always((3 / 4, 1 / 4), (1 / 4, 3 / 4), (1 / 4, 3 / 4)),
        values=(3 / 4,) * 3,
        source=JORDAN,
        unique=True,
    ),
    KnownEquilibrium(
        name="grid game 1",
        build=partial(make, "grid-game-1"),
        play=_grid_path({0: RIGHT, 1: RIGHT, 2: UP, 5: UP}, {2: UP, 5: UP, 8: LEFT, 7: LEFT}),
        values=(97.0299, 97.0299),
        source=HU_WELLMAN,
    ),
    KnownEquilibrium(
        name="grid game 2, A walks round",
        build=partial(make, "grid-game-2"),
        play=_grid_path({0: RIGHT, 1: UP, 4: UP}, {2: UP, 5: UP, 8: LEFT}),
        values=(98.01, 49.005),
        source=HU_WELLMAN,
    ),
    KnownEquilibrium(
        name="grid game 2, B walks round",
        build=partial(make, "grid-game-2"),
        play=_grid_path({0: UP, 3: UP, 6: RIGHT}, {2: LEFT, 1: UP, 4: UP}),
        values=(49.005, 98.01),
        source=HU_WELLMAN,
    ),
    KnownEquilibrium(
        name="bargaining",
        build=partial(make, "bargaining"),
        play=bargaining_play,
        values=(0.45, 0.55),
        source=RUBINSTEIN,
        unique=False,  # the only subgame-perfect one
    ),
    KnownEquilibrium(
        name="routing",
        build=partial(make, "routing"),
        play=routing_play,
        values=(
            _routing_value(4.0, 4.5, 4.0, 4.0),
            _routing_value(4.5, 6.0, 6.0, 6.5),
            _routing_value(5.0, 6.0, 6.0, 6.5),
        ),
        source=ROSENTHAL,
    ),
    KnownEquilibrium(
        name="safe distancing, 4 agents",
        build=partial(make, "safe-distancing", agents=4),
        play=distancing_play(4),
        values=distancing_values(4),
        source=LEONARDOS,
    ),
    KnownEquilibrium(
        name="safe distancing, 8 agents",
        build=partial(make, "safe-distancing"),
        play=distancing_play(8),
        values=distancing_values(8),
        source=LEONARDOS,
    ),
]
