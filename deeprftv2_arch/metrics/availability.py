"""Which metrics of an option file cannot be measured here; for those that need more than this package."""

from collections.abc import Callable, Mapping
from typing import Any

from deeprftv2_arch.errors import MetricUnavailableError
from deeprftv2_arch.metrics.lpips_distance import calculate_lpips, lpips_network

# Loads what a metric needs, or raises MetricUnavailableError.
LOADERS: dict[str, Callable[[], Any]] = {calculate_lpips.__name__: lpips_network}


def unavailable_metrics(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Try to load now what the metrics need, rather than after hours of restoring images.

    Args:
        metrics: Sections with a ``type`` by name, as ``val: metrics`` of an option file has them.

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
