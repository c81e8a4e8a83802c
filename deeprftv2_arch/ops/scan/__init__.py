"""The selective scan of state-space models (Mamba), behind one function with mamba_ssm's signature."""

from deeprftv2_arch.ops.scan.backends import scan_backend
from deeprftv2_arch.ops.scan.interface import selective_scan

__all__ = ["scan_backend", "selective_scan"]
