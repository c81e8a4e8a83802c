"""A network as a program of ``torch.export``."""

import copy
import json
import logging
from io import BytesIO
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as tracing

from deeprftv2_arch.errors import ExportError
from deeprftv2_arch.export.any_size import AnySize
from deeprftv2_arch.export.files import new_file
from deeprftv2_arch.export.folded_blocks import fold_blocks
from deeprftv2_arch.export.metadata import metadata_of
from deeprftv2_arch.export.scan import chunked_scan_in_plain_operators
from deeprftv2_arch.export.windows import replace_windows
from deeprftv2_arch.ops import scan_backend

EXAMPLE = (5, 6)  # height and width of the image that is traced, in multiples of the network's
OLDEST_TORCH = (2, 13)  # the oldest that this is tested with

logger = logging.getLogger(__name__)


def export_program(network: nn.Module, path: Path) -> None:
    """Write a ``.pt2`` that ``torch.export.load`` reads and runs where this package is not installed.

    The program maps one image (1, C, H, W) in 0..1 to the restored one, whole, as the network does in eval mode.
    Height and width are any that are larger than the network's multiple: 8 for DeepRFTv2 (4 with one scale), two
    windows for ATD. It is on the device of the network and has its dtype. The
    result is not clamped to 0..1. What the file is, it says in its extra file "metadata.json" (:mod:`.metadata`).

    Args:
        network: A DeepRFTv2 or ATD; it is not changed.
        path: New file.

    Raises:
        ExportError: The network cannot be exported, and why; or the file exists.
        WriteError: The file cannot be written.
    """
    with new_file(path) as temporary:
        program = traced(network)
        logger.info("writing the program")
        made = BytesIO()  # PyTorch aborts the process where it cannot write a file to the end
        torch.export.save(program, made, extra_files={"metadata.json": json.dumps(metadata_of(network))})
        temporary.write_bytes(made.getbuffer())


def traced(network: nn.Module) -> ExportedProgram:
    """Return the program of :func:`export_program`.

    Raises:
        ExportError: The network cannot be exported, and why.
    """
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise ExportError(f"export needs PyTorch {oldest} or later, this is {torch.__version__}")

    # A program whose parameters want gradients keeps all that they need, wherever it is called without no_grad.
    module = AnySize(copy.deepcopy(network).eval().requires_grad_(False))
    fold_blocks(module)
    replace_windows(module)
    weight = next(module.parameters())
    image = weight.new_zeros(1, module.channels, *(module.multiple * n - 1 for n in EXAMPLE))
    sizes = {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    # Without the patch sizes that need no padding would be told apart from the example's, which does.
    all_sizes_alike = tracing.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    logger.info("tracing the network")
    with torch.no_grad(), scan_backend("torch"), all_sizes_alike:
        program = torch.export.export(module, (image,), dynamic_shapes=(sizes,), strict=False)
        logger.info("replacing operators of this package")
        return program.run_decompositions(chunked_scan_in_plain_operators())
