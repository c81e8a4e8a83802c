"""Kernels of the selective scan for CPUs, compiled by numba: loops over positions and states, on 16 channels at once.

A *block* is LANES = 16 neighbouring channels, a *chunk* CHUNK positions. What a chunk of a block needs is copied into
*tiles*, (CHUNK, 16), which stay in the processor's innermost cache, from whatever layout. Where the last block has
fewer than 16 channels, tiles and parameters hold zeros behind them, so that all that comes of these lanes is zero.

Sequences and projections are flat arrays with strides (``Strided``); all else is flat and contiguous, with the
shape that the comments give, and the 16 channels of a block as its last axis. Decays are powers of two.

A kernel does one ``Task``, alone and without Python's lock; tasks write to places of their own.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from numba import njit

from deeprftv2_arch.ops.scan.numba_layout import CHUNK, LANES, TILE, TILES, Array, Sizes, Strided, Task
from deeprftv2_arch.ops.scan.numba_vectors import (
    exp2,
    full_like,
    lane_sums,
    load,
    prefetch,
    softplus,
    spread,
    store,
    transpose,
)

U, STEP, DRIVE, SLOPE, OUT = (TILE * i for i in range(TILES))  # where tiles begin
DY = OUT
LN_2 = math.log(2)


@njit(nogil=True)
def _first(x: Strided, row: int, block: int, position: int) -> int:
    """Say where the first channel of a block at a position lies."""
    return row * x.over_rows + block * LANES * x.over_channels + position * x.over_positions


@njit(nogil=True)
def _prefetch(x: Strided, row: int, block: int, position: int) -> None:
    """Ask for a block at a position that comes later: no processor foresees steps of several hundred bytes."""
    prefetch(x.data, _first(x, row, block, position))


@njit(nogil=True)
def _read_tile(
    x: Strided, row: int, block: int, begin: int, positions: int, lanes: int, tiles: Array, tile: int
) -> None:
    first = _first(x, row, block, begin)
    if lanes == LANES and x.over_channels == 1:
        for t in range(positions):
            store(tiles, tile + t * LANES, load(x.data, first + t * x.over_positions))
    elif lanes == LANES and x.over_positions == 1 and positions == CHUNK:
        for t in range(0, CHUNK, LANES):
            transpose(x.data, first + t, x.over_channels, tiles, tile + t * LANES, LANES)
    else:
        for t in range(positions):
            for lane in range(LANES):
                tiles[tile + t * LANES + lane] = 0
            for lane in range(lanes):
                tiles[tile + t * LANES + lane] = x.data[first + lane * x.over_channels + t * x.over_positions]


@njit(nogil=True)
def _write_tile(
    x: Strided, row: int, block: int, begin: int, positions: int, lanes: int, tiles: Array, tile: int
) -> None:
    first = _first(x, row, block, begin)
    if lanes == LANES and x.over_channels == 1:
        for t in range(positions):
            store(x.data, first + t * x.over_positions, load(tiles, tile + t * LANES))
    elif lanes == LANES and x.over_positions == 1 and positions == CHUNK:
        for t in range(0, CHUNK, LANES):
            transpose(tiles, tile + t * LANES, LANES, x.data, first + t, x.over_channels)
    else:
        for t in range(positions):
            for lane in range(lanes):
                x.data[first + lane * x.over_channels + t * x.over_positions] = tiles[tile + t * LANES + lane]


@njit(nogil=True)
def _read_steps(
    delta: Strided, bias: Array, soft: bool, row: int, block: int, begin: int, positions: int, lanes: int, tiles: Array
) -> None:
    """Fill the tiles of the steps, and of their derivatives with respect to delta."""
    _read_tile(delta, row, block, begin, positions, lanes, tiles, STEP)
    shift = load(bias, block * LANES)
    for t in range(0, positions * LANES, LANES):
        step = load(tiles, STEP + t) + shift
        slope = full_like(step, 1.0)
        if soft:
            step, slope = softplus(step)
        store(tiles, STEP + t, step)
        store(tiles, SLOPE + t, slope)


@njit(nogil=True)
def _read_weights(w: Strided, row: int, begin: int, positions: int, states: int, target: Array) -> None:
    """Copy a chunk of B or C to (positions, states).

    Where they lie, states are as far apart as the sequence is long: for powers of two, all in one set of the cache.
    """
    for n in range(states):
        first = row * w.over_rows + n * w.over_channels + begin * w.over_positions
        for t in range(positions):
            target[t * states + n] = w.data[first + t * w.over_positions]


def outputs(
    u: Strided, delta: Strided, A2: Array, B: Strided, C: Strided, D: Array, bias: Array, soft: bool,
    carries: Array, y: Strided, starts: Array, sizes: Sizes, task: Task, scratch: Array,
) -> None:  # fmt: skip
    """Scan from the states before a segment: outputs, and the states before every chunk.

    Args:
        u, delta: Inputs and step sizes.
        A2: log2(e) A, (blocks, states, 16).
        B, C: Projections.
        D, bias: (blocks, 16), zeros where there is none.
        soft: Whether softplus makes steps of delta.
        carries: States before the segments, (batch, blocks, segments, states, 16).
        y: Outputs.
        starts: States before the chunks, (batch, blocks, chunks, states, 16).
        sizes, task: What to do.
        scratch: Working memory (:func:`~deeprftv2_arch.ops.scan.numba_layout.scratch_size`).
    """
    blocks = (sizes.channels + LANES - 1) // LANES
    chunks = (sizes.length + CHUNK - 1) // CHUNK
    width = sizes.states * LANES
    tiles, rest = scratch[: TILES * TILE], scratch[TILES * TILE :]
    B_here, rest = rest[: CHUNK * sizes.states], rest[CHUNK * sizes.states :]
    C_here, states = rest[: CHUNK * sizes.states], rest[CHUNK * sizes.states :]
    for block in range(task.first_block, task.last_block):
        carry = ((task.row * blocks + block) * sizes.segments + task.segment) * width
        for n in range(0, width, LANES):
            store(states, (block - task.first_block) * width + n, load(carries, carry + n))

    for chunk in range(task.first_chunk, task.last_chunk):
        begin = chunk * CHUNK
        positions = min(CHUNK, sizes.length - begin)
        _read_weights(B, task.row, begin, positions, sizes.states, B_here)
        _read_weights(C, task.row, begin, positions, sizes.states, C_here)
        for block in range(task.first_block, task.last_block):
            lanes = min(LANES, sizes.channels - block * LANES)
            state_slot = (block - task.first_block) * width
            start = ((task.row * blocks + block) * chunks + chunk) * width
            for n in range(0, width, LANES):
                store(starts, start + n, load(states, state_slot + n))
            _read_tile(u, task.row, block, begin, positions, lanes, tiles, U)
            _read_steps(delta, bias, soft, task.row, block, begin, positions, lanes, tiles)
            skip = load(D, block * LANES)
            for t in range(positions):
                _prefetch(u, task.row, block, begin + CHUNK + t)
                _prefetch(delta, task.row, block, begin + CHUNK + t)
                _prefetch(y, task.row, block, begin + CHUNK + t)
                x = load(tiles, U + t * LANES)
                step = load(tiles, STEP + t * LANES)
                drive = step * x
                out = skip * x
                for n in range(sizes.states):
                    decay = exp2(step * load(A2, block * width + n * LANES))
                    state = load(states, state_slot + n * LANES)
                    state = decay * state + drive * spread(B_here, t * sizes.states + n)
                    store(states, state_slot + n * LANES, state)
                    out = out + state * spread(C_here, t * sizes.states + n)
                store(tiles, OUT + t * LANES, out)
            _write_tile(y, task.row, block, begin, positions, lanes, tiles, OUT)


def ends(
    x: Strided, delta: Strided, A2: Array, weights: Strided, bias: Array, soft: bool, reverse: bool,
    found: Array, step_sums: Array, sizes: Sizes, task: Task, scratch: Array,
) -> None:  # fmt: skip
    """Scan a segment from zero, for what leaves it, and for the sum of its steps.

    Args:
        x, weights: u and B; in reverse the outputs' gradients and C.
        reverse: Go from the end to the beginning, for the flow out of the first position (:func:`gradients`).
        found: States behind the segments, or flows out of them, (batch, blocks, segments, states, 16).
        step_sums: (batch, blocks, segments, 16).
        delta, A2, bias, soft, sizes, task, scratch: As for :func:`outputs`.
    """
    blocks = (sizes.channels + LANES - 1) // LANES
    width = sizes.states * LANES
    tiles, weights_here = scratch[: TILES * TILE], scratch[TILES * TILE :]
    for block in range(task.first_block, task.last_block):
        lanes = min(LANES, sizes.channels - block * LANES)
        slot = (task.row * blocks + block) * sizes.segments + task.segment
        state_slot = slot * width
        total = full_like(load(A2, 0), 0.0)
        for n in range(0, width, LANES):
            store(found, state_slot + n, total)
        for i in range(task.last_chunk - task.first_chunk):
            begin = CHUNK * (task.last_chunk - 1 - i if reverse else task.first_chunk + i)
            positions = min(CHUNK, sizes.length - begin)
            _read_tile(x, task.row, block, begin, positions, lanes, tiles, U)
            _read_steps(delta, bias, soft, task.row, block, begin, positions, lanes, tiles)
            _read_weights(weights, task.row, begin, positions, sizes.states, weights_here)
            for j in range(positions):
                t = positions - 1 - j if reverse else j
                step = load(tiles, STEP + t * LANES)
                total = total + step
                drive = load(tiles, U + t * LANES)
                if not reverse:
                    drive = drive * step
                for n in range(sizes.states):
                    decay = exp2(step * load(A2, block * width + n * LANES))
                    state = load(found, state_slot + n * LANES)
                    term = drive * spread(weights_here, t * sizes.states + n)
                    state = decay * (state + term) if reverse else decay * state + term
                    store(found, state_slot + n * LANES, state)
        store(step_sums, slot * LANES, total)


def gradients(
    dy: Strided, u: Strided, delta: Strided, A2: Array, B: Strided, C: Strided, D: Array, bias: Array, soft: bool,
    starts: Array, carries: Array, du: Strided, ddelta: Strided, dA: Array, dB: Array, dC: Array, dD: Array,
    dbias: Array, sizes: Sizes, task: Task, scratch: Array,
) -> None:  # fmt: skip
    """Go through a segment from its end: the gradients of all inputs, or the task's share of them.

    With the adjoint of a state, g_t = C_t dy_t + f_{t+1}, what flows from position t into the state before it is
    f_t = a_t g_t. The gradient of the exponent delta_t A is f_t h_{t-1}, that of what drives the state,
    delta_t u_t B_t, is g_t.

    Args:
        dy: Gradients of the outputs.
        starts: States before the chunks, (batch, blocks, chunks, states, 16).
        carries: Flows into the segments from behind, (batch, blocks, segments, states, 16).
        du, ddelta: Gradients of u and delta.
        dA: Shares in the gradient of A, (batch, blocks, segments, states, 16).
        dB, dC: Shares in the gradients of B and C, (groups, batch, chunks * CHUNK, states).
        dD, dbias: Shares in the gradients of D and the bias, (batch, blocks, segments, 16).
        u, delta, A2, B, C, D, bias, soft, sizes, task, scratch: As for :func:`outputs`.
    """
    blocks = (sizes.channels + LANES - 1) // LANES
    chunks = (sizes.length + CHUNK - 1) // CHUNK
    width = sizes.states * LANES
    tiles, rest = scratch[: TILES * TILE], scratch[TILES * TILE :]
    B_here, rest = rest[: CHUNK * sizes.states], rest[CHUNK * sizes.states :]
    C_here, rest = rest[: CHUNK * sizes.states], rest[CHUNK * sizes.states :]
    dA_here, rest = rest[:width], rest[width:]
    before, rest = rest[: (CHUNK + 1) * width], rest[(CHUNK + 1) * width :]  # the states before each position
    decays, rest = rest[: CHUNK * width], rest[CHUNK * width :]
    dB_here, rest = rest[: CHUNK * width], rest[CHUNK * width :]  # sums over blocks, lane by lane
    dC_here, flows = rest[: CHUNK * width], rest[CHUNK * width :]
    zero = full_like(load(A2, 0), 0.0)
    for block in range(task.first_block, task.last_block):
        slot = (task.row * blocks + block) * sizes.segments + task.segment
        for n in range(0, width, LANES):
            store(flows, (block - task.first_block) * width + n, load(carries, slot * width + n))
            store(dA, slot * width + n, zero)
        store(dD, slot * LANES, zero)
        store(dbias, slot * LANES, zero)

    for chunk in range(task.last_chunk - 1, task.first_chunk - 1, -1):
        begin = chunk * CHUNK
        positions = min(CHUNK, sizes.length - begin)
        _read_weights(B, task.row, begin, positions, sizes.states, B_here)
        _read_weights(C, task.row, begin, positions, sizes.states, C_here)
        for block in range(task.first_block, task.last_block):
            lanes = min(LANES, sizes.channels - block * LANES)
            first = block == task.first_block
            _read_tile(u, task.row, block, begin, positions, lanes, tiles, U)
            _read_tile(dy, task.row, block, begin, positions, lanes, tiles, DY)
            _read_steps(delta, bias, soft, task.row, block, begin, positions, lanes, tiles)

            start = ((task.row * blocks + block) * chunks + chunk) * width
            for n in range(0, width, LANES):
                store(before, n, load(starts, start + n))
                store(dA_here, n, zero)
            for t in range(positions):
                _prefetch(u, task.row, block, begin - CHUNK + t)
                _prefetch(delta, task.row, block, begin - CHUNK + t)
                _prefetch(dy, task.row, block, begin - CHUNK + t)
                _prefetch(du, task.row, block, begin + t)
                _prefetch(ddelta, task.row, block, begin + t)
                step = load(tiles, STEP + t * LANES)
                drive = step * load(tiles, U + t * LANES)
                grad = load(tiles, DY + t * LANES)
                store(tiles, DRIVE + t * LANES, drive)
                for n in range(sizes.states):
                    i = t * width + n * LANES
                    decay = exp2(step * load(A2, block * width + n * LANES))
                    state = decay * load(before, i) + drive * spread(B_here, t * sizes.states + n)
                    store(decays, i, decay)
                    store(before, i + width, state)
                    store(dC_here, i, (zero if first else load(dC_here, i)) + state * grad)

            slot = (task.row * blocks + block) * sizes.segments + task.segment
            flow_slot = (block - task.first_block) * width
            skip = load(D, block * LANES)
            dD_here, dbias_here = zero, zero
            for t in range(positions - 1, -1, -1):
                x = load(tiles, U + t * LANES)
                step = load(tiles, STEP + t * LANES)
                drive = load(tiles, DRIVE + t * LANES)
                grad = load(tiles, DY + t * LANES)
                ddrive, dexponent2 = zero, zero
                for n in range(sizes.states):
                    i = t * width + n * LANES
                    adjoint = load(flows, flow_slot + n * LANES) + grad * spread(C_here, t * sizes.states + n)
                    store(dB_here, i, (zero if first else load(dB_here, i)) + adjoint * drive)
                    ddrive = ddrive + adjoint * spread(B_here, t * sizes.states + n)
                    flow = load(decays, i) * adjoint
                    store(flows, flow_slot + n * LANES, flow)
                    dexponent = flow * load(before, i)
                    store(dA_here, n * LANES, load(dA_here, n * LANES) + dexponent * step)
                    dexponent2 = dexponent2 + dexponent * load(A2, block * width + n * LANES)
                dstep = ddrive * x + dexponent2 * full_like(zero, LN_2)
                dstep = dstep * load(tiles, SLOPE + t * LANES)
                dD_here = dD_here + grad * x
                dbias_here = dbias_here + dstep
                store(tiles, U + t * LANES, ddrive * step + skip * grad)  # in the places of what is needed no more
                store(tiles, STEP + t * LANES, dstep)
            _write_tile(du, task.row, block, begin, positions, lanes, tiles, U)
            _write_tile(ddelta, task.row, block, begin, positions, lanes, tiles, STEP)
            for n in range(0, width, LANES):
                store(dA, slot * width + n, load(dA, slot * width + n) + load(dA_here, n))
            store(dD, slot * LANES, load(dD, slot * LANES) + dD_here)
            store(dbias, slot * LANES, load(dbias, slot * LANES) + dbias_here)

        share = ((task.group * sizes.batch + task.row) * chunks + chunk) * CHUNK * sizes.states
        for i in range(0, CHUNK * sizes.states, LANES):
            store(dB, share + i, lane_sums(dB_here, i * LANES))
            store(dC, share + i, lane_sums(dC_here, i * LANES))


class Kernels(NamedTuple):
    """The kernels, which are compiled when they are first called with float32, or with float64."""

    outputs: Callable[..., None]
    ends: Callable[..., None]
    gradients: Callable[..., None]


def kernels(cached: bool) -> Kernels:
    """Compile the kernels, kept on disk or only in memory."""
    compiled = njit(nogil=True, cache=cached)
    return Kernels(compiled(outputs), compiled(ends), compiled(gradients))
