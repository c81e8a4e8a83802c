"""The arguments of its network that a safetensors file tells beside its weights.

Weights do not tell everything: windows of the kernel estimators and of channel attention, for example, have none. What
a file tells is read as strictly as an option file, since it may come from anybody.
"""

import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from deeprftv2_arch.checkpoints.safetensors_file import is_safetensors, read_metadata
from deeprftv2_arch.common.nesting import read_json
from deeprftv2_arch.errors import CheckpointError, DeepRFTv2Error, shown
from deeprftv2_arch.networks.card import NetworkCard


def told_arguments(path: Path, card: NetworkCard, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments in a file's metadata; none where it is of another kind, or of another network.

    Args:
        path: A file whose weights could be read.
        card: The card of the network that they belong to.
        state: The weights by name.

    Raises:
        CheckpointError: The network does not take the arguments, or the weights tell others.
    """
    metadata = read_metadata(path) if is_safetensors(path) else {}
    if metadata.get("network") != card.name or "arguments" not in metadata:
        return {}
    try:
        arguments = read_json(metadata["arguments"])
    except ValueError as error:
        raise CheckpointError("the arguments in its metadata are no JSON") from error
    if not isinstance(arguments, dict):
        raise CheckpointError(f"the arguments in its metadata are {shown(arguments)} instead of names with values")
    check_arguments(card, state, arguments)
    return arguments


def check_arguments(card: NetworkCard, state: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments with which a network is not the one of these weights.

    Args:
        card: The card of the network that the weights belong to.
        state: Weights by name.
        arguments: As JSON has them.

    Raises:
        CheckpointError: There is no such argument, it is of another type or out of range, or the weights tell another.
    """
    hints = typing.get_type_hints(card.network.__init__)
    deduced = json.loads(json.dumps(card.deduce_arguments(state)))  # tuples become lists
    for name, value in arguments.items():
        if name not in hints or name == "return":
            raise CheckpointError(f"{card.name} has no argument {shown(name)}")
        if name in deduced and deduced[name] != value:
            raise CheckpointError(f"its {name} is said to be {shown(value)}, but is {shown(deduced[name])}")
        try:
            TypeAdapter(hints[name]).validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            raise CheckpointError(f"{name} of {card.name} cannot be {shown(value)}") from error
    try:
        with torch.device("meta"):
            card.build(state, arguments)
    except DeepRFTv2Error as error:
        raise CheckpointError(str(error)) from error
