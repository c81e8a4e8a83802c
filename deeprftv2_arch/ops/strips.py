"""Pixel-wise functions of large maps, strip by strip: all threads of a CPU at once, each from its own cache."""

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from deeprftv2_arch.ops.thread_team import run_in_team, team_size

STRIP_ELEMENTS = 2**19  # of all maps together, and of what all threads work on at once: 2 MB in float32
SMALLEST_MAPS = 2**21  # for one thread: maps with fewer elements fit into the cache as they are
WORTH_SHARING = 2**17  # elements whose strips are worth to be shared among threads


def by_strips(function: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """Return ``function(*maps)``, where every pixel of the result depends on the same pixel of the maps alone.

    On a CPU, without gradients and for one image, the maps are cut into strips of rows. The tensors inside the function
    are then small enough to be read from the cache instead of from memory, and threads take strips rather than
    shares of every single operation.

    Args:
        function: Called with maps of all or of some rows, from several threads at once.
        maps: (B, C_i, H, W), each with its own number of channels; those behind the first may also be (B, C_i, 1, 1),
            the same for all pixels.

    Returns:
        (B, C, H, W); in ``channels_last`` where strips were cut.
    """
    count = _strip_count(maps)
    if count == 1:
        return function(*maps)
    height, width = maps[0].shape[2:]
    rows = -(-height // count)
    results: list[Tensor] = []  # of all rows: one, as soon as its channels are known
    allocating = threading.Lock()

    def compute(number: int) -> None:
        top = number * rows
        strip = function(*_strip(maps, top, rows))
        with allocating:
            if not results:
                results.append(strip.new_empty(1, height, width, strip.shape[1]).permute(0, 3, 1, 2))
        results[0][:, :, top : top + rows] = strip

    run_in_team(compute, -(-height // rows))
    return results[0]


def _strip(maps: tuple[Tensor, ...], top: int, rows: int) -> list[Tensor]:
    return [x[:, :, top : top + rows] if x.shape[2] > 1 else x for x in maps]


def _strip_count(maps: tuple[Tensor, ...]) -> int:
    if torch.compiler.is_compiling():  # asked first: the answer to what follows would become a limit of dynamic sizes
        return 1
    if maps[0].device.type != "cpu" or torch.is_grad_enabled() or maps[0].shape[0] != 1:
        return 1
    threads, elements = team_size(), sum(x.numel() for x in maps)
    if elements < (SMALLEST_MAPS if threads == 1 else WORTH_SHARING):
        return 1
    return threads * -(-elements // STRIP_ELEMENTS)  # as many for every thread
