"""Vectors of `LANE_BYTES` bytes as a type of number in Numba's code.

`load` takes neighbouring numbers of an array as one vector, `store` puts them back; +, -, *, /,
`max` and `exponential` work lane by lane. LLVM cuts a vector into the machine's registers and keeps
it there, which it would not do with a loop over lanes. Two AVX-512 registers at a time hide the
latency of one (measured: one is a third slower, four no faster).

Kernels elsewhere are compiled from this: Numba's cache does not notice a change
in this file, so that `__pycache__` has to go after one.
"""

import math
import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.datamodel import models
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, register_model
from numpy.typing import DTypeLike, NDArray

from metamarl.algorithms._jit import BARE

LANE_BYTES = 128
LANES = LANE_BYTES // 8  # of float64
ALIGNED = 64  # bytes of a cache line: a vector that straddles two costs two


class Vector(types.Type):
    """The type of a vector of float64 or float32 numbers."""

    def __init__(self, number: Any) -> None:
        self.number, self.lanes = number, 8 * LANE_BYTES // number.bitwidth
        super().__init__(f"Vector({number} x {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        number = ir.DoubleType() if kind.number == types.float64 else ir.FloatType()
        super().__init__(manager, kind, ir.VectorType(number, kind.lanes))


KINDS = {number: Vector(number) for number in (types.float64, types.float32)}


def aligned(size: int, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Zeros that begin at a cache line."""
    n_bytes = size * np.dtype(dtype).itemsize
    memory = np.zeros(n_bytes + ALIGNED, np.uint8)
    begin = -memory.ctypes.data % ALIGNED
    return memory[begin : begin + n_bytes].view(dtype)


def _define(operation: Any, build: Any) -> None:
    cases = [signature(kind, kind, kind) for kind in KINDS.values()]
    infer_global(operation)(type("_Operation", (ConcreteTemplate,), {"cases": cases}))
    for kind in KINDS.values():
        lower_builtin(operation, kind, kind)(
            lambda context, builder, signature, args: build(builder, *args)  # noqa: ARG005
        )


def _larger(builder, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


_define(operator.add, lambda builder, a, b: builder.fadd(a, b))
_define(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_define(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_define(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))
_define(max, _larger)


def _pointer(context, builder, kind, array, at):
    data = context.make_array(array[0])(context, builder, array[1]).data
    return builder.bitcast(builder.gep(data, [at]), context.get_value_type(kind).as_pointer())


@intrinsic
def load(typingctx, array, at):  # noqa: ARG001
    """The vector that begins at `array[at]`."""
    kind = KINDS[array.dtype]

    def build(context, builder, signature, args):
        where = _pointer(context, builder, kind, (signature.args[0], args[0]), args[1])
        return builder.load(where, align=array.dtype.bitwidth // 8)

    return kind(array, types.intp), build


@intrinsic
def store(typingctx, array, at, vector):  # noqa: ARG001
    """Write a vector to `array[at]` and on."""

    def build(context, builder, signature, args):
        where = _pointer(context, builder, vector, (signature.args[0], args[0]), args[1])
        builder.store(args[2], where, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), build


@intrinsic
def spread(typingctx, x, array):  # noqa: ARG001
    """The number x in all lanes of a vector of the array's kind."""
    kind = KINDS[array.dtype]

    def build(context, builder, signature, args):  # noqa: ARG001
        wide = context.get_value_type(kind)
        blank = ir.Constant(wide, ir.Undefined)
        first = builder.insert_element(blank, args[0], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.lanes), [0] * kind.lanes)
        return builder.shuffle_vector(first, blank, zeros)

    return kind(kind.number, array), build


@intrinsic
def pick(typingctx, a, b, x, y):  # noqa: ARG001
    """x in the lanes where a > b, y in the others."""

    def build(context, builder, signature, args):  # noqa: ARG001
        a, b, x, y = args
        return builder.select(builder.fcmp_ordered(">", a, b), x, y)

    return x(a, b, x, y), build


def _folding(build):
    """An intrinsic that folds a vector to one number, by halves."""

    def typed(typingctx, vector):  # noqa: ARG001
        def code(context, builder, signature, args):  # noqa: ARG001
            (value,) = args
            width = vector.lanes
            while width > 1:
                width //= 2
                index = ir.VectorType(ir.IntType(32), width)
                low, high = (
                    builder.shuffle_vector(value, value, ir.Constant(index, list(part)))
                    for part in (range(width), range(width, 2 * width))
                )
                value = build(builder, low, high)
            return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

        return vector.number(vector), code

    return intrinsic(typed)


total = _folding(lambda builder, a, b: builder.fadd(a, b))
largest = _folding(_larger)

# Least exponent, 1.5·2^(digits of the mantissa): adding it rounds to an integer, left in the low
# bits; ln 2 in two parts; bits of the mantissa, of 1.0, and of all.
DOUBLE = (-700.0, 6755399441055744.0, 0.693147180369123816490, 1.90821492927058770002e-10)
SINGLE = (-87.0, 12582912.0, 0.693359375, -2.12194440e-4)
# e^r ≈ 1 + r + r²·(c0 + c1·r + …) for |r| ≤ ln(2)/2, of least relative error (3e-16 and 1e-7), by
# Remez exchange. Taylor's series needs two terms more, which cost a tenth of an iteration.
DOUBLE_SERIES = (
    0.4999999999999832, 0.16666666666611338, 0.04166666666814234, 0.008333333370981771,
    0.0013888888515112684, 0.00019841185068291737, 2.4801932406116626e-05, 2.763506792697022e-06,
    2.7476715749581283e-07,
)  # fmt: skip
SINGLE_SERIES = (
    0.4999923031091191, 0.16667115394448567, 0.041890331420112385, 0.008312500815475203,
)  # fmt: skip
BITS = {types.float64: (52, 0x3FF0000000000000, 64), types.float32: (23, 0x3F800000, 32)}


@intrinsic
def exponential(typingctx, vector):  # noqa: ARG001
    """e^x for x ≤ 0, to 6e-16 in float64 and 2e-7 in float32; Numba's own does not vectorise."""
    double = vector.number == types.float64
    least, rounder, high, low = DOUBLE if double else SINGLE
    series = (1.0, 1.0, *(DOUBLE_SERIES if double else SINGLE_SERIES))
    mantissa, one, bits = BITS[vector.number]

    def build(context, builder, signature, args):  # noqa: ARG001
        (x,) = args
        wide, whole = x.type, ir.VectorType(ir.IntType(bits), vector.lanes)

        def number(c):
            return ir.Constant(wide, [float(c) if double else float(np.float32(c))] * vector.lanes)

        def integer(c):
            return ir.Constant(whole, [c] * vector.lanes)

        # In this order what is no number stays none, and the solver notices.
        x = builder.select(builder.fcmp_ordered("<", x, number(least)), number(least), x)
        t = builder.fadd(builder.fmul(x, number(1.0 / math.log(2.0))), number(rounder))
        n = builder.fsub(t, number(rounder))
        r = builder.fsub(x, builder.fmul(n, number(high)))
        r = builder.fsub(r, builder.fmul(n, number(low)))
        p = number(series[-1])
        for c in series[-2::-1]:
            p = builder.fadd(builder.fmul(p, r), number(c))
        scale = builder.add(builder.shl(builder.bitcast(t, whole), integer(mantissa)), integer(one))
        return builder.fmul(p, builder.bitcast(scale, wide))

    return vector(vector), build


@njit(**BARE)
def fold(lanes, A, B, M, U, S, V, all_S, all_V):
    """Add S and V to all_S and all_V, clear them, and take M and U down by the largest U."""
    for begin, end in ((0, A), (A, A + B)):
        for i in range(lanes):
            top = U[begin * lanes + i]
            for k in range(begin + 1, end):
                top = max(top, U[k * lanes + i])
            for k in range(begin, end):
                M[k * lanes + i] -= top
                U[k * lanes + i] -= top
    for k in range(len(S)):
        all_S[k] += S[k]
        S[k] = 0.0
    for i in range(len(V)):
        all_V[i] += V[i]
        V[i] = 0.0
