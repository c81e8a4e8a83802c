"""Which metrics the processes of a run cannot measure together."""

from collections.abc import Mapping
from typing import Any

from deeprftv2_arch.metrics.availability import unavailable_metrics
from deeprftv2_arch.models.collectives import gathered


def unavailable_anywhere(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return why, in one line, by the name of each metric that some process cannot measure; every process must call.

    Args:
        metrics: Sections with a ``type`` by name, as ``val: metrics`` of an option file has them.
    """
    return {name: reason for reasons in gathered(unavailable_metrics(metrics)) for name, reason in reasons.items()}
