"""Vectors of 16 numbers for functions that numba compiles, and the exponential and softplus of them.

To numba, :class:`Vector` is a type of its own; to LLVM it is a vector, which it splits into what the processor's
registers hold. Multiplications and additions fuse where the processor can. Nothing depends on what a compiler makes of
a loop over arrays.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import lower_builtin, models, register_model, type_callable

from deeprftv2_arch.ops.scan.numba_layout import LANES

FUSED = ("contract",)

# To type checkers, numba's own would demand the first parameter, the typing context, from callers too.
intrinsic: Callable[[Callable[..., Any]], Any] = extending.intrinsic


class Vector(types.Type):
    """Type of ``LANES`` numbers."""

    def __init__(self, element: types.Float) -> None:
        self.element = element
        super().__init__(f"Vector({element})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        element = ir.FloatType() if vector.element == types.float32 else ir.DoubleType()
        super().__init__(manager, vector, ir.VectorType(element, LANES))  # type: ignore[no-untyped-call]  # of numba


def _define(operation: Callable[..., Any], instruction: str) -> None:
    """Let a Python operator between two vectors be an instruction of LLVM."""

    @type_callable(operation)
    def type_of(context: Any) -> Callable[..., Any]:
        return lambda a, b: a if isinstance(a, Vector) and a == b else None

    @lower_builtin(operation, Vector, Vector)
    def lower(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(*arguments, flags=FUSED)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define(_operation, _instruction)


def _address(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, index: Any) -> Any:
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    return builder.gep(data, [index])


def _splat(builder: ir.IRBuilder, vector: ir.VectorType, element: Any) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), element, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.shuffle_vector(one, one, zeros)


def _vector_pointer(context: Any, builder: ir.IRBuilder, array: Any, value: Any, index: Any) -> Any:
    pointer_type = context.get_value_type(Vector(array.dtype)).as_pointer()
    return builder.bitcast(_address(context, builder, array, value, index), pointer_type)


def _rows(context: Any, builder: ir.IRBuilder, array: Any, value: Any, first: Any, stride: Any) -> list[Any]:
    """Return the pointers to ``LANES`` vectors in a flat array, ``stride`` elements from one to the next."""
    pointers = []
    for _ in range(LANES):
        pointers.append(_vector_pointer(context, builder, array, value, first))
        first = builder.add(first, stride)
    return pointers


def _read(builder: ir.IRBuilder, pointer: Any) -> Any:
    element = pointer.type.pointee.element
    return builder.load(pointer, align=4 if isinstance(element, ir.FloatType) else 8)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Load the ``LANES`` elements of a flat array from an index on."""
    vector = Vector(array.dtype)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return _read(builder, _vector_pointer(context, builder, array, *arguments))

    return vector(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector to a flat array, from an index on."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        pointer = _vector_pointer(context, builder, array, *arguments[:2])
        builder.store(arguments[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the memory around an element of a flat array; the index may lie outside of it."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        integer, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
        function = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), function_type)
        address = builder.bitcast(_address(context, builder, array, *arguments), pointer)
        to_read, into_every_cache, data = (ir.Constant(integer, number) for number in (0, 3, 1))
        builder.call(function, [address, to_read, into_every_cache, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def spread(typing: Any, array: Any, index: Any) -> Any:
    """Load a vector that holds one element of a flat array in every lane."""
    vector = Vector(array.dtype)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        element = builder.load(_address(context, builder, array, *arguments))
        return _splat(builder, context.get_value_type(vector), element)

    return vector(array, types.intp), generate


@intrinsic
def full_like(typing: Any, vector: Any, value: Any) -> Any:
    """Make a vector that holds a number in every lane, of the type of another."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        element = context.cast(builder, arguments[1], types.float64, vector.element)
        return _splat(builder, context.get_value_type(vector), element)

    return vector(vector, types.float64), generate


# --- Functions of vectors ---


def _polynomial(function: Callable[[np.ndarray], np.ndarray], degree: int, low: float, high: float) -> list[float]:
    """Interpolate a function at the Chebyshev nodes of an interval; return the coefficients, constant first."""
    fit = np.polynomial.Chebyshev.interpolate(function, degree, domain=[low, high])
    return [float(x) for x in fit.convert(kind=np.polynomial.Polynomial).coef]


def _growth(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.expm1(x * math.log(2)) / x)


# Errors relative to 2^x: 5e-9 and below 1e-16. An even number of nodes leaves out x = 0.
GROWTH = {32: _polynomial(_growth, 5, -0.5, 0.5), 64: _polynomial(_growth, 11, -0.5, 0.5)}
# atanh(x) / x as a polynomial of x^2, the series up to where it is as exact as the type for x up to 1/3.
ATANH = {bits: [1 / (2 * k + 1) for k in range(terms)] for bits, terms in ((32, 7), (64, 16))}
MANTISSA = {32: 23, 64: 52}  # bits


class _Emitter:
    """Writes arithmetic on LLVM vectors of one type."""

    def __init__(self, builder: ir.IRBuilder, vector: ir.VectorType, bits: int) -> None:
        self.builder = builder
        self.vector = vector
        self.bits = bits
        self.integers = ir.VectorType(ir.IntType(bits), LANES)

    def constant(self, value: float) -> ir.Constant:
        return ir.Constant(self.vector, [value] * LANES)

    def polynomial(self, coefficients: list[float], x: Any) -> Any:
        value = self.constant(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            value = self.builder.fadd(self.builder.fmul(value, x, flags=FUSED), self.constant(coefficient), flags=FUSED)
        return value

    def exp2(self, x: Any) -> Any:
        """Compute 2^x = 2^n 2^f with n the nearest whole number; exactly 0 where 2^x is subnormal, infinity above.

        Adding 1.5 * 2^mantissa rounds x to n, which then stands in the lowest bits; they are added to the exponent.
        """
        builder = self.builder
        bias = 2 ** {32: 7, 64: 10}[self.bits] - 1
        rounding = self.constant(1.5 * 2.0 ** MANTISSA[self.bits])
        too_large = builder.fcmp_ordered(">", x, self.constant(bias + 1))
        capped = builder.select(too_large, self.constant(bias + 1), x)
        rounded = builder.fadd(capped, rounding)
        fraction = builder.fsub(capped, builder.fsub(rounded, rounding))
        growth = builder.fmul(self.polynomial(GROWTH[self.bits], fraction), fraction, flags=FUSED)
        power = builder.fadd(growth, self.constant(1.0), flags=FUSED)
        shift = ir.Constant(self.integers, [MANTISSA[self.bits]] * LANES)
        exponent = builder.shl(builder.bitcast(rounded, self.integers), shift)
        scaled = builder.bitcast(builder.add(builder.bitcast(power, self.integers), exponent), self.vector)
        return builder.select(builder.fcmp_ordered("<", x, self.constant(1 - bias)), self.constant(0.0), scaled)

    def softplus(self, x: Any) -> tuple[Any, Any]:
        """Compute log(1 + e^x) and its derivative, without loss of digits for any x.

        With z = e^-|x|: max(x, 0) + log(1 + z), and log(1 + z) = 2 atanh(z / (2 + z)).
        """
        builder = self.builder
        zero, one = self.constant(0.0), self.constant(1.0)
        negative = builder.fcmp_ordered("<", x, zero)
        minus_magnitude = builder.select(negative, x, builder.fsub(zero, x))
        z = self.exp2(builder.fmul(minus_magnitude, self.constant(math.log2(math.e))))
        ratio = builder.fdiv(z, builder.fadd(z, self.constant(2.0)))
        series = self.polynomial(ATANH[self.bits], builder.fmul(ratio, ratio))
        log = builder.fmul(builder.fadd(ratio, ratio), series)
        slope = builder.fdiv(builder.select(negative, z, one), builder.fadd(z, one))
        return builder.fadd(builder.select(negative, zero, x), log), slope

    def pick(self, a: Any, b: Any, lanes: list[int]) -> Any:
        """Take lanes of two vectors, counted through both."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes))

    def sums(self, vectors: list[Any]) -> Any:
        """Sum the lanes of each of ``LANES`` vectors, as one vector.

        Halves of what is left of two vectors are added, until one number of each is left.
        """
        width = LANES
        while len(vectors) > 1:
            width //= 2
            low = [lane for lane in range(2 * LANES) if lane // width % 2 == 0]
            high = [lane + width for lane in low]
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [self.builder.fadd(self.pick(a, b, low), self.pick(a, b, high)) for a, b in pairs]
        return vectors[0]

    def transposed(self, vectors: list[Any]) -> list[Any]:
        """Transpose ``LANES`` vectors: blocks change places, by halves."""
        vectors = list(vectors)
        width = LANES
        while width > 1:
            width //= 2
            low = [lane if lane // width % 2 == 0 else lane - width + LANES for lane in range(LANES)]
            high = [lane + width if lane // width % 2 == 0 else lane + LANES for lane in range(LANES)]
            for i in range(LANES):
                if i // width % 2 == 0:
                    a, b = vectors[i], vectors[i + width]
                    vectors[i], vectors[i + width] = self.pick(a, b, low), self.pick(a, b, high)
        return vectors


def _emitter(context: Any, builder: ir.IRBuilder, vector: Vector) -> _Emitter:
    return _Emitter(builder, context.get_value_type(vector), vector.element.bitwidth)


@intrinsic
def exp2(typing: Any, x: Any) -> Any:
    """Compute 2^x."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return _emitter(context, builder, x).exp2(*arguments)

    return x(x), generate


@intrinsic
def softplus(typing: Any, x: Any) -> Any:
    """Compute log(1 + e^x), and its derivative."""
    pair = types.UniTuple(x, 2)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return context.make_tuple(builder, pair, _emitter(context, builder, x).softplus(*arguments))

    return pair(x), generate


@intrinsic
def lane_sums(typing: Any, array: Any, index: Any) -> Any:
    """Sum each of the ``LANES`` vectors that follow one another in a flat array from an index on, as one vector."""
    vector = Vector(array.dtype)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        rows = _rows(context, builder, array, arguments[0], arguments[1], ir.Constant(ir.IntType(64), LANES))
        return _emitter(context, builder, vector).sums([_read(builder, row) for row in rows])

    return vector(array, types.intp), generate


@intrinsic
def transpose(
    typing: Any, source: Any, first: Any, stride: Any, target: Any, target_first: Any, target_stride: Any
) -> Any:
    """Copy ``LANES`` x ``LANES`` numbers between flat arrays so that rows become columns.

    A row is ``LANES`` neighbours in its array; its stride is the number of elements from one row to the next.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        rows = _rows(context, builder, source, *arguments[:3])
        vectors = _emitter(context, builder, Vector(source.dtype)).transposed([_read(builder, row) for row in rows])
        for row, vector in zip(_rows(context, builder, target, *arguments[3:]), vectors, strict=True):
            builder.store(vector, row, align=source.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate
