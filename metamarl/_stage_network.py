"""The stage network at work, matrix by matrix (see `stage_network`; trained in torch elsewhere).

Kernels that call each other live in this one file, because Numba's cache does not notice when a
kernel of another file changes.
"""

import math

import numpy as np
from numba import njit

JIT = {"cache": True, "nogil": True, "error_model": "numpy"}
FLOOR = 1e-4  # added to a probability before its logarithm is taken
FINE = 1e-3  # added to a gap before its logarithm is taken
POOLS = 4  # numbers that a row is summed up in: mean, largest, smallest, root mean square


@njit(**JIT)
def _gap(Z, x, y):
    """Duality gap of x, y in the matrix Z."""
    high, low = -np.inf, np.inf
    for a in range(len(x)):
        q = 0.0
        for b in range(len(y)):
            q += Z[a, b] * y[b]
        high = max(high, q)
    for b in range(len(y)):
        q = 0.0
        for a in range(len(x)):
            q += Z[a, b] * x[a]
        low = min(low, q)
    return high - low


@njit(**JIT)
def _encode(Z, weights, biases, readout, pools, logits):
    """Write a number per row: a perceptron on what is pooled over the columns, and over the rows.

    `weights` (2·POOLS, hidden), `biases`, `readout` (hidden,); `pools` (A, 2·POOLS) is overwritten.
    """
    A, B = Z.shape
    for a in range(A):
        mean, high, low, square = 0.0, -np.inf, np.inf, 0.0
        for b in range(B):
            z = Z[a, b]
            mean += z
            high, low = max(high, z), min(low, z)
            square += z * z
        pools[a, 0], pools[a, 1], pools[a, 2] = mean / B, high, low
        pools[a, 3] = math.sqrt(square / B)
    for k in range(POOLS):
        most = -np.inf
        for a in range(A):
            most = max(most, pools[a, k])
        for a in range(A):
            pools[a, POOLS + k] = most
    for a in range(A):
        logits[a] = 0.0
        for j in range(len(biases)):
            u = biases[j]
            for k in range(2 * POOLS):
                u += pools[a, k] * weights[k, j]
            if u > 0.0:
                logits[a] += u * readout[j]


@njit(**JIT)
def _softmax(logits, x):
    top, total = -np.inf, 0.0
    for a in range(len(x)):
        top = max(top, logits[a])
    for a in range(len(x)):
        x[a] = math.exp(logits[a] - top)
        total += x[a]
    for a in range(len(x)):
        x[a] /= total


@njit(**JIT)
def _advantages(Z, x, y, u):
    """u = Z·y - x·Z·y."""
    worth = 0.0
    for a in range(len(x)):
        u[a] = 0.0
        for b in range(len(y)):
            u[a] += Z[a, b] * y[b]
        worth += x[a] * u[a]
    for a in range(len(x)):
        u[a] -= worth


@njit(**JIT)
def _refine(Z, Y, x0, y0, gap, weights, biases, readout, gate, rates, slopes, x, y):
    """The network's policies x, y for the matrix Z, with Y = -Zᵀ, from the plays x0, y0."""
    (A, B), K = Z.shape, len(rates)
    logits, others = np.empty(A), np.empty(B)
    _encode(Z, weights, biases, readout, np.empty((A, 2 * POOLS)), logits)
    _encode(Y, weights, biases, readout, np.empty((B, 2 * POOLS)), others)
    t = math.log(gap + FINE)
    part = 1.0 / (1.0 + math.exp(-(gate[0] + gate[1] * t)))
    for a in range(A):
        logits[a] = math.log(x0[a] + FLOOR) + part * logits[a]
    for b in range(B):
        others[b] = math.log(y0[b] + FLOOR) + part * others[b]
    p, q, u, v, du, dv = (
        np.empty(A),
        np.empty(B),
        np.empty(A),
        np.empty(B),
        np.empty(A),
        np.empty(B),
    )
    shares, averaged = np.empty(K), np.empty(K)
    for k in range(K):
        shares[k] = rates[k, 2] + slopes[k, 2] * t
    _softmax(shares, averaged)
    _softmax(logits, p)
    _softmax(others, q)
    _advantages(Z, p, q, u)
    _advantages(Y, q, p, v)
    x[:] = 0.0
    y[:] = 0.0
    for k in range(K):
        eta = math.exp(rates[k, 0] + slopes[k, 0] * t)
        ahead = math.exp(rates[k, 1] + slopes[k, 1] * t)
        _advantages(Z, p, q, du)
        _advantages(Y, q, p, dv)
        for a in range(A):
            logits[a] += eta * (du[a] + ahead * (du[a] - u[a]))
            u[a] = du[a]
        for b in range(B):
            others[b] += eta * (dv[b] + ahead * (dv[b] - v[b]))
            v[b] = dv[b]
        _softmax(logits, p)
        _softmax(others, q)
        for a in range(A):
            x[a] += averaged[k] * p[a]
        for b in range(B):
            y[b] += averaged[k] * q[b]


@njit(**JIT)
def propose(
    matrices, firsts, seconds, weights, biases, readout, gate, rates, slopes, caution, least, X, Y
):
    """Write proposals for `matrices` (n, A, B) to X (n, A) and Y (n, B).

    At every matrix the better of the network's policies and the plays `firsts` (n, A), `seconds`
    (n, B), mixed with a part α = c g² / (1 + c g²) ≥ `least` of the uniform ones, for their gap g
    over the uniform ones'. A `caution` c < 0 stands for the network's own policies as they are.
    """
    n, A, B = matrices.shape
    Z, turned = np.empty((A, B)), np.empty((B, A))
    x, y = np.empty(A), np.empty(B)
    for j in range(n):
        Q = matrices[j]
        low, high, mean = Q[0, 0], Q[0, 0], 0.0
        for a in range(A):
            for b in range(B):
                low, high = min(low, Q[a, b]), max(high, Q[a, b])
                mean += Q[a, b] / (A * B)
        X[j], Y[j] = 1.0 / A, 1.0 / B
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            continue
        for a in range(A):
            for b in range(B):
                Z[a, b] = 2.0 * (Q[a, b] - mean) / (high - low)
                turned[b, a] = -Z[a, b]
        scratch, played = _gap(Z, X[j], Y[j]), _gap(Z, firsts[j], seconds[j])
        _refine(
            Z, turned, firsts[j], seconds[j], max(played, 0.0), weights, biases, readout, gate,
            rates, slopes, x, y,
        )  # fmt: skip
        if caution < 0.0:
            X[j], Y[j] = x, y
            continue
        own = _gap(Z, x, y)
        if not own < played:  # also where it is no number
            x[:], y[:], own = firsts[j], seconds[j], played
        odds = caution * ((own + 1e-12) / (scratch + 1e-12)) ** 2
        if not odds < np.inf:
            continue
        part = max(least, odds / (1.0 + odds))
        X[j] = (1.0 - part) * x + part * X[j]
        Y[j] = (1.0 - part) * y + part * Y[j]
