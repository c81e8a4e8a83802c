# mypy: allow-untyped-defs
"""Triton kernels of the selective scan: parallel over batch, blocks of channels and chunks of the sequence.

One program is one warp: lane = channel, the states of a channel in the registers of its thread, time step after time
step. Sums over states then need no exchange between threads, an exponential is used once, and a step costs little more
than its arithmetic. What limits the speed is the arithmetic (STATES exponentials for each number read, in stages 1 and
3), so that loads only have to be coalesced, in both usual layouts:

* channels next to each other in memory: a warp reads 32 neighbours, in one load for each of STEPS positions;
* positions next to each other: each lane reads its STEPS positions with one vector load of up to 16 bytes.

For this, the compiler must know the contiguous axis, but in the first case not that rows are aligned: it would read
several channels per thread and move them between threads later. So strides over time, and sizes that act as strides,
are excluded from its specialisation on divisibility, and *_TIME_FASTEST says that a stride over time is 1. B and C are
read alike by all lanes, a row of states with one or a few vector loads: they come as float32 (batch, length, states).

A tile is (STEPS, CHANNELS) of one sequence, a state (PADDED, CHANNELS) with PADDED a power of two. Buffers between
kernels are float32: ends, starts, flows (batch, chunks, states, channels); step_sums (batch, chunks, channels);
A (states, channels). TAIL: the length is no multiple of STEPS.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LARGEST = tl.constexpr(3.4028234663852886e38)  # float32; infinity times a state of zero would not be zero


@triton.jit
def _softplus(x):
    """max(x, 0) + log1p(e) with e = exp(-|x|), which keeps the digits of a small e.

    log1p(e) / e is a polynomial of degree 8, interpolated at the Chebyshev points of [0, 1]: relative error 4e-8, where
    the hardware's logarithm of 1 + e has 1e-4 at e = 1e-3.
    """
    e = tl.exp2(-tl.abs(x) * LOG2_E)
    p = 0.0051261
    p = p * e - 0.02907406
    p = p * e + 0.07751609
    p = p * e - 0.13602248
    p = p * e + 0.19076881
    p = p * e - 0.24835399
    p = p * e + 0.33318122
    p = p * e - 0.49999445
    p = p * e + 0.99999997
    return tl.maximum(x, 0.0) + e * p


@triton.jit
def _row(tile, index, i):
    """Row i of a tile. As integers, where adding zeros is exact: the compiler then only renames registers."""
    bits = tl.where(index == i, tile.to(tl.int32, bitcast=True), 0)
    return tl.sum(bits, axis=0).to(tl.float32, bitcast=True)


@triton.jit
def _offsets(t, time_stride, d, channel_stride, TIME_FASTEST: tl.constexpr):
    if TIME_FASTEST:
        return t[:, None] + d[None, :] * channel_stride
    return t[:, None] * time_stride + d[None, :] * channel_stride


@triton.jit
def _load_row(rows, t, length, n, TAIL: tl.constexpr, STATES: tl.constexpr, PADDED: tl.constexpr):
    """Row t of B or C as (states, 1). Behind the end the last row, which meets inputs of zero there."""
    if TAIL:
        t = tl.minimum(t, length - 1)
    if PADDED == STATES:
        row = tl.load(rows + t * STATES + n)
    else:
        row = tl.load(rows + t * STATES + n, mask=n < STATES, other=0.0)
    return row[:, None]


@triton.jit
def _load_step(pointer, offsets, mask, bias, SOFTPLUS: tl.constexpr):
    """The step sizes of a tile, zero outside, and what they were before the softplus."""
    raw = tl.load(pointer + offsets, mask=mask, other=0.0).to(tl.float32) + bias[None, :]
    if SOFTPLUS:
        step = _softplus(raw)
    else:
        step = raw
    return tl.where(mask, step, 0.0), raw


@triton.jit
def _load_vector(pointer, d, channels, PRESENT: tl.constexpr, CHANNELS: tl.constexpr):
    if PRESENT:
        return tl.load(pointer + d, mask=d < channels, other=0.0).to(tl.float32)
    return tl.zeros((CHANNELS,), tl.float32)


@triton.jit(do_not_specialize=["channels", "x_time", "delta_time"])
def chunk_ends_kernel(
    x, delta, A, rows, delta_bias, ends, step_sums,
    channels, length, chunks, chunk_length,
    x_batch, x_channel, x_time,
    delta_batch, delta_channel, delta_time,
    HAS_BIAS: tl.constexpr, SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr,
    X_TIME_FASTEST: tl.constexpr, DELTA_TIME_FASTEST: tl.constexpr,
    TAIL: tl.constexpr, STATES: tl.constexpr, PADDED: tl.constexpr, STEPS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Stage 1: where each chunk ends from a state of zero, and the sum of its steps, which gives its decay.

    Forward: x = u, rows = B, and the state behind the chunk. REVERSE: x = the gradient of y, rows = C, and
    the flow f_t = exp(delta_t A) (C_t x_t + f_{t+1}) out of the chunk's first position.
    """
    blocks = tl.cdiv(channels, CHANNELS)
    item = tl.program_id(0) // blocks
    chunk = item % chunks
    batch = (item // chunks).to(tl.int64)
    d = (tl.program_id(0) % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, PADDED)
    k = tl.arange(0, STEPS)
    inside = (n < STATES)[:, None] & (d < channels)[None, :]
    rate = tl.load(A + n[:, None] * channels + d[None, :], mask=inside, other=0.0) * LOG2_E
    bias = _load_vector(delta_bias, d, channels, HAS_BIAS, CHANNELS)
    x += batch * x_batch
    delta += batch * delta_batch
    rows += batch * length * STATES

    state = tl.zeros((PADDED, CHANNELS), tl.float32)
    step_sum = tl.zeros((CHANNELS,), tl.float32)
    tiles = tl.cdiv(tl.minimum(chunk_length, length - chunk * chunk_length), STEPS)
    for i in range(tiles):
        if REVERSE:
            first = chunk * chunk_length + (tiles - 1 - i) * STEPS
        else:
            first = chunk * chunk_length + i * STEPS
        t = first + k
        mask = (t < length)[:, None] & (d < channels)[None, :]
        step, _ = _load_step(delta, _offsets(t, delta_time, d, delta_channel, DELTA_TIME_FASTEST), mask, bias, SOFTPLUS)
        x_tile = tl.load(x + _offsets(t, x_time, d, x_channel, X_TIME_FASTEST), mask=mask, other=0.0).to(tl.float32)
        step_sum += tl.sum(step, axis=0)
        for j in tl.static_range(STEPS):
            row = STEPS - 1 - j if REVERSE else j
            step_row = _row(step, k[:, None], row)[None, :]
            x_row = _row(x_tile, k[:, None], row)[None, :]
            weight = _load_row(rows, first + row, length, n, TAIL, STATES, PADDED)
            if REVERSE:
                state = tl.exp2(step_row * rate) * (state + x_row * weight)
            else:
                state = tl.exp2(step_row * rate) * state + (step_row * x_row) * weight

    carry = batch * chunks + chunk
    tl.store(ends + (carry * STATES + n[:, None]) * channels + d[None, :], state, mask=inside)
    tl.store(step_sums + carry * channels + d, step_sum, mask=d < channels)


@triton.jit
def _then(decay, end, next_decay, next_end):
    """Two chunks as one; a chunk takes the state h to decay * h + end."""
    return tl.minimum(decay * next_decay, LARGEST), next_decay * end + next_end


@triton.jit
def carries_kernel(
    ends, step_sums, A, starts, channels, chunks,
    REVERSE: tl.constexpr, STATES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Stage 2: the true state at the start of each chunk (REVERSE: the flow into its end), ROWS chunks at once."""
    groups = tl.cdiv(STATES * channels, COLUMNS)
    batch = (tl.program_id(0) // groups).to(tl.int64)
    column = (tl.program_id(0) % groups) * COLUMNS + tl.arange(0, COLUMNS)  # of (states, channels), flattened
    inside = column < STATES * channels
    rate = tl.load(A + column, mask=inside, other=0.0) * LOG2_E
    rows = tl.arange(0, ROWS)
    ends += batch * chunks * STATES * channels
    starts += batch * chunks * STATES * channels
    step_sums += batch * chunks * channels

    carry = tl.zeros((COLUMNS,), tl.float32)
    last = chunks - 1
    tl.store(starts + (last if REVERSE else 0) * STATES * channels + column, carry, mask=inside)
    for first in range(0, chunks, ROWS):
        position = first + rows
        chunk = last - position if REVERSE else position
        following = chunk - 1 if REVERSE else chunk + 1
        mask = (position < chunks)[:, None] & inside[None, :]
        end = tl.load(ends + chunk[:, None] * (STATES * channels) + column[None, :], mask=mask, other=0.0)
        steps = tl.load(step_sums + chunk[:, None] * channels + (column % channels)[None, :], mask=mask, other=0.0)
        decay = tl.minimum(tl.exp2(steps * rate[None, :]), LARGEST)
        end = tl.where(rows[:, None] == 0, decay * carry[None, :] + end, end)
        _, state = tl.associative_scan((decay, end), 0, _then)
        carry = tl.sum(tl.where(rows[:, None] == ROWS - 1, state, 0.0), axis=0)
        tl.store(
            starts + following[:, None] * (STATES * channels) + column[None, :],
            state,
            mask=(position < last)[:, None] & inside[None, :],
        )


@triton.jit(do_not_specialize=["channels", "u_time", "delta_time", "y_time"])
def outputs_kernel(
    u, delta, A, B, C, D, delta_bias, starts, y,
    channels, length, chunks, chunk_length,
    u_batch, u_channel, u_time,
    delta_batch, delta_channel, delta_time,
    y_batch, y_channel, y_time,
    HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr, SOFTPLUS: tl.constexpr,
    U_TIME_FASTEST: tl.constexpr, DELTA_TIME_FASTEST: tl.constexpr, Y_TIME_FASTEST: tl.constexpr,
    TAIL: tl.constexpr, STATES: tl.constexpr, PADDED: tl.constexpr, STEPS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Stage 3: the outputs of each chunk from its true start."""
    blocks = tl.cdiv(channels, CHANNELS)
    item = tl.program_id(0) // blocks
    chunk = item % chunks
    batch = (item // chunks).to(tl.int64)
    d = (tl.program_id(0) % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, PADDED)
    k = tl.arange(0, STEPS)
    inside = (n < STATES)[:, None] & (d < channels)[None, :]
    rate = tl.load(A + n[:, None] * channels + d[None, :], mask=inside, other=0.0) * LOG2_E
    bias = _load_vector(delta_bias, d, channels, HAS_BIAS, CHANNELS)
    skip = _load_vector(D, d, channels, HAS_D, CHANNELS)
    start = ((batch * chunks + chunk) * STATES + n[:, None]) * channels + d[None, :]
    state = tl.load(starts + start, mask=inside, other=0.0)
    u += batch * u_batch
    delta += batch * delta_batch
    B += batch * length * STATES
    C += batch * length * STATES
    y += batch * y_batch

    for first in range(chunk * chunk_length, tl.minimum((chunk + 1) * chunk_length, length), STEPS):
        t = first + k
        mask = (t < length)[:, None] & (d < channels)[None, :]
        step, _ = _load_step(delta, _offsets(t, delta_time, d, delta_channel, DELTA_TIME_FASTEST), mask, bias, SOFTPLUS)
        u_tile = tl.load(u + _offsets(t, u_time, d, u_channel, U_TIME_FASTEST), mask=mask, other=0.0).to(tl.float32)
        y_tile = skip[None, :] * u_tile
        drive = step * u_tile
        for i in tl.static_range(STEPS):
            b = _load_row(B, first + i, length, n, TAIL, STATES, PADDED)
            c = _load_row(C, first + i, length, n, TAIL, STATES, PADDED)
            state = tl.exp2(_row(step, k[:, None], i)[None, :] * rate) * state + _row(drive, k[:, None], i)[None, :] * b
            y_tile += tl.where(k[:, None] == i, tl.sum(state * c, axis=0)[None, :], 0.0)
        tl.store(y + _offsets(t, y_time, d, y_channel, Y_TIME_FASTEST), y_tile.to(y.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["channels", "u_time", "delta_time", "dy_time", "du_time", "ddelta_time"])
def gradients_kernel(
    u, delta, A, B, C, D, delta_bias, dy, starts, flows, tile_starts,
    du, ddelta, dA_parts, dB_parts, dC_parts, dD_parts, dbias_parts,
    channels, length, items, chunks, chunk_length,
    u_batch, u_channel, u_time,
    delta_batch, delta_channel, delta_time,
    dy_batch, dy_channel, dy_time,
    du_batch, du_channel, du_time,
    ddelta_batch, ddelta_channel, ddelta_time,
    HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr, SOFTPLUS: tl.constexpr,
    U_TIME_FASTEST: tl.constexpr, DELTA_TIME_FASTEST: tl.constexpr, DY_TIME_FASTEST: tl.constexpr,
    DU_TIME_FASTEST: tl.constexpr, DDELTA_TIME_FASTEST: tl.constexpr,
    TAIL: tl.constexpr, STATES: tl.constexpr, PADDED: tl.constexpr, STEPS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Stage 3 backward: all gradients, chunk by chunk, from the true start and the true flow into the end.

    A program keeps to one block of channels and takes every ``workers``-th of the ``items`` = batch * chunks chunks, so
    that the sums over positions (A, D, delta_bias) stay in its registers and what it remembers of a chunk in the cache:
    one sweep to the right stores the state before each tile, one to the left recomputes each tile and differentiates.
    With g_t = C_t dy_t + f_{t+1} the adjoint of h_t, f_t = exp(delta_t A) g_t flows on to position t - 1.
    """
    blocks = tl.cdiv(channels, CHANNELS)
    block = tl.program_id(0) % blocks
    worker = tl.program_id(0) // blocks
    workers = tl.num_programs(0) // blocks
    d = block * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, PADDED)
    k = tl.arange(0, STEPS)
    inside = (n < STATES)[:, None] & (d < channels)[None, :]
    rate = tl.load(A + n[:, None] * channels + d[None, :], mask=inside, other=0.0)
    bias = _load_vector(delta_bias, d, channels, HAS_BIAS, CHANNELS)
    skip = _load_vector(D, d, channels, HAS_D, CHANNELS)
    slot = n[:, None] * channels + d[None, :]
    tile_starts += worker.to(tl.int64) * tl.cdiv(chunk_length, STEPS) * STATES * channels

    dA = tl.zeros((PADDED, CHANNELS), tl.float32)
    dD = tl.zeros((CHANNELS,), tl.float32)
    dbias = tl.zeros((CHANNELS,), tl.float32)
    for item in range(worker, items, workers):
        chunk = item % chunks
        batch = (item // chunks).to(tl.int64)
        carry = ((batch * chunks + chunk) * STATES + n[:, None]) * channels + d[None, :]
        u_row = u + batch * u_batch
        delta_row = delta + batch * delta_batch
        B_row = B + batch * length * STATES
        C_row = C + batch * length * STATES
        dy_row = dy + batch * dy_batch
        tiles = tl.cdiv(tl.minimum(chunk_length, length - chunk * chunk_length), STEPS)

        state = tl.load(starts + carry, mask=inside, other=0.0)
        for tile in range(tiles):
            tl.store(tile_starts + tile * (STATES * channels) + slot, state, mask=inside)
            first = chunk * chunk_length + tile * STEPS
            t = first + k
            mask = (t < length)[:, None] & (d < channels)[None, :]
            step, _ = _load_step(
                delta_row, _offsets(t, delta_time, d, delta_channel, DELTA_TIME_FASTEST), mask, bias, SOFTPLUS
            )
            u_tile = tl.load(u_row + _offsets(t, u_time, d, u_channel, U_TIME_FASTEST), mask=mask, other=0.0)
            drive = step * u_tile.to(tl.float32)
            for i in tl.static_range(STEPS):
                b = _load_row(B_row, first + i, length, n, TAIL, STATES, PADDED)
                decay = tl.exp2(_row(step, k[:, None], i)[None, :] * (rate * LOG2_E))
                state = decay * state + _row(drive, k[:, None], i)[None, :] * b
        tl.debug_barrier()

        flow = tl.load(flows + carry, mask=inside, other=0.0)
        for turn in range(tiles):
            tile = tiles - 1 - turn
            first = chunk * chunk_length + tile * STEPS
            t = first + k
            mask = (t < length)[:, None] & (d < channels)[None, :]
            step, raw = _load_step(
                delta_row, _offsets(t, delta_time, d, delta_channel, DELTA_TIME_FASTEST), mask, bias, SOFTPLUS
            )
            u_tile = tl.load(u_row + _offsets(t, u_time, d, u_channel, U_TIME_FASTEST), mask=mask, other=0.0)
            u_tile = u_tile.to(tl.float32)
            dy_tile = tl.load(dy_row + _offsets(t, dy_time, d, dy_channel, DY_TIME_FASTEST), mask=mask, other=0.0)
            dy_tile = dy_tile.to(tl.float32)
            drive = step * u_tile
            part = ((block * (items // chunks) + batch) * chunks) * chunk_length + first

            state = tl.load(tile_starts + tile * (STATES * channels) + slot, mask=inside, other=0.0)
            before = tl.zeros((STEPS, PADDED, CHANNELS), tl.float32)  # the state before each position
            decays = tl.zeros((STEPS, PADDED, CHANNELS), tl.float32)
            for i in tl.static_range(STEPS):
                b = _load_row(B_row, first + i, length, n, TAIL, STATES, PADDED)
                decay = tl.exp2(_row(step, k[:, None], i)[None, :] * (rate * LOG2_E))
                decays = tl.where(k[:, None, None] == i, decay[None, :, :], decays)
                before = tl.where(k[:, None, None] == i, state[None, :, :], before)
                state = decay * state + _row(drive, k[:, None], i)[None, :] * b
                dC = tl.sum(state * _row(dy_tile, k[:, None], i)[None, :], axis=1)
                tl.store(dC_parts + (part + i) * PADDED + n, dC)

            ddrive_tile = tl.zeros((STEPS, CHANNELS), tl.float32)
            dstep_tile = tl.zeros((STEPS, CHANNELS), tl.float32)
            for j in tl.static_range(STEPS):
                row = STEPS - 1 - j
                b = _load_row(B_row, first + row, length, n, TAIL, STATES, PADDED)
                c = _load_row(C_row, first + row, length, n, TAIL, STATES, PADDED)
                adjoint = c * _row(dy_tile, k[:, None], row)[None, :] + flow
                flow = _row(decays, k[:, None, None], row) * adjoint
                dB = tl.sum(adjoint * _row(drive, k[:, None], row)[None, :], axis=1)
                tl.store(dB_parts + (part + row) * PADDED + n, dB)
                dexponent = flow * _row(before, k[:, None, None], row)
                dA += dexponent * _row(step, k[:, None], row)[None, :]
                ddrive_tile += tl.where(k[:, None] == row, tl.sum(adjoint * b, axis=0)[None, :], 0.0)
                dstep_tile += tl.where(k[:, None] == row, tl.sum(dexponent * rate, axis=0)[None, :], 0.0)

            ddelta_tile = dstep_tile + ddrive_tile * u_tile
            if SOFTPLUS:
                ddelta_tile *= tl.sigmoid(raw)
            ddelta_tile = tl.where(mask, ddelta_tile, 0.0)
            du_tile = ddrive_tile * step + skip[None, :] * dy_tile
            dD += tl.sum(dy_tile * u_tile, axis=0)
            dbias += tl.sum(ddelta_tile, axis=0)
            tl.store(
                du + batch * du_batch + _offsets(t, du_time, d, du_channel, DU_TIME_FASTEST),
                du_tile.to(du.dtype.element_ty),
                mask=mask,
            )
            tl.store(
                ddelta + batch * ddelta_batch + _offsets(t, ddelta_time, d, ddelta_channel, DDELTA_TIME_FASTEST),
                ddelta_tile.to(ddelta.dtype.element_ty),
                mask=mask,
            )
        tl.debug_barrier()

    tl.store(dA_parts + (worker * STATES + n[:, None]) * channels + d[None, :], dA, mask=inside)
    if HAS_D:
        tl.store(dD_parts + worker * channels + d, dD, mask=d < channels)
    if HAS_BIAS:
        tl.store(dbias_parts + worker * channels + d, dbias, mask=d < channels)
