"""Kernels of tiers: plan, choose whom to trust, play, count. They check nothing.

The tasks of a run are numbered: the W low ones 0, …, W - 1, the high one W. What is learned of a
task lies in `visits` (T, H, R) and `moves` (T, H, R, S), where R rows are the legal (state, action)
pairs, those of state s at `first[s]:first[s + 1]`; actions are positions among the legal ones.
Every task draws from a stream of its own: what one does cannot change the numbers of another.
"""

import numpy as np
from numba import njit

from metamarl.algorithms._jit import BARE, JIT

NONE, NAIVE, ROBUST, PESSIMISTIC, ORACLE = range(5)  # agents
BERNSTEIN, STRONG_EULER = range(2)  # bonuses
ROUNDING = 1e-9  # at the last step, where rewards are all there is, nothing is in doubt


@njit(**BARE)
def draw(streams, i):
    """U[0, 1) from stream i: SplitMix64 (Steele, Lea and Flood 2014). Modified in place."""
    streams[i] += np.uint64(0x9E3779B97F4A7C15)
    z = streams[i]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(**BARE)
def bound(
    h, r, reward, visits, moves, upper, lower, estimate, variance, ceiling, discount,
    log_k, bonus, coefficient,
):  # fmt: skip
    """Upper and lower bound of Q(h, r), its plug-in estimate and that one's variance.

    `upper`, `lower`, `estimate` and `variance` (H + 1, S) hold what is known of step h + 1.
    """
    S = upper.shape[1]
    n = visits[h, r]
    inverse = 1.0 / n if n > 0.0 else 0.0
    up, low, square, width = 0.0, 0.0, 0.0, 0.0
    middle, second, spread = 0.0, 0.0, 0.0
    for t in range(S):
        p = moves[h, r, t] * inverse if n > 0.0 else 1.0 / S
        u, v, e = upper[h + 1, t], lower[h + 1, t], estimate[h + 1, t]
        up += p * u
        low += p * v
        square += p * u * u
        width += p * (u - v) * (u - v)
        middle += p * e
        second += p * e * e
        spread += p * variance[h + 1, t]
    var = max(discount * discount * (square - up * up), 1e-4)
    width *= discount * discount
    most, whole = ceiling[h], ceiling[0]
    n_1 = max(n, 1.0)
    log_n = log_k + np.log(n_1)
    if bonus == BERNSTEIN:
        b = coefficient * (np.sqrt(2.0 * var * log_n / n_1) + most * log_n / (3.0 * n_1))
    else:
        ell = np.sqrt(2.0 * log_n)
        b = np.sqrt(2.0 * var * ell / n_1) + np.sqrt(2.0 * width * ell / n_1)
        b += 8.0 * whole * ell / (3.0 * max(n - 1.0, 1.0))
        c = np.sqrt(S * width * ell / n_1) + 8.0 * S * whole * ell / (3.0 * n_1)
        b = coefficient * min(min(b, most) + min(c, most), most)
    b = min(b, most)
    pay = reward[h, r]
    q_up = min(max(pay + discount * up + b, 0.0), most)
    q_low = min(max(pay + discount * low - b, 0.0), most)
    blur = max(second - middle * middle, 0.0) / n_1 + (0.5 * ceiling[h + 1] / n_1) ** 2
    return q_up, q_low, pay + discount * middle, discount * discount * (blur + spread)


@njit(**BARE)
def plan_alone(
    first, reward, visits, moves, ceiling, discount, log_k, bonus, coefficient,
    upper, lower, estimate, variance, greedy, safe, gap,
):  # fmt: skip
    """Optimistic and pessimistic value iteration from the same data, and plug-in estimates.

    Writes `upper` and `lower` (H + 1, S), their policies `greedy` and `safe` (H, S), the estimated
    value of `safe` with its variance, and by how much `safe` is ahead of the other actions (`gap`).
    """
    H, S = greedy.shape
    for h in range(H - 1, -1, -1):
        for s in range(S):
            best, best_low, ahead, second = -np.inf, -np.inf, 0.0, -np.inf
            for a in range(first[s + 1] - first[s]):
                q_up, q_low, q, v = bound(
                    h, first[s] + a, reward, visits, moves, upper, lower, estimate, variance,
                    ceiling, discount, log_k, bonus, coefficient,
                )  # fmt: skip
                if q_up > best:
                    best, greedy[h, s] = q_up, a
                if q_low > best_low:
                    second = max(second, ahead) if a > 0 else second
                    best_low, safe[h, s] = q_low, a
                    ahead, estimate[h, s], variance[h, s] = q, q, v
                else:
                    second = max(second, q)
            upper[h, s], lower[h, s] = best, best_low
            gap[h, s] = ahead - second


@njit(**BARE)
def pick(feasible, advice, source, action):
    """Trust till Failure: the source to follow, or -1 (Huang and He 2023).

    The source trusted so far as long as it is feasible; else the first feasible one that recommends
    the same action; else the first feasible one.
    """
    if source >= 0 and feasible[source]:
        return source
    found = -1
    for w in range(len(feasible)):
        if feasible[w]:
            if advice[w] == action:
                return w
            if found < 0:
                found = w
    return found


@njit(**BARE)
def plan_high(
    first, reward, visits, moves, ceiling, discount, k, log_k, bonus, coefficient,
    agent, slack, occupancy, correction, power, evidence, known,
    low_visits, low_lower, low_estimate, low_variance, low_gap, advice,
    upper, lower, estimate, variance, policy, trust, trusted_action, feasible, q_up, q_hat, q_var,
):  # fmt: skip
    """Optimistic value iteration of the high tier that follows a source where it may.

    `advice` (W, H, S) are the sources' pessimistic policies. Writes `upper` and `lower` (H + 1, S),
    `policy` (H, S), and `trust` and `trusted_action` (H, S), which it also reads.
    """
    H, S = policy.shape
    W = len(advice)
    for h in range(H - 1, -1, -1):
        for s in range(S):
            count = first[s + 1] - first[s]
            best, best_low, sure, greedy, top = -np.inf, -np.inf, -np.inf, 0, 0
            for a in range(count):
                q_up[a], q_low, q_hat[a], q_var[a] = bound(
                    h, first[s] + a, reward, visits, moves, upper, lower, estimate, variance,
                    ceiling, discount, log_k, bonus, coefficient,
                )  # fmt: skip
                if q_up[a] > best:
                    best, greedy = q_up[a], a
                best_low = max(best_low, q_low)
                worst = q_hat[a] - power * np.sqrt(q_var[a])
                if worst > sure:  # an action hardly tried may look best by chance
                    sure, top = worst, a
            estimate[h, s], variance[h, s] = q_hat[top], q_var[top]
            act, source = greedy, -1
            if agent == ORACLE and known[h, s] >= 0:
                act = known[h, s]
            elif agent in (NAIVE, ROBUST):
                for w in range(W):
                    a, most = advice[w, h, s], 0.0
                    for r in range(first[s], first[s + 1]):
                        most = max(most, low_visits[w, h, r])
                    fine = most > occupancy / 3.0 * k
                    if agent == ROBUST:
                        fine = fine and low_lower[w, h, s] <= q_up[a] + slack
                        if evidence > 0.0 and fine:
                            doubt = np.sqrt(q_var[a] + low_variance[w, h, s])
                            deficit = low_estimate[w, h, s] - q_hat[a] - slack
                            fine = power * doubt <= low_gap[w, h, s]
                            fine = fine and deficit <= evidence * doubt + ROUNDING
                    feasible[w] = fine
                source = pick(feasible, advice[:, h, s], trust[h, s], trusted_action[h, s])
                if source >= 0:
                    act = advice[source, h, s]
            trust[h, s] = source
            trusted_action[h, s] = act if source >= 0 else -1
            policy[h, s] = act
            value = q_up[act]
            if act != greedy:
                value += correction * (best - best_low) / H
            upper[h, s], lower[h, s] = min(value, ceiling[h]), best_low


@njit(**JIT)
def lost(first, transition, gaps, initial, discount, policy, now, later, by_state):
    """Regret of a policy: what it gives up at every (step, state), times how often it is there.

    V* - V^π = Σ_h γ^h Σ_s d^π_h(s) (V*_h(s) - Q*_h(s, π_h(s))): a sum of terms that are 0 where
    the action is optimal. Writes the terms to `by_state` (H, S).
    """
    H, S = policy.shape
    total = 0.0
    now[:] = initial
    for h in range(H):
        later[:] = 0.0
        step = h if len(transition) > 1 else 0
        for s in range(S):
            by_state[h, s] = 0.0
            if now[s] > 0.0:
                r = first[s] + policy[h, s]
                by_state[h, s] = now[s] * gaps[h, r]
                total += by_state[h, s]
                for t in range(S):
                    later[t] += discount * now[s] * transition[step, r, t]
        now[:] = later
    return total


@njit(**BARE)
def pick_state(probabilities, u):
    """The state that u in [0, 1) falls on."""
    total, last = 0.0, 0
    for t in range(len(probabilities)):
        if probabilities[t] > 0.0:
            total += probabilities[t]
            last = t
            if u < total:
                break
    return last


@njit(**BARE)
def play(first, transition, initial, policy, streams, i, visits, moves, pooled, path):
    """One episode of task i, counted in its `visits` and `moves`, and in the last ones if `pooled`.

    Writes the states it goes through to `path` (H,).
    """
    s = pick_state(initial, draw(streams, i))
    for h in range(len(policy)):
        path[h] = s
        r = first[s] + policy[h, s]
        t = pick_state(transition[h if len(transition) > 1 else 0, r], draw(streams, i))
        visits[i, h, r] += 1.0
        moves[i, h, r, t] += 1.0
        if pooled:
            visits[-1, h, r] += 1.0
            moves[-1, h, r, t] += 1.0
        s = t


@njit(**JIT)
def run(
    episode, first, reward, transition, gaps, initial, ceiling, discount, bonus, coefficient,
    agent, delay, slack, occupancy, correction, power, evidence, known,
    streams, visits, moves, upper, lower, estimate, variance, gap, policy, safe, last, loss,
    by_state, total, trust, trusted_action, followed, increments,
):  # fmt: skip
    """Play `increments.shape[1]` episodes with all tasks, after `episode` earlier ones.

    Everything from `streams` on is modified in place; `increments` (T, n) are the regrets.
    """
    T, n = increments.shape
    W, (H, S) = T - 1, trust.shape
    most = 1
    for s in range(S):
        most = max(most, first[s + 1] - first[s])
    q_up, q_hat, q_var = np.zeros(most), np.zeros(most), np.zeros(most)
    feasible = np.zeros(W, np.bool_)
    now, later, path = np.zeros(S), np.zeros(S), np.zeros(H, np.int64)
    for j in range(n):
        k = episode + j + 1
        now_agent = agent if k > delay else NONE
        for i in range(T):
            if i < W or agent == PESSIMISTIC:
                c = i if i < W else T  # the pessimistic high tier plans on the data of all tasks
                log_k = np.log(10.0 * k * (W if i < W else 1))
                plan_alone(
                    first, reward[i], visits[c], moves[c], ceiling, discount, log_k, bonus,
                    coefficient, upper[i], lower[i], estimate[i], variance[i], policy[i], safe[i],
                    gap[i],
                )  # fmt: skip
                if i == W:
                    policy[W] = safe[W]
            else:
                plan_high(
                    first, reward[W], visits[W], moves[W], ceiling, discount, k, np.log(10.0 * k),
                    bonus, coefficient, now_agent, slack, occupancy, correction, power, evidence,
                    known, visits[:W], lower[:W], estimate[:W], variance[:W], gap[:W],
                    safe[:W], upper[W], lower[W], estimate[W], variance[W], policy[W], trust,
                    trusted_action, feasible, q_up, q_hat, q_var,
                )  # fmt: skip
            if j == 0 or (policy[i] != last[i]).any():
                loss[i] = lost(
                    first,
                    transition[i],
                    gaps[i],
                    initial[i],
                    discount,
                    policy[i],
                    now,
                    later,
                    by_state[i],
                )
                last[i] = policy[i]
            increments[i, j] = loss[i]
            play(
                first, transition[i], initial[i], policy[i], streams, i, visits, moves,
                agent == PESSIMISTIC, path,
            )  # fmt: skip
        if loss[W] > 0.0:
            total += by_state[W]
        for h in range(H):
            if trust[h, path[h]] >= 0:
                followed[trust[h, path[h]]] += 1


@njit(**BARE)
def bound_arms(pulls, sums, log_f, coefficient, low, high, middle, variance):
    """Bounds of all arms, their means and these means' variances. Written in place."""
    for a in range(len(pulls)):
        n = pulls[a]
        if n == 0.0:
            low[a], high[a], middle[a], variance[a] = -np.inf, np.inf, 0.5, np.inf
        else:
            middle[a] = sums[a] / n
            b = np.sqrt(coefficient * log_f / n)
            low[a], high[a] = middle[a] - b, middle[a] + b
            variance[a] = middle[a] * (1.0 - middle[a]) / n + (0.5 / n) ** 2


@njit(**JIT)
def run_bandits(
    episode, means, gaps, coefficient, agent, delay, slack, occupancy, power, evidence, known,
    streams, pulls, sums, regret, trust, trusted_action, followed, increments,
):  # fmt: skip
    """Play `increments.shape[1]` rounds with all tasks, after `episode` earlier ones.

    `means` and `gaps` (T, A); everything from `streams` on is modified in place.
    """
    T, n = increments.shape
    W, A = T - 1, means.shape[1]
    low, high, middle, variance = np.zeros(A), np.zeros(A), np.zeros(A), np.zeros(A)
    lower, worth, doubt, ahead = np.zeros(W), np.zeros(W), np.zeros(W), np.zeros(W)
    advice, feasible = np.zeros(W, np.int64), np.zeros(W, np.bool_)
    for j in range(n):
        k = episode + j + 1
        for i in range(T):
            c = T if i == W and agent == PESSIMISTIC else i  # the data of all tasks
            wide = 1.0 if i == W else float(W)
            log_f = np.log(1.0 + 16.0 * A * A * (wide * k + 1.0) ** 2)
            bound_arms(pulls[c], sums[c], log_f, coefficient, low, high, middle, variance)
            arm = np.argmax(high)
            if i < W:
                a = np.argmax(low)
                advice[i], lower[i], worth[i], doubt[i] = a, low[a], middle[a], variance[a]
                second = -np.inf
                for b in range(A):
                    if b != a:
                        second = max(second, middle[b])
                ahead[i] = middle[a] - second
            elif agent == PESSIMISTIC:
                arm = np.argmax(low)
            elif agent == ORACLE and known >= 0:
                arm = known
            elif agent in (NAIVE, ROBUST) and k > delay:
                for w in range(W):
                    a = advice[w]
                    fine = pulls[w, a] > occupancy / 3.0 * k
                    if agent == ROBUST:
                        fine = fine and lower[w] <= high[a] + slack
                        if evidence > 0.0 and fine:
                            deviation = np.sqrt(variance[a] + doubt[w])
                            fine = power * deviation <= ahead[w]
                            fine = fine and worth[w] - middle[a] - slack <= evidence * deviation
                    feasible[w] = fine
                trust[0, 0] = pick(feasible, advice, trust[0, 0], trusted_action[0, 0])
                trusted_action[0, 0] = -1
                if trust[0, 0] >= 0:
                    arm = advice[trust[0, 0]]
                    trusted_action[0, 0] = arm
                    followed[trust[0, 0]] += 1
            pay = 1.0 if draw(streams, i) < means[i, arm] else 0.0
            pulls[i, arm] += 1.0
            sums[i, arm] += pay
            if agent == PESSIMISTIC:
                pulls[T, arm] += 1.0
                sums[T, arm] += pay
            increments[i, j] = gaps[i, arm]
            if i == W:
                regret[0, 0] += gaps[W, arm]
