"""Pixel-wise functions of large maps, strip by strip, so that what lies between stays in a processor's cache."""

from collections.abc import Callable

import torch
from torch import Tensor

STRIP_ELEMENTS = 2**19  # of all maps together: 2 MB in float32
SMALLEST_MAPS = 2**21  # maps with fewer elements fit into the cache as they are


def by_strips(function: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """Return ``function(*maps)``, where every pixel of the result depends on the same pixel of the maps alone.

    On a CPU, without gradients and for one large image, the maps are cut into strips of rows: the tensors inside the
    function are then small enough to be read from the cache instead of from memory.

    Args:
        function: Called with maps of all or of some rows; forward hooks of modules that it calls see each call.
        maps: (B, C_i, H, W), each with its own number of channels; those behind the first may also be (B, C_i, 1, 1),
            the same for all pixels.

    Returns:
        (B, C, H, W); in ``channels_last`` where strips were cut.
    """
    if not _worth_cutting(maps):
        return function(*maps)
    height, width = maps[0].shape[2:]
    elements = sum(x.numel() for x in maps)
    rows = max(1, STRIP_ELEMENTS * height // elements)
    first = function(*_strip(maps, 0, rows))
    result = first.new_empty(1, height, width, first.shape[1]).permute(0, 3, 1, 2)
    result[:, :, :rows] = first
    for top in range(rows, height, rows):
        result[:, :, top : top + rows] = function(*_strip(maps, top, rows))
    return result


def _strip(maps: tuple[Tensor, ...], top: int, rows: int) -> list[Tensor]:
    return [x[:, :, top : top + rows] if x.shape[2] > 1 else x for x in maps]


def _worth_cutting(maps: tuple[Tensor, ...]) -> bool:
    if torch.compiler.is_compiling():  # asked first: the answer to what follows would become a limit of dynamic sizes
        return False
    inference_on_cpu = maps[0].device.type == "cpu" and not torch.is_grad_enabled()
    return inference_on_cpu and maps[0].shape[0] == 1 and sum(x.numel() for x in maps) >= SMALLEST_MAPS
