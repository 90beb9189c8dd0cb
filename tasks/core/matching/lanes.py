"""Sixteen numbers at once, where the compiler does not find the wide instructions in loops over arrays.

The functions are for compiled code, and spelled out in the compiler's own language; where registers are
narrower it splits them. Arrays are contiguous, of float32 or int32, and levels may be the bits of finite
float16 as uint16; a place counts an array's single values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from inspect import Parameter, Signature
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

SIDE = 4  # patches in a block of a query or of a gallery
LANES = SIDE * SIDE  # pairs of theirs, the gallery's patch changing first
_CHAINS = 4  # sums that do not wait for each other

_FLOAT, _HALF, _INDEX, _PLACE = ir.FloatType(), ir.IntType(16), ir.IntType(32), ir.IntType(64)
_QUAD, _WIDE = ir.VectorType(_FLOAT, SIDE), ir.VectorType(_FLOAT, LANES)
_HALVES, _INDICES = ir.VectorType(_HALF, LANES), ir.VectorType(_INDEX, LANES)
_FLOAT16 = ir.VectorType(ir.HalfType(), LANES)
_FIRST = ir.Constant(_INDICES, [0] * LANES)
_COUNTED = ir.Constant(_INDICES, list(range(LANES)))
_REPEATED = ir.Constant(_INDICES, [lane % SIDE for lane in range(LANES)])
_STRETCHED = ir.Constant(_INDICES, [lane // SIDE for lane in range(LANES)])
_ZERO = ir.Constant(_WIDE, [0.0] * LANES)
_APART = ir.Constant(_WIDE, [2.0**112] * LANES)  # what the exponents of a half and a single are apart

_CHOSEN = config.CPU_FEATURES  # type: ignore[attr-defined]  # by who runs this
_FEATURES = get_host_cpu_features() if _CHOSEN is None else _CHOSEN  # type: ignore[no-untyped-call]
_KNOWS_HALVES = {"+avx", "+f16c"} <= set(_FEATURES.split(","))


class _Code:
    """The instructions of one call; arrays are named by their number among its arguments."""

    def __init__(self, context: Any, builder: Any, kinds: Any, arguments: Any) -> None:
        self.builder = builder
        self.arguments = arguments
        self._context, self._kinds = context, kinds

    def array(self, number: int) -> Any:
        kind = self._context.make_array(self._kinds[number])
        return kind(self._context, self.builder, self.arguments[number])

    def parts(self, number: int) -> list[Any]:
        """The four values of a tuple."""
        return [self.builder.extract_value(self.arguments[number], part) for part in range(4)]

    def variable(self, value: Any) -> Any:
        return cgutils.alloca_once_value(self.builder, value)  # type: ignore[no-untyped-call]

    def loop(self, start: Any, stop: Any, step: int = LANES) -> Any:
        """A context of places from start to stop."""
        return cgutils.for_range_slice(self.builder, start, stop, _PLACE(step), intp=_PLACE)

    def load(self, number: int, place: Any, kind: Any = _WIDE) -> Any:
        return self.builder.load(self._address(number, place, kind), align=4)

    def values(self, number: int, place: Any) -> Any:
        """Sixteen of a level."""
        if self._kinds[number].dtype != types.uint16:
            return self.load(number, place)
        halves = self.load(number, place, _HALVES)
        if _KNOWS_HALVES:
            return self.builder.fpext(self.builder.bitcast(halves, _FLOAT16), _WIDE)
        return self._widened(halves)

    def _widened(self, halves: Any) -> Any:
        """Sign, exponent and fraction moved to their places, exactly, for processors that know no half."""
        bits = self.builder.zext(halves, _INDICES)

        def moved(part: int, by: int) -> Any:
            kept = self.builder.and_(bits, ir.Constant(_INDICES, [part] * LANES))
            return self.builder.shl(kept, ir.Constant(_INDICES, [by] * LANES))

        wide = self.builder.bitcast(self.builder.or_(moved(0x8000, 16), moved(0x7FFF, 13)), _WIDE)
        return self.builder.fmul(wide, _APART)

    def quad(self, number: int, place: Any, lanes: Any) -> Any:
        """Four values, in sixteen lanes."""
        return self.builder.shuffle_vector(
            self.load(number, place, _QUAD), ir.Constant(_QUAD, ir.Undefined), lanes
        )

    def store(self, value: Any, number: int, place: Any) -> None:
        self.builder.store(value, self._address(number, place, value.type), align=4)

    def _address(self, number: int, place: Any, kind: Any) -> Any:
        address = self.builder.gep(self.array(number).data, [place])
        return self.builder.bitcast(address, kind.as_pointer())

    def plus(self, place: Any, more: Any) -> Any:
        return self.builder.add(place, _PLACE(more) if isinstance(more, int) else more)

    def times(self, place: Any, factor: int) -> Any:
        return self.builder.mul(place, _PLACE(factor))

    def fused(self, a: Any, b: Any, c: Any) -> Any:
        """The vector a * b + c."""
        return self.call("llvm.fmuladd.v16f32", _WIDE, a, b, c)

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        module = self.builder.module
        function = cgutils.get_or_insert_function(module, kind, name)  # type: ignore[no-untyped-call]
        return self.builder.call(function, arguments)

    def every(self, value: Any, kind: Any = _WIDE) -> Any:
        """One value in all lanes."""
        nothing = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(nothing, value, _INDEX(0))
        return self.builder.shuffle_vector(one, nothing, _FIRST)

    def above(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Whether a > b, lane by lane, and as the bits of an integer."""
        flags = self.builder.fcmp_ordered(">", a, b)
        return flags, self.builder.zext(self.builder.bitcast(flags, ir.IntType(LANES)), _INDEX)

    def add_to(self, variable: Any, more: Any) -> None:
        self.builder.store(self.builder.add(self.builder.load(variable), more), variable)


def _compiled(result: Any, instructions: Callable[[_Code], Any], names: str) -> Any:
    """A function for compiled code, with arguments of these names; its numbers are places or float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = instructions(_Code(context, builder, signature.args, arguments))
        return context.get_dummy_value() if value is None else value

    def kind_of(kind: Any) -> Any:
        if isinstance(kind, types.Integer):
            return types.int64
        return types.float32 if isinstance(kind, types.Float) else kind

    def typed(_context: Any, *kinds: Any) -> Any:
        return result(*map(kind_of, kinds)), generate

    kind = Parameter.POSITIONAL_ONLY
    parameters = [Parameter(name, kind) for name in ("context", *names.split())]
    typed.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return intrinsic(typed)


def sieve(rows: int, *, fresh: bool) -> Any:
    """A function that adds `rows` rows of products to the sums of blocks, and keeps the blocks that pass.

    `sift(chosen, masks, sums, count, query, first, gallery, start, floors)` goes through the first `count`
    of the gallery's blocks `chosen` (N,) int32. To their `sums` (N, 16), or to 0 if fresh, it adds the
    products of the rows of a query's blocks (S, B, R, 4) from `first` on with those of the gallery's of the
    same shape from `start` on. It keeps, in place, the blocks with a pair whose sum plus the product of the
    row after those is above its floor (16,), and returns how many; `masks` (N,) int32 have a bit for each
    such pair.
    """

    def sift(code: _Code) -> Any:
        builder = code.builder
        count, first, start = (code.arguments[number] for number in (3, 5, 7))
        block = code.times(builder.extract_value(code.array(6).shape, 2), SIDE)
        left = [code.quad(4, code.plus(first, row * SIDE), _STRETCHED) for row in range(rows + 1)]
        floor = code.load(8, _PLACE(0))
        kept = code.variable(_PLACE(0))
        with code.loop(_PLACE(0), count, 1) as (place, _):
            number = code.load(0, place, _INDEX)
            other = code.plus(builder.mul(builder.zext(number, _PLACE), block), start)

            def product(row: int, total: Any) -> Any:
                return code.fused(left[row], code.quad(6, code.plus(other, row * SIDE), _REPEATED), total)

            totals = [_ZERO if fresh else code.load(2, code.times(place, LANES)), _ZERO]
            for row in range(rows):
                totals[row % 2] = product(row, totals[row % 2])
            total = builder.fadd(*totals)
            _, mask = code.above(product(rows, total), floor)
            to = builder.load(kept)
            code.store(total, 2, code.times(to, LANES))
            code.store(number, 0, to)
            code.store(mask, 1, to)
            code.add_to(kept, builder.zext(builder.icmp_unsigned("!=", mask, _INDEX(0)), _PLACE))
        return builder.load(kept)

    return _compiled(types.int64, sift, "chosen masks sums count query first gallery start floors")


def _choose(code: _Code) -> Any:
    """`choose(chosen, values, place, weights, factor, limit, start, stop)`.

    Writes to `chosen` int32 the x from `start` to `stop`, multiples of 16, with
    values[place + x] < limit + factor * weights[x], and up to 16 numbers after them; returns how many.
    """
    builder = code.builder
    place, factor, limit, start, stop = (code.arguments[number] for number in (2, 4, 5, 6, 7))
    factors, limits = code.every(factor), code.every(limit)
    count = code.variable(_PLACE(0))
    with code.loop(start, stop) as (x, _):
        highest = code.fused(factors, code.load(3, x), limits)
        flags, mask = code.above(highest, code.load(1, code.plus(place, x)))
        numbers = builder.add(_COUNTED, code.every(builder.trunc(x, _INDEX), _INDICES))
        nothing = ir.Constant(_INDICES, ir.Undefined)
        packed = code.call("llvm.experimental.vector.compress.v16i32", _INDICES, numbers, flags, nothing)
        code.store(packed, 0, builder.load(count))
        code.add_to(count, builder.zext(builder.ctpop(mask), _PLACE))
    return builder.load(count)


def _add_blend(code: _Code) -> None:
    """`add_blend(out, place, level, cells, shares, length)`.

    Adds to `length` values of `out`, a multiple of 16, those of a level from four places on, times shares.
    """
    place, length = code.arguments[1], code.arguments[5]
    cells, shares = code.parts(3), [code.every(share) for share in code.parts(4)]
    with code.loop(_PLACE(0), length) as (x, _):
        total = code.load(0, code.plus(place, x))
        for cell, share in zip(cells, shares, strict=True):
            total = code.fused(share, code.values(2, code.plus(cell, x)), total)
        code.store(total, 0, code.plus(place, x))


def _apart(code: _Code) -> Any:
    """`apart(a, place, b, at, length)`: the squared difference of `length` values, a multiple of 16."""
    builder = code.builder
    totals = [code.variable(_ZERO) for _ in range(_CHAINS)]

    def add(x: Any, total: Any) -> None:
        a, b = (code.values(number, code.plus(code.arguments[number + 1], x)) for number in (0, 2))
        away = builder.fsub(a, b)
        builder.store(code.fused(away, away, builder.load(total)), total)

    whole = builder.and_(code.arguments[4], _PLACE(-_CHAINS * LANES))
    with code.loop(_PLACE(0), whole, _CHAINS * LANES) as (x, _):
        for number, total in enumerate(totals):
            add(code.plus(x, number * LANES), total)
    with code.loop(whole, code.arguments[4]) as (x, _):
        add(x, totals[0])
    first, *others = map(builder.load, totals)
    summed = reduce(builder.fadd, others, first)
    for half in (8, 4, 2, 1):
        moved = ir.Constant(_INDICES, [(lane + half) % LANES for lane in range(LANES)])
        summed = builder.fadd(summed, builder.shuffle_vector(summed, summed, moved))
    return builder.extract_element(summed, _INDEX(0))


choose = _compiled(types.int64, _choose, "chosen values place weights factor limit start stop")
add_blend = _compiled(types.void, _add_blend, "out place level cells shares length")
apart = _compiled(types.float32, _apart, "a place b at length")
