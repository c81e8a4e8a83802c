"""Files of safetensors: tensors by name behind a header in JSON, with nothing in them that could be executed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

SUFFIX = ".safetensors"
LENGTH_BYTES = 8  # a little-endian integer, the length of the header, begins a file
MAX_HEADER = 1 << 24  # bytes; the largest network here takes 1/30 of it, and reading it may take fifty times as many


def is_safetensors(path: Path) -> bool:
    """Tell whether a file begins as these do, whatever its name; neither a pickle nor an archive does."""
    with path.open("rb") as file:
        return file.read(LENGTH_BYTES + 1)[LENGTH_BYTES:] == b"{"


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file to the CPU.

    Raises:
        ValueError: The header is too long.
        SafetensorError: The file is torn or not of this kind.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if length > MAX_HEADER:
        raise ValueError(f"a header of {length} bytes")
    with safe_open(path, framework="pt", device="cpu") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)


def read_metadata(path: Path) -> dict[str, str]:
    """Read what a file, whose tensors could be read, says beside them; texts by names."""
    with safe_open(path, framework="pt", device="cpu") as file:
        return dict(file.metadata() or {})


def safetensors_bytes(state: Mapping[str, Tensor], network: str | None, arguments: Mapping[str, Any]) -> bytes:
    """Return the content of a file.

    Args:
        state: Tensors by name.
        network: The class whose weights they are, for the file's metadata.
        arguments: Those that build it.
    """
    # Tensors that share memory are refused by the library; here each becomes its own.
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    metadata = {"format": "pt"}
    if network is not None:
        metadata |= {"network": network, "arguments": json.dumps(arguments)}
    return safetensors.torch.save(tensors, metadata)
