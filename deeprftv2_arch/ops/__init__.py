"""Numerical operators: the selective scan, the reversible column step and Fourier transforms in full precision."""

from deeprftv2_arch.ops.scan import selective_scan

__all__ = ["selective_scan"]
