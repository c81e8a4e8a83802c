"""Networks as files that other programs run: programs of ``torch.export`` and models in ONNX."""

from deeprftv2_arch.export.onnx_model import export_onnx
from deeprftv2_arch.export.program import export_program

__all__ = ["export_onnx", "export_program"]
