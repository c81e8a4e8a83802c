"""Tiles that cover a map: to restore large images piece by piece, and to estimate kernels of a map's parts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return the starts of tiles along one axis: every ``tile - overlap`` pixels, the last moved back to the border."""
    if length <= tile:
        return [0]
    return [*range(0, length - tile, tile - overlap), length - tile]


def tile_weights(starts: Sequence[int], tile: int, blend: bool, like: Tensor) -> list[Tensor]:
    """Return the weights of every tile along one axis, 1 but where it meets the one before it.

    There they go from 0 to 1 in a line, and those of the other from 1 to 0; or, unless ``blend``, are 0.
    """
    weights = [like.new_ones(tile) for _ in starts]
    for index in range(1, len(starts)):
        shared = starts[index - 1] + tile - starts[index]
        if blend:
            ramp = _ramp(shared, like)
            weights[index - 1][tile - shared :] *= ramp.flip(0)
            weights[index][:shared] *= ramp
        else:
            weights[index][:shared] = 0
    return weights


def _ramp(length: int, like: Tensor) -> Tensor:
    if length == 1:  # where a line that begins with 0 would give no tile any weight
        return like.new_full((1,), 0.5)
    return torch.linspace(0, 1, length, dtype=like.dtype, device=like.device)


def seams(starts: Sequence[int], tile: int, like: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield the start of every tile along one axis, and how much it counts against those before it.

    That is 0 up to the middle of what it shares with the last of them, there a line over two or three pixels, neither 0
    nor 1, then 1.
    """
    end = starts[0]
    for start in starts:
        shared, end = end - start, start + tile
        context = max(0, shared - 2) // 2
        line = _ramp(shared - 2 * context + 2, like)[1:-1]
        yield start, torch.cat([like.new_zeros(context), line, like.new_ones(tile - context - len(line))])


class TileGrid:
    """Where the tiles of a map lie.

    Args:
        size: Height and width of the map.
        tile: Height and width of the tiles; a map that is smaller in one direction has smaller tiles.
        overlap: Pixels that neighbouring tiles share; the last two of a row or column may share more.
    """

    def __init__(self, size: Sequence[int], tile: int, overlap: int) -> None:
        self.size = size
        self.tile_size = [min(tile, length) for length in size]
        self.starts = [tile_starts(length, tile, overlap) for length in size]

    def places(self, upscale: int = 1) -> Iterator[tuple[slice, slice]]:
        """Yield rows and columns of every tile, row by row, in a map ``upscale`` times as large."""
        height, width = (upscale * length for length in self.tile_size)
        for top in self.starts[0]:
            for left in self.starts[1]:
                yield slice(upscale * top, upscale * top + height), slice(upscale * left, upscale * left + width)

    def cut(self, x: Tensor, level: int = 0) -> list[Tensor]:
        """Return the tiles (B, C, h, w) of a map that has been halved ``level`` times."""
        return [
            x[:, :, rows.start >> level : rows.stop >> level, columns.start >> level : columns.stop >> level]
            for rows, columns in self.places()
        ]

    def join(self, tiles: Iterable[Tensor], upscale: int = 1, blend: bool = True) -> Tensor:
        """Return the map that the tiles make, as in the published evaluation.

        Args:
            tiles: (B, C, upscale h, upscale w), in the order of ``places``.
            upscale: How many times as large as the places they are.
            blend: Whether tiles that overlap are mixed linearly, or the earlier one counts alone.

        Returns:
            (B, C, upscale H, upscale W): the sum of the weighted tiles over the sum of their weights. The latter is
            one wherever no more than two tiles overlap along an axis.
        """
        tiles = iter(tiles)
        first = next(tiles)
        total = first.new_zeros(*first.shape[:2], *(upscale * length for length in self.size))
        weight_sum = first.new_zeros(*total.shape[2:])
        row_weights, column_weights = (
            tile_weights([upscale * start for start in starts], upscale * length, blend, first)
            for starts, length in zip(self.starts, self.tile_size, strict=True)
        )
        weights = [torch.outer(row, column) for row in row_weights for column in column_weights]
        for tile, weight, (rows, columns) in zip(chain([first], tiles), weights, self.places(upscale), strict=True):
            total[:, :, rows, columns] += weight * tile
            weight_sum[rows, columns] += weight
        return total / weight_sum

    def stitch(self, tiles: Iterable[Tensor], upscale: int = 1) -> Tensor:
        """Return the map that the tiles make where what they share is context for the network to see.

        Neighbours are cut off near the middle of what they share, and blended over the two or three pixels there that
        both keep. What they agree on stays as it is to the last bit.

        Args:
            tiles: (B, C, upscale h, upscale w), in the order of ``places``.
            upscale: How many times as large as the places they are.

        Returns:
            (B, C, upscale H, upscale W).
        """
        rows = self.stitched_rows(tiles, upscale)
        first = next(rows)
        height, width = (upscale * length for length in self.size)
        total = first.new_empty(*first.shape[:2], height, width)
        top = 0
        for part in chain([first], rows):
            total[:, :, top : top + part.shape[2]] = part
            top += part.shape[2]
        return total

    def stitched_rows(self, tiles: Iterable[Tensor], upscale: int = 1) -> Iterator[Tensor]:
        """Yield the map of :meth:`stitch` in pieces (B, C, h, upscale W), from its top on, as soon as each is whole."""
        tiles = iter(tiles)
        first = next(tiles)
        rest = chain([first], tiles)
        width = upscale * self.size[1]
        tops, lefts = (
            list(seams([upscale * start for start in starts], upscale * length, first))
            for starts, length in zip(self.starts, self.tile_size, strict=True)
        )
        pending, done = first.new_zeros(*first.shape[:2], 0, width), 0  # rows that tiles below still change
        for top, row_weights in tops:
            if top > done:
                yield pending[:, :, : top - done]
                pending, done = pending[:, :, top - done :], top
            strip = first.new_zeros(*first.shape[:2], len(row_weights), width)
            for (left, weights), tile in zip(lefts, rest, strict=False):
                strip[..., left : left + len(weights)].lerp_(tile, weights)
            pending = torch.cat(
                [pending, strip.new_zeros(*strip.shape[:2], len(row_weights) - pending.shape[2], width)], 2
            )
            pending.lerp_(strip, row_weights[:, None])
        yield pending


def run_in_tiles(
    run: Callable[[list[Tensor]], Tensor],
    pyramid: Sequence[Tensor],
    tile: int,
    overlap: int,
    upscale: int = 1,
    overlap_is_context: bool = False,
    watch: Callable[[list[list[Tensor]]], Iterable[list[Tensor]]] = iter,
) -> Tensor:
    """Run a network on tiles of a pyramid, one after the other, and blend the results.

    Args:
        run: Maps the tiles of one place, finest first, to an image ``upscale`` times the size of the finest.
        pyramid: (B, C, H, W) and its halvings.
        tile: Height and width of the tiles, in pixels of the finest image.
        overlap: Pixels shared by neighbouring tiles; like ``tile`` a multiple of the network's size multiple.
        upscale: Factor by which ``run`` enlarges.
        overlap_is_context: Whether what tiles share is for the network to see alone, and cut off but for the two or
            three pixels in its middle (:meth:`TileGrid.stitch`). So a network whose receptive field, from end to end,
            is smaller than the overlap shows no seams. By default it is mixed linearly, as in the published
            evaluation (:meth:`TileGrid.join`).
        watch: Passes the tiles on one by one, as a bar that shows the progress does.

    Returns:
        (B, C', upscale H, upscale W), with the channels that ``run`` returns and on its device.
    """
    grid = TileGrid(pyramid[0].shape[2:], tile, overlap)
    tiles = zip(*(grid.cut(x, level) for level, x in enumerate(pyramid)), strict=True)
    results = (run(of_one_place) for of_one_place in watch([list(of_one_place) for of_one_place in tiles]))
    return grid.stitch(results, upscale) if overlap_is_context else grid.join(results, upscale)
