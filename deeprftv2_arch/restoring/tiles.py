"""The tiles in which an image that is too large to be restored whole is restored."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor
from tqdm import tqdm

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.tiling import TileGrid

LARGEST_OVERLAP = 128  # pixels; of the published tiles of 512
SMALLEST = 64
MOMENT = 2.0  # seconds
STEP = 16  # tiles that are chosen here are multiples of it: no network has to pad them


class Tiles(NamedTuple):
    """Height and width of the tiles, and the pixels that neighbours share."""

    size: int
    overlap: int

    def __str__(self) -> str:
        return f"tiles of {self.size} that share {self.overlap} pixels"


def tiles_of(size: int) -> Tiles:
    """Tiles of a size; neighbours share a quarter of it, but no more than the published tiles do."""
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
    """Tiles half as large, or of half the image where it was whole; None where they were the smallest."""
    longest = max(height, width)
    size = min(tiles.size, longest) if tiles else longest
    return tiles_of(max(SMALLEST, size // 2 // STEP * STEP)) if size > SMALLEST else None


def run_in_tiles(
    run: Callable[[Tensor], Tensor], x: Tensor, tiles: Tiles | None, upscale: int, progress: bool = False
) -> Tensor:
    """Restore an image in tiles, one after the other, and blend them.

    What two tiles share is context, which is cut off but for the two or three pixels in its middle, where they are
    blended. So a network whose receptive field, from end to end, is smaller than the
    overlap shows no seams: what it makes of the tiles is what it makes of the whole image.

    Args:
        run: Restores (1, C, h, w).
        x: (1, C, H, W).
        tiles: The tiles; None for the whole image at once.
        upscale: Factor by which ``run`` enlarges.
        progress: Whether to show a bar if it takes longer than a moment.

    Returns:
        (1, C', upscale H, upscale W), on the device of what ``run`` returns.
    """
    if tiles is None or max(x.shape[2:]) <= tiles.size:
        return run(x)
    grid = TileGrid(x.shape[2:], tiles.size, tiles.overlap)
    parts = tqdm(
        grid.cut(x), "in tiles", unit="tile", leave=False, delay=MOMENT, dynamic_ncols=True, disable=not progress
    )
    return grid.stitch((run(part) for part in parts), upscale)
