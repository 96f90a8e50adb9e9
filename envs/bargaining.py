r"""Bargaining by alternating offers (Rubinstein 1982; Ståhl 1972), on a grid of offers.

Rubinstein, "Perfect equilibrium in a bargaining model", Econometrica 50; Ståhl, "Bargaining
theory", for finitely many rounds. Two players divide a pie of K pieces. In round t = 0, 1, … the
proposer (the first player in even rounds) offers the other k of them, 1 ≤ k ≤ K; the other accepts,
and the game ends, or rejects, and proposes in the next round. After the last round nobody gets
anything. Waiting costs: a pie divided in round t is worth $δ_i^t$ of itself to player i.

Only one player has a choice at a time: backward induction finds a subgame-perfect equilibrium. In
the last round the proposer offers one piece, which is accepted. Before, let $k'$ be the offer of
the next round: the responder accepts any k with $k ≥ δ_r (K - k')$, so the proposer offers the
least such k (unless it rather be rejected, on coarse grids with patient players). Where no such k
is met with equality, as with the default knobs, the equilibrium is unique: there the first player
gets 9 of the 20 pieces, at once. As K and the number of rounds grow, its share tends to
Rubinstein's $(1 - δ_1) / (1 - δ_0 δ_1)$.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metamarl.envs.checks import check_integer, check_memory, check_real, check_reals
from metamarl.envs.game import MarkovGame
from metamarl.envs.registry import register
from metamarl.envs.rules import Outcome, from_rules
from metamarl.envs.variation import moved

WHERE = "bargaining"
END = ("end",)


def _check_patience(patience: Sequence[float]) -> tuple[float, ...]:
    return check_reals(patience, "patience", WHERE, 2, 0.0, 1.0)


def _vary(
    rng: np.random.Generator, spread: float, *, patience: Sequence[float], **_: Any
) -> Mapping[str, Any]:
    found = _check_patience(patience)
    return {"patience": tuple(moved(rng, spread, value, 0.0, 1.0) for value in found)}


@register("bargaining", vary=_vary)
def bargaining(
    *,
    rounds: int = 6,
    pieces: int = 20,
    patience: Sequence[float] = (0.9, 0.8),
    pie: float = 1.0,
) -> MarkovGame:
    """Alternating offers (Rubinstein 1982): two players in turns, general-sum, ends by itself.

    States: ("offer", round), ("answer", round, pieces offered) and ("end",). Related games move
    `patience` by spread·U[-1, 1].

    Args:
        rounds: number of offers, by the first and the second player in turn.
        pieces: K, what the pie can be divided into, at least 2.
        patience: (δ_0, δ_1), what the pie is worth to each player after one more round.
        pie: what all of the pie is worth.
    """
    rounds = check_integer(rounds, "rounds", WHERE)
    pieces = check_integer(pieces, "pieces", WHERE, 2)
    patience = _check_patience(patience)
    pie = check_real(pie, "pie", WHERE, above=0.0)
    needed = float(rounds) * (pieces + 1.0) * (1000.0 + 2.0 * pieces)
    check_memory(needed, f"Bargaining over {rounds} rounds and {pieces} pieces")
    accept, reject, wait = pieces, pieces + 1, pieces + 2

    def legal(state: Any) -> list[list[int]]:
        options = [[wait], [wait]]
        if state[0] == "offer":
            options[state[1] % 2] = list(range(pieces))
        elif state[0] == "answer":
            options[1 - state[1] % 2] = [accept, reject]
        return options

    def step(state: Any, joint: tuple[int, ...]) -> list[Outcome]:
        nothing = (0.0, 0.0)
        if state == END:
            return [(1.0, END, nothing)]
        turn, proposer = state[1], state[1] % 2
        if state[0] == "offer":
            return [(1.0, ("answer", turn, joint[proposer] + 1), nothing)]
        if joint[1 - proposer] == reject:
            return [(1.0, ("offer", turn + 1) if turn + 1 < rounds else END, nothing)]
        shares = [state[2], state[2]]
        shares[proposer] = pieces - state[2]
        worth = [pie * d**turn * k / pieces for d, k in zip(patience, shares, strict=True)]
        return [(1.0, END, worth)]

    names = (*(f"offer {k}" for k in range(1, pieces + 1)), "accept", "reject", "wait")
    return from_rules(
        {("offer", 0): 1.0},
        legal,
        step,
        (pieces + 3, pieces + 3),
        name="bargaining",
        actions=[names, names],
    )
