"""Blurring an image with a kernel of its own for every pixel (UFPNet's reblur operator)."""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Values of a strip of rows of the image. On a CPU a strip stays in the cache; on a GPU it is as large as the strip of
# the field allows, which takes 120 times as much for three channels and kernels of 19x19.
STRIP_ON_CPU, STRIP_ON_GPU = 2**16, 2**20


def reblur(image: Tensor, field: Tensor) -> Tensor:
    """Blur an image: ``(x * K)(c, p) = sum over q of K_p[q] x(c, p + q - r)``.

    A correlation: kernels are not turned. ``r`` is half of the odd kernel size, rounded down; all channels of a pixel
    share its kernel; the image is continued by its border pixels. Every sample of a batch is blurred by its own
    kernels. Images may have any size, also a smaller one than the kernels.

    The offsets ``q`` are taken one after the other, in strips of rows. Beside inputs and results only the continued
    image is held, and one strip of a field that is in half precision or laid out in ``channels_last``. The backward
    pass needs nothing but the inputs, the image for the gradient of the field and the field for that of the image.

    Args:
        image: x (B, C, H, W).
        field: K (B, D, H, W). Channel ``row * size + column`` holds that row and column of every kernel; the sum of a
            kernel may have any value.

    Returns:
        (B, C, H, W) in float32, or in float64 if an input is; sums of half precision too are taken in float32.

    Raises:
        ValueError: The shapes do not belong together, or D is not the square of an odd number.
    """
    _check(image, field)
    dtype = torch.promote_types(torch.promote_types(image.dtype, field.dtype), torch.float32)
    blurred: Tensor = _Reblur.apply(image.to(dtype), field)
    return blurred


class _Reblur(torch.autograd.Function):
    """:func:`reblur` of an image in the precision of the result."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, field: Tensor) -> Tensor:
        ctx.field = torch.empty_like(field, device="meta")  # its shape, layout and precision
        ctx.save_for_backward(image if ctx.needs_input_grad[1] else None, field if ctx.needs_input_grad[0] else None)
        radius = _radius(field.shape)
        padded = F.pad(image, [radius] * 4, mode="replicate")
        blurred = torch.zeros_like(image, memory_format=torch.contiguous_format)
        for rows in _strips(image):
            kernels = _strip_of_field(field, rows, image.dtype)
            for q, window in _windows(padded, rows, radius):
                blurred[:, :, rows].addcmul_(kernels[:, q, None], window)
            del kernels  # before the next strip is made
        return blurred

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        image, field = ctx.saved_tensors
        grad = grad.contiguous()
        return (
            None if field is None else _gradient_of_image(grad, field),
            None if image is None else _gradient_of_field(grad, image, ctx.field),
        )


def _gradient_of_image(grad: Tensor, field: Tensor) -> Tensor:
    """Return the gradient of the result -> that of the image."""
    radius = _radius(field.shape)
    padded = F.pad(torch.zeros_like(grad), [radius] * 4)
    for rows in _strips(grad):
        kernels = _strip_of_field(field, rows, grad.dtype)
        for q, window in _windows(padded, rows, radius):
            window.addcmul_(kernels[:, q, None], grad[:, :, rows])
        del kernels
    return _folded(_folded(padded, 2, radius), 3, radius)


def _gradient_of_field(grad: Tensor, image: Tensor, field: Tensor) -> Tensor:
    """Return the gradient of the result -> that of the field, in the field's layout and precision."""
    radius = _radius(field.shape)
    padded = F.pad(image, [radius] * 4, mode="replicate")
    gradient = torch.empty_like(field, device=grad.device)
    for rows in _strips(grad):
        wanted = gradient[:, :, rows]
        in_place = wanted.stride(3) == 1 and wanted.dtype == grad.dtype
        strip = wanted if in_place else grad.new_empty(wanted.shape)
        for q, window in _windows(padded, rows, radius):
            torch.mul(grad[:, 0, rows], window[:, 0], out=strip[:, q])
            for channel in range(1, grad.shape[1]):
                strip[:, q].addcmul_(grad[:, channel, rows], window[:, channel])
        if not in_place:
            wanted.copy_(strip)
        del strip
    return gradient


def _strips(image: Tensor) -> Iterator[slice]:
    """Return the stretches of rows that divide an image."""
    batch, channels, height, width = image.shape
    values = STRIP_ON_CPU if image.device.type == "cpu" else STRIP_ON_GPU
    rows = max(1, values // max(1, batch * channels * width))
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def _windows(padded: Tensor, rows: slice, radius: int) -> Iterator[tuple[int, Tensor]]:
    """Yield every offset q, and the view of a continued image that lies at this offset from the rows."""
    size, width = 2 * radius + 1, padded.shape[3] - 2 * radius
    for q in range(size**2):
        down, right = divmod(q, size)
        yield q, padded[:, :, rows.start + down : rows.stop + down, right : right + width]


def _strip_of_field(field: Tensor, rows: slice, dtype: torch.dtype) -> Tensor:
    """Return some rows of a field, in which neighbours of a row are neighbours in memory; a view wherever it can be."""
    strip = field[:, :, rows]
    return strip.to(dtype) if strip.stride(3) == 1 else strip.to(dtype, memory_format=torch.contiguous_format)


def _folded(padded: Tensor, axis: int, radius: int) -> Tensor:
    """Add what lies in the continuation to the border that it repeats, along one axis; changes ``padded``."""
    length = padded.shape[axis] - 2 * radius
    inner = padded.narrow(axis, radius, length)
    inner.narrow(axis, 0, 1).add_(padded.narrow(axis, 0, radius).sum(axis, keepdim=True))
    inner.narrow(axis, length - 1, 1).add_(padded.narrow(axis, radius + length, radius).sum(axis, keepdim=True))
    return inner


def _radius(field: torch.Size) -> int:
    return math.isqrt(field[1]) // 2


def _check(image: Tensor, field: Tensor) -> None:
    fitting = image.dim() == field.dim() == 4 and (image.shape[0], *image.shape[2:]) == (
        field.shape[0],
        *field.shape[2:],
    )
    if not fitting:
        raise ValueError(
            f"reblur: an image {tuple(image.shape)} and a field {tuple(field.shape)} do not belong together; "
            "expected (B, C, H, W) and (B, D, H, W)"
        )
    size = math.isqrt(field.shape[1])
    if size**2 != field.shape[1] or size % 2 == 0:
        raise ValueError(f"reblur: {field.shape[1]} values are no square kernel of an odd size")
