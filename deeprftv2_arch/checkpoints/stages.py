"""The files that the stages of UFPNet's training hand on: the flow prior and the kernel estimator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from deeprftv2_arch.checkpoints.io import load_params
from deeprftv2_arch.checkpoints.recognition import mismatch
from deeprftv2_arch.errors import CheckpointError, OptionError
from deeprftv2_arch.networks.protocol import KernelGuided
from deeprftv2_arch.networks.ufpnet_card import describe_stage, kernel_size_of


def stages_of(network: KernelGuided) -> dict[str, nn.Module]:
    """Return the parts of a network of the third stage, by the options that name the files of the stages before."""
    return {"pretrain_network_kernel": network.estimator, "pretrain_network_flow": network.flow}


def load_stages(networks: Mapping[str, nn.Module], paths: Mapping[str, Any]) -> None:
    """Give networks the weights of earlier stages.

    Args:
        networks: By the option that names their file, such as ``pretrain_network_flow``.
        paths: The section ``path`` of the options.

    Raises:
        OptionError: A file is not named.
        CheckpointError: A file is missing, torn or unsafe to read, of another stage, or of another network.
    """
    for option, network in networks.items():
        network.load_state_dict(read_stage(option, network, paths))


def read_stage(option: str, network: nn.Module, paths: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read the weights of an earlier stage, and see that they fit a network; see :func:`load_stages`."""
    expected = network.state_dict()
    if paths.get(option) is None:
        raise OptionError(f"path: {option}: missing; name the file of {describe_stage(expected)}")
    file = Path(paths[option])
    try:
        state = load_params(file)
    except CheckpointError as error:
        raise CheckpointError(f"path: {option}: {error}") from error
    problem = _problem(expected, state)
    if problem:
        raise CheckpointError(f"path: {option}: {file}: {problem}")
    return state


def _problem(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    """Say what is wrong with the weights of a file, and what to do."""
    found, wanted = describe_stage(state), describe_stage(expected)
    if found != wanted:
        return f"holds {found or 'no network of UFPNet'}, not {wanted}; name another file"
    theirs, ours = kernel_size_of(state), kernel_size_of(expected)
    if theirs != ours:
        return (
            f"has kernels of {theirs}x{theirs}, but the network of the option file {ours}x{ours}; name another file or "
            f"set kernel_size: {theirs}"
        )
    different = mismatch(expected, state)
    return different and f"does not fit the network of the option file: tensors {different}; change its arguments"
