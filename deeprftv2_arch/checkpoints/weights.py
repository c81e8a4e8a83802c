"""The weights that a network is given, and where they are from."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from deeprftv2_arch.checkpoints.io import TOP_LEVEL, find_params, load_into

AVERAGE = "params_ema"
BLOCK = 1 << 20  # bytes of a file that are read at once


@dataclass(frozen=True)
class Weights:
    """Where weights are from.

    Attributes:
        file: The checkpoint.
        key: Under which key of the file.
        sha256: Of the file.
    """

    file: str
    key: str
    sha256: str


def load_weights(network: nn.Module, path: Path, key: str | None, strict: bool, logger: logging.Logger) -> Weights:
    """Give a network the weights in a file, and say where they are from.

    Args:
        network: The bare network.
        path: The checkpoint.
        key: Where in the checkpoint to look first; a warning says if others are taken. None: the averaged weights where
            there are any.
        strict: Whether all weights must fit; if not, what does not is left out with a warning.
        logger: Gets the warnings.

    Raises:
        CheckpointError: The file is missing, torn, unsafe to read, or belongs to another network.
    """
    state, found = find_params(path, key or AVERAGE)
    left_out = load_into(network, state, path, strict)
    if found not in (key, TOP_LEVEL) and key is not None:
        logger.warning("%s: there is no %s in it; taking %s", path, key, found)
    if left_out:
        logger.warning("%s: loaded in part, tensors %s", path, left_out)
    which = f"{found}, the average of the training" if found == AVERAGE else found
    logger.info("Loaded %s from %s (%s)", type(network).__name__, path, which)
    # Now, because a training may replace the file while the network is at work.
    return Weights(str(path), found, sha256(path))


def weights_in(path: Path) -> Weights:
    """Say which weights :func:`deeprftv2_arch.checkpoints.building.network_of_checkpoint` takes of a file.

    Raises:
        CheckpointError: The file cannot be read.
    """
    return Weights(str(path), find_params(path, AVERAGE)[1], sha256(path))


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
