"""Trained networks, built from an option file and a checkpoint."""

from pathlib import Path
from typing import Any

from torch import nn

from deeprftv2_arch.checkpoints.building import require_finite
from deeprftv2_arch.checkpoints.io import find_params, load_into
from deeprftv2_arch.options.option_file import read_option_file


def network_of_options(option_file: Path, checkpoint: Path) -> nn.Module:
    """Build the network of an option file (``network_g``) with the weights in a file.

    The file's ``path: param_key_g`` says which weights of the checkpoint; average ones are preferred where it does not.

    Raises:
        OptionError: The option file cannot be read, or its network is unknown or refuses an argument.
        CheckpointError: The weights cannot be read safely, do not fit or are not finite.
    """
    # Only now, since nothing else here needs BasicSR, whose registry has the networks by name.
    from basicsr.utils.registry import ARCH_REGISTRY

    from deeprftv2_arch.options.building import build_network
    from deeprftv2_arch.options.checks import registered_faults
    from deeprftv2_arch.options.validation import raise_faults

    options = read_option_file(option_file)
    section: dict[str, Any] = options.get("network_g") or {}
    where = f"{option_file}: network_g"
    raise_faults(list(registered_faults(section, ARCH_REGISTRY, where)))
    network = build_network(section, where)
    state, _ = find_params(checkpoint, (options.get("path") or {}).get("param_key_g", "params_ema"))
    load_into(network, state, checkpoint)
    require_finite(state, checkpoint)
    return network
