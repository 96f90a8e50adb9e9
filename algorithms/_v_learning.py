"""Kernels of stage-based V-learning (see `v_learning`).

A *learner* is one player at one slot: a state, a (step, state), or what the player saw. Learner k's
actions lie at `first[k] : first[k + 1]` of `act`; what it knows of its slot in row k of `tally`
(integers) and `worth`. `dial` holds the options. The columns are named below.

Kernels that call each other live in this one file, because Numba's cache does not notice when a
kernel of another file changes.
"""

import math

import numpy as np
from numba import njit

from metamarl.algorithms._jit import JIT

# `act`: logarithm of the policy at which stages begin, gains so far, the policy, its sum over the
# stage and over the last one, the mean target of the action, how many targets that stands on.
START, GAIN, PLAY, SUM, SUM_BEFORE, MEAN, WEIGHT = range(7)
# `tally`: visits in this stage, its length, stages done, visits before it, length of the last one.
VISITS, LENGTH, STAGES, EARLIER, LENGTH_BEFORE = range(5)
# `worth`: value, sum of the stage's targets, divergence that the step size expects, largest value,
# range of values, spread of the gains seen in this stage, and per visit in the last one.
VALUE, TARGETS, DIVERGENCE, LARGEST, RANGE, SPREAD, SPREAD_BEFORE = range(7)
# `dial`
ADAPTIVE, FACTOR, IMPLICIT, BONUS, OPTIMISTIC, GROWTH, EXPLORATION = range(7)

PATIENCE, DECAY = 100.0, 1.0 / 3.0  # explicit exploration falls like (1 + visits/100)^(-1/3)
DOUBT = 0.5  # the divergence expected grows like this power of the stages' length, to log A
PURE = 1e-6  # weight in the spread of actions not played: a pure policy's is not rounding error
FORGET = 0.5  # weight that mean targets keep from stage to stage
MOST = 2.0**52  # of a stage's length


@njit(**JIT)
def choose(rng, k, first, tally, worth, act, dial):
    """Draw an action from learner k's policy, with exploration; writes PLAY.

    Returns the action and the probability with which it was drawn.
    """
    begin, end = first[k], first[k + 1]
    A = end - begin
    if A == 1:
        return 0, 1.0
    eta = _step_size(k, A, tally, worth, dial)
    most = -np.inf
    for j in range(begin, end):
        act[j, PLAY] = act[j, START] + eta * act[j, GAIN]
        most = max(most, act[j, PLAY])
    total = 0.0
    for j in range(begin, end):
        act[j, PLAY] = math.exp(act[j, PLAY] - most)
        total += act[j, PLAY]
    seen = tally[k, EARLIER] + tally[k, VISITS]
    wild = dial[EXPLORATION] * (1.0 + seen / PATIENCE) ** -DECAY
    u = rng.random()
    chosen, chance = A - 1, 0.0
    for a in range(A):
        act[begin + a, PLAY] /= total
        if chosen == A - 1 and u >= 0.0:
            chance = (1.0 - wild) * act[begin + a, PLAY] + wild / A
            u -= chance
            if u < 0.0:
                chosen = a
    return chosen, chance


@njit(**JIT)
def _step_size(k, A, tally, worth, dial):
    if dial[ADAPTIVE]:
        spread = worth[k, SPREAD] + worth[k, SPREAD_BEFORE]
        return dial[FACTOR] * math.sqrt(worth[k, DIVERGENCE] / spread) if spread > 0.0 else 0.0
    return dial[FACTOR] * math.sqrt(worth[k, DIVERGENCE] / (A * tally[k, LENGTH]))


@njit(**JIT)
def find_targets(path, pay, fade, times, last, over, tally, worth, dial, target):
    """Write what each of a player's visits was followed by, its target, into `target`.

    Visit t < `times` was to learner path[t] and earned pay[t]. The target is pay[t] plus the
    discounted value of the next slot; where that has none yet (and `dial[OPTIMISTIC]` is 0), plus
    fade[t, 1] times the next target: what was really earned. `last` is the learner at which play
    stopped, or -1, and `over` whether the game was over there. fade[t] holds the discount of values
    and of earnings.
    """
    known, following = over, 0.0
    if not over and last >= 0:
        known = dial[OPTIMISTIC] != 0.0 or tally[last, STAGES] > 0
        following = worth[last, VALUE] if known else 0.0
    for t in range(times - 1, -1, -1):
        k = path[t]
        target[t] = pay[t] + fade[t, 0 if known else 1] * following
        known = dial[OPTIMISTIC] != 0.0 or tally[k, STAGES] > 0
        following = worth[k, VALUE] if known else target[t]


@njit(**JIT)
def visit(k, a, chance, target, first, tally, worth, act, dial):
    """Let learner k learn that action a, drawn with this chance, led to this target.

    Returns whether that ended a stage.
    """
    begin, end = first[k], first[k + 1]
    A = end - begin
    tally[k, VISITS] += 1
    worth[k, TARGETS] += target
    if A > 1:
        chosen = begin + a
        if dial[ADAPTIVE]:
            surprise = target - act[chosen, MEAN]
            push = surprise / (chance + dial[IMPLICIT])
            level = act[chosen, PLAY] * push
            for j in range(begin, end):
                level += act[j, PLAY] * act[j, MEAN]
            for j in range(begin, end):
                gain = act[j, MEAN] - level + (push if j == chosen else 0.0)
                act[j, GAIN] += gain
                worth[k, SPREAD] += (act[j, PLAY] + PURE) * gain * gain
            act[chosen, WEIGHT] += 1.0
            act[chosen, MEAN] += surprise / act[chosen, WEIGHT]
        else:
            implicit = dial[IMPLICIT] * _step_size(k, A, tally, worth, dial)
            loss = (worth[k, LARGEST] - target) / worth[k, RANGE]
            act[chosen, GAIN] -= loss / (chance + implicit)
        for j in range(begin, end):
            act[j, SUM] += act[j, PLAY]
    if tally[k, VISITS] < tally[k, LENGTH]:
        return False
    _end_stage(k, begin, end, tally, worth, act, dial)
    return True


@njit(**JIT)
def learn(
    path, moves, drawn, pay, fade, times, last, over, target, first, tally, worth, act, dial
):  # fmt: skip
    """Let one player learn from an episode of its own (see `find_targets` and `visit`)."""
    find_targets(path, pay, fade, times, last, over, tally, worth, dial, target)
    for t in range(times):
        visit(path[t], moves[t], drawn[t], target[t], first, tally, worth, act, dial)


@njit(**JIT)
def _end_stage(k, begin, end, tally, worth, act, dial):
    length = tally[k, LENGTH]
    worth[k, VALUE] = worth[k, TARGETS] / length
    if dial[BONUS] > 0.0:
        A = end - begin
        seen = tally[k, EARLIER] + length
        bonus = worth[k, RANGE] * math.sqrt(A * math.log(2.0 * A * seen) / length)
        worth[k, VALUE] += dial[BONUS] * bonus
    if dial[OPTIMISTIC]:
        worth[k, VALUE] = min(worth[k, VALUE], worth[k, LARGEST])
    worth[k, TARGETS] = 0.0
    worth[k, SPREAD_BEFORE] = worth[k, SPREAD] / length
    worth[k, SPREAD] = 0.0
    for j in range(begin, end):
        act[j, SUM_BEFORE] = act[j, SUM]
        act[j, SUM] = act[j, GAIN] = 0.0
        act[j, WEIGHT] *= FORGET
    tally[k, STAGES] += 1
    tally[k, EARLIER] += length
    tally[k, LENGTH_BEFORE] = length
    tally[k, VISITS] = 0
    # Rounding must not take 1 from a whole number.
    grown = math.floor(length * (1.0 + dial[GROWTH]) * (1.0 + 1e-12))
    grown = min(max(grown, length + 1.0), MOST)
    tally[k, LENGTH] = int(grown)
    if end - begin > 1:
        doubt = worth[k, DIVERGENCE] * (grown / length) ** DOUBT
        worth[k, DIVERGENCE] = min(doubt, max(math.log(end - begin), worth[k, DIVERGENCE]))


@njit(**JIT)
def _draw(rng, weights, begin, end):
    """Return where a random number falls among `weights`, which sum to 1 from begin to end."""
    if end - begin == 1:
        return begin
    u = rng.random()
    for e in range(begin, end):
        u -= weights[e]
        if u < 0.0:
            return e
    return end - 1


@njit(**JIT)
def play(
    rng, most_episodes, most_steps, starts, chances, number, timed, horizon, rest, discount, scale,
    counts, rows, reward, reward_stride, indptr, indices, probabilities, transition_stride,
    joints, joint, joint_before, path, moves, drawn, pay, fade, target,
    first, tally, worth, act, dial,
):  # fmt: skip
    """Play episodes of a game and learn after each; the table is read only to simulate it.

    Player i's learner at node j is i·N + j, `number` (H or 1, S) a state's node. `rest` marks
    states at which the game is over. Where `joint` is not empty, the products of the policies
    played are added up there. The other arrays are room for one episode; a longer one is learned
    from in parts. Rewards are multiplied by `scale` (n,).

    Returns the episodes played, after at least `most_steps` steps if not `most_episodes`, and the
    steps.
    """
    n = counts.shape[1]
    N = len(joints) - 1
    room = len(path)
    steps = 0
    for episode in range(most_episodes):
        if steps >= most_steps:
            return episode, steps
        s = starts[_draw(rng, chances, 0, len(chances))]
        h = t = 0
        over = stopped = rest[s]
        while not stopped:
            layer = h if timed else 0
            row = 0
            for i in range(n):
                k = i * N + number[layer, s]
                a, drawn[t, i] = choose(rng, k, first, tally, worth, act, dial)
                path[t, i], moves[t, i] = k, a
                row = row * counts[s, i] + a
            row += rows[s]
            for i in range(n):
                pay[t, i] = scale[i] * reward[i, row + layer * reward_stride]
            fade[t, 0] = discount
            fade[t, 1] = discount if timed else 1.0  # there the stops already discount
            r = row + layer * transition_stride
            s = indices[_draw(rng, probabilities, indptr[r], indptr[r + 1])]
            h += 1
            t += 1
            over = rest[s] or h == horizon
            stopped = over or (not timed and discount < 1.0 and rng.random() >= discount)
            if stopped or t == room:
                node = -1 if over else number[h if timed else 0, s]
                for i in range(n):
                    last = -1 if over else i * N + node
                    find_targets(
                        path[:, i], pay[:, i], fade, t, last, over, tally, worth, dial,
                        target[:, i],
                    )  # fmt: skip
                for q in range(t):
                    j = path[q, 0]
                    if len(joint) > 0:
                        _add_play(j, joints, n, path[q], first, act, joint)
                    ended = False
                    for i in range(n):
                        ended = visit(
                            path[q, i], moves[q, i], drawn[q, i], target[q, i],
                            first, tally, worth, act, dial,
                        )  # fmt: skip
                    if ended and len(joint) > 0:
                        for e in range(joints[j], joints[j + 1]):
                            joint_before[e] = joint[e]
                            joint[e] = 0.0
                steps += t
                t = 0
    return most_episodes, steps


@njit(**JIT)
def _add_play(j, joints, n, ks, first, act, joint):
    """Add the product of the players' policies at node j to `joint`."""
    for e in range(joints[j], joints[j + 1]):
        rest, weight = e - joints[j], 1.0
        for i in range(n - 1, -1, -1):
            begin, end = first[ks[i]], first[ks[i] + 1]
            if end - begin > 1:
                weight *= act[begin + rest % (end - begin), PLAY]
                rest //= end - begin
        joint[e] += weight
