"""Numerical operators: the selective scan, reversible column steps, Fourier transforms, strips of large maps."""

from deeprftv2_arch.ops.scan import scan_backend, selective_scan

__all__ = ["scan_backend", "selective_scan"]
