"""The states of goofspiel, layer by layer: one layer per round.

A state is coded as integers: a bit per card in a hand, a bit per prize left. After a round, the
rows that lead to the same situation are merged by one sort of their codes, and the next prize is
shown. Only states that can be reached are stored, and there is no loop over states.
"""

from math import comb
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.table import Table, build_table

SAME = 1e-9  # leads closer than this, in units of the largest prize, are equal
NAMED = 100_000  # larger games have no names of states
Integers = NDArray[np.int64]
Reals = NDArray[np.float64]


class Rules(NamedTuple):
    """The knobs after the checks."""

    hands: tuple[Reals, Reals]
    prizes: Reals
    turns: Integers | None
    """The prizes in the order they are shown, or None when it is random."""
    stakes: tuple[float, float] | None
    """What the larger total pays, or None when points count."""


class Situation(NamedTuple):
    """Where K plays may be after a round: `(K,)` bits of cards and prizes left, and the lead."""

    first: Integers
    second: Integers
    prizes: Integers
    lead: Reals


class Layer(NamedTuple):
    """S states before a round: `(S,)` bits of cards and prizes left, prize shown, and lead."""

    first: Integers
    second: Integers
    prizes: Integers
    shown: Integers
    lead: Reals


def needs(rules: Rules) -> tuple[float, float]:
    """Bytes that the game needs while it is built, and (at most) how many states it has."""
    (first, second), n = map(len, rules.hands), len(rules.prizes)
    known = rules.turns is not None
    worth = np.abs(rules.prizes)
    worth = worth[rules.turns] if rules.turns is not None else np.sort(worth)[::-1]
    whole = (worth == np.rint(worth)).all()
    states = needed = 0.0
    for k in range(n):
        leads = 1.0
        if rules.stakes is not None:
            leads = min(3.0**k, 2 * sum(worth[:k].tolist()) + 1 if whole else np.inf)
        here = leads * comb(first, k) * comb(second, k) * (1 if known else comb(n, k) * (n - k))
        rows = here * (first - k) * (second - k)
        outcomes = rows * (1 if known else max(n - k - 1, 1))
        states += here
        needed += 200.0 * here + 100.0 * rows + 45.0 * outcomes
    return needed + 600.0 * min(states, NAMED), states + 1


def play(rules: Rules) -> tuple[list[Layer], Table]:
    """All states, layer by layer, and the rows of the game; the last state is the end."""
    n, start = len(rules.prizes), 0
    ones = [np.array([2 ** len(v) - 1]) for v in (*rules.hands, rules.prizes)]
    after = Situation(ones[0], ones[1], ones[2], np.zeros(1))
    layers: list[Layer] = []
    rewards, targets, counts = [], [], []
    for k in range(n):
        layer = _show(after, rules, k)
        layers.append(layer)
        start += len(layer.lead)
        slots = [
            _slots(code, len(hand))
            for code, hand in zip((layer.first, layer.second), rules.hands, strict=True)
        ]
        bids = [hand[slot] for hand, slot in zip(rules.hands, slots, strict=True)]
        won = np.sign(bids[0][:, :, None] - bids[1][:, None, :])
        reward = won * rules.prizes[layer.shown][:, None, None]
        lead = np.zeros(1)  # where points count, it does not matter
        if rules.stakes is not None:
            lead = layer.lead[:, None, None] + reward
            reward = _outcome(lead, rules) if k == n - 1 else np.zeros_like(lead)
        if k == n - 1:
            following = np.full((reward.size, 1), start)
        else:
            after, number = _merge(layer, slots, lead, rules)
            shown = 1 if rules.turns is not None else n - k - 1
            following = start + number[:, None] * shown + np.arange(shown)
        rewards.append(reward.ravel())
        targets.append(following.ravel().astype(np.int32))
        counts.append(np.full(reward.size, following.shape[1]))
    return layers, _table(rules, layers, rewards, targets, counts)


def _show(after: Situation, rules: Rules, k: int) -> Layer:
    """The states that follow once a prize is shown: the next one in turn, or each that is left."""
    first, second, prizes, lead = after
    if rules.turns is not None:
        return Layer(first, second, prizes, np.full(len(lead), rules.turns[k]), lead)
    who, shown = np.nonzero(_bits(prizes, len(rules.prizes)))
    return Layer(first[who], second[who], prizes[who], shown, lead[who])


def _merge(
    layer: Layer, slots: list[Integers], lead: Reals, rules: Rules
) -> tuple[Situation, Integers]:
    """The different situations after a round, and the one that each row leads to."""
    b, c = len(rules.hands[1]), len(rules.prizes)
    first = (layer.first[:, None] ^ (1 << slots[0]))[:, :, None]
    second = (layer.second[:, None] ^ (1 << slots[1]))[:, None, :]
    prizes = (layer.prizes ^ (1 << layer.shown))[:, None, None]
    leads, rank = np.unique(_whole(lead, rules), return_inverse=True)
    leads[rank.ravel()] = lead.ravel()  # what was found, not its rounding
    key = ((first << b | second) << c | prizes) * len(leads) + rank.reshape(lead.shape)
    found, number = np.unique(key.ravel(), return_inverse=True)
    code, rank = np.divmod(found, len(leads))
    hands = code >> c
    return Situation(hands >> b, hands & (1 << b) - 1, code & (1 << c) - 1, leads[rank]), number


def _whole(lead: Reals, rules: Rules) -> Reals:
    """Leads in units so small that rounding to whole ones removes the error of adding prizes."""
    return np.rint(lead / (SAME * (np.abs(rules.prizes).max() or 1.0)))


def _outcome(lead: Reals, rules: Rules) -> Reals:
    """What the larger total pays the first player."""
    assert rules.stakes is not None
    whole = _whole(lead, rules)
    return np.select([whole > 0, whole < 0], [rules.stakes[0], -rules.stakes[1]])


def _table(
    rules: Rules,
    layers: list[Layer],
    rewards: list[Reals],
    targets: list[NDArray[np.int32]],
    counts: list[Integers],
) -> Table:
    """The layers' rows, one after the other, and the end."""
    end = sum(len(layer.lead) for layer in layers)
    outcomes = np.concatenate([*counts, [1]])
    transition = sp.csr_array(
        (
            np.repeat(1.0 / outcomes, outcomes),
            np.concatenate([*targets, np.array([end], np.int32)]),
            np.concatenate([[0], np.cumsum(outcomes)]),
        ),
        shape=(len(outcomes), end + 1),
    )
    reward = np.concatenate([*rewards, [0.0]])
    first = np.concatenate([*(layer.first for layer in layers), [1]])
    second = np.concatenate([*(layer.second for layer in layers), [1]])
    legal = (_bits(first, len(rules.hands[0])), _bits(second, len(rules.hands[1])))
    return build_table(legal, np.stack([reward, -reward]), transition)


def _bits(codes: Integers, width: int) -> NDArray[np.bool_]:
    """`(S, width)` which bits are set."""
    return (codes[:, None] >> np.arange(width) & 1).astype(bool)


def _slots(codes: Integers, width: int) -> Integers:
    """`(S, k)` the numbers of the bits that are set, k in every code."""
    return np.nonzero(_bits(codes, width))[1].reshape(len(codes), -1)
