"""The metrics of an option file, on one pair of images; and which of them cannot be measured here."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError, MetricUnavailableError
from deeprftv2_arch.metrics.aligned import ALIGNED_METRICS, AlignedMetrics, measure_aligned
from deeprftv2_arch.metrics.lpips_distance import calculate_lpips, lpips_network

# The metrics ``val: metrics`` of an option file by their names: sections with a ``type`` of METRIC_REGISTRY.
MetricSections = Mapping[str, Mapping[str, Any]]

# What metrics that need more than this package load, or raise MetricUnavailableError; by their names in the registry.
LOADERS: dict[str, Callable[[], Any]] = {calculate_lpips.__name__: lpips_network}


@dataclass(frozen=True)
class MetricValues:
    """What was measured on one pair of images.

    Attributes:
        values: The value of every metric by its name in the option file.
        alignment_failed: Whether aligned metrics have the values of the pair as it was; None without such metrics.
    """

    values: dict[str, float]
    alignment_failed: bool | None


def metric_values(images: Mapping[str, AnyImage], metrics: MetricSections) -> MetricValues:
    """Measure every metric; the pair is aligned once for all metrics that need that.

    Args:
        images: What the metrics compare, (H, W, 3) BGR: ``img`` and, where it is known, the ground truth ``img2``.
        metrics: What to measure.

    Raises:
        DataError: A metric has no value, as where the images are too small for it; the message does not know their
            names.
    """
    aligned: dict[int, AlignedMetrics] = {}  # by the border that is cropped before
    values = {}
    for name, metric in metrics.items():
        try:
            values[name] = _value(images, metric, aligned)
        except cv2.error:
            values[name] = math.nan
        if math.isnan(values[name]):
            height, width = images["img"].shape[:2]
            raise DataError(
                f"{name} has no value for this image of {width}x{height} pixels; if it is too small for the metric's "
                "window and the cropped border, remove it"
            )
    return MetricValues(values, any(pair.failed for pair in aligned.values()) if aligned else None)


def _value(images: Mapping[str, AnyImage], metric: Mapping[str, Any], aligned: dict[int, AlignedMetrics]) -> float:
    from basicsr.metrics import calculate_metric  # not above: importing this room imports no BasicSR

    if metric["type"] not in ALIGNED_METRICS:
        return float(calculate_metric(images, metric))
    border = metric.get("crop_border", 0)
    if border not in aligned:
        aligned[border] = measure_aligned(images["img"], images["img2"], border)
    return ALIGNED_METRICS[metric["type"]](aligned[border])


def needs_ground_truth(metric: Mapping[str, Any]) -> bool:
    """Tell whether a metric compares with the ground truth, or judges an image alone, as NIQE does."""
    from basicsr.utils.registry import METRIC_REGISTRY

    return "img2" in inspect.signature(METRIC_REGISTRY.get(metric["type"])).parameters


def unavailable_metrics(metrics: MetricSections) -> dict[str, str]:
    """Try to load now what the metrics need, rather than after hours of restoring images.

    Args:
        metrics: What is to be measured.

    Returns:
        Why, in one line, by the name of each metric that cannot be measured.
    """
    reasons = {}
    for name, metric in metrics.items():
        try:
            LOADERS.get(metric["type"], lambda: None)()
        except MetricUnavailableError as error:
            reasons[name] = str(error)
    return reasons
