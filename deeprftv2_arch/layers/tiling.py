"""Inference in overlapping tiles, as in the published evaluation of pictures larger than the training patches."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Starts of the tiles along one axis: every ``tile - overlap`` pixels, the last one moved back to the border."""
    if length <= tile:
        return [0]
    return [*range(0, length - tile, tile - overlap), length - tile]


def blend_weights(starts: Sequence[int], tile: int, like: Tensor) -> list[Tensor]:
    """Weights of every tile along one axis: linear from 0 to 1 where it meets a neighbour, 1 elsewhere."""
    weights = [like.new_ones(tile) for _ in starts]
    for index in range(1, len(starts)):
        shared = starts[index - 1] + tile - starts[index]
        ramp = torch.linspace(0, 1, shared, dtype=like.dtype, device=like.device)
        weights[index - 1][tile - shared :] *= ramp.flip(0)
        weights[index][:shared] *= ramp
    return weights


def run_in_tiles(
    run: Callable[[list[Tensor]], Tensor], pyramid: Sequence[Tensor], tile: int, overlap: int, upscale: int = 1
) -> Tensor:
    """Run a network on tiles of a pyramid and blend the results.

    The weights of all tiles at a pixel sum to one wherever no more than two tiles overlap along an axis, as in the
    published evaluation; they are divided by their sum elsewhere.

    Args:
        run: Maps the tiles of one place, finest first, to a picture ``upscale`` times the size of the finest.
        pyramid: (B, C, H, W) and its halvings.
        tile: Height and width of the tiles, in pixels of the finest picture.
        overlap: Pixels shared by neighbouring tiles; like ``tile`` a multiple of the network's size multiple.
        upscale: Factor by which ``run`` enlarges.

    Returns:
        (B, C', upscale H, upscale W), with the channels that ``run`` returns.
    """
    height, width = pyramid[0].shape[2:]
    rows, columns = tile_starts(height, tile, overlap), tile_starts(width, tile, overlap)
    tile_height, tile_width = min(tile, height), min(tile, width)
    row_weights = blend_weights([upscale * start for start in rows], upscale * tile_height, pyramid[0])
    column_weights = blend_weights([upscale * start for start in columns], upscale * tile_width, pyramid[0])
    weight_sum = pyramid[0].new_zeros(upscale * height, upscale * width)
    total: Tensor | None = None
    for top, row_weight in zip(rows, row_weights, strict=True):
        for left, column_weight in zip(columns, column_weights, strict=True):
            restored = run(
                [
                    level[:, :, top >> k : (top + tile_height) >> k, left >> k : (left + tile_width) >> k]
                    for k, level in enumerate(pyramid)
                ]
            )
            if total is None:
                total = restored.new_zeros(*restored.shape[:2], *weight_sum.shape)
            weight = torch.outer(row_weight, column_weight)
            place = (
                ...,
                slice(upscale * top, upscale * (top + tile_height)),
                slice(upscale * left, upscale * (left + tile_width)),
            )
            total[place] += weight * restored
            weight_sum[place] += weight
    assert total is not None
    return total / weight_sum
