"""The network that an evaluation measures."""

import logging
from pathlib import Path
from typing import Literal

from torch import nn

from deeprftv2_arch.checkpoints.building import is_of_checkpoint
from deeprftv2_arch.checkpoints.weights import Weights, load_weights, weights_in
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.networks.protocol import TiledNetwork
from deeprftv2_arch.options.building import build_network
from deeprftv2_arch.options.loading import Run

logger = logging.getLogger(__name__)

Tiles = tuple[int, int] | Literal["whole"] | None


def build_chosen_network(run: Run, tiles: Tiles) -> tuple[nn.Module, Weights | None]:
    """Build the network of a run with its weights, in eval mode and on the CPU, and say where they are from.

    Args:
        run: The evaluation.
        tiles: Size and overlap of the tiles in which larger images are restored, or ``whole``; None leaves it as the
            options say.

    Returns:
        The network, and where its weights are from; None where it has none.

    Raises:
        CheckpointError: The weights cannot be read or do not fit.
        OptionError: The network has no such tiles.
    """
    section, path = run.options.network_g, run.options.path
    of_checkpoint = is_of_checkpoint(section)
    network = run.network if of_checkpoint else build_network(section, "network_g")
    _choose_tiles(network, tiles)
    weights = None
    if of_checkpoint:
        weights = weights_in(Path(section["checkpoint"]))
    elif path.pretrain_network_g is not None:
        file = Path(path.pretrain_network_g)
        weights = load_weights(network, file, path.param_key_g, path.strict_load_g, logger)
    return network.eval(), weights


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
