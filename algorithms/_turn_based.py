"""The kernel of backward induction in turn-based games. It checks nothing and allocates little."""

import numpy as np
from numba import njit

JIT = {"cache": True, "nogil": True, "error_model": "numpy"}
ROUNDING = 8 * 2.0**-52  # relative error of one reward, probability, product and sum


@njit(**JIT)
def induce(
    states, groups, slots, timed,
    counts, rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    discount, flat,
):  # fmt: skip
    """Let the player to move choose its best action at every node, the last group first.

    At most one player has a choice at a node, so that a state's rows are that player's actions.
    Every value is carried with a bound of its rounding error: two actions are tied where the bounds
    cannot tell them apart, and the first of those tied with the best is taken. Writes `flat`, a
    flat policy; returns the number of nodes where another tied action gives some other player
    something else.
    """
    S, n = counts.shape
    largest, widest = 0, 1
    for g in range(len(groups) - 1):
        largest = max(largest, groups[g + 1] - groups[g])
    for s in range(S):
        widest = max(widest, rows[s + 1] - rows[s])
    later, doubt = np.zeros((S, n)), np.zeros((S, n))
    fresh, fresh_doubt = np.empty((largest, n)), np.empty((largest, n))
    Q, E = np.empty((widest, n)), np.empty((widest, n))
    choices = 0
    for g in range(len(groups) - 2, -1, -1):
        step = g if timed else 0
        for j in range(groups[g], groups[g + 1]):
            s = states[j]
            size, mover = rows[s + 1] - rows[s], 0
            for i in range(n):
                if counts[s, i] > 1:
                    mover = i
            for k in range(size):
                for i in range(n):
                    Q[k, i], E[k, i] = 0.0, 0.0
                r = rows[s] + k + step * transition_stride
                for e in range(indptr[r], indptr[r + 1]):
                    p, t = discount * probabilities[e], indices[e]
                    for i in range(n):
                        Q[k, i] += p * later[t, i]
                        E[k, i] += p * (doubt[t, i] + ROUNDING * abs(later[t, i]))
                r = rows[s] + k + step * reward_stride
                for i in range(n):
                    Q[k, i] += reward[i, r]
                    E[k, i] += ROUNDING * abs(reward[i, r])
            best, taken = 0, -1
            for k in range(1, size):
                if Q[k, mover] > Q[best, mover]:
                    best = k
            others_differ = False
            for k in range(size):
                if Q[best, mover] - Q[k, mover] <= E[best, mover] + E[k, mover]:
                    if taken < 0:
                        taken = k
                    for i in range(n):
                        if i != mover and abs(Q[k, i] - Q[taken, i]) > E[k, i] + E[taken, i]:
                            others_differ = True
            choices += others_differ
            for i in range(n):
                for a in range(counts[s, i]):
                    flat[slots[i, j] + a] = 0.0
                flat[slots[i, j] + (taken if i == mover else 0)] = 1.0
                fresh[j - groups[g], i] = Q[taken, i]
                fresh_doubt[j - groups[g], i] = E[taken, i]
        for j in range(groups[g], groups[g + 1]):
            later[states[j]] = fresh[j - groups[g]]
            doubt[states[j]] = fresh_doubt[j - groups[g]]
    return choices
