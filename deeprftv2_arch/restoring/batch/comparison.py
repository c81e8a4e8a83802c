"""An image before and after, side by side."""

import numpy as np

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.restoring.conversion import PEAKS

GAP = 8  # pixels


def side_by_side(before: AnyImage, after: AnyImage) -> AnyImage:
    """Lay an image and its restored version out beside each other, with a white gap between them.

    Args:
        before: (h, w) or (h, w, C), enlarged pixel by pixel to the size of the other.
        after: (s h, s w) or (s h, s w, C), of the same type.

    Returns:
        (s h, 2 s w + GAP) or (s h, 2 s w + GAP, C).
    """
    upscale = after.shape[0] // before.shape[0]
    enlarged = before.repeat(upscale, axis=0).repeat(upscale, axis=1)
    gap = np.full((after.shape[0], GAP, *after.shape[2:]), PEAKS[after.dtype], after.dtype)
    return np.concatenate([enlarged, gap, after], axis=1)
