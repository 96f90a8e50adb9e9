"""Goofspiel, the game of pure strategy (Ross 1971; Rhoads and Bartholdi 2012).

Each player holds a hand of cards. In every round a prize is shown and both players bid a card at
once; the higher card wins the prize, nobody does when they are equal, and both cards are gone. A
state is what is left: two hands, the prizes, the one that is shown and, where only the larger total
counts, the lead of the first player. With equal hands the game is symmetric, so its value is 0.

References:
    Ross, "Goofspiel: the game of pure strategy", Journal of Applied Probability 8, 1971.
    Rhoads and Bartholdi, "Computer solution to the game of pure strategy", Games 3, 2012.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from metamarl.envs._goofspiel_layers import NAMED, Layer, Reals, Rules, needs, play
from metamarl.envs.checks import (
    check_choice,
    check_integer,
    check_memory,
    check_reals,
    complaint,
    said,
)
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register
from metamarl.envs.variation import scaled

WHERE = "goofspiel"
ORDERS = ("random", "descending", "ascending", "given")
PAYOFFS = ("points", "win")
MOST_CARDS = 16  # in a hand: two hands, the prizes and the lead are one 64-bit code
Hands = Sequence[Sequence[float]] | None


def _vary(
    rng: np.random.Generator,
    spread: float,
    *,
    cards: int,
    hands: Hands,
    prizes: Sequence[float] | None,
    payoff: str,
    stakes: Sequence[float],
    **_: Any,
) -> Mapping[str, Any]:
    if check_choice(payoff, "payoff", WHERE, PAYOFFS) == "win":
        return {"stakes": scaled(rng, spread, check_reals(stakes, "stakes", WHERE, 2))}
    return {"prizes": scaled(rng, spread, _deal(cards, hands, prizes)[2].tolist())}


@register("goofspiel", vary=_vary)
def goofspiel(
    *,
    cards: int = 4,
    hands: Hands = None,
    prizes: Sequence[float] | None = None,
    order: str = "random",
    payoff: str = "points",
    stakes: Sequence[float] = (1.0, 1.0),
) -> MarkovGame:
    """Goofspiel (Ross 1971): bidding cards for prizes; two players, zero-sum, finite horizon.

    The horizon is the number of prizes. A state is (first hand, second hand, prize shown, other
    prizes left), and the lead where the larger total counts; cards and prizes are named by their
    numbers from 1, which are their values unless `hands` or `prizes` say otherwise. The last state
    is "end"; above 100 000 states there are no names. Related games scale the prizes when points
    count, and the stakes when the larger total does.

    Args:
        cards: cards in each hand, worth 1, …, `cards`, where `hands` does not give them.
        hands: two sequences of cards; action k bids card k.
        prizes: the prizes, at most one per card; 1, 2, … for the smaller hand if left out.
        order: "random" (drawn from those left, and shown before the bids), "descending",
            "ascending", or "given", as `prizes` lists them.
        payoff: "points" pays the prize of every round, "win" the larger total at the end.
        stakes: with "win", what it pays the first player and the second; the other loses it.
    """
    rules = _check(cards, hands, prizes, order, payoff, stakes)
    needed, n_states = needs(rules)
    check_memory(needed, f"Goofspiel with {n_states:,.0f} states")
    layers, table = play(rules)
    first = layers[0].lead
    initial = np.zeros(table.n_states)
    initial[: len(first)] = 1.0 / len(first)
    return MarkovGame.from_table(
        table,
        initial,
        len(rules.prizes),
        name="goofspiel",
        states=_names(rules, layers) if table.n_states <= NAMED else None,
        actions=[tuple(f"{card:g}" for card in hand) for hand in rules.hands],
        board=partial(
            _board,
            [hand.tolist() for hand in rules.hands],
            rules.prizes.tolist(),
            rules.stakes is not None,
        ),
    )


def _deal(cards: int, hands: Hands, prizes: Sequence[float] | None) -> tuple[Reals, Reals, Reals]:
    """The two hands and the prizes, checked."""
    cards = check_integer(cards, "cards", WHERE)
    if hands is None:
        if cards > MOST_CARDS:
            raise ValueError(complaint("cards", WHERE, f"at most {MOST_CARDS}", cards))
        hands = [range(1, cards + 1)] * 2
    elif not isinstance(hands, (Sequence, np.ndarray)) or isinstance(hands, str):
        raise TypeError(complaint("hands", WHERE, "two sequences of cards", hands))
    elif len(hands) != 2:
        raise ValueError(complaint("hands", WHERE, "two sequences of cards", hands))
    first, second = (np.array(check_reals(h, f"hands[{i}]", WHERE)) for i, h in enumerate(hands))
    if max(len(first), len(second)) > MOST_CARDS:
        must = f"hands of at most {MOST_CARDS} cards"
        raise ValueError(complaint("hands", WHERE, must, said(f"{len(first)} and {len(second)}")))
    most = min(len(first), len(second))
    shown = check_reals(range(1, most + 1) if prizes is None else prizes, "prizes", WHERE)
    if len(shown) > most:
        must = f"at most {most}, one per card of the smaller hand"
        raise ValueError(complaint("prizes", WHERE, must, said(f"{len(shown)} prizes")))
    return first, second, np.array(shown)


def _check(cards: Any, hands: Any, prizes: Any, order: Any, payoff: Any, stakes: Any) -> Rules:
    first, second, worth = _deal(cards, hands, prizes)
    order = check_choice(order, "order", WHERE, ORDERS)
    payoff = check_choice(payoff, "payoff", WHERE, PAYOFFS)
    to_first, to_second = check_reals(stakes, "stakes", WHERE, 2)
    rising = np.argsort(worth, kind="stable")
    turns = {"descending": rising[::-1], "ascending": rising, "given": np.arange(len(worth))}
    return Rules(
        (first, second),
        worth,
        turns.get(order),
        (to_first, to_second) if payoff == "win" else None,
    )


def _names(rules: Rules, layers: list[Layer]) -> list[Any]:
    """(first hand, second hand, prize shown, others left[, lead]) by number; then "end"."""

    @cache
    def numbers(code: int) -> tuple[int, ...]:
        return tuple(k + 1 for k in range(code.bit_length()) if code >> k & 1)

    names: list[Any] = []
    for layer in layers:
        for first, second, left, shown, lead in zip(*(v.tolist() for v in layer), strict=True):
            name = (numbers(first), numbers(second), shown + 1, numbers(left ^ 1 << shown))
            names.append(name if rules.stakes is None else (*name, lead))
    return [*names, "end"]


def _board(
    hands: Sequence[Sequence[float]], prizes: Sequence[float], tracked: bool, state: Any
) -> list[str]:
    """Both hands and the prizes, the one that is shown in brackets; the lead where it counts."""
    first, second, shown, others, *lead = ((), (), 0, ()) if state == "end" else state
    rows = zip("AB$", (*hands, prizes), (first, second, (*others, shown)), strict=True)
    lines = []
    for title, values, left in rows:
        texts = [f"{value:g}" for value in values]
        width = max(map(len, texts))
        cells = [f"{text if k in left else '.':>{width}}" for k, text in enumerate(texts, 1)]
        marked = [
            f"[{c}]" if title == "$" and k == shown else f" {c} " for k, c in enumerate(cells, 1)
        ]
        lines.append(title + "".join(marked))
    if tracked:
        lines.append(f"lead {lead[0]:+12.6g}" if lead else "lead".ljust(17))
    longest = max(map(len, lines))
    return [line.ljust(longest) for line in lines]
