"""The network that is measured, and what it makes of an image."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from basicsr.utils import tensor2img
from basicsr.utils.registry import ARCH_REGISTRY
from numpy.typing import NDArray
from torch import Tensor, nn

from deeprftv2_arch.checkpoints.weights import Weights, load_weights
from deeprftv2_arch.data.image_pair_dataset import ImagePairDataset
from deeprftv2_arch.errors import DataError, EvaluationError, OptionError
from deeprftv2_arch.measuring.pairs import Pair
from deeprftv2_arch.models.image_name import image_name
from deeprftv2_arch.options.loading import Options

logger = logging.getLogger(__name__)

Tiles = tuple[int, int] | Literal["whole"] | None


def build_network(opt: Options, tiles: Tiles) -> nn.Module:
    """Build the network of the options, in eval mode and on the device of this process, still without its weights.

    Args:
        opt: The options.
        tiles: Size and overlap of the tiles in which larger images are restored, or ``whole``; None leaves it as the
            options say.

    Raises:
        OptionError: The network has no such tiles.
    """
    section = opt["network_g"]
    network = ARCH_REGISTRY.get(section["type"])(**{key: value for key, value in section.items() if key != "type"})
    _choose_tiles(network, tiles)
    return network.to("cuda" if opt["num_gpu"] > 0 else "cpu").eval()


def load_chosen_weights(network: nn.Module, options: Mapping[str, Any]) -> Weights | None:
    """Load the weights that the section ``path`` of the options names, if any, and say where they are from.

    Raises:
        CheckpointError: They cannot be read or do not fit.
    """
    if options.get("pretrain_network_g") is None:
        return None
    file, key = Path(options["pretrain_network_g"]), options.get("param_key_g", "params")
    return load_weights(network, file, key, options.get("strict_load_g", True), logger)


def _choose_tiles(network: Any, tiles: Tiles) -> None:
    if tiles is None:
        return
    has_tiles = hasattr(network, "use_tiles")
    if tiles == "whole":
        if has_tiles:
            network.use_tiles(None)
        return
    size, overlap = tiles
    if not has_tiles:
        raise OptionError(f"--tile {size} {overlap}: {type(network).__name__} restores images whole")
    try:
        network.use_tiles(size, overlap)
    except OptionError as error:
        raise OptionError(f"--tile {size} {overlap}: {error}") from error


class Restorer:
    """Restores the images of a data set.

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

    def restore(self, index: int) -> Pair:
        """Restore one image; if it cannot be read, the pair says why."""
        try:
            item = self.dataset[index]
            restored = self._restored(item["lq"], item["lq_path"])
            if restored.shape != item["gt"].shape:
                raise DataError(
                    f"{item['lq_path']}: restored to {_size(restored)}, but its ground truth is {_size(item['gt'])}; "
                    "choose the network of this scale"
                )
        except DataError as error:
            return Pair(index, self.name(index), fault=str(error))
        return Pair(index, self.name(index), self.image(restored), self.image(item["gt"]))

    def image(self, tensor: Tensor) -> NDArray[Any]:
        """RGB (3, H, W) -> BGR (H, W, 3), clamped to 0..1 and, if the protocol demands it, rounded to 8 bits."""
        if self.output == "uint8":
            return tensor2img([tensor])
        return np.ascontiguousarray(tensor.clamp(0, 1).numpy()[::-1].transpose(1, 2, 0))

    def name(self, index: int) -> str:
        """Return the name of an image in the data set."""
        address = self.dataset.lq.address(self.dataset.pairs[index][0])
        return image_name(address, str(self.dataset.lq.root))

    @torch.no_grad()
    def _restored(self, degraded: Tensor, path: str) -> Tensor:
        try:
            restored = self.network(degraded[None].to(self.device))[0].float().cpu()
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
