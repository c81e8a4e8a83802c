"""The selective scan by our own Triton kernels, parallel over chunks of the sequence.

Three launches give the exact result of the recurrence: the end of each chunk from a state of zero, the scan of these
carries, and the outputs of each chunk from its true start. The backward pass runs the same three from the end of the
sequence to its beginning. It keeps the inputs and the chunks' starts alone and recomputes the states in between.

Triton is imported by the first call.
"""

from typing import Any, List  # noqa: UP035  (torch 2.4 cannot read list[Tensor] in an operator's signature)

import torch
from torch import Tensor

MOST_STATES = 16
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
CHANNELS = 32  # of one program: the lanes of a warp
# Enough programs to keep every scheduler of a large GPU (132 multiprocessors) busy: some 16 warps on each.
FORWARD_PROGRAMS = 2048
# Programs of the backward pass, which stay and take chunk after chunk: its registers let 8 run on each multiprocessor.
BACKWARD_PROGRAMS = 1056
SHORTEST_CHUNK, LONGEST_CHUNK = 32, 128
CARRY_COLUMNS, MOST_CARRY_ROWS = 8, 256


def _chunk_length(batch: int, channels: int, length: int) -> int:
    """Return the positions per chunk: as many as leave ``FORWARD_PROGRAMS`` programs, a multiple of 16.

    Shorter chunks would spend their time on carries, longer ones save nothing more and need more tile starts in the
    backward pass. The sizes may be symbolic.
    """
    even = batch * length * -(-channels // CHANNELS) // FORWARD_PROGRAMS // 16 * 16
    return max(SHORTEST_CHUNK, min(LONGEST_CHUNK, even))


def _chunks(u: Tensor) -> int:
    return -(-u.shape[2] // _chunk_length(*u.shape))


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _is_time_fastest(x: Tensor) -> bool:
    """Tell which of the kernels' two layouts (batch, channels, length) is nearer to that of ``x``."""
    return not x.transpose(1, 2).is_contiguous()


def _laid_out(x: Tensor, time_fastest: bool) -> Tensor:
    """Return ``x`` in one of the kernels' two layouts; a copy where it lies otherwise."""
    return x.contiguous() if time_fastest else x.transpose(1, 2).contiguous().transpose(1, 2)


def _lying_as(x: Tensor, given: Tensor) -> Tensor:
    """Return ``x`` with the strides of ``torch.empty_like(given)``, as operators promise; a copy if it has others."""
    strides = torch.empty_like(given, device="meta").stride()
    return x if x.stride() == strides else torch.empty_like(given).copy_(x)


def _rows(x: Tensor) -> Tensor:
    """Return B or C as float32 (batch, length, states); a copy where it lies otherwise, small beside u."""
    return x.transpose(1, 2).to(torch.float32).contiguous()


def _options(x: Tensor, states: int, steps: int, softplus: bool, time_fastest: bool) -> dict[str, int]:
    """Return the constants of kernels that work on tiles of (batch, channels, length) tensors, and launch options."""
    return {
        "SOFTPLUS": softplus,
        "TIME_FASTEST": time_fastest,
        "TAIL": x.shape[2] % steps != 0,
        "STATES": states,
        "PADDED": _power_of_two(states),
        "STEPS": steps,
        "CHANNELS": CHANNELS,
        "num_warps": 1,
        "enable_fp_fusion": True,  # a multiplication and an addition in one instruction
    }


def _tile_steps(x: Tensor) -> int:
    """Return the positions of a forward tile: what one thread can read with one vector load of 16 bytes."""
    return 16 // x.element_size()


def _carries(
    x: Tensor, delta: Tensor, A: Tensor, rows: Tensor, delta_bias: Tensor | None, options: dict[str, int], reverse: bool
) -> Tensor:
    """Run stages 1 and 2: the states at the chunks' starts or, in reverse, the flows into their ends."""
    from deeprftv2_arch.ops.scan import triton_kernels as kernels

    batch, channels, length = x.shape
    states = A.shape[0]
    chunks = _chunks(x)
    carries = A.new_empty(batch, chunks, states, channels)
    if chunks == 1:
        return carries.zero_()
    ends = torch.empty_like(carries)
    step_sums = A.new_empty(batch, chunks, channels)
    kernels.chunk_ends_kernel[(batch * chunks * -(-channels // CHANNELS),)](
        x, delta, A, rows, delta_bias, ends, step_sums, channels, length, _chunk_length(*x.shape),
        REVERSE=reverse, **options,
    )  # fmt: skip
    kernels.carries_kernel[(batch * -(-states * channels // CARRY_COLUMNS),)](
        ends, step_sums, A, carries, channels, chunks,
        REVERSE=reverse, STATES=states, ROWS=min(MOST_CARRY_ROWS, _power_of_two(chunks)), COLUMNS=CARRY_COLUMNS,
        num_warps=4, enable_fp_fusion=True,
    )  # fmt: skip
    return carries


def _check(**tensors: Tensor) -> None:
    for name, x in tensors.items():
        if x.dtype not in DTYPES:
            raise ValueError(
                f"selective_scan: the triton backend takes float32, bfloat16 and float16, and {name} is {x.dtype}; "
                f"convert it or use the torch backend"
            )


@torch.library.custom_op("deeprftv2::triton_scan", mutates_args=())
def _triton_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor]:
    """Return the outputs, with u's strides, and the chunks' starts, (batch, chunks, states, channels)."""
    batch, channels, length = u.shape
    states = A.shape[1]
    if u.numel() == 0:
        return torch.empty_like(u), A.new_empty(batch, _chunks(u), states, channels, dtype=torch.float32)
    from deeprftv2_arch.ops.scan import triton_kernels as kernels

    time_fastest = _is_time_fastest(u)
    laid_u, laid_delta = _laid_out(u, time_fastest), _laid_out(delta, time_fastest)
    rate, B, C = A.float().t().contiguous(), _rows(B), _rows(C)
    y = torch.empty_like(laid_u)
    options = _options(u, states, _tile_steps(u), delta_softplus, time_fastest)
    with torch.cuda.device_of(u):
        starts = _carries(laid_u, laid_delta, rate, B, delta_bias, options, reverse=False)
        kernels.outputs_kernel[(batch * _chunks(u) * -(-channels // CHANNELS),)](
            laid_u, laid_delta, rate, B, C, D, delta_bias, starts, y, channels, length, _chunk_length(*u.shape),
            **options,
        )  # fmt: skip
    return _lying_as(y, u), starts


@_triton_scan.register_fake
def _(u: Tensor, delta: Tensor, A: Tensor, *others: object) -> tuple[Tensor, Tensor]:
    starts = A.new_empty(u.shape[0], _chunks(u), A.shape[1], u.shape[1], dtype=torch.float32)
    return torch.empty_like(u), starts


@torch.library.custom_op("deeprftv2::triton_scan_backward", mutates_args=())
def _triton_scan_backward(
    dy: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    starts: Tensor,
) -> List[Tensor]:  # noqa: UP006
    """Compute the gradients of u, delta, A, B and C, then of D and delta_bias where they are given.

    Workspace: partial sums of B's and C's gradients, one for each block of 32 channels (together states / 16 times the
    elements of u, in float32), and per program the tiles' starts of one chunk (a bounded number of bytes); and copies
    of what of delta and dy lies otherwise than u.
    """
    batch, channels, length = u.shape
    states = A.shape[1]
    if u.numel() == 0:
        others = (x for x in (A, B, C, D, delta_bias) if x is not None)
        zeros = (torch.zeros_like(x, memory_format=torch.contiguous_format) for x in others)
        return [torch.empty_like(u), torch.empty_like(delta), *zeros]
    from deeprftv2_arch.ops.scan import triton_kernels as kernels

    time_fastest = _is_time_fastest(u)
    laid_u, laid_delta, laid_dy = (_laid_out(x, time_fastest) for x in (u, delta, dy))
    du, ddelta = torch.empty_like(laid_u), torch.empty_like(laid_delta)
    rate, B_rows, C_rows = A.float().t().contiguous(), _rows(B), _rows(C)

    chunks, chunk_length = _chunks(u), _chunk_length(*u.shape)
    blocks = -(-channels // CHANNELS)
    padded = _power_of_two(states)
    steps = max(1, min(4, 32 // padded))  # what fits in a thread's registers with all its states and decays
    rounds = -(-batch * chunks // max(1, BACKWARD_PROGRAMS // blocks))
    workers = -(-batch * chunks // rounds)  # with equal shares
    parts = rate.new_empty(2, blocks, batch, chunks * chunk_length, padded)
    sums = rate.new_empty(workers, states + 2, channels)
    tile_starts = rate.new_empty(workers, -(-chunk_length // steps), states, channels)
    with torch.cuda.device_of(u):
        options = _options(u, states, _tile_steps(u), delta_softplus, time_fastest)
        flows = _carries(laid_dy, laid_delta, rate, C_rows, delta_bias, options, reverse=True)
        kernels.gradients_kernel[(workers * blocks,)](
            laid_u, laid_delta, rate, B_rows, C_rows, D, delta_bias, laid_dy, starts, flows, tile_starts,
            du, ddelta, parts[0], parts[1], sums, batch, channels, length, chunk_length,
            **_options(u, states, steps, delta_softplus, time_fastest),
        )  # fmt: skip
    dB, dC = parts.sum(1)[:, :, :length, :states].transpose(2, 3)
    dA, dD, dbias = sums.sum(0).split([states, 1, 1])
    gradients = [_lying_as(du, u), _lying_as(ddelta, delta)]
    for x, gradient in ((A, dA.t()), (B, dB), (C, dC), (D, dD[0]), (delta_bias, dbias[0])):
        if x is not None:
            gradients.append(torch.empty_like(x, memory_format=torch.contiguous_format).copy_(gradient))
    return gradients


@_triton_scan_backward.register_fake
def _(
    dy: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    starts: Tensor,
) -> list[Tensor]:
    given = [x for x in (A, B, C, D, delta_bias) if x is not None]
    return [
        torch.empty_like(u),
        torch.empty_like(delta),
        *(torch.empty_like(x, memory_format=torch.contiguous_format) for x in given),
    ]


def _save(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.delta_softplus = inputs  # type: ignore[attr-defined]
    ctx.set_materialize_grads(False)  # no zeros for the states before the chunks
    ctx.save_for_backward(*tensors, output[1])


def _differentiate(ctx: Any, dy: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    u, delta, A, B, C, D, delta_bias, starts = ctx.saved_tensors
    if dy is None:
        return (None,) * 8
    gradients = iter(_triton_scan_backward(dy, u, delta, A, B, C, D, delta_bias, ctx.delta_softplus, starts))
    return *(None if x is None else next(gradients) for x in (u, delta, A, B, C, D, delta_bias)), None


_triton_scan.register_autograd(_differentiate, setup_context=_save)


def selective_scan_triton(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Scan as :func:`~deeprftv2_arch.ops.scan.interface.selective_scan`, on a GPU, for any strides and any length.

    Arithmetic and gradients' sums are float32. Nothing of size channels x states x length is stored: the forward pass
    keeps the states between chunks of 32 to 128 positions. What lies otherwise than ``u`` is copied: ``delta``, and the
    gradient of the result; and ``u`` itself, unless either its channels or its positions are next to each other.

    Args:
        u, delta: (batch, channels, length), float32, bfloat16 or float16.
        A: (channels, states), 1 to 16 states.
        B, C: (batch, states, length), of those dtypes too.
        D, delta_bias: (channels,) or None; as A in any of them, used in float32.
        delta_softplus: Pass ``delta`` with its bias through softplus.

    Returns:
        (batch, channels, length), dtype and strides of ``u``.

    Raises:
        ValueError: More than 16 states, a sequence in float64, or 2^31 elements and more in ``u``.
    """
    if not 1 <= A.shape[1] <= MOST_STATES:
        raise ValueError(
            f"selective_scan: the triton backend takes 1 to {MOST_STATES} states, and A has {A.shape[1]}; "
            f"use the torch backend"
        )
    if u.numel() >= 2**31:  # the kernels count in 32 bits
        raise ValueError("selective_scan: the triton backend takes fewer than 2^31 elements in u; split the batch")
    _check(u=u, delta=delta, B=B, C=C)
    y: Tensor = _triton_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)[0]
    return y
