"""The network that an evaluation measures."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from deeprftv2_arch.checkpoints.weights import Weights, load_weights
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.launch.processes import Process
from deeprftv2_arch.networks.protocol import TiledNetwork
from deeprftv2_arch.options.building import build_network
from deeprftv2_arch.options.sections import PathSection

logger = logging.getLogger(__name__)

Tiles = tuple[int, int] | Literal["whole"] | None


def build_chosen_network(section: Mapping[str, Any], tiles: Tiles, process: Process) -> nn.Module:
    """Build a network in eval mode, on the device of this process, still without its weights.

    Args:
        section: The section ``network_g`` of the options.
        tiles: Size and overlap of the tiles in which larger images are restored, or ``whole``; None leaves it as the
            options say.
        process: This process.

    Raises:
        OptionError: The network has no such tiles.
    """
    network = build_network(section, "network_g")
    _choose_tiles(network, tiles)
    return network.to("cuda" if process.num_gpu > 0 else "cpu").eval()


def load_chosen_weights(network: nn.Module, path: PathSection) -> Weights | None:
    """Load the weights that the section ``path`` of the options names, if any, and say where they are from.

    Raises:
        CheckpointError: They cannot be read or do not fit.
    """
    if path.pretrain_network_g is None:
        return None
    return load_weights(network, Path(path.pretrain_network_g), path.param_key_g, path.strict_load_g, logger)


def _choose_tiles(network: nn.Module, tiles: Tiles) -> None:
    if tiles is None:
        return
    if tiles == "whole":
        if isinstance(network, TiledNetwork):
            network.use_tiles(None)
        return
    size, overlap = tiles
    if not isinstance(network, TiledNetwork):
        raise OptionError(f"--tile {size} {overlap}: {type(network).__name__} restores images whole")
    try:
        network.use_tiles(size, overlap)
    except OptionError as error:
        raise OptionError(f"--tile {size} {overlap}: {error}") from error
