"""How much memory there is, how much a network takes, and the largest tiles that fit."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from torch import nn

from deeprftv2_arch.common.kept_memory import growth_of_peak, kept_bytes
from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.networks.cards import card_of
from deeprftv2_arch.networks.protocol import traits_of
from deeprftv2_arch.restoring.tiles import SMALLEST, STEP, Tiles, tiles_of

CGROUP = Path("/sys/fs/cgroup")  # the limit of a container, which psutil does not know
STRIPS = 4  # of tiles, that are in work, blended, to be blended, and stored
SHARE = 0.8  # of the free memory, the rest is for other programs and for what the model below does not know

RESERVE = 0.02  # of a limit, for what the model knows too little of

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def parse_bytes(words: str | int) -> int:
    """Return the bytes of "3G", "3GiB", "1.5 GB" or "500M" (all powers of 1024), or of a plain number.

    Raises:
        OptionError: It is none of these, or zero.
    """
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([KMGT]?)(?:i?B)?", str(words).strip(), re.IGNORECASE)
    number = int(float(match[1]) * UNITS[match[2].upper()]) if match else 0
    if number < 1:
        raise OptionError(f"{words!r} is no amount of memory; write it as 3G, 500M or a number of bytes")
    return number


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of NumPy or PyTorch says that memory ran out; PyTorch has no class for it on a CPU."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


def budget(device: torch.device, limit: int | None) -> int:
    """Return the bytes that restoring an image may take now.

    Args:
        device: Where the network is.
        limit: Bytes that this process may take in all, on a GPU those of its tensors there; None: a part of what is
            free now.
    """
    if device.type == "cuda":
        taken = torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - taken
        growth = 1.0
    else:
        resident = psutil.Process().memory_info().rss
        kept = kept_bytes(resident)
        taken, free, growth = resident - kept, min(_free()) + kept, growth_of_peak()
    most = SHARE * free if limit is None else min(int((1 - RESERVE) * limit) - taken, free)
    return int(most / growth)


def require_within(limit: int, needed: int, what: str) -> None:
    """Refuse work that would take this process beyond a limit, before it begins.

    Args:
        limit: Bytes that this process may take in all.
        needed: Bytes that the work takes beyond what is taken now.
        what: The work, for the message.

    Raises:
        DataError: It would.
    """
    resident = psutil.Process().memory_info().rss
    total = int((resident - kept_bytes(resident) + needed * growth_of_peak()) / (1 - RESERVE))
    if total > limit:
        raise DataError(
            f"{what} takes about {math.ceil(total / UNITS['M']):,}M of memory, more than the limit of "
            f"{limit // UNITS['M']:,}M; raise that (--memory-limit {math.ceil(total / UNITS['M'])}M)"
        )


def _free() -> Iterator[int]:
    """Yield the free memory of the machine and, in a container that has a limit, of that."""
    yield psutil.virtual_memory().available
    most, taken = CGROUP / "memory.max", CGROUP / "memory.current"
    if most.is_file() and taken.is_file() and most.read_text(encoding="ascii").strip() != "max":
        yield int(most.read_text(encoding="ascii")) - int(taken.read_text(encoding="ascii"))


class ImageBytes(NamedTuple):
    """Bytes that an image takes beside what a network takes.

    Attributes:
        whole: Where it is restored as a whole.
        result: In tiles: what it becomes.
        row: In tiles: for every row of a tile.
    """

    whole: int = 0
    result: int = 0
    row: int = 0


NOTHING_BESIDE = ImageBytes()


def image_bytes(height: int, width: int, upscale: int, pixel_bytes: int | None = None) -> ImageBytes:
    """Return the bytes of an image in the machine's memory.

    Args:
        height: Of the image.
        width: Of the image.
        upscale: How many times higher and wider it becomes.
        pixel_bytes: Of a pixel of the result, if its tiles are cut from the image as it is stored, and the rows of the
            result stored as soon as they are whole; by default all of it is float32 at once.
    """
    before, after = 3 * 4, 2 * 3 * 4  # float32; a strip of tiles, and the result
    whole = height * width * (before + after * upscale**2)
    if pixel_bytes is None:
        return ImageBytes(whole, whole)
    return ImageBytes(whole, height * width * pixel_bytes * upscale**2, width * (before + STRIPS * 3 * 4 * upscale**2))


def reading_bytes(pixels: int, pixel_bytes: int, file_bytes: int) -> int:
    """Return the bytes that reading an image takes: its file; its pixels as they are decoded, ordered and turned."""
    return 2 * file_bytes + 3 * pixels * pixel_bytes


def writing_bytes(pixels: int, pixel_bytes: int, upscale: int) -> int:
    """Return the bytes that an image, its result and the writing of that take, which may be encoded into as many."""
    return pixels * pixel_bytes * (1 + 5 * upscale**2)


def pixels_that_fit(network: nn.Module, free: int) -> int:
    """Return how many pixels of its input a network can work on in so many bytes."""
    card, own_tile = card_of(network), traits_of(network).tile
    pixel = card.bytes_per_pixel(network)
    at_once = max(free, 0) // pixel
    if own_tile is None or at_once <= own_tile**2:
        return at_once
    return max(own_tile**2, (free - pixel * own_tile**2) // card.bytes_around_tiles(network))


def smallest_bytes(network: nn.Module, image: ImageBytes) -> int:
    """Return the bytes that the smallest tiles of an image take."""
    return SMALLEST**2 * card_of(network).bytes_per_pixel(network) + SMALLEST * image.row


def tiles_that_fit(
    network: nn.Module,
    height: int,
    width: int,
    free: int,
    largest: int | None = None,
    image: ImageBytes = NOTHING_BESIDE,
) -> Tiles | None:
    """Return the largest tiles that a network can work on in so much memory; None for the image as a whole.

    Args:
        network: The network.
        height: Of the image.
        width: Of the image.
        free: Bytes.
        largest: Size of tiles that are not to be exceeded.
        image: What the image takes beside.

    Raises:
        DataError: Not even the smallest tiles fit.
    """
    if height * width <= pixels_that_fit(network, free - image.whole) and (
        largest is None or max(height, width) <= largest
    ):
        return None
    size = math.isqrt(pixels_that_fit(network, free - image.result)) // STEP * STEP
    multiple = traits_of(network).size_multiple  # another project's network may pad tiles to larger ones than STEP
    size = size // multiple * multiple or size
    size = min(size, largest or size)
    while size >= SMALLEST and size**2 > pixels_that_fit(network, free - image.result - size * image.row):
        size -= STEP
    if size < SMALLEST:
        raise DataError(
            f"an image of {width}x{height} does not fit into the memory even in tiles of {SMALLEST}; raise the memory "
            "limit or end other programs"
        )
    return tiles_of(size)
