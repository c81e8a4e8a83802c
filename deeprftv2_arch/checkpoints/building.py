"""Networks that are built from their weights alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deeprftv2_arch.checkpoints.io import find_params
from deeprftv2_arch.checkpoints.peers import peer_of_weights
from deeprftv2_arch.checkpoints.recognition import describe, mismatch, require_buildable
from deeprftv2_arch.checkpoints.told_arguments import told_arguments
from deeprftv2_arch.errors import CheckpointError, DeepRFTv2Error
from deeprftv2_arch.networks.cards import card_of_weights
from deeprftv2_arch.networks.layers_bound import layers_bounded


def network_of_checkpoint(path: Path) -> nn.Module:
    """Build the network that the weights in a file belong to; average weights (``params_ema``) are preferred.

    Where they are no network of this package, one that spandrel knows, if that is installed.

    What weights do not tell, the metadata of a safetensors file may, or else an option file. Otherwise it is as
    published: ``category_size`` and ``img_range`` of an ATD by its width, and a DeepRFTv2 without ``train_size``,
    ``fke_window`` and ``smallest_size``.

    Raises:
        CheckpointError: The file cannot be read safely, its weights belong to no network of this package or are not
            finite, or its metadata tell arguments that do not go with them.
    """
    state, _ = find_params(path, "params_ema")
    require_finite(state, path)
    try:
        card = card_of_weights(state)
        if card is None:
            peer = peer_of_weights(state)
            if peer is not None:
                return peer
        return network_of_weights(state, told_arguments(path, card, state) if card and card.builds else None)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; name another file") from error


def NetworkOfCheckpoint(checkpoint: str) -> nn.Module:  # noqa: N802  (a ``type`` of networks, as classes are)
    """Any network that its weights alone build, of this package or of another project, with these weights.

    Args:
        checkpoint: The file of the weights. Nothing else is to be named in ``pretrain_network_g``.

    Raises:
        CheckpointError: See :func:`network_of_checkpoint`.
    """
    with torch.device("cpu"):  # whatever its shapes are asked on
        return network_of_checkpoint(Path(checkpoint))


def is_of_checkpoint(section: Mapping[str, Any]) -> bool:
    """Tell whether a section ``network_g`` takes the network from a checkpoint, with its weights."""
    return section.get("type") == NetworkOfCheckpoint.__name__


def require_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights with which no image can be restored.

    Raises:
        CheckpointError: One is infinite or not a number; ``path`` is the file that it comes from.
    """
    broken = next((name for name, value in state.items() if not value.isfinite().all()), None)
    if broken is not None:
        raise CheckpointError(f"{path}: {broken} has values that are not finite; take a checkpoint from before that")


def network_of_weights(state: Mapping[str, Tensor], told: Mapping[str, Any] | None = None) -> nn.Module:
    """Build the network that weights belong to, and give it the weights.

    Args:
        state: Weights by name.
        told: Arguments that weights do not tell, checked.

    Raises:
        CheckpointError: They belong to no network of this package, or not to a whole one.
    """
    check_whole(state)  # also keeps a hostile file, whose empty tensors have huge shapes, from taking the memory
    network = require_buildable(state).build(state, told)
    network.load_state_dict(state)
    return network


def check_whole(state: Mapping[str, Tensor], names: Mapping[str, str] | None = None) -> nn.Module:
    """Refuse weights that are not those of a whole network of this package.

    Args:
        state: Weights by name.
        names: Their names in the user's file, where these are others.

    Returns:
        The network, with neither weights nor memory.

    Raises:
        CheckpointError: They belong to no network of this package, or some are missing, left over or mis-shaped.
    """
    card = require_buildable(state)
    try:
        with torch.device("meta"), layers_bounded():
            network = card.build(state)
    except (DeepRFTv2Error, RuntimeError) as error:  # the latter for tensors of impossible sizes
        raise CheckpointError(str(error).splitlines()[0]) from error
    problem = mismatch(network.state_dict(), state, names)
    if problem:
        ours = " (missing ones in this package's names)" if names else ""
        raise CheckpointError(f"looks like {describe(state)}, but has tensors {problem}{ours}")
    return network
