"""All figures of one pair of images."""

import math
from collections.abc import Mapping
from typing import Any

import cv2
from basicsr.metrics import calculate_metric

from deeprftv2_arch.errors import DataError
from deeprftv2_arch.metrics.images import AnyImage


def figures_of(images: Mapping[str, AnyImage], metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the value of every metric by its name.

    Args:
        images: What the metrics compare, (H, W, 3) BGR: ``img`` and, where it is known, the ground truth ``img2``.
        metrics: Sections with a ``type`` by name, as ``val: metrics`` of an option file has them.

    Raises:
        DataError: A metric has no value, as where the images are too small for it; the message does not know their
            names.
    """
    figures = {}
    for name, metric in metrics.items():
        try:
            figures[name] = float(calculate_metric(images, metric))
        except cv2.error:
            figures[name] = math.nan
        if math.isnan(figures[name]):
            height, width = images["img"].shape[:2]
            raise DataError(
                f"{name} has no value for this image of {width}x{height} pixels; if it is too small for the metric's "
                "window and the cropped border, remove it"
            )
    return figures
