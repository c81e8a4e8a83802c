"""Images of the best, the median and the worst case: input, restored and ground truth side by side."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from deeprftv2_arch.common.images import AnyImage, ByteImage
from deeprftv2_arch.metrics.results import ImageResult

MARGIN = 8  # pixels
LABEL = 28  # height of a line of text
INK, PAPER = (25, 25, 25), 255
FONT = cv2.FONT_HERSHEY_SIMPLEX


def cases(images: Sequence[ImageResult], metric: str) -> dict[str, ImageResult]:
    """Return the images with the highest, the median (of two, the lower) and the lowest value of a metric."""
    ranked = sorted(images, key=lambda image: image.values[metric])
    return {"best": ranked[-1], "median": ranked[(len(ranked) - 1) // 2], "worst": ranked[0]}


def sheet(title: str, images: Mapping[str, AnyImage]) -> ByteImage:
    """Lay images out side by side below a title, each with its label.

    Args:
        title: The title.
        images: (h, w, 3) BGR by label: uint8, or floats in 0..1. Smaller ones are enlarged, pixel by pixel, to the
            size of the last.

    Returns:
        (H, W, 3) BGR.
    """
    height, width = list(images.values())[-1].shape[:2]
    top = MARGIN + 2 * LABEL
    canvas = np.full((top + height + MARGIN, MARGIN + len(images) * (width + MARGIN), 3), PAPER, np.uint8)
    _write(canvas, title, MARGIN, MARGIN, canvas.shape[1] - 2 * MARGIN)
    for column, (label, image) in enumerate(images.items()):
        left = MARGIN + column * (width + MARGIN)
        _write(canvas, label, left, MARGIN + LABEL, width)
        whole = cv2.resize(_of_8_bits(image), (width, height), interpolation=cv2.INTER_NEAREST)
        canvas[top : top + height, left : left + width] = whole
    return canvas


def _write(canvas: ByteImage, text: str, left: int, top: int, width: int) -> None:
    """Write a line of text as large as its place allows; OpenCV knows ASCII alone."""
    text = text.encode("ascii", "replace").decode()
    needed = cv2.getTextSize(text, FONT, 1.0, 1)[0][0]
    size = min(0.6, width / max(needed, 1))
    cv2.putText(canvas, text, (left, top + LABEL - 9), FONT, size, INK, 1, cv2.LINE_AA)


def _of_8_bits(image: AnyImage) -> ByteImage:
    return image if image.dtype == np.uint8 else (255 * image).round().astype(np.uint8)
