"""The figures of one restored image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from deeprftv2_arch.errors import DataError
from deeprftv2_arch.metrics.aligned import ALIGNED_METRICS, measure_aligned
from deeprftv2_arch.metrics.measuring import figures_of


@dataclass(frozen=True)
class Pair:
    """A restored image and its ground truth, or why there are none.

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
    """What was measured on an image.

    Attributes:
        index: Its number in the data set.
        name: Its name there.
        figures: The value of every metric by its name.
        alignment_failed: Whether aligned figures are those of the image as it was; None without any.
        fault: Why it could not be measured.
    """

    index: int
    name: str
    figures: dict[str, float] = field(default_factory=dict)
    alignment_failed: bool | None = None
    fault: str | None = None


def measure(pair: Pair, metrics: Mapping[str, Mapping[str, Any]]) -> Measured:
    """Measure a pair; what hinders that becomes its fault, so that the other images are measured all the same.

    Args:
        pair: The images.
        metrics: Sections with a ``type`` by name, as ``val: metrics`` of an option file has them.
    """
    if pair.restored is None or pair.sharp is None:
        return Measured(pair.index, pair.name, fault=pair.fault)
    try:
        figures = figures_of({"img": pair.restored, "img2": pair.sharp}, metrics)
    except DataError as error:
        return Measured(pair.index, pair.name, fault=f"{pair.name}: {error}")
    aligned = [metric for metric in metrics.values() if metric["type"] in ALIGNED_METRICS]
    failed = measure_aligned(pair.restored, pair.sharp, aligned[0]["crop_border"]).failed if aligned else None
    return Measured(pair.index, pair.name, figures, failed)
