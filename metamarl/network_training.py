"""Trains a stage network on games like those it is for, with torch.

Every game is solved again with the network at work, which is cheap; that yields the matrices that
its stages held on the way to equilibrium, with the plays before: what the network will be asked. On
these it is trained, and what it then is asked is recorded anew for the next round (the aggregation
of Ross, Gordon and Bagnell, "A reduction of imitation learning and structured prediction to
no-regret online learning", AISTATS 2011, with the last round's data alone). There is nothing to
imitate: the loss is the duality gap of what it proposes, in units of the matrix's span, or rather
the logarithm of its mean over the batch. Shapes are drawn as often as the root of their number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl._stage_network import FINE, FLOOR
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.solution import Status
from metamarl.algorithms.solve import solve
from metamarl.algorithms.stage_starts import Plays, StageStart
from metamarl.algorithms.torch_extra import need_torch, one_thread
from metamarl.envs.checks import check_integer, check_kind, complaint, said
from metamarl.envs.game import MarkovGame
from metamarl.stage_network import StageNetwork

WHERE = "train_network"
ROUNDS = 2  # of recording and training
MOST = 400  # iterations of a recorded solve: stages get long, and are all much the same
BATCH, RATE, LONGEST = 128, 1e-2, 1.0  # matrices at a time, Adam's largest step, largest gradient
LEAST_GAP = 1e-4  # added to a mean gap before its logarithm is taken


def train_network(
    games: Sequence[MarkovGame],
    *,
    tol: float = 1e-2,
    solver: OptimisticMirrorDescent | None = None,
    steps: int = 200,
    seed: int = 0,
    network: StageNetwork | None = None,
) -> StageNetwork:
    """Train a stage network on games.

    Args:
        games: two-player zero-sum games, of any shapes.
        tol: the gap to which games like them are to be solved.
        solver: with what; the default options of mirror descent if left out.
        steps: of gradient descent (Adam), in each of the two rounds.
        seed: of what the network begins with, and of the draws of its training.
        network: one to go on from; a new one if left out.

    Returns:
        The network; the same for the same seed, on machines of one kind.

    Raises:
        TypeError, ValueError: a bad parameter, or games that are not zero-sum.
        ImportError: without torch.
    """
    torch = need_torch(WHERE)
    games = _check_games(games)
    steps, seed = check_integer(steps, "steps", WHERE, 0), check_integer(seed, "seed", WHERE, 0)
    solver = OptimisticMirrorDescent() if solver is None else solver
    check_kind(solver, OptimisticMirrorDescent, "solver", WHERE, "an OptimisticMirrorDescent")
    rng = np.random.default_rng(seed)
    network = StageNetwork.untrained(seed) if network is None else network
    check_kind(network, StageNetwork, "network", WHERE, "a StageNetwork or None")
    with one_thread():
        for _ in range(ROUNDS if steps else 0):
            sets = [_tensors(torch, *record) for record in _record(games, solver, tol, network)]
            if not sets:
                break
            weights = {
                name: torch.from_numpy(array.copy()) for name, array in network.parameters.items()
            }
            _descend(torch, weights, sets, steps, rng)
            learned = {name: weight.detach().numpy() for name, weight in weights.items()}
            network = replace(network, parameters=learned)
    return network


def _check_games(games: Any) -> list[MarkovGame]:
    if not isinstance(games, Sequence) or not all(isinstance(g, MarkovGame) for g in games):
        raise TypeError(complaint("games", WHERE, "a sequence of MarkovGames", games))
    for k, game in enumerate(games):
        if game.kind != "zero-sum":
            got = said(f"a {game.kind} game of {game.n_players} players as game {k}")
            raise ValueError(complaint("games", WHERE, "two-player zero-sum games", got))
    return list(games)


class _Recorder(StageStart):
    """Notes what a network is asked."""

    def __init__(self, network: StageNetwork) -> None:
        object.__setattr__(self, "network", network)
        object.__setattr__(self, "asked", {})

    network: StageNetwork
    asked: dict[tuple[int, int], list[tuple[NDArray[np.float64], ...]]]

    def propose(self, matrices: NDArray[np.float64], plays: Plays) -> Plays:
        """Note matrices that are not constant, and ask the network."""
        _, A, B = matrices.shape
        teaches = np.ptp(matrices, (1, 2)) > 1e-9 * np.abs(matrices).max((1, 2))
        if min(A, B) > 1 and teaches.any():
            asked = tuple(array[teaches] for array in (matrices, *plays))
            self.asked.setdefault((A, B), []).append(asked)
        return self.network.propose(matrices, plays)


def _record(
    games: Sequence[MarkovGame], solver: OptimisticMirrorDescent, tol: float, network: StageNetwork
) -> list[tuple[NDArray[np.float64], ...]]:
    """Matrices `(n, A, B)` and plays `(n, A)`, `(n, B)` of every shape that was met."""
    recorder = _Recorder(network)
    for game in games:
        done = solve(game, solver, recorder, tol / 3, MOST, throw=False)
        if done.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
    return [
        tuple(map(np.concatenate, zip(*recorder.asked[shape], strict=True)))
        for shape in sorted(recorder.asked)
    ]


def _tensors(torch: Any, matrices: Any, *plays: Any) -> tuple[Any, ...]:
    return _normalised(torch.from_numpy(matrices)), *map(torch.from_numpy, plays)


def _descend(torch: Any, weights: Any, sets: list[Any], steps: int, rng: Any) -> None:
    """Adam with a one-cycle schedule; in place."""
    for weight in weights.values():
        weight.requires_grad_()
    optimizer = torch.optim.Adam(weights.values(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    often = np.sqrt([len(matrices) for matrices, _, _ in sets])
    for _ in range(steps):
        which = sets[rng.choice(len(sets), p=often / often.sum())]
        some = torch.from_numpy(rng.integers(len(which[0]), size=BATCH))
        matrices, *plays = (array[some] for array in which)
        loss = (gaps(matrices, refine(weights, matrices, plays)).mean() + LEAST_GAP).log()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), LONGEST)
        optimizer.step()
        schedule.step()


def _normalised(matrices: Any) -> Any:
    span = matrices.amax((1, 2), keepdim=True) - matrices.amin((1, 2), keepdim=True)
    return 2.0 * (matrices - matrices.mean((1, 2), keepdim=True)) / span


def gaps(matrices: Any, plays: Any) -> Any:
    """`(n,)` duality gaps."""
    x, y = plays
    return (matrices @ y[..., None])[..., 0].amax(1) - (x[:, None] @ matrices)[:, 0].amin(1)


def refine(weights: Mapping[str, Any], matrices: Any, plays: Any) -> tuple[Any, Any]:
    """The network in torch: policies for normalised matrices, from what was played before."""
    both = matrices, -matrices.mT
    t = (gaps(matrices, plays).clamp(min=0.0) + FINE).log()[:, None]
    part = (weights["gate"][0] + weights["gate"][1] * t).sigmoid()
    logits = [
        (p + FLOOR).log() + part * _encode(weights, M) for p, M in zip(plays, both, strict=True)
    ]
    rates = weights["rates"] + weights["slopes"] * t[..., None]
    eta, ahead = rates[..., 0].exp(), rates[..., 1].exp()
    averaged = rates[..., 2].softmax(1)
    policies = [u.softmax(1) for u in logits]
    last = [_advantages(M, *pair) for M, pair in zip(both, _pairs(policies), strict=True)]
    total: list[Any] = [0.0, 0.0]
    for k in range(rates.shape[1]):
        u = [_advantages(M, *pair) for M, pair in zip(both, _pairs(policies), strict=True)]
        for i in (0, 1):
            step = u[i] + ahead[:, k, None] * (u[i] - last[i])
            logits[i] = logits[i] + eta[:, k, None] * step
        policies, last = [v.softmax(1) for v in logits], u
        total = [s + averaged[:, k, None] * p for s, p in zip(total, policies, strict=True)]
    return total[0], total[1]


def _pairs(policies: list[Any]) -> list[tuple[Any, Any]]:
    return [(policies[0], policies[1]), (policies[1], policies[0])]


def _advantages(matrices: Any, own: Any, other: Any) -> Any:
    u = (matrices @ other[..., None])[..., 0]
    return u - (own * u).sum(1, keepdim=True)


def _encode(weights: Mapping[str, Any], matrices: Any) -> Any:
    import torch

    square = matrices.square().mean(2).clamp(min=1e-300).sqrt()
    pooled = [matrices.mean(2), matrices.amax(2), matrices.amin(2), square]
    rows = torch.stack(pooled, -1)
    rows = torch.cat([rows, rows.amax(1, keepdim=True).expand_as(rows)], -1)
    return (rows @ weights["weights"] + weights["biases"]).relu() @ weights["readout"]
