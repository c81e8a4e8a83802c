"""What validation and evaluation share: eval mode, names of images, and what the processes tell each other."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from deeprftv2_arch.common.image_format import EXTENSIONS
from deeprftv2_arch.metrics.metric_values import MetricSections, unavailable_metrics
from deeprftv2_arch.metrics.results import ImageResult
from deeprftv2_arch.models.processes import gathered


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Put a network in eval mode within a with-block, and back into the mode that it had."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def image_name(address: str, root: str | None) -> str:
    """Return the name of an image within its data set, without extension.

    Its folders stay, so that images of equal names in different folders, and LMDB keys with slashes, do not collide.

    Args:
        address: Path of the blurred image, or its key in an LMDB, dots and slashes included.
        root: Folder of the blurred images, if there is one.
    """
    path = Path(address)
    if root is not None and path.is_relative_to(root):
        path = path.relative_to(root)
    if path.is_absolute() or os.pardir in path.parts:
        path = Path(path.name)
    return (path.with_suffix("") if path.suffix.lower() in EXTENSIONS else path).as_posix()


def unavailable_anywhere(metrics: MetricSections) -> dict[str, str]:
    """Return why, in one line, by the name of each metric that some process cannot measure; every process must call.

    Args:
        metrics: What is to be measured.
    """
    return {name: reason for reasons in gathered(unavailable_metrics(metrics)) for name, reason in reasons.items()}


def results_of_all(found: Iterable[ImageResult]) -> list[ImageResult]:
    """Return what all processes measured, in the order of the data set; every process must call.

    So means do not depend on the number of processes.
    """
    images = [image for part in gathered(list(found)) for image in part]
    return sorted(images, key=lambda image: image.index)
