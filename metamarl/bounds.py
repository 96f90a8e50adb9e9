r"""An estimate of the gap after T iterations, in the form of the theory: near starts, small gaps.

The form is that of Mao et al. (NeurIPS 2023), but it is **derived here**: the constants are not the
paper's. Only that of Q-ascent is a bound; the smallest gap so far can exceed the others. R is the
span of the rewards; step sizes must be within the theory, which "adaptive" ones are not.

**Zero-sum games** with a horizon H, optimistic mirror descent with step size η from $(\tilde x,
\tilde y)$ at every (step, state). In a stage of length L the matrix game Q stands still. Its
entries span at most HR, so that with $k = ηHR/2$ (Euclidean: times the root of the number of joint
actions) the regret against an action a is (Syrgkanis et al., NeurIPS 2015)

$$\mathrm{Reg}(a) ≤ \frac{D(a, \tilde x) - D(a, \hat x)}{η} + \frac{k^2}{η} \sum_t \|Δy^t\|^2
  - \frac1{8η} \sum_t \|Δx^t\|^2$$

with $\hat x$ the stage's last point. Add up both players' regrets against an equilibrium
$(x^*, y^*)$ of Q: their sum is at least 0. So with $D^* = D(x^*, \tilde x) + D(y^*, \tilde y)$ the
last point is at most $D^*$ away from equilibrium, and the path $\sum_t \|Δx^t\|^2 + \|Δy^t\|^2$ is
at most $D^* / (1/8 - k^2)$, for $k < 1/\sqrt 8$. Hence

$$η\,\mathrm{Reg}(a) ≤ ρ(a) := \sup_{D(x^*, \hat x) ≤ D^*}
  \bigl[D(a, \tilde x) - D(a, \hat x)\bigr]_+ + \frac{8k^2}{1 - 8k^2} D^*,$$

which falls to 0 as the start nears equilibrium. (For the entropy the sup is
$\log(q / \tilde x_a)$ with q the largest probability whose binary divergence from $x^*_a$ is
$D^*$.) Errors of the values pass on from stage to stage, one stage back for one step on, and
stages grow by at most 1 + 1/H. So the gap of the "chained" output after τ > H stages is at most

$$\frac{1}{ηL_τ} \sum_{i} \max_{\text{play}} \sum_h (1 + 1/H)^{h-1} ρ_i(s_h) = O(H^3 R\,D / T),$$

D being the distance of the start as it enters through ρ. What is computed is an estimate of this,
with an equilibrium of the game and with ρ at the best responses to the solution that was found: the
matrices of late stages are nearly those of the game. At earlier stages another action may be the
best response, and where the start nearly excludes it, its ρ is much larger: from such starts the
smallest gap so far can be larger than the estimate (1.6 times in a test).

**General-sum games** with n players, "chained", step size "theory": every iteration moves a policy
by at most 3ηHR/2, so that $ρ_i(a) = \sqrt n\, D(a, \tilde x_i) + \frac{9}{16} (n-1)^2 n^{-3/2}$
gives the coarse correlated gap $\frac{HR}{L_τ^{3/4}} \max_i \max_\text{play} \sum_h
(1 + 1/H)^{3(h-1)/4} ρ_i(s_h)$. There is no equilibrium to be near to: a start helps as far as it
plays the best responses already (again those to the solution found; it can be exceeded too).

**Potential games**, projected Q-ascent with $η ≤ 2 / ((n-1) R A)$, where transitions do not depend
on actions (elsewhere a mismatch coefficient enters that nobody knows). A step Δ raises Φ by at
least $\sum_s d(s) \|Δ(s)\|^2 / (2η)$ and a deviation at s gains at most $B \|Δ_i(s)\|$ with
$B = \sqrt 2/η + R\sqrt A/2$ (see `policy_gradient`), so that with the expected duration W

$$\min_{t<T} \mathrm{gap}(π^t) ≤ B \sqrt{2ηW\,(Φ(π^T) - Φ(π^0)) / T}.$$
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metamarl.algorithms.evaluator import Evaluator, expected_duration
from metamarl.algorithms.optimistic_mirror_descent import SMALLEST, OptimisticMirrorDescent
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.policy_gradient import QAscent, potential_value
from metamarl.algorithms.solution import Solution, SolveError
from metamarl.algorithms.solve import solve
from metamarl.distances import best_plan, divergence
from metamarl.envs.checks import check_kind
from metamarl.envs.game import MarkovGame
from metamarl.envs.potential import by_structure, still_nodes

ROUNDING = 1e-12
BISECTIONS = 60


@dataclass(frozen=True, kw_only=True)
class Bound:
    """slope·distance / t^power, an estimate of the smallest gap so far (a bound for Q-ascent)."""

    distance: float
    """How far the start is: the largest weighted sum of ρ; or the root of the potential gained."""
    slope: float
    power: float
    horizon: int | None = None
    """t is the length of the last complete stage in a game with this horizon, after more than H
    stages; None: the number of iterations."""

    def __call__(self, iterations: ArrayLike) -> NDArray[np.float64]:
        """Estimates after so many iterations; infinite as long as nothing can be said."""
        T = np.asarray(iterations)
        if self.horizon is None:
            return self.slope * self.distance / np.maximum(T, 1.0) ** self.power
        lengths, ends = [self.horizon], [self.horizon]
        while ends[-1] <= T.max(initial=0):
            lengths.append(lengths[-1] * (self.horizon + 1) // self.horizon)
            ends.append(ends[-1] + lengths[-1])
        complete = np.searchsorted(ends, T, side="right")
        length = np.array(lengths, float)[complete - 1]
        found = self.slope * self.distance / length**self.power
        return np.where(complete > self.horizon, found, np.inf)


def convergence_bound(
    game: MarkovGame, solution: Solution, equilibrium: JointPolicy | None = None
) -> Bound | None:
    """Return an estimate, in the form of the theory, of the smallest gap so far of a solve.

    For mirror descent it is no bound: from a start that nearly excludes an action the gap can be
    larger along the way. For Q-ascent it is one.

    Args:
        game: what was solved.
        solution: what `solve` returned; its start, step size and output decide.
        equilibrium: of a zero-sum game that was solved by mirror descent; found by the exact solver
            if left out.

    Returns:
        A function of the number of iterations, with the `distance` it grows with. None for solvers,
        step sizes, outputs and games outside the theory (above), and after races of several starts.

    Raises:
        TypeError, ValueError: no game, no solution, or an equilibrium that does not fit the game.
    """
    where = "convergence_bound"
    check_kind(game, MarkovGame, "game", where, "a MarkovGame")
    check_kind(solution, Solution, "solution", where, "a Solution")
    if equilibrium is not None:
        check_kind(equilibrium, JointPolicy, "equilibrium", where, "a JointPolicy")
    solver, init = solution.solver, solution.init
    if init is None:
        return None
    if isinstance(solver, QAscent):
        return _of_ascent(game, solution, solver, init)
    if not isinstance(solver, OptimisticMirrorDescent) or game.horizon is None:
        return None
    if not solver.optimism or solver.output == "average":
        return None
    start = init.flat(game, where)
    if solver.regularizer == "entropy":
        start = np.maximum(start, SMALLEST)
    if game.kind == "zero-sum":
        return _of_zero_sum(game, solution, solver, start, equilibrium)
    return _of_general_sum(game, solution, solver, start)


def _of_zero_sum(
    game: MarkovGame,
    solution: Solution,
    solver: OptimisticMirrorDescent,
    start: NDArray[np.float64],
    equilibrium: JointPolicy | None,
) -> Bound | None:
    H, R = game.horizon or 1, _span(game)
    entropy = solver.regularizer == "entropy"
    root = 1.0 if entropy else float(np.sqrt(game.table.counts.prod(1).max()))
    eta = 1.0 / (4.0 * H * R * root) if solver.step_size == "theory" else solver.step_size
    if isinstance(eta, str) or 8 * (k := eta * H * R * root / 2) ** 2 >= 1:
        return None
    if equilibrium is None:
        try:
            equilibrium = solve(game, "exact").policy
        except SolveError as error:  # large rewards: rounding error alone may be above 'tol'
            equilibrium = error.solution.policy
    apart = divergence(
        game, equilibrium, JointPolicy.from_flat(game, start), "kl" if entropy else "euclidean"
    )
    answers = Evaluator(game).responses(solution.policy.flat(game)) > 0
    rate, total = 8 * k**2 / (1 - 8 * k**2), 0.0
    for slots in game.nodes.slots:
        own = slice(slots[0], slots[-1])
        near = equilibrium.flat(game)[own]
        measure = _entropic if entropy else _euclidean
        saved = measure(near, start[own], answers[own], slots[:-1] - slots[0], apart)
        total += _along_plays(game, saved + rate * apart, 1.0)
    return Bound(distance=total, slope=1.0 / eta, power=1.0, horizon=H)


def _of_general_sum(
    game: MarkovGame,
    solution: Solution,
    solver: OptimisticMirrorDescent,
    start: NDArray[np.float64],
) -> Bound | None:
    fits = solver.output == "chained" and solver.step_size == "theory"
    if not fits or solver.equilibrium == "ce" or solution.correlated is None:
        return None
    H, R, n = game.horizon or 1, _span(game), game.n_players
    answers = Evaluator(game).responses(solution.correlated.flat(game), correlated=True) > 0
    drift, found = 9 / 16 * (n - 1) ** 2 * n**-1.5, []
    for slots in game.nodes.slots:
        own = slice(slots[0], slots[-1])
        rho = -np.sqrt(n) * np.log(start[own][answers[own]]) + drift
        found.append(_along_plays(game, rho, 0.75))
    return Bound(distance=max(found), slope=H * R, power=0.75, horizon=H)


def _span(game: MarkovGame) -> float:
    return float(np.ptp(game.compact.reward, axis=1).max()) or 1.0


def _entropic(
    near: NDArray[np.float64],
    start: NDArray[np.float64],
    answers: NDArray[np.bool_],
    firsts: NDArray[np.int64],  # noqa: ARG001
    apart: NDArray[np.float64],
) -> NDArray[np.float64]:
    """`(N,)` log(q / start) at the answers, q the largest with kl(near, q) ≤ apart."""
    p = np.clip(near[answers], 0.0, 1.0)
    low, high = p, np.ones_like(p)
    for _ in range(BISECTIONS):
        q = (low + high) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.where(p > 0, p * np.log(p / q), 0.0)
            kl += np.where(p < 1, (1 - p) * np.log((1 - p) / (1 - q)), 0.0)
        low, high = np.where(kl <= apart, q, low), np.where(kl <= apart, high, q)
    return np.maximum(np.log(high / start[answers]), 0.0)


def _euclidean(
    near: NDArray[np.float64],
    start: NDArray[np.float64],
    answers: NDArray[np.bool_],
    firsts: NDArray[np.int64],
    apart: NDArray[np.float64],
) -> NDArray[np.float64]:
    """`(N,)` half of the most that a squared distance to the answer can have shrunk."""
    far, now = (np.add.reduceat((answers - x) ** 2, firsts) for x in (start, near))
    left = np.maximum(np.sqrt(now) - np.sqrt(2 * apart), 0.0)
    return np.maximum(far - left**2, 0.0) / 2


def _along_plays(game: MarkovGame, rho: NDArray[np.float64], power: float) -> float:
    """Largest expected sum of ρ along a play, later steps weighing more."""
    nodes, table, H = game.nodes, game.compact, game.horizon or 1
    at = np.zeros((H, game.n_states))
    at[nodes.steps, nodes.states] = rho * (1 + 1 / H) ** (power * nodes.steps)
    return best_plan(game, np.repeat(at, np.diff(table.rows), axis=1))


def _of_ascent(
    game: MarkovGame, solution: Solution, solver: QAscent, init: JointPolicy
) -> Bound | None:
    n, A, R = game.n_players, max(int(mask.sum(1).max()) for mask in game.legal), _span(game)
    largest = 2 / (max(1, n - 1) * R * A)
    # Where every node has its own "safe" step, the bound is largest at the smallest of them.
    eta = largest if solver.step_size == "safe" else solver.fixed_step(game)
    levels = solution.trace.potential
    if eta is None or eta > largest * (1 + ROUNDING) or levels is None:
        return None
    if not by_structure(game) or not still_nodes(game).all():
        return None
    gained = max(0.0, float(levels[-1]) - potential_value(game, init))
    B = np.sqrt(2) / eta + R * np.sqrt(A) / 2
    W = game.horizon or expected_duration(game)
    return Bound(distance=gained**0.5, slope=float(B * np.sqrt(2 * eta * W)), power=0.5)
