"""Tiers in plain Python and NumPy, one formula at a time: what the kernels must agree with."""

import numpy as np

MASK = (1 << 64) - 1


class SplitMix:
    """Steele, Lea and Flood (2014)."""

    def __init__(self, state):
        self.state = int(state)

    def __call__(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return ((z ^ (z >> 31)) >> 11) / 2.0**53


def stream(seed, place):
    return SplitMix(
        np.random.SeedSequence(seed, spawn_key=(place,)).generate_state(1, np.uint64)[0]
    )


class Task:
    """A one-player game with a horizon, and what was seen of it."""

    def __init__(self, game, rng):
        P, R = game.dense()
        self.H, self.S = game.horizon, game.n_states
        steps = (self.H, self.S, game.n_actions[0])
        self.R = np.broadcast_to(R[0], steps)
        self.P = np.broadcast_to(P, (*steps, self.S))
        self.legal = [np.flatnonzero(row) for row in game.legal[0]]
        self.initial, self.discount, self.rng = game.initial, game.discount, rng
        self.moves = np.zeros((*steps, self.S))
        self.ceiling = [sum(self.discount**j for j in range(self.H - h)) for h in range(self.H + 1)]
        self.optimal = np.zeros((self.H + 1, self.S))
        for h in reversed(range(self.H)):
            Q = self.R[h] + self.discount * self.P[h] @ self.optimal[h + 1]
            self.optimal[h] = [Q[s, self.legal[s]].max() for s in range(self.S)]

    def bound(self, h, s, a, V, L, E, D, log_k, bonus, c):
        """Upper and lower bound, estimate and its variance."""
        g, top = self.discount, self.ceiling[h]
        n = self.moves[h, s, a].sum()
        p = self.moves[h, s, a] / n if n else np.full(self.S, 1 / self.S)
        N = max(n, 1.0)
        var = max(g**2 * (p @ V**2 - (p @ V) ** 2), 1e-4)
        log = log_k + np.log(N)
        if bonus == "bernstein":
            b = c * (np.sqrt(2 * var * log / N) + top * log / (3 * N))
        else:
            ell, D2, H = np.sqrt(2 * log), g**2 * (p @ (V - L) ** 2), self.ceiling[0]
            first = np.sqrt(2 * var * ell / N) + 8 * H * ell / (3 * max(n - 1, 1))
            first += np.sqrt(2 * ell * D2 / N)
            second = np.sqrt(D2 * self.S * ell / N) + 8 / 3 * self.S * H * ell / N
            b = c * min(min(first, top) + min(second, top), top)
        b = min(b, top)
        r = self.R[h, s, a]
        spread = (p @ E**2 - (p @ E) ** 2) / N + (0.5 * self.ceiling[h + 1] / N) ** 2
        return (
            np.clip(r + g * p @ V + b, 0, top),
            np.clip(r + g * p @ L - b, 0, top),
            r + g * p @ E,
            g**2 * (max(spread, 0) + p @ D),
        )

    def bounds(self, h, s, after, *options):
        """Four arrays over the legal actions."""
        return np.array([self.bound(h, s, a, *after, *options) for a in self.legal[s]]).T

    def plan(self, *options):
        """Bounds, estimates, both policies (positions among legal actions), and gaps."""
        shape = (self.H, self.S)
        V, L, E, D = (np.zeros((self.H + 1, self.S)) for _ in range(4))
        greedy, safe, gap = np.zeros(shape, int), np.zeros(shape, int), np.zeros(shape)
        for h in reversed(range(self.H)):
            for s in range(self.S):
                up, low, q, var = self.bounds(
                    h, s, (V[h + 1], L[h + 1], E[h + 1], D[h + 1]), *options
                )
                greedy[h, s], a = up.argmax(), low.argmax()
                V[h, s], L[h, s], safe[h, s] = up.max(), low.max(), a
                E[h, s], D[h, s] = q[a], var[a]
                gap[h, s] = q[a] - np.delete(q, a).max(initial=-np.inf)
        return V, L, E, D, greedy, safe, gap

    def play(self, policy):
        """One episode; returns what the policy gives up in expectation."""
        s = pick_state(self.initial, self.rng())
        for h in range(self.H):
            a = self.legal[s][policy[h, s]]
            t = pick_state(self.P[h, s, a], self.rng())
            self.moves[h, s, a, t] += 1
            s = t
        value = np.zeros(self.S)
        for h in reversed(range(self.H)):
            acts = [self.legal[s][policy[h, s]] for s in range(self.S)]
            rows = np.arange(self.S), acts
            value = self.R[h][rows] + self.discount * self.P[h][rows] @ value
        return self.initial @ (self.optimal[0] - value)


def pick_state(p, u):
    return min(int(np.searchsorted(np.cumsum(p), u, side="right")), np.flatnonzero(p)[-1])


def trust_till_failure(feasible, advice, source, action):
    """Keep the source; else the first one with the same advice; else the first one; else none."""
    if source in feasible:
        return source
    same = [w for w in feasible if advice[w] == action]
    return (same or feasible or [-1])[0]


def run(low, high, agent, episodes, seed=0, bonus="bernstein", c=0.5, known=None):
    """Regret of every episode, `(T, K)`, and the last trust map."""
    tasks = [Task(game, stream(seed, w + 1)) for w, game in enumerate(low)]
    top, W = Task(high, stream(seed, 0)), len(low)
    source, action = np.full((top.H, top.S), -1), np.full((top.H, top.S), -1)
    found = []
    for k in range(1, episodes + 1):
        plans = [task.plan(np.log(10 * k * W), bonus, c) for task in tasks]
        regrets = [task.play(plan[4]) for task, plan in zip(tasks, plans, strict=True)]
        V, L, E, D = (np.zeros((top.H + 1, top.S)) for _ in range(4))
        policy = np.zeros((top.H, top.S), int)
        for h in reversed(range(top.H)):
            for s in range(top.S):
                up, below, q, var = top.bounds(
                    h, s, (V[h + 1], L[h + 1], E[h + 1], D[h + 1]), np.log(10 * k), bonus, c
                )
                top_action = (q - getattr(agent, "power", 0.0) * np.sqrt(var)).argmax()
                E[h, s], D[h, s] = q[top_action], var[top_action]
                advice = [plan[5][h, s] for plan in plans]
                feasible = []
                for w, (_, low_L, low_E, low_D, _, _, gap) in enumerate(plans):
                    a, there = advice[w], tasks[w].moves[h, s].sum(-1).max()
                    fine = agent.name in ("naive", "robust")
                    fine &= fine and k > agent.delay and there > agent.occupancy / 3 * k
                    if agent.name == "robust":
                        fine &= low_L[h, s] <= up[a] + agent.slack
                        if agent.evidence is not None:
                            sigma = np.sqrt(var[a] + low_D[h, s])
                            fine &= agent.power * sigma <= gap[h, s]
                            short = low_E[h, s] - q[a] - agent.slack
                            fine &= short <= agent.evidence * sigma + 1e-9
                    if fine:
                        feasible.append(w)
                source[h, s] = trust_till_failure(feasible, advice, source[h, s], action[h, s])
                a = up.argmax() if source[h, s] < 0 else advice[source[h, s]]
                action[h, s] = a if source[h, s] >= 0 else -1
                if known is not None and known[h, s] >= 0:
                    a = known[h, s]
                policy[h, s] = a
                more = 0.0
                if a != up.argmax() and agent.name == "robust":
                    more = agent.correction * (up.max() - below.max()) / top.H
                V[h, s], L[h, s] = min(up[a] + more, top.ceiling[h]), below.max()
        if agent.name == "pessimistic":
            pool = Task(high, None)
            pool.moves = top.moves + sum(task.moves for task in tasks)
            policy = pool.plan(np.log(10 * k), bonus, c)[5]
        regrets.append(top.play(policy))
        found.append(regrets)
    return np.array(found).T, source
