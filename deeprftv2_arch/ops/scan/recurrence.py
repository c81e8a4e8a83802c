"""The linear recurrence x_t += a_t x_{t-1}, by chunks side by side: few operations on many elements each."""

import torch
from torch import Tensor, addcmul


def finite_(products: Tensor) -> Tensor:
    """Put the largest number in place of infinity: times an x of zero it must give zero, as its factors do."""
    return products.clamp_(max=torch.finfo(products.dtype).max)


def recur_(
    x: Tensor,
    a: Tensor,
    first: Tensor,
    chunks: list[int],
    backwards: bool = False,
    over_chunks: Tensor | None = None,
) -> None:
    """Compute x_t += a_t x_{t-1} in place along axis 1, or x_t += a_t x_{t+1} when ``backwards``.

    Three stages give what the steps one after the other would give: all chunks at once from zero, for their ends; the
    same recurrence over those ends, which gives the true x before every chunk; all chunks at once again, from there.

    Args:
        x, a: (rows, positions, ...), of one shape.
        first: What stands for x before the first position (behind the last one), (rows, ...).
        chunks: Positions of a chunk here, chunks of a chunk at the next level, and so on. A level whose length its
            chunk does not divide, and the one behind the last, runs step after step.
        backwards: Direction.
        over_chunks: Product of ``a`` over every chunk of this level, (rows, chunks, ...), where it is known already.
    """
    if not chunks or x.shape[1] % chunks[0] or x.shape[1] == chunks[0]:
        _recur_in_order_(_steps(x, a, 1, backwards), first)
        return
    split = (-1, chunks[0])
    steps = _steps(x.unflatten(1, split), a.unflatten(1, split), 2, backwards)

    # The x before every chunk; in the direction of time, the end of one is what stands before the next.
    befores = x.new_empty(x.shape[0], x.shape[1] // chunks[0] + 1, *x.shape[2:])
    before, ends = (befores[:, 1:], befores[:, :-1]) if backwards else (befores[:, :-1], befores[:, 1:])
    end = steps[0][0]
    for x_t, a_t in steps[1:]:
        end = addcmul(x_t, a_t, end, out=ends)
    before[:, -1 if backwards else 0] = first
    if over_chunks is None:
        over_chunks = finite_(a.unflatten(1, split).prod(2))
    recur_(ends, over_chunks, first, chunks[1:], backwards)

    _recur_in_order_(steps, before)


def _steps(x: Tensor, a: Tensor, axis: int, backwards: bool) -> list[tuple[Tensor, Tensor]]:
    """Return the views of x_t and a_t for every t along ``axis``, in the order in which they are gone through."""
    steps = list(zip(x.unbind(axis), a.unbind(axis), strict=True))
    return steps[::-1] if backwards else steps


def _recur_in_order_(steps: list[tuple[Tensor, Tensor]], first: Tensor) -> None:
    """Compute x_t += a_t x_{t-1} in place, one step after the other, from ``first``."""
    for x_t, a_t in steps:
        first = x_t.addcmul_(a_t, first)
