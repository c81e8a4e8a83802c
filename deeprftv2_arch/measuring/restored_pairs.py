"""What a network makes of the images of a test set, and how that is measured."""

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from basicsr.utils import tensor2img
from torch import Tensor, nn

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.data.image_pair_dataset import ImagePairDataset
from deeprftv2_arch.errors import DataError, EvaluationError
from deeprftv2_arch.metrics.metric_values import MetricSections, metric_values
from deeprftv2_arch.metrics.results import ImageResult
from deeprftv2_arch.models.validation import image_name


@dataclass(frozen=True)
class Pair:
    """A restored image and its ground truth, or why there are none.

    Attributes:
        index: Its number in the data set.
        name: Its name there.
        restored: (H, W, 3) BGR, of 8 bits or floats in 0..1.
        sharp: Of the same shape and type.
        fault: Why nothing could be restored.
        seconds: How long the network took.
    """

    index: int
    name: str
    restored: AnyImage | None = None
    sharp: AnyImage | None = None
    fault: str | None = None
    seconds: float | None = None


class RestoredPairs:
    """The images of a data set, restored one by one, with their ground truth.

    Args:
        network: The network, in eval mode.
        dataset: The data set.
        output: ``uint8`` or ``float``, see :class:`Protocol`.
    """

    def __init__(self, network: nn.Module, dataset: ImagePairDataset, output: Literal["uint8", "float"]) -> None:
        self.network = network
        self.dataset = dataset
        self.output = output
        self.device = torch.device("cuda" if next(network.parameters(), torch.empty(0)).is_cuda else "cpu")

    def __getitem__(self, index: int) -> Pair:
        """Restore one image; if it cannot be read, the pair says why."""
        try:
            item = self.dataset[index]
            start = time.perf_counter()
            restored = self._restored(item["lq"], item["lq_path"])
            seconds = time.perf_counter() - start
            if restored.shape != item["gt"].shape:
                raise DataError(
                    f"{item['lq_path']}: restored to {_size(restored)}, but its ground truth is {_size(item['gt'])}; "
                    "choose the network of this scale"
                )
        except DataError as error:
            return Pair(index, self.name(index), fault=str(error))
        images = self.image(restored), self.image(item["gt"])
        return Pair(index, self.name(index), *images, seconds=seconds)

    def image(self, tensor: Tensor) -> AnyImage:
        """Turn RGB (3, H, W) into BGR (H, W, 3), clamped to 0..1 and, if the protocol demands it, rounded to 8 bits."""
        if self.output == "uint8":
            rounded: AnyImage = tensor2img([tensor])
            return rounded
        return np.ascontiguousarray(tensor.clamp(0, 1).numpy()[::-1].transpose(1, 2, 0))

    def name(self, index: int) -> str:
        """Return the name of an image in the data set."""
        address = self.dataset.lq.address(self.dataset.pairs[index][0])
        return image_name(address, str(self.dataset.lq.root))

    @torch.no_grad()
    def _restored(self, degraded: Tensor, path: str) -> Tensor:
        try:
            restored: Tensor = self.network(degraded[None].to(self.device))[0].float().cpu()
        except DataError as error:  # of a network that does not restore every size
            raise DataError(f"{path}: {error}") from error
        except torch.cuda.OutOfMemoryError as error:
            raise EvaluationError(
                f"{path}: an image of {_size(degraded)} does not fit into the GPU's memory; choose --tile SIZE OVERLAP"
            ) from error
        if not restored.isfinite().all():
            raise DataError(f"{path}: the network's output is not finite")
        return restored


def _size(image: Tensor) -> str:
    return f"{image.shape[2]}x{image.shape[1]}"


def measure(pair: Pair, metrics: MetricSections) -> ImageResult:
    """Measure a pair; what hinders that becomes its fault, so that the other images are measured all the same.

    Args:
        pair: The images.
        metrics: What to measure.
    """
    if pair.restored is None or pair.sharp is None:
        return ImageResult(pair.index, pair.name, fault=pair.fault)
    try:
        found = metric_values({"img": pair.restored, "img2": pair.sharp}, metrics)
    except DataError as error:
        return ImageResult(pair.index, pair.name, fault=f"{pair.name}: {error}")
    return ImageResult(
        pair.index, pair.name, found.values, alignment_failed=found.alignment_failed, seconds=pair.seconds
    )
