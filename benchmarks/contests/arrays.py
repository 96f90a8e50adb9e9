"""What contests are held on: random zero-sum Markov games as arrays, and gaps in plain NumPy.

R `(H, S, A, B)` rewards U[0, 1] of the first player; P `(S, A, B, S)` next states, every row drawn
uniformly from the simplex. Nothing of metamarl is used to judge answers.
"""

import numpy as np
from numpy.typing import NDArray

import metamarl as mm

Array = NDArray[np.float64]
Policies = tuple[Array, Array]


def draw(S: int, A: int, H: int, seed: int) -> tuple[Array, Array]:
    """Draw R and P."""
    rng = np.random.default_rng(seed)
    R = rng.random((H, S, A, A))
    P = rng.exponential(size=(S, A, A, S))
    P /= P.sum(-1, keepdims=True)
    return R, P


def game_of(R: Array, P: Array) -> mm.MarkovGame:
    """Return the same arrays as a MarkovGame."""
    return mm.MarkovGame(P, np.stack([R, -R]), horizon=len(R))


def backup(r: Array, P: Array, V: Array, discount: float = 1.0) -> Array:
    """r + γ·P·V."""
    return r + discount * (P.reshape(-1, P.shape[-1]) @ V).reshape(r.shape)


def gap_of(R: Array, P: Array, policies: Policies) -> float:
    """Duality gap from the uniform distribution of states; μ `(H, S, A)`, ν `(H, S, B)`."""
    if any(not np.allclose(p.sum(-1), 1.0, atol=1e-6) or p.min() < -1e-9 for p in policies):
        return np.inf
    upper, lower = np.zeros(P.shape[0]), np.zeros(P.shape[0])
    for r, x, y in zip(R[::-1], policies[0][::-1], policies[1][::-1], strict=True):
        upper = np.einsum("sab,sb->sa", backup(r, P, upper), y).max(1)
        lower = np.einsum("sab,sa->sb", backup(r, P, lower), x).min(1)
    return float((upper - lower).mean())


def discounted_gap_of(r: Array, P: Array, discount: float, policies: Policies) -> float:
    """Duality gap of stationary policies `(S, A)`, `(S, B)`, best responses by policy iteration."""
    x, y = policies
    if any(not np.allclose(p.sum(-1), 1.0, atol=1e-6) or p.min() < -1e-9 for p in policies):
        return np.inf
    upper = _best(np.einsum("sab,sb->sa", r, y), np.einsum("sabt,sb->sat", P, y), discount)
    lower = _best(-np.einsum("sab,sa->sb", r, x), np.einsum("sabt,sa->sbt", P, x), discount)
    return float((upper + lower).mean())


def _best(pay: Array, moves: Array, discount: float) -> Array:
    states, choice = np.arange(len(pay)), pay.argmax(1)
    while True:
        own = np.eye(len(pay)) - discount * moves[states, choice]
        values = np.linalg.solve(own, pay[states, choice])
        worth = pay + discount * moves @ values
        better = worth.max(1) > worth[states, choice] + 1e-12
        if not better.any():
            return values
        choice = np.where(better, worth.argmax(1), choice)
