"""The figures of one restored picture."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
from basicsr.metrics import calculate_metric
from numpy.typing import NDArray

from deeprftv2_arch.errors import DataError
from deeprftv2_arch.metrics.aligned import calculate_psnr_aligned, calculate_ssim_aligned, measure_aligned

# Metrics that share one alignment, and where its result has their values.
ALIGNED = {calculate_psnr_aligned.__name__: "psnr", calculate_ssim_aligned.__name__: "ssim"}


@dataclass(frozen=True)
class Pair:
    """A restored picture and its ground truth, or why there are none.

    Attributes:
        index: Its number in the data set.
        name: Its name there.
        restored: (H, W, 3) BGR, of 8 bits or floats in 0..1.
        sharp: Of the same shape and type.
        fault: Why nothing could be restored.
    """

    index: int
    name: str
    restored: NDArray[Any] | None = None
    sharp: NDArray[Any] | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured on a picture.

    Attributes:
        index: Its number in the data set.
        name: Its name there.
        figures: The value of every metric by its name.
        alignment_failed: Whether aligned figures are those of the picture as it was; None without any.
        fault: Why it could not be measured.
    """

    index: int
    name: str
    figures: dict[str, float] = field(default_factory=dict)
    alignment_failed: bool | None = None
    fault: str | None = None


def measure(pair: Pair, metrics: Mapping[str, Mapping[str, Any]]) -> Measured:
    """Measure a pair; what hinders that becomes its fault, so that the other pictures are measured all the same.

    Args:
        pair: The pictures.
        metrics: Sections with a ``type`` by name, as ``val: metrics`` of an option file has them.
    """
    if pair.restored is None or pair.sharp is None:
        return Measured(pair.index, pair.name, fault=pair.fault)
    try:
        figures, alignment_failed = _figures(pair.restored, pair.sharp, metrics)
    except DataError as error:
        return Measured(pair.index, pair.name, fault=f"{pair.name}: {error}")
    return Measured(pair.index, pair.name, figures, alignment_failed)


def _figures(
    restored: NDArray[Any], sharp: NDArray[Any], metrics: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, float], bool | None]:
    figures, aligned = {}, None
    for name, metric in metrics.items():
        try:
            if metric["type"] in ALIGNED:
                aligned = aligned or measure_aligned(restored, sharp, metric["crop_border"])
                figures[name] = float(getattr(aligned, ALIGNED[metric["type"]]))
            else:
                figures[name] = float(calculate_metric({"img": restored, "img2": sharp}, dict(metric)))
        except cv2.error:
            figures[name] = math.nan
        if math.isnan(figures[name]):
            height, width = restored.shape[:2]
            raise DataError(
                f"{name} has no value for this picture of {width}x{height} pixels; if it is too small for the metric's "
                "window and the cropped border, remove it"
            )
    return figures, None if aligned is None else aligned.failed
