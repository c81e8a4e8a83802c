"""The eight ways to put a square patch on the table: quarter turns, and quarter turns of its mirror image."""

import numpy as np

COUNT = 8
FLIPS = (0, 2, 4, 6)  # the ways that leave height and width as they are


def turned(image: np.ndarray, way: int) -> np.ndarray:
    """Turn an image by ``way % 4`` quarter turns and, if ``way`` is 4 or more, mirror the result left to right.

    Args:
        image: (H, W, ...); the first two axes are turned.
        way: 0 (as it is) to 7.

    Returns:
        A view of the image.
    """
    quarter_turned = np.rot90(image, way % 4)
    return quarter_turned[:, ::-1] if way >= 4 else quarter_turned
