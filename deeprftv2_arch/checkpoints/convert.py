"""Checkpoints turned into others: of another kind of file, or from the names of a reference."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deeprftv2_arch.checkpoints.building import check_whole
from deeprftv2_arch.checkpoints.io import find_params, read_params, save_atomically
from deeprftv2_arch.checkpoints.recognition import describe, mismatch
from deeprftv2_arch.checkpoints.reference import layout_of, translate_all
from deeprftv2_arch.checkpoints.safetensors_file import SUFFIX, safetensors_bytes
from deeprftv2_arch.checkpoints.told_arguments import check_arguments, told_arguments
from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.errors import CheckpointError, OptionError
from deeprftv2_arch.networks.cards import authors_layouts, card_of_weights

SUFFIXES = (".pth", SUFFIX)


def convert(
    source: Path,
    target: Path,
    key: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    half: bool = False,
) -> str:
    """Write the weights in a file, under the names of the bare network, to a file of their own.

    The values and types of the tensors stay as they are, unless ``half``. Weights of the authors' reference become
    those of this package's network; those of a network of this package must be whole. ``target`` appears when it is
    complete.

    Args:
        source: Any file that :func:`find_params` reads.
        target: New file; ``.pth`` for ``{"params": ...}``, ``.safetensors`` with the network and its arguments.
        key: The weights that are taken; by default average ones (``params_ema``) where there are such.
        arguments: Of the network, for the metadata of a ``.safetensors``: what weights do not tell, beside what they
            tell.
        half: Whether weights of more than 16 bits become float16.

    Returns:
        What was converted: tensors, parameters, where they were and the variant.

    Raises:
        OptionError: ``target`` has another suffix, or is to hold arguments but has no place for them.
        CheckpointError: The source cannot be read safely, has no such weights or a part of a network, or ``target``
            exists.
        WriteError: ``target`` cannot be written.
    """
    if target.suffix not in SUFFIXES:
        raise OptionError(f"{target}: the name of the new file must end in {' or '.join(SUFFIXES)}")
    if arguments is not None and target.suffix != SUFFIX:
        raise OptionError(f"{target}: only a {SUFFIX} holds the network's arguments; change the name")
    _require_absent(target)
    state, found = find_params(source, key or "params_ema")
    if key not in (None, found):
        raise CheckpointError(f"{source}: has no {key}; its weights are at {found}")
    if half:
        state = _in_half_precision(state, source)
    card = card_of_weights(state)
    if card is None or not card.builds:
        if arguments is not None:
            raise CheckpointError(f"{source}: weights of {describe(state)}, whose arguments are not known here")
        name, told = None, {}
        numbers = sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point())
    else:
        try:
            numbers = sum(parameter.numel() for parameter in check_whole(state).parameters())
            name, told = card.name, card.deduce_arguments(state) | told_arguments(source, card, state)
            if arguments is not None:
                check_arguments(card, state, arguments)
                told |= arguments
        except CheckpointError as error:
            raise CheckpointError(f"{source}: {error}; name another file") from error
    if target.suffix == SUFFIX:
        write_atomically(target, safetensors_bytes(state, name, told))
    else:
        save_atomically({"params": state}, target)
    return f"{len(state):,} tensors, {numbers:,} parameters ({found}), {describe(state)}"


def convert_reference(source: Path, target: Path, arch: str | None = None) -> str:
    """Turn a checkpoint of the authors' reference into one of BasicSR's form, ``{"params": ...}``.

    The values are handed over unchanged; tensors without effect in the reference are left out. Where the file holds
    both, the average weights (``params_ema``) are taken rather than ``params``. ``target`` appears when it is complete;
    an existing file is not replaced.

    Args:
        source: Checkpoint of the reference.
        target: New file.
        arch: Which reference, a name of :func:`authors_layouts`; by default the one whose names these are.

    Returns:
        What was converted: the number of tensors, the variant, and the tensors that were left out.

    Raises:
        CheckpointError: The source cannot be read safely, a tensor is missing, left over or mis-shaped, or ``target``
            exists.
        WriteError: ``target`` cannot be written.
    """
    _require_absent(target)
    params, _ = read_params(source, "params_ema")
    layouts = authors_layouts()
    layout = layouts[arch] if arch else layout_of(params) or layouts["deeprftv2"]
    converted, names = translate_all(params, str(source), layout)
    left_out = {key: tensor for key, tensor in params.items() if key not in names.values()}
    try:
        check_whole(converted, names)
        problem = mismatch(layout.left_out(params), left_out)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from error
    if problem:
        raise CheckpointError(f"{source}: has tensors {problem}")
    save_atomically({"params": converted}, target)
    without = f"; {len(left_out)} without effect were left out: {', '.join(left_out)}" if left_out else ""
    return f"{len(params)} tensors, {describe(converted)}{without}"


def _in_half_precision(state: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Return the weights with float16 in place of float32 and float64.

    Raises:
        CheckpointError: A weight is too large for it.
    """
    smaller = {
        name: value.half() if value.dtype in (torch.float32, torch.float64) else value for name, value in state.items()
    }
    large = next((name for name in state if smaller[name].isinf().any() and not state[name].isinf().any()), None)
    if large is not None:
        raise CheckpointError(f"{source}: {large} has values too large for half precision")
    return smaller


def _require_absent(target: Path) -> None:
    if target.exists():
        raise CheckpointError(f"{target}: exists already; choose another name or remove it first")
