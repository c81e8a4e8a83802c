"""mamba_ssm's CUDA kernel: the backend ``mamba``."""

from functools import reduce

import torch
from torch import Tensor

MOST_STATES = 256


@torch.compiler.disable  # a compiled extension, which torch.compile cannot look into
def selective_scan_mamba(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """Scan as :func:`~deeprftv2_arch.ops.scan.reference.selective_scan_reference`, in float32, on CUDA tensors.

    The kernel reads along the sequence and takes what varies along it in one dtype. What is laid out otherwise, as
    flattened ``channels_last`` maps are, is copied; the result is contiguous.
    """
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    dtype = reduce(torch.promote_types, (x.dtype for x in (u, delta, B, C)))
    y: Tensor = selective_scan_fn(
        *(_readable(x.to(dtype)) for x in (u, delta)),
        _readable(A.float()),
        *(_readable(x.to(dtype)) for x in (B, C)),
        D=None if D is None else _readable(D.float()),
        delta_bias=None if delta_bias is None else _readable(delta_bias.float()),
        delta_softplus=delta_softplus,
    )
    return y.to(u.dtype)


def _readable(x: Tensor) -> Tensor:
    """Return ``x`` with neighbours along its last axis next to each other, copied only if they are not."""
    return x if x.stride(-1) == 1 else x.contiguous()
