"""Trained networks, built from a checkpoint alone or from an option file and a checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from deeprftv2_arch.checkpoints import atd_variant, deeprftv2_variant
from deeprftv2_arch.checkpoints.io import find_params, load_into
from deeprftv2_arch.checkpoints.variant import describe, mismatch
from deeprftv2_arch.errors import CheckpointError, DeepRFTv2Error, OptionError
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

# Pixels that attend to each other in the full ATD; weights do not tell. Every other one takes the light one's.
FULL_CATEGORY_SIZE = 256


def network_of_checkpoint(path: Path) -> nn.Module:
    """Build the network that the weights in a file belong to; average weights (``params_ema``) are preferred.

    What weights do not tell is as published: ``category_size`` and ``img_range`` of an ATD by its width, and a
    DeepRFTv2 without ``train_size``, ``fke_window`` and ``smallest_size``. An option file tells them.

    Raises:
        CheckpointError: The file cannot be read safely, or its weights belong to no network of this package.
    """
    state, _ = find_params(path, "params_ema")
    try:
        network = _network_of_weights(state)
    except DeepRFTv2Error as error:
        raise CheckpointError(f"{path}: {error}") from error
    problem = mismatch(network.state_dict(), state)
    if problem:
        raise CheckpointError(f"{path}: looks like {describe(state)}, but has tensors {problem}; name another file")
    network.load_state_dict(state)
    return network


def _network_of_weights(state: Mapping[str, Tensor]) -> nn.Module:
    if "conv_first.weight" not in state:
        return DeepRFTv2(**deeprftv2_variant.deduce_arguments(state))
    arguments = atd_variant.deduce_arguments(state)
    if arguments["embed_dim"] == atd_variant.FULL["embed_dim"]:
        arguments["category_size"] = FULL_CATEGORY_SIZE
    return ATD(**arguments)


def network_of_options(option_file: Path, checkpoint: Path) -> nn.Module:
    """Build the network of an option file (``network_g``) with the weights in a file.

    The file's ``path: param_key_g`` says which weights of the checkpoint; average ones are preferred where it does not.

    Raises:
        OptionError: The option file cannot be read, or its network is unknown or refuses an argument.
        CheckpointError: The weights cannot be read safely or do not fit.
    """
    # Only now, since nothing else here needs BasicSR, whose registry has the networks by name.
    from basicsr.utils.registry import ARCH_REGISTRY

    from deeprftv2_arch.launch.option_checks import check_registered
    from deeprftv2_arch.launch.options import read_option_file

    options = read_option_file(option_file)
    section: dict[str, Any] = options.get("network_g") or {}
    check_registered(section, ARCH_REGISTRY, f"{option_file}: network_g")
    try:
        network = ARCH_REGISTRY.get(section["type"])(**{key: value for key, value in section.items() if key != "type"})
    except OptionError as error:
        raise OptionError(f"{option_file}: network_g: {error}") from error
    state, _ = find_params(checkpoint, (options.get("path") or {}).get("param_key_g", "params_ema"))
    load_into(network, state, checkpoint)
    return network
