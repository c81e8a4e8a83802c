"""Numerical operators: the selective scan, the reversible column step and Fourier transforms in full precision."""

from deeprftv2_arch.ops.scan import scan_backend, selective_scan

__all__ = ["scan_backend", "selective_scan"]
