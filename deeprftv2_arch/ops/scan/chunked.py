"""The selective scan in plain PyTorch, parallel over chunks of the sequence: the backend ``torch``.

A *group* is as many positions as a processor's cache holds states for. Groups follow one another; inside a group the
recurrence h_t = a_t h_{t-1} + x_t runs over chunks of positions, and over chunks of those chunks
(:mod:`~deeprftv2_arch.ops.scan.recurrence`); all the rest is one product for all positions of the group.

Every factor a is the exponential of a delta * A or of their sum over a chunk, never of a difference: where delta * A is
at most 0, as in every trained network, no factor is larger than 1. The forward pass keeps the inputs and the state
before every group; the backward pass recomputes the states of one group at a time, and runs the recurrence of the
adjoint from the end.

Exponentials are powers of two, which PyTorch computes several times as fast as powers of e on some processors.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

# Bound here because profilers that count operations patch the names in the torch module.
from torch import Tensor, matmul, mul

from deeprftv2_arch.ops.full_precision import at_least_float32, without_autocast
from deeprftv2_arch.ops.scan.recurrence import finite_, recur_

CHUNK = 16  # positions
LEVELS = [CHUNK, 8]  # positions of a chunk, chunks of a chunk of chunks
GROUP_STATES = 2**20  # of a group: positions x states x channels
SOFTPLUS_THRESHOLD = 20  # above it softplus is the identity, in mamba_ssm as in PyTorch


def selective_scan_chunked(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Scan as :func:`~deeprftv2_arch.ops.scan.reference.selective_scan_reference`, on any device, for any length.

    Fastest where channels are the fastest axis of ``u`` and ``delta``, as in flattened ``channels_last`` maps. Memory
    beyond inputs and output: one state per group is kept for the backward pass, and some tens of megabytes are worked
    in while either pass runs.
    """
    y: Tensor = _chunked_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)[0]
    return y


def _positions_of_a_group(A: Tensor) -> int:
    """Return the positions that are worked on at once, a multiple of what the two levels of chunks divide."""
    multiple = math.prod(LEVELS)
    return max(1, round(GROUP_STATES / (A.numel() * multiple))) * multiple


class _Group:
    """Some positions of some rows of the batch, with what both passes need to know of them.

    Layouts: sequences are (rows, positions, channels), projections (rows, positions, states), and what belongs to
    states is (rows, positions, states, channels). Behind the end of the sequence everything is zero, steps included,
    so that states stay as they are there.
    """

    def __init__(self, rows: slice, positions: slice, length: int) -> None:
        self.rows = rows
        self.positions = positions
        self.length = int(min(positions.stop, length) - positions.start)
        self.padding = -self.length % CHUNK

    @property
    def size(self) -> int:
        """Padded positions of all rows, and one more for each row."""
        return int(self.rows.stop - self.rows.start) * (self.length + self.padding + 1)

    def part(self, x: Tensor) -> Tensor:
        """View this group's part of (batch, channels or states, length) as (rows, positions, channels or states)."""
        return x.transpose(1, 2)[self.rows, self.positions]

    def read(self, x: Tensor) -> Tensor:
        """Return :meth:`part` in the precision of the arithmetic, padded to whole chunks."""
        return self.pad(at_least_float32(self.part(x)).contiguous())

    def pad(self, x: Tensor) -> Tensor:
        """Append zeros, up to a whole chunk."""
        return F.pad(x, (0, 0, 0, self.padding)) if self.padding else x

    def write(self, x: Tensor, whole: Tensor) -> None:
        """Write into ``whole`` what :meth:`read` would read there, without the padding."""
        self.part(whole).copy_(x[:, : self.length])

    def steps(self, delta: Tensor, bias: Tensor | None, softplus: bool) -> Tensor:
        """Return the step sizes: softplus(delta + bias), or delta itself."""
        step = self.raw_steps(delta, bias)
        return self.pad(F.softplus(step) if softplus else step)

    def raw_steps(self, delta: Tensor, bias: Tensor | None) -> Tensor:
        """Return delta + bias, without padding."""
        step = at_least_float32(self.part(delta)).contiguous()
        return step if bias is None else step + bias


def _groups(batch: int, length: int, positions: int) -> list[_Group]:
    """Return the groups in the order of the sequence; of short sequences as many rows of the batch as fit into one."""
    padded = length + -length % CHUNK
    rows = max(1, positions // max(1, padded))
    return [
        _Group(slice(row, min(batch, row + rows)), slice(first, first + positions), length)
        for row in range(0, batch, rows)
        for first in range(0, length, positions)
    ]


def _rates(A: Tensor) -> tuple[Tensor, Tensor]:
    """Return A as (states, channels), and log2(e) A, of which powers of two are the decays."""
    rates = at_least_float32(A).t().contiguous()
    return rates, rates * math.log2(math.e)


def _decays(step: Tensor, A2: Tensor, out: Tensor | None = None) -> Tensor:
    """Return exp(step A) as (rows, positions, states, channels), where ``A2`` is log2(e) A as (states, channels)."""
    return mul(step[:, :, None], A2, out=out).exp2_()


def _decays_over_chunks(step: Tensor, A2: Tensor) -> Tensor:
    """Return the product of the decays of every chunk, (rows, chunks, states, channels)."""
    return finite_(_decays(step.unflatten(1, (-1, CHUNK)).sum(2), A2))


@dataclass(frozen=True)
class _Inputs:
    """What both passes read of a group, padded to whole chunks and in the precision of the arithmetic.

    Attributes:
        x: Of u, (rows, positions, channels).
        step: The step sizes, (rows, positions, channels).
        drive: Their product, which drives the states.
        b: Of B, (rows, positions, states).
        c: Of C, (rows, positions, states).
        a: The decays, (rows, positions, states, channels); memory of the next group's as well.
        over_chunks: The product of the decays of every chunk, (rows, chunks, states, channels).
    """

    x: Tensor
    step: Tensor
    drive: Tensor
    b: Tensor
    c: Tensor
    a: Tensor
    over_chunks: Tensor


class _Scan:
    """The tensors of one scan, its groups, and the memory in which they are worked on one after the other.

    Args:
        workspaces: How many tensors of the size of a group's states, and of one state more, are needed at once.
    """

    def __init__(
        self,
        tensors: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
        delta_bias: Tensor | None,
        delta_softplus: bool,
        workspaces: int,
    ) -> None:
        self.u, self.delta, A, self.B, self.C = tensors
        self.bias, self.softplus = delta_bias, delta_softplus
        self.channels, self.states = A.shape
        self.rates, self.rates2 = _rates(A)
        self.positions = _positions_of_a_group(A)
        self.groups = _groups(self.u.shape[0], self.u.shape[2], self.positions)
        largest = max((group.size for group in self.groups), default=0)
        self._memory = [self.rates.new_empty(largest * A.numel()) for _ in range(workspaces)]

    def index(self, group: _Group) -> int:
        """Count the groups of its rows before it."""
        return int(group.positions.start) // self.positions

    def memory(self, workspace: int, step: Tensor, more: int = 0) -> Tensor:
        """Return a workspace for the states of ``step`` (rows, positions, channels) and ``more`` positions."""
        shape = (step.shape[0], step.shape[1] + more, self.states, self.channels)
        return self._memory[workspace][: math.prod(shape)].view(shape)

    def read(self, group: _Group) -> _Inputs:
        """Read a group's inputs; the decays are in the first workspace."""
        x = group.read(self.u)
        step = group.steps(self.delta, self.bias, self.softplus)
        a = _decays(step, self.rates2, out=self.memory(0, step))
        over_chunks = _decays_over_chunks(step, self.rates2)
        return _Inputs(x, step, step * x, group.read(self.B), group.read(self.C), a, over_chunks)


def _over_states(weights: Tensor, x: Tensor) -> Tensor:
    """Multiply (rows, positions, states) . (rows, positions, states, channels) -> (rows, positions, channels)."""
    return matmul(weights[:, :, None], x)[:, :, 0]


def _over_channels(weights: Tensor, x: Tensor) -> Tensor:
    """Multiply (rows, positions, channels) . (rows, positions, states, channels) -> (rows, positions, states)."""
    return matmul(weights[:, :, None], x.transpose(2, 3))[:, :, 0]


@torch.library.custom_op("deeprftv2::chunked_scan", mutates_args=())
def _chunked_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor]:
    """Return the outputs and the states before the groups, (batch, groups, states, channels)."""
    scan = _Scan((u, delta, A, B, C), delta_bias, delta_softplus, workspaces=2)
    y = torch.empty_like(u)
    starts = scan.rates.new_zeros(u.shape[0], -(-u.shape[2] // scan.positions), scan.states, scan.channels)
    for group in scan.groups:
        inputs, index = scan.read(group), scan.index(group)
        state = mul(inputs.drive[:, :, None], inputs.b[..., None], out=scan.memory(1, inputs.step))
        recur_(state, inputs.a, starts[group.rows, index], LEVELS, over_chunks=inputs.over_chunks)
        if index + 1 < starts.shape[1]:
            starts[group.rows, index + 1] = state[:, -1]
        out = _over_states(inputs.c, state)
        group.write(out if D is None else out.addcmul_(inputs.x, at_least_float32(D)), y)
    return y, starts


@_chunked_scan.register_fake
def _(u: Tensor, delta: Tensor, A: Tensor, *others: object) -> tuple[Tensor, Tensor]:
    batch, channels, length = u.shape
    groups = -(-length // _positions_of_a_group(A))
    return torch.empty_like(u), at_least_float32(A.new_empty(batch, groups, A.shape[1], channels))


@torch.library.custom_op("deeprftv2::chunked_scan_backward", mutates_args=())
def _chunked_scan_backward(
    grad_y: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    starts: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute the gradients of u, delta, A, B, C, D and delta_bias.

    With the adjoint of a state, g_t = C_t dy_t + a_{t+1} g_{t+1}, what flows from position t into the state before it
    is f_t = a_t g_t = a_t (C_t dy_t + f_{t+1}): the recurrence of the states, backwards. The gradient of the exponent
    delta_t A is f_t h_{t-1}, that of what drives the state, delta_t u_t B_t, is C_t dy_t + f_{t+1}.
    """
    scan = _Scan((u, delta, A, B, C), delta_bias, delta_softplus, workspaces=3)
    grad_u, grad_delta, grad_B, grad_C = (torch.empty_like(x) for x in (u, delta, B, C))
    grad_A = torch.zeros_like(scan.rates)
    grad_D, grad_bias = (torch.zeros_like(scan.rates[0]) for _ in range(2))
    flow_from_behind = torch.zeros_like(starts[:, 0]) if u.shape[2] else starts
    for group in reversed(scan.groups):
        inputs, dy = scan.read(group), group.read(grad_y)
        state = _states_again(scan, inputs, starts[group.rows, scan.index(group)])
        flow = _flows(scan, inputs, dy, flow_from_behind[group.rows])
        flow_from_behind[group.rows] = flow[:, 0]

        group.write(_over_channels(dy, state[:, 1:]), grad_C)
        group.write(_gradient_of_b(inputs, dy, flow), grad_B)
        grad_drive = _over_states(inputs.b, flow[:, 1:]).addcmul_(dy, (inputs.b * inputs.c).sum(2, keepdim=True))
        grad_x = grad_drive * inputs.step
        if D is not None:
            grad_x.addcmul_(dy, at_least_float32(D))
            grad_D += (dy * inputs.x).sum((0, 1))
        group.write(grad_x, grad_u)

        grad_exponent = mul(flow[:, :-1], state[:, :-1], out=inputs.a)  # the decays are not needed any more
        grad_A += mul(grad_exponent, inputs.step[:, :, None], out=scan.memory(1, inputs.step)).sum((0, 1))  # nor states
        grad_step = grad_exponent.mul_(scan.rates).sum(2).addcmul_(grad_drive, inputs.x)[:, : group.length]
        if delta_softplus:
            raw = group.raw_steps(delta, delta_bias)
            grad_step = torch.ops.aten.softplus_backward(grad_step, raw, 1, SOFTPLUS_THRESHOLD)
        grad_bias += grad_step.sum((0, 1))
        group.write(grad_step, grad_delta)
    return grad_u, grad_delta, grad_A.t().contiguous(), grad_B, grad_C, grad_D, grad_bias


def _states_again(scan: _Scan, inputs: _Inputs, start: Tensor) -> Tensor:
    """Return the states of a group with the one before it in front, (rows, positions + 1, states, channels)."""
    state = scan.memory(1, inputs.step, more=1)
    state[:, 0] = start
    mul(inputs.drive[:, :, None], inputs.b[..., None], out=state[:, 1:])
    recur_(state[:, 1:], inputs.a, state[:, 0], LEVELS, over_chunks=inputs.over_chunks)
    return state


def _flows(scan: _Scan, inputs: _Inputs, dy: Tensor, from_behind: Tensor) -> Tensor:
    """Return the flows f_t of a group, then the one from behind it, (rows, positions + 1, states, channels)."""
    flow = scan.memory(2, inputs.step, more=1)
    flow[:, -1] = from_behind
    mul(dy[:, :, None], inputs.c[..., None], out=flow[:, :-1]).mul_(inputs.a)
    recur_(flow[:, :-1], inputs.a, flow[:, -1], LEVELS, backwards=True, over_chunks=inputs.over_chunks)
    return flow


def _gradient_of_b(inputs: _Inputs, dy: Tensor, flow: Tensor) -> Tensor:
    """Sum delta_t u_t (C_t dy_t + f_{t+1}) over channels, (rows, positions, states)."""
    return (inputs.drive * dy).sum(2, keepdim=True).mul(inputs.c).add_(_over_channels(inputs.drive, flow[:, 1:]))


@_chunked_scan_backward.register_fake
def _(
    grad_y: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *others: object
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    grad_A = at_least_float32(A.new_empty(A.shape))
    grad_u, grad_delta, grad_B, grad_C = (torch.empty_like(x) for x in (u, delta, B, C))
    grad_D, grad_bias = (grad_A.new_empty(u.shape[1]) for _ in range(2))
    return grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias


def _save(
    ctx: torch.autograd.function.FunctionCtx,
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None, bool],
    output: tuple[Tensor, Tensor],
) -> None:
    *tensors, ctx.delta_softplus = inputs  # type: ignore[attr-defined]
    ctx.set_materialize_grads(False)  # no zeros for the states before the chunks
    ctx.save_for_backward(*tensors, output[1])  # type: ignore[arg-type]


def _differentiate(
    ctx: torch.autograd.function.FunctionCtx, grad_y: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    *inputs, starts = ctx.saved_tensors  # type: ignore[attr-defined]
    if grad_y is None:
        return (None,) * (len(inputs) + 1)
    with without_autocast(grad_y):  # which many have around the backward pass too
        grads = _chunked_scan_backward(grad_y, *inputs, ctx.delta_softplus, starts)  # type: ignore[attr-defined]
    return *(None if x is None else grad.to(x.dtype) for x, grad in zip(inputs, grads, strict=True)), None


_chunked_scan.register_autograd(_differentiate, setup_context=_save)
