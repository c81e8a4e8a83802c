"""The tiles in which an image that is too large to be restored whole is restored."""

from collections.abc import Sequence
from typing import NamedTuple

from deeprftv2_arch.errors import OptionError

LARGEST_OVERLAP = 128  # pixels; of the published tiles of 512
SMALLEST = 64
STEP = 16  # tiles that are chosen here are multiples of it: no network of this package has to pad them


class Tiles(NamedTuple):
    """Height and width of the tiles, and the pixels that neighbours share."""

    size: int
    overlap: int

    def __str__(self) -> str:
        return f"tiles of {self.size} that share {self.overlap} pixels"


def tiles_of(size: int) -> Tiles:
    """Return tiles of a size; neighbours share a quarter of it, but no more than the published tiles do."""
    return Tiles(size, min(LARGEST_OVERLAP, size // 4))


def check_tiles(tiles: Sequence[int]) -> Tiles:
    """Return tiles that somebody asked for.

    Raises:
        OptionError: There are no such tiles.
    """
    is_pair = isinstance(tiles, Sequence) and [type(length) for length in tiles] == [int, int]
    if not is_pair or tiles[0] < 1 or not 0 <= 2 * tiles[1] <= tiles[0]:
        raise OptionError(f"tile: expected a size above 0 and an overlap of at most half of it, got {tiles}")
    return Tiles(*tiles)


def halved(tiles: Tiles | None, height: int, width: int) -> Tiles | None:
    """Return tiles half as large, or of half the image where it was whole; None where they were the smallest."""
    longest = max(height, width)
    size = min(tiles.size, longest) if tiles else longest
    return tiles_of(max(SMALLEST, size // 2 // STEP * STEP)) if size > SMALLEST else None
