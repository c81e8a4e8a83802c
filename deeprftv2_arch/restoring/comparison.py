"""A picture before and after, side by side."""

import cv2
import numpy as np

from deeprftv2_arch.restoring.conversion import Picture

GAP = 8  # pixels


def side_by_side(before: Picture, after: Picture) -> Picture:
    """Lay a picture and its restored version out beside each other, with a white gap between them.

    Args:
        before: (h, w) or (h, w, C), enlarged pixel by pixel to the size of the other.
        after: (H, W) or (H, W, C), of the same type.

    Returns:
        (H, 2 W + GAP) or (H, 2 W + GAP, C).
    """
    height, width = after.shape[:2]
    enlarged = cv2.resize(before, (width, height), interpolation=cv2.INTER_NEAREST)
    gap = np.full((height, GAP, *after.shape[2:]), np.iinfo(after.dtype).max, after.dtype)
    return np.concatenate([enlarged, gap, after], axis=1)
