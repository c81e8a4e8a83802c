"""The selective scan in plain PyTorch, parallel over chunks of the sequence.

The sequence is cut into chunks of ``CHUNK`` positions. Three stages give the exact result of the recurrence:

1. all chunks at once, from a state of zero: ``CHUNK`` steps, each on a (states, channels, chunks) tensor;
2. the true state at the start of every chunk, by one short recurrence over the chunks;
3. all chunks at once again, from their true starts, which gives the outputs.

Every factor is the exponential of a delta * A or of their sum over a chunk, never of a difference, so that nothing
overflows where the recurrence does not. The backward pass keeps the inputs and the starting states alone; it recomputes
the states of a group of chunks and runs the same three stages from the end of the sequence to its beginning.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

# Bound here because profilers that count operations patch the names in the torch module.
from torch import Tensor, addcmul, exp, mul

CHUNK = 32
FORWARD_ELEMENTS = 800_000  # states x channels x chunks of one step: what a processor's cache can hold
BACKWARD_ELEMENTS = 2_000_000  # states x channels x positions whose states the backward pass holds at once


@dataclass(frozen=True)
class _Group:
    """Some rows of the batch and some chunks of their sequences, small enough to be worked on at once.

    Layouts: a sequence (batch, channels, length) is handled as (CHUNK, channels, rows * chunks), a state as
    (states, channels, rows * chunks), and the states between chunks as (chunks, states, channels, rows).
    """

    rows: slice
    chunks: slice

    def sequence(self, x: Tensor) -> Tensor:
        """Cut (batch, channels, length) to this group's (CHUNK, channels, rows * chunks), zero behind the end."""
        x = x[self.rows, :, self.chunks.start * CHUNK : self.chunks.stop * CHUNK]
        x = F.pad(x, (0, (self.chunks.stop - self.chunks.start) * CHUNK - x.shape[2]))
        return x.unflatten(2, (-1, CHUNK)).permute(3, 1, 0, 2).flatten(2).contiguous()

    def store(self, x: Tensor, whole: Tensor) -> None:
        """Inverse of :meth:`sequence`: write this group's part into ``whole``, (batch, channels, length)."""
        target = whole[self.rows, :, self.chunks.start * CHUNK : self.chunks.stop * CHUNK]
        x = x.unflatten(2, (target.shape[0], -1)).permute(2, 1, 3, 0).flatten(2)
        target.copy_(x[:, :, : target.shape[2]])

    def chunk_by_chunk(self, state: Tensor) -> Tensor:
        """(states, channels, rows * chunks) -> (chunks, states, channels, rows)."""
        return state.unflatten(2, (-1, self.chunks.stop - self.chunks.start)).permute(3, 0, 1, 2).contiguous()


def _side_by_side(states: Tensor) -> Tensor:
    """(chunks, states, channels, rows) -> (states, channels, rows * chunks)."""
    return states.permute(1, 2, 3, 0).flatten(2).contiguous()


def _groups(batch: int, length: int, chunks_at_once: int) -> Iterator[_Group]:
    """Groups of about ``chunks_at_once`` chunks, in the order of the sequence within each set of rows."""
    chunks = -(-length // CHUNK)
    rows_at_once = max(1, chunks_at_once // max(1, chunks))
    for row in range(0, batch, rows_at_once):
        for first in range(0, chunks, max(1, chunks_at_once)):
            yield _Group(
                slice(row, min(batch, row + rows_at_once)),
                slice(first, min(chunks, first + max(1, chunks_at_once))),
            )


def _recur(first: Tensor, ends: Tensor, decays: Tensor) -> Tensor:
    """s_0 = first, s_{k+1} = ends_k + decays_k * s_k over the leading axis of length n; returns (n + 1, ...)."""
    starts = ends.new_empty(ends.shape[0] + 1, *first.shape)
    starts[0] = first
    for k in range(ends.shape[0]):
        addcmul(ends[k], decays[k], starts[k], out=starts[k + 1])
    return starts


def _run_chunks(
    state: Tensor, step: Tensor, A: Tensor, drive: Tensor, b: Tensor, c: Tensor | None = None, out: Tensor | None = None
) -> None:
    """Take every chunk of a group from its first to its last position, in place; outputs go to ``out`` if given."""
    buffer = torch.empty_like(state)
    for t in range(CHUNK):
        state.mul_(mul(step[t], A, out=buffer).exp_()).addcmul_(drive[t], b[t])
        if c is not None and out is not None:
            torch.sum(mul(state, c[t], out=buffer), 0, out=out[t])


@torch.library.custom_op("deeprftv2::chunked_scan", mutates_args=())
def _chunked_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """Return the outputs, (batch, channels, length), and the starts, (chunks, states, channels, batch)."""
    batch, channels, length = u.shape
    states = A.shape[1]
    A = A.t()[:, :, None].contiguous()
    y = torch.empty_like(u, memory_format=torch.contiguous_format)
    starts = u.new_empty(-(-length // CHUNK), states, channels, batch)
    for group in _groups(batch, length, FORWARD_ELEMENTS // (states * channels)):
        step = group.sequence(delta)
        drive = step * group.sequence(u)
        b, c = group.sequence(B)[:, :, None], group.sequence(C)[:, :, None]
        state = u.new_zeros(states, *step.shape[1:])
        _run_chunks(state, step, A, drive, b)

        if group.chunks.start == 0:
            carry = u.new_zeros(states, channels, group.rows.stop - group.rows.start)
        between = _recur(carry, group.chunk_by_chunk(state), group.chunk_by_chunk(exp(step.sum(0) * A)))
        starts[group.chunks, :, :, group.rows], carry = between[:-1], between[-1]

        out = torch.empty_like(step)
        _run_chunks(_side_by_side(between[:-1]), step, A, drive, b, c, out)
        group.store(out, y)
    return y, starts


@_chunked_scan.register_fake
def _(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    batch, channels, length = u.shape
    y = torch.empty_like(u, memory_format=torch.contiguous_format)
    return y, u.new_empty(-(-length // CHUNK), A.shape[1], channels, batch)


@torch.library.custom_op("deeprftv2::chunked_scan_backward", mutates_args=())
def _chunked_scan_backward(
    grad_y: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, starts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of u, delta, A, B and C.

    With the adjoint of a state, g_t = C_t dy_t + exp(delta_{t+1} A) g_{t+1}, what flows from position t into the
    position before it is f_t = exp(delta_t A) g_t. The flow is scanned as the state is, from the end to the beginning.
    """
    batch, channels, length = u.shape
    states = A.shape[1]
    A = A.t()[:, :, None].contiguous()
    grad_u, grad_delta, grad_B, grad_C = (
        torch.empty_like(x, memory_format=torch.contiguous_format) for x in (u, delta, B, C)
    )
    grad_A = torch.zeros_like(A)
    for group in reversed(list(_groups(batch, length, BACKWARD_ELEMENTS // (states * channels * CHUNK)))):
        step, x, dy = group.sequence(delta), group.sequence(u), group.sequence(grad_y)
        drive = step * x
        b, c = group.sequence(B)[:, :, None], group.sequence(C)[:, :, None]
        decay = mul(step[:, None], A).exp_()
        state = torch.empty_like(decay[:1]).expand(CHUNK + 1, -1, -1, -1).contiguous()
        state[0] = _side_by_side(starts[group.chunks, :, :, group.rows])
        mul(drive[:, None], b, out=state[1:])
        for t in range(CHUNK):
            state[t + 1].addcmul_(decay[t], state[t])

        adjoint = mul(c, dy[:, None])
        flow = torch.zeros_like(state[0])
        for t in reversed(range(CHUNK)):
            flow.add_(adjoint[t]).mul_(decay[t])
        if group.chunks.stop == starts.shape[0]:
            carry = u.new_zeros(states, channels, group.rows.stop - group.rows.start)
        ends = group.chunk_by_chunk(flow).flip(0)
        decays = group.chunk_by_chunk(exp(step.sum(0) * A)).flip(0)
        between = _recur(carry, ends, decays)
        carry = between[-1]
        flow = _side_by_side(between[:-1].flip(0))
        for t in reversed(range(CHUNK)):
            adjoint[t].add_(flow)
            mul(adjoint[t], decay[t], out=flow)

        group.store(mul(state[1:], dy[:, None]).sum(2), grad_C)
        group.store(mul(adjoint, drive[:, None]).sum(2), grad_B)
        grad_drive = mul(adjoint, b).sum(1)
        grad_exponent = adjoint.mul_(decay).mul_(state[:-1])
        group.store(grad_drive * step, grad_u)
        group.store(mul(grad_exponent, A).sum(1).addcmul_(grad_drive, x), grad_delta)
        grad_A += grad_exponent.mul_(step[:, None]).sum((0, 3))[:, :, None]
    return grad_u, grad_delta, grad_A[:, :, 0].t().contiguous(), grad_B, grad_C


@_chunked_scan_backward.register_fake
def _(
    grad_y: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, starts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    grads = tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in (u, delta, A, B, C))
    return grads[0], grads[1], grads[2], grads[3], grads[4]


def _save(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, output[1])


def _differentiate(ctx: torch.autograd.function.FunctionCtx, grad_y: Tensor, _: Tensor | None) -> tuple[Tensor, ...]:
    return _chunked_scan_backward(grad_y, *ctx.saved_tensors)  # type: ignore[attr-defined]


_chunked_scan.register_autograd(_differentiate, setup_context=_save)


def selective_scan_chunked(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """As :func:`~deeprftv2_arch.ops.scan.reference.selective_scan_reference`, on any device, for any length.

    Memory beyond inputs and output: states / CHUNK times the size of ``u`` is kept for the backward pass, and a bounded
    workspace (some tens of megabytes) while either pass runs.
    """
    return _chunked_scan(u, delta, A, B, C)[0]
