"""Games whose answers are published or have a closed form: what solvers are checked against."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import sqrt

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
