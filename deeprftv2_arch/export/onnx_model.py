"""A network as an ONNX model."""

import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deeprftv2_arch.errors import ExportError
from deeprftv2_arch.export.files import new_file
from deeprftv2_arch.export.fourier import irfft2, rfft2
from deeprftv2_arch.export.metadata import metadata_of
from deeprftv2_arch.export.program import traced
from deeprftv2_arch.networks.protocol import traits_of

OPSET = 18
PACKAGES = ("onnx", "onnxscript")

logger = logging.getLogger(__name__)


def export_onnx(network: nn.Module, path: Path) -> None:
    """Write an ONNX model, ``image`` -> ``restored``, otherwise as :func:`~deeprftv2_arch.export.export_program`.

    Complex numbers are real and imaginary parts in it, Fourier transforms are matrix products, and a selective scan is
    ONNX's operator Scan over groups of positions.

    Args:
        network: A DeepRFTv2 or ATD; it is not changed.
        path: New file.

    Raises:
        ExportError: The network cannot be exported, and why; or the file exists.
        WriteError: The file cannot be written.
    """
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise ExportError(f"ONNX needs {' and '.join(missing)}: pip install 'deeprftv2_arch[export]'")
    with new_file(path) as temporary:
        program = traced(network)
        logger.info("replacing operators that ONNX has not")
        program = program.run_decompositions(_replaced_operators())
        logger.info("translating to ONNX")
        model = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=["picture"],
            output_names=["restored"],
            verbose=False,
        )
        if model is None:
            raise ExportError("PyTorch's exporter made no ONNX model")
        _name_axes(model.model, traits_of(network).upscale)
        model.model.metadata_props.update(metadata_of(network))
        logger.info("writing the model")
        model.save(temporary, external_data=False)


def _name_axes(model: Any, upscale: int) -> None:
    """Name the two free axes of the input "height" and "width", and those of the output accordingly."""
    (image,), (restored,) = model.graph.inputs, model.graph.outputs
    names = "height", "width"
    enlarged = [name if upscale == 1 else f"{upscale}*{name}" for name in names]
    for value, axes in ((image, names), (restored, enlarged)):
        batch, channels, *_ = value.shape
        value.shape = type(value.shape)([batch, channels, *axes])


def _replaced_operators() -> dict[Any, Callable[..., Any]]:
    """Return what stands for the operators that PyTorch's exporter does not translate, or not well."""
    aten = torch.ops.aten
    return {
        aten.fft_rfft2.default: lambda x, *_: rfft2(x),
        aten.fft_irfft2.default: lambda spectrum, size, *_: irfft2(spectrum, size),
        # ONNX's TopK puts the first of equals first, as PyTorch's sort does on a CPU.
        aten.sort.stable: lambda x, stable, dim=-1: torch.topk(x, x.shape[dim], dim, largest=False),
    }
