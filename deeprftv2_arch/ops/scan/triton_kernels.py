# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, disable-error-code="untyped-decorator"
"""Triton kernels of the selective scan: parallel over batch, blocks of channels and chunks of the sequence.

One program is one warp: lane = channel, the states of a channel in the registers of its thread, time step after time
step. Sums over states then need no exchange between threads, an exponential is used once, and a step costs little more
than its arithmetic. What limits the speed is the arithmetic (STATES exponentials for each number read, in stages 1 and
3), so that loads only have to be coalesced. All sequences of a launch, (batch, channels, length), lie in one of the two
usual layouts, without gaps:

* channels next to each other in memory: a warp reads 32 neighbours, in one load for each of STEPS positions;
* TIME_FASTEST, positions next to each other: each lane reads its STEPS positions with one vector load of up to 16
  bytes.

In the first, the compiler must not know that rows are aligned: it would read several channels per thread and move them
between threads later. So ``channels`` is excluded from its specialisation on divisibility. B and C are read alike by
all lanes, a row of states with one or a few vector loads: they come as float32 (batch, length, states).

A tile is (STEPS, CHANNELS) of one sequence, a state (PADDED, CHANNELS) with PADDED a power of two. Buffers between
kernels are float32: ends, starts, flows (batch, chunks, states, channels); step_sums (batch, chunks, channels);
A (states, channels). TAIL: the length is no multiple of STEPS. D and delta_bias may be None, which is decided when a
kernel is compiled.

Triton's functions have no types: mypy sees neither its tensors nor through its decorator.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LARGEST = tl.constexpr(3.4028234663852886e38)  # float32; infinity times a state of zero would not be zero


@triton.jit
def _softplus(x):
    """Compute max(x, 0) + log1p(e) with e = exp(-|x|), which keeps the digits of a small e.

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
    """Take row i of a tile. As integers, where adding zeros is exact: the compiler then only renames registers."""
    bits = tl.where(index == i, tile.to(tl.int32, bitcast=True), 0)
    return tl.sum(bits, axis=0).to(tl.float32, bitcast=True)


@triton.jit
def _tile(first, d, channels, length, TIME_FASTEST: tl.constexpr, STEPS: tl.constexpr):
    """Say where the tile from position ``first`` on lies in a sequence (channels, length), and which of it exists."""
    t = first + tl.arange(0, STEPS)
    exists = (t < length)[:, None] & (d < channels)[None, :]
    if TIME_FASTEST:
        return t[:, None] + d[None, :] * length, exists
    return t[:, None] * channels + d[None, :], exists


@triton.jit
def _load_tile(pointer, offsets, exists):
    """Load a tile as float32, zero outside."""
    return tl.load(pointer + offsets, mask=exists, other=0.0).to(tl.float32)


@triton.jit
def _load_row(rows, t, length, n, TAIL: tl.constexpr, STATES: tl.constexpr, PADDED: tl.constexpr):
    """Load row t of B or C as (states, 1). Behind the end the last row, which meets inputs of zero there."""
    if TAIL:
        t = tl.minimum(t, length - 1)
    if PADDED == STATES:
        row = tl.load(rows + t * STATES + n)
    else:
        row = tl.load(rows + t * STATES + n, mask=n < STATES, other=0.0)
    return row[:, None]


@triton.jit
def _load_steps(pointer, offsets, exists, bias, SOFTPLUS: tl.constexpr):
    """Load the step sizes of a tile, zero outside, and what they were before the softplus."""
    raw = _load_tile(pointer, offsets, exists) + bias[None, :]
    if SOFTPLUS:
        step = _softplus(raw)
    else:
        step = raw
    return tl.where(exists, step, 0.0), raw


@triton.jit
def _load_vector(pointer, d, channels, CHANNELS: tl.constexpr):
    """Load D or delta_bias of a block of channels; zeros where there is none."""
    if pointer is not None:
        return tl.load(pointer + d, mask=d < channels, other=0.0).to(tl.float32)
    return tl.zeros((CHANNELS,), tl.float32)


@triton.jit(do_not_specialize=["channels"])
def chunk_ends_kernel(
    x, delta, A, rows, delta_bias, ends, step_sums,
    channels, length, chunk_length,
    SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr, TIME_FASTEST: tl.constexpr,
    TAIL: tl.constexpr, STATES: tl.constexpr, PADDED: tl.constexpr, STEPS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Run stage 1: where each chunk ends from a state of zero, and the sum of its steps, which gives its decay.

    Forward: x = u, rows = B, and the state behind the chunk. REVERSE: x = the gradient of y, rows = C, and
    the flow f_t = exp(delta_t A) (C_t x_t + f_{t+1}) out of the chunk's first position.
    """
    blocks = tl.cdiv(channels, CHANNELS)
    chunks = tl.cdiv(length, chunk_length)
    item = tl.program_id(0) // blocks
    chunk = item % chunks
    batch = (item // chunks).to(tl.int64)
    d = (tl.program_id(0) % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, PADDED)
    k = tl.arange(0, STEPS)[:, None]
    inside = (n < STATES)[:, None] & (d < channels)[None, :]
    slot = n[:, None] * channels + d[None, :]
    rate = tl.load(A + slot, mask=inside, other=0.0) * LOG2_E
    bias = _load_vector(delta_bias, d, channels, CHANNELS)
    x += batch * (channels * length)
    delta += batch * (channels * length)
    rows += batch * (length * STATES)

    state = tl.zeros((PADDED, CHANNELS), tl.float32)
    step_sum = tl.zeros((CHANNELS,), tl.float32)
    tiles = tl.cdiv(tl.minimum(chunk_length, length - chunk * chunk_length), STEPS)
    for i in range(tiles):
        if REVERSE:
            first = chunk * chunk_length + (tiles - 1 - i) * STEPS
        else:
            first = chunk * chunk_length + i * STEPS
        offsets, exists = _tile(first, d, channels, length, TIME_FASTEST, STEPS)
        step, _ = _load_steps(delta, offsets, exists, bias, SOFTPLUS)
        x_tile = _load_tile(x, offsets, exists)
        step_sum += tl.sum(step, axis=0)
        for j in tl.static_range(STEPS):
            row = STEPS - 1 - j if REVERSE else j
            step_row = _row(step, k, row)[None, :]
            x_row = _row(x_tile, k, row)[None, :]
            weight = _load_row(rows, first + row, length, n, TAIL, STATES, PADDED)
            if REVERSE:
                state = tl.exp2(step_row * rate) * (state + x_row * weight)
            else:
                state = tl.exp2(step_row * rate) * state + (step_row * x_row) * weight

    carry = batch * chunks + chunk
    tl.store(ends + carry * (STATES * channels) + slot, state, mask=inside)
    tl.store(step_sums + carry * channels + d, step_sum, mask=d < channels)


@triton.jit
def _then(decay, end, next_decay, next_end):
    """Join two chunks; a chunk takes the state h to decay * h + end."""
    return tl.minimum(decay * next_decay, LARGEST), next_decay * end + next_end


@triton.jit
def carries_kernel(
    ends, step_sums, A, starts, channels, chunks,
    REVERSE: tl.constexpr, STATES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Run stage 2: the true state at the start of each chunk (REVERSE: the flow into its end), ROWS chunks at once."""
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


@triton.jit(do_not_specialize=["channels"])
def outputs_kernel(
    u, delta, A, B, C, D, delta_bias, starts, y,
    channels, length, chunk_length,
    SOFTPLUS: tl.constexpr, TIME_FASTEST: tl.constexpr,
    TAIL: tl.constexpr, STATES: tl.constexpr, PADDED: tl.constexpr, STEPS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Run stage 3: the outputs of each chunk from its true start."""
    blocks = tl.cdiv(channels, CHANNELS)
    chunks = tl.cdiv(length, chunk_length)
    item = tl.program_id(0) // blocks
    chunk = item % chunks
    batch = (item // chunks).to(tl.int64)
    d = (tl.program_id(0) % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, PADDED)
    k = tl.arange(0, STEPS)[:, None]
    inside = (n < STATES)[:, None] & (d < channels)[None, :]
    slot = n[:, None] * channels + d[None, :]
    rate = tl.load(A + slot, mask=inside, other=0.0) * LOG2_E
    bias = _load_vector(delta_bias, d, channels, CHANNELS)
    skip = _load_vector(D, d, channels, CHANNELS)
    state = tl.load(starts + (batch * chunks + chunk) * (STATES * channels) + slot, mask=inside, other=0.0)
    u += batch * (channels * length)
    delta += batch * (channels * length)
    y += batch * (channels * length)
    B += batch * (length * STATES)
    C += batch * (length * STATES)

    for first in range(chunk * chunk_length, tl.minimum((chunk + 1) * chunk_length, length), STEPS):
        offsets, exists = _tile(first, d, channels, length, TIME_FASTEST, STEPS)
        step, _ = _load_steps(delta, offsets, exists, bias, SOFTPLUS)
        u_tile = _load_tile(u, offsets, exists)
        y_tile = skip[None, :] * u_tile
        drive = step * u_tile
        for i in tl.static_range(STEPS):
            b = _load_row(B, first + i, length, n, TAIL, STATES, PADDED)
            c = _load_row(C, first + i, length, n, TAIL, STATES, PADDED)
            state = tl.exp2(_row(step, k, i)[None, :] * rate) * state + _row(drive, k, i)[None, :] * b
            y_tile += tl.where(k == i, tl.sum(state * c, axis=0)[None, :], 0.0)
        tl.store(y + offsets, y_tile.to(y.dtype.element_ty), mask=exists)


@triton.jit(do_not_specialize=["channels"])
def gradients_kernel(
    u, delta, A, B, C, D, delta_bias, dy, starts, flows, tile_starts, du, ddelta, dB_parts, dC_parts, sums,
    batches, channels, length, chunk_length,
    SOFTPLUS: tl.constexpr, TIME_FASTEST: tl.constexpr,
    TAIL: tl.constexpr, STATES: tl.constexpr, PADDED: tl.constexpr, STEPS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Run stage 3 backward: all gradients, chunk by chunk, from the true start and the true flow into the end.

    A program keeps to one block of channels and takes every ``workers``-th of the batches * chunks chunks, so that the
    sums over positions stay in its registers and what it remembers of a chunk in the cache: one sweep to the right
    stores the state before each tile, one to the left recomputes each tile and differentiates. With
    g_t = C_t dy_t + f_{t+1} the adjoint of h_t, f_t = exp(delta_t A) g_t flows on to position t - 1.

    Each program has its part of the buffers tile_starts (workers, tiles of a chunk, states, channels) and ``sums``
    (workers, states + 2, channels), whose rows are the gradients of A, then of D, then of delta_bias; and each block of
    channels has its part of dB_parts and dC_parts (blocks, batch, chunks * chunk_length, PADDED).
    """
    blocks = tl.cdiv(channels, CHANNELS)
    chunks = tl.cdiv(length, chunk_length)
    block = tl.program_id(0) % blocks
    worker = tl.program_id(0) // blocks
    workers = tl.num_programs(0) // blocks
    d = block * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, PADDED)
    k = tl.arange(0, STEPS)[:, None]
    inside = (n < STATES)[:, None] & (d < channels)[None, :]
    slot = n[:, None] * channels + d[None, :]
    rate = tl.load(A + slot, mask=inside, other=0.0)
    bias = _load_vector(delta_bias, d, channels, CHANNELS)
    skip = _load_vector(D, d, channels, CHANNELS)
    tile_starts += worker.to(tl.int64) * tl.cdiv(chunk_length, STEPS) * STATES * channels

    dA = tl.zeros((PADDED, CHANNELS), tl.float32)
    dD = tl.zeros((CHANNELS,), tl.float32)
    dbias = tl.zeros((CHANNELS,), tl.float32)
    for item in range(worker, batches * chunks, workers):
        chunk = item % chunks
        batch = (item // chunks).to(tl.int64)
        carry = (batch * chunks + chunk) * (STATES * channels) + slot
        sequence = batch * (channels * length)
        B_row = B + batch * (length * STATES)
        C_row = C + batch * (length * STATES)
        tiles = tl.cdiv(tl.minimum(chunk_length, length - chunk * chunk_length), STEPS)

        state = tl.load(starts + carry, mask=inside, other=0.0)
        for tile in range(tiles):
            tl.store(tile_starts + tile * (STATES * channels) + slot, state, mask=inside)
            first = chunk * chunk_length + tile * STEPS
            offsets, exists = _tile(first, d, channels, length, TIME_FASTEST, STEPS)
            step, _ = _load_steps(delta + sequence, offsets, exists, bias, SOFTPLUS)
            drive = step * _load_tile(u + sequence, offsets, exists)
            for i in tl.static_range(STEPS):
                b = _load_row(B_row, first + i, length, n, TAIL, STATES, PADDED)
                decay = tl.exp2(_row(step, k, i)[None, :] * (rate * LOG2_E))
                state = decay * state + _row(drive, k, i)[None, :] * b
        tl.debug_barrier()

        flow = tl.load(flows + carry, mask=inside, other=0.0)
        for turn in range(tiles):
            tile = tiles - 1 - turn
            first = chunk * chunk_length + tile * STEPS
            offsets, exists = _tile(first, d, channels, length, TIME_FASTEST, STEPS)
            step, raw = _load_steps(delta + sequence, offsets, exists, bias, SOFTPLUS)
            u_tile = _load_tile(u + sequence, offsets, exists)
            dy_tile = _load_tile(dy + sequence, offsets, exists)
            drive = step * u_tile
            part = ((block * batches + batch) * chunks) * chunk_length + first

            state = tl.load(tile_starts + tile * (STATES * channels) + slot, mask=inside, other=0.0)
            before = tl.zeros((STEPS, PADDED, CHANNELS), tl.float32)  # the state before each position
            decays = tl.zeros((STEPS, PADDED, CHANNELS), tl.float32)
            for i in tl.static_range(STEPS):
                b = _load_row(B_row, first + i, length, n, TAIL, STATES, PADDED)
                decay = tl.exp2(_row(step, k, i)[None, :] * (rate * LOG2_E))
                decays = tl.where(k[:, :, None] == i, decay[None, :, :], decays)
                before = tl.where(k[:, :, None] == i, state[None, :, :], before)
                state = decay * state + _row(drive, k, i)[None, :] * b
                dC = tl.sum(state * _row(dy_tile, k, i)[None, :], axis=1)
                tl.store(dC_parts + (part + i) * PADDED + n, dC)

            ddrive_tile = tl.zeros((STEPS, CHANNELS), tl.float32)
            dstep_tile = tl.zeros((STEPS, CHANNELS), tl.float32)
            for j in tl.static_range(STEPS):
                row = STEPS - 1 - j
                b = _load_row(B_row, first + row, length, n, TAIL, STATES, PADDED)
                c = _load_row(C_row, first + row, length, n, TAIL, STATES, PADDED)
                adjoint = c * _row(dy_tile, k, row)[None, :] + flow
                flow = _row(decays, k[:, :, None], row) * adjoint
                dB = tl.sum(adjoint * _row(drive, k, row)[None, :], axis=1)
                tl.store(dB_parts + (part + row) * PADDED + n, dB)
                dexponent = flow * _row(before, k[:, :, None], row)
                dA += dexponent * _row(step, k, row)[None, :]
                ddrive_tile += tl.where(k == row, tl.sum(adjoint * b, axis=0)[None, :], 0.0)
                dstep_tile += tl.where(k == row, tl.sum(dexponent * rate, axis=0)[None, :], 0.0)

            ddelta_tile = dstep_tile + ddrive_tile * u_tile
            if SOFTPLUS:
                ddelta_tile *= tl.sigmoid(raw)
            ddelta_tile = tl.where(exists, ddelta_tile, 0.0)
            du_tile = ddrive_tile * step + skip[None, :] * dy_tile
            dD += tl.sum(dy_tile * u_tile, axis=0)
            dbias += tl.sum(ddelta_tile, axis=0)
            tl.store(du + sequence + offsets, du_tile.to(du.dtype.element_ty), mask=exists)
            tl.store(ddelta + sequence + offsets, ddelta_tile.to(ddelta.dtype.element_ty), mask=exists)
        tl.debug_barrier()

    sums += worker * (STATES + 2) * channels
    tl.store(sums + slot, dA, mask=inside)
    tl.store(sums + STATES * channels + d, dD, mask=d < channels)
    tl.store(sums + (STATES + 1) * channels + d, dbias, mask=d < channels)
