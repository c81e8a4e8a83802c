"""The network that an evaluation measures."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from deeprftv2_arch.checkpoints.weights import Weights, load_weights
from deeprftv2_arch.errors import OptionError
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
    network: nn.Module = ARCH_REGISTRY.get(section["type"])(
        **{key: value for key, value in section.items() if key != "type"}
    )
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
