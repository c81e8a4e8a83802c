"""The selective scan by loops that numba compiles for the CPU: the backend ``numba``.

Tasks are a row of the batch, a group of blocks of channels and, where these are fewer than threads, a segment of the
sequence: then all segments are scanned from zero first, and once more from their true beginnings, which follow from
that. The forward pass keeps the inputs and the state before every chunk; the backward pass recomputes the states of one
chunk of one block at a time, and runs the recurrence of the adjoint from the end.

numba is imported, and the kernels are compiled or read from disk, by the first call of :func:`prepare`.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deeprftv2_arch.common.stopping import signals_raised_after
from deeprftv2_arch.ops.full_precision import without_autocast
from deeprftv2_arch.ops.scan.numba_cache import cache_folder
from deeprftv2_arch.ops.scan.numba_layout import CHUNK, LANES, Sizes, Strided, Task, scratch_size
from deeprftv2_arch.ops.scan.recurrence import finite_
from deeprftv2_arch.ops.scan.worker_threads import run_tasks

if TYPE_CHECKING:
    from deeprftv2_arch.ops.scan.numba_kernels import Kernels

logger = logging.getLogger(__name__)

LOG2_E = 1.4426950408889634
# Per thread. More tasks than threads let one that gets less of a processor leave work to the others; in the backward
# pass that costs more than it gains, since each group of channels adds up gradients of B and C of its own.
FORWARD_TASKS, BACKWARD_TASKS = 3, 1
# What finding the beginnings of segments takes, as a share of the pass that follows.
FORWARD_ENDS, BACKWARD_ENDS = 0.8, 0.4
WORTHWHILE = 0.9  # of the time without segments
WORTH_A_THREAD = 2**17  # states at all positions: about as long a work as waking a thread up takes


def selective_scan_numba(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Scan as :func:`~deeprftv2_arch.ops.scan.reference.selective_scan_reference`, in the dtype of ``A``, on a CPU.

    Any strides are read as they are; fastest where channels are the fastest axis of ``u`` and ``delta``, as in
    flattened ``channels_last`` maps, or the length is. It runs on as many threads as PyTorch does. Memory beyond inputs
    and output: a state per 64 positions is kept for the backward pass, which takes twice the size of B for every
    group of channels while it runs.
    """
    y: Tensor = _numba_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)[0]
    return y


# --- The kernels ---

_kernels: "Kernels | None" = None
_prepared: set[torch.dtype] = set()
_preparing = threading.RLock()


def prepare(dtype: torch.dtype) -> "Kernels":
    """Compile the kernels for float32 or float64, or read them from disk, and see that they compute.

    Raises:
        Exception: numba cannot compile them here, or what it compiles is wrong.
    """
    global _kernels
    with _preparing:
        if _kernels is None:
            folder = cache_folder()
            if folder is None:
                logger.warning("no folder can be written to keep compiled kernels in; each process compiles its own")
            _kernels = _kernels_kept_in(folder)
        if dtype in _prepared:
            return _kernels
        try:
            with signals_raised_after():  # which the compiler, where it calls back, would swallow
                _try(_kernels, dtype)
        except Exception as failure:  # anything: of what is on disk, or of numba
            _prepared.clear()
            _kernels = _kernels_kept_in(None)
            _try(_kernels, dtype)
            reason = " ".join(str(failure).split())
            logger.warning("compiled kernels cannot be kept on disk (%s); each process compiles its own", reason)
        _prepared.add(dtype)
        return _kernels


def _kernels_kept_in(folder: Path | None) -> "Kernels":
    import numba

    from deeprftv2_arch.ops.scan.numba_kernels import kernels

    if folder is None:
        return kernels(cached=False)
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        return kernels(cached=True)
    finally:
        config.CACHE_DIR = before


def _try(kernels: "Kernels", dtype: torch.dtype) -> None:
    """Sum up what is left of ones, step by step, in two segments; so do the gradients, from the end."""
    length = 2 * CHUNK
    ones = torch.ones(1, 1, length, dtype=dtype)
    scan = _Scan(kernels, ones, ones, -ones[0, :, :1], ones, ones, None, None, False)
    parts = _Parts(batch=1, blocks=1, chunks=2, groups=1, segments=2, threads=1)
    y, starts = scan.forward(parts)
    du = scan.backward(parts, ones, starts)[0]
    expected = torch.exp(-torch.arange(length, dtype=dtype)).cumsum(0)
    if not (torch.allclose(y[0, 0], expected) and torch.allclose(du[0, 0], expected.flip(0))):
        raise ArithmeticError("the compiled kernels compute something else on this processor")


# --- The work ---


@dataclass(frozen=True)
class _Parts:
    """What is cut into how many parts, and how many threads share them."""

    batch: int
    blocks: int
    chunks: int
    groups: int
    segments: int
    threads: int

    def tasks(self) -> Iterator[Task]:
        """Make a task for every row, group and segment."""
        for row in range(self.batch):
            for group in range(self.groups):
                first_block, last_block = (i * self.blocks // self.groups for i in (group, group + 1))
                for segment in range(self.segments):
                    first_chunk, last_chunk = (i * self.chunks // self.segments for i in (segment, segment + 1))
                    yield Task(row, group, first_block, last_block, segment, first_chunk, last_chunk)


def _parts(u: Tensor, states: int, tasks_per_thread: int, ends: float) -> _Parts:
    """Cut enough parts for all threads; segments only where they save time, since they cost ``ends`` of a pass more."""
    batch, channels, length = u.shape
    threads = min(torch.get_num_threads(), max(1, u.numel() * states // WORTH_A_THREAD))
    blocks, chunks = -(-channels // LANES), -(-length // CHUNK)
    if threads == 1:
        return _Parts(batch, blocks, chunks, 1, 1, threads)
    groups = min(blocks, -(-tasks_per_thread * threads // batch))

    def time(segments: int) -> float:
        rounds = -(-batch * groups * segments // threads)
        return rounds / segments * (1 if segments == 1 else 1 + ends)

    segments = min(range(1, min(threads, chunks) + 1), key=time)
    return _Parts(batch, blocks, chunks, groups, segments if time(segments) < WORTHWHILE * time(1) else 1, threads)


def _strided(x: Tensor) -> Strided:
    span = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return Strided(x.detach().as_strided((span,), (1,)).numpy(), *x.stride())


def _by_blocks(x: Tensor) -> Tensor:
    """Cut (channels, ...) into (blocks, ..., 16), with zeros behind the last channel."""
    padded = F.pad(x.detach().movedim(0, -1), (0, -x.shape[0] % LANES))
    blocks: Tensor = padded.unflatten(-1, (-1, LANES))
    return blocks.movedim(-2, 0).contiguous()


def _flat(x: Tensor) -> object:
    return x.view(-1).numpy()


class _Scan:
    """Both passes over one set of tensors of one dtype."""

    def __init__(
        self,
        kernels: "Kernels",
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        delta_bias: Tensor | None,
        softplus: bool,
    ) -> None:
        self.kernels = kernels
        self.u, self.delta, self.A, self.B, self.C = (x.to(A.dtype) for x in (u, delta, A, B, C))
        self.A2 = _by_blocks(self.A * LOG2_E)
        zeros = A.new_zeros(len(A))
        self.D, self.bias = (_flat(_by_blocks(zeros if x is None else x)) for x in (D, delta_bias))
        self.softplus = softplus

    def sizes(self, parts: _Parts) -> Sizes:
        batch, channels, length = self.u.shape
        return Sizes(batch, channels, length, self.A.shape[1], parts.segments)

    def carries(self, parts: _Parts, x: Tensor, weights: Tensor, reverse: bool) -> Tensor:
        """Compute the states before segments or, in reverse, flows into them, (batch, blocks, segments, states, 16)."""
        states = self.A.shape[1]
        carries = self.A.new_zeros(parts.batch, parts.blocks, parts.segments, states, LANES)
        if parts.segments == 1:
            return carries
        found = torch.empty_like(carries)
        step_sums = self.A.new_empty(parts.batch, parts.blocks, parts.segments, LANES)
        unused = 0 if reverse else parts.segments - 1
        tasks = [task for task in parts.tasks() if task.segment != unused]
        arguments = (
            _strided(x), _strided(self.delta), _flat(self.A2), _strided(weights), self.bias, self.softplus, reverse,
            _flat(found), _flat(step_sums), self.sizes(parts),
        )  # fmt: skip
        self._run(self.kernels.ends, arguments, tasks, parts.threads)
        decays = finite_(torch.exp2(step_sums[:, :, :, None] * self.A2[:, None]))
        order = range(parts.segments - 1, 0, -1) if reverse else range(parts.segments - 1)
        for segment in order:
            here, following = (slice(None), slice(None), segment), segment + (-1 if reverse else 1)
            carries[:, :, following] = torch.addcmul(found[here], decays[here], carries[here])
        return carries

    def forward(self, parts: _Parts) -> tuple[Tensor, Tensor]:
        """Compute the outputs, and the states before all chunks, (batch, blocks, chunks, states, 16)."""
        y = torch.empty_like(self.u)
        starts = self.A.new_empty(parts.batch, parts.blocks, parts.chunks, self.A.shape[1], LANES)
        carries = self.carries(parts, self.u, self.B, reverse=False)
        arguments = (
            _strided(self.u), _strided(self.delta), _flat(self.A2), _strided(self.B), _strided(self.C), self.D,
            self.bias, self.softplus, _flat(carries), _strided(y), _flat(starts), self.sizes(parts),
        )  # fmt: skip
        self._run(self.kernels.outputs, arguments, list(parts.tasks()), parts.threads)
        return y, starts

    def backward(self, parts: _Parts, grad_y: Tensor, starts: Tensor) -> list[Tensor]:
        """Compute the gradients of u, delta, A, B, C, D and delta_bias."""
        states = self.A.shape[1]
        grad_y = grad_y.to(self.A.dtype)
        du, ddelta = torch.empty_like(self.u), torch.empty_like(self.delta)
        dA = self.A.new_empty(parts.batch, parts.blocks, parts.segments, states, LANES)
        dD, dbias = (self.A.new_empty(parts.batch, parts.blocks, parts.segments, LANES) for _ in range(2))
        dB, dC = (self.A.new_empty(parts.groups, parts.batch, parts.chunks * CHUNK, states) for _ in range(2))
        carries = self.carries(parts, grad_y, self.C, reverse=True)
        arguments = (
            _strided(grad_y), _strided(self.u), _strided(self.delta), _flat(self.A2), _strided(self.B),
            _strided(self.C), self.D, self.bias, self.softplus, _flat(starts), _flat(carries), _strided(du),
            _strided(ddelta), _flat(dA), _flat(dB), _flat(dC), _flat(dD), _flat(dbias), self.sizes(parts),
        )  # fmt: skip
        self._run(self.kernels.gradients, arguments, list(parts.tasks()), parts.threads, gradients=True)
        channels, length = self.u.shape[1:]
        vectors = [x.sum((0, 2)).view(-1)[:channels] for x in (dD, dbias)]
        dA = dA.sum((0, 2)).transpose(1, 2).reshape(-1, states)[:channels]
        return [du, ddelta, dA, *(x.sum(0)[:, :length].transpose(1, 2) for x in (dB, dC)), *vectors]

    def _run(
        self,
        kernel: Callable[..., None],
        arguments: tuple[object, ...],
        tasks: list[Task],
        threads: int,
        gradients: bool = False,
    ) -> None:
        def do(index: int) -> None:
            task = tasks[index]
            size = scratch_size(task.last_block - task.first_block, self.A.shape[1], gradients)
            kernel(*arguments, task, self.A.new_empty(size).numpy())

        run_tasks(do, len(tasks), threads)


@torch.library.custom_op("deeprftv2::numba_scan", mutates_args=())
def _numba_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor]:
    """Return the outputs, with u's strides, and the states before the chunks, (batch, blocks, chunks, states, 16)."""
    scan = _Scan(prepare(A.dtype), u, delta, A, B, C, D, delta_bias, delta_softplus)
    y, starts = scan.forward(_parts(u, A.shape[1], FORWARD_TASKS, FORWARD_ENDS))
    return y.to(u.dtype), starts


@_numba_scan.register_fake
def _(u: Tensor, delta: Tensor, A: Tensor, *others: object) -> tuple[Tensor, Tensor]:
    batch, channels, length = u.shape
    starts = A.new_empty(batch, -(-channels // LANES), -(-length // CHUNK), A.shape[1], LANES)
    return torch.empty_like(u), starts


@torch.library.custom_op("deeprftv2::numba_scan_backward", mutates_args=())
def _numba_scan_backward(
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
    """Compute the gradients of u, delta, A, B, C, D and delta_bias."""
    scan = _Scan(prepare(A.dtype), u, delta, A, B, C, D, delta_bias, delta_softplus)
    parts = _parts(u, A.shape[1], BACKWARD_TASKS, BACKWARD_ENDS)
    du, ddelta, dA, dB, dC, dD, dbias = scan.backward(parts, grad_y, starts)
    dB, dC = (torch.empty_like(x).copy_(gradient) for x, gradient in ((B, dB), (C, dC)))
    return du.to(u.dtype), ddelta.to(delta.dtype), dA.contiguous(), dB, dC, dD.clone(), dbias.clone()


@_numba_scan_backward.register_fake
def _(
    grad_y: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *others: object
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    du, ddelta, dB, dC = (torch.empty_like(x) for x in (u, delta, B, C))
    dD, dbias = (A.new_empty(u.shape[1]) for _ in range(2))
    return du, ddelta, A.new_empty(A.shape), dB, dC, dD, dbias


def _save(
    ctx: torch.autograd.function.FunctionCtx,
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None, bool],
    output: tuple[Tensor, Tensor],
) -> None:
    *tensors, ctx.delta_softplus = inputs  # type: ignore[attr-defined]
    ctx.set_materialize_grads(False)  # no zeros for the states before the chunks: threads that fill them spin on
    ctx.save_for_backward(*tensors, output[1])  # type: ignore[arg-type]


def _differentiate(
    ctx: torch.autograd.function.FunctionCtx, grad_y: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    *inputs, starts = ctx.saved_tensors  # type: ignore[attr-defined]
    if grad_y is None:
        return (None,) * (len(inputs) + 1)
    with without_autocast(grad_y):  # which many have around the backward pass too
        grads = _numba_scan_backward(grad_y, *inputs, ctx.delta_softplus, starts)  # type: ignore[attr-defined]
    return *(None if x is None else grad for x, grad in zip(inputs, grads, strict=True)), None


_numba_scan.register_autograd(_differentiate, setup_context=_save)
