"""mamba_ssm's CUDA kernel, where it is installed and loads."""

import logging
from functools import cache

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


@torch.compiler.assume_constant_result  # so that torch.compile asks once, instead of tracing the import
@cache
def mamba_is_available() -> bool:
    """Whether mamba_ssm's selective scan can be imported; says once why not when it is installed but does not load."""
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "mamba_ssm":
            logger.warning("mamba_ssm does not load (%s); the scan runs in PyTorch", error)
        return False
    except (ImportError, OSError, RuntimeError) as error:  # a build for another torch or CUDA
        logger.warning("mamba_ssm does not load (%s); the scan runs in PyTorch", error)
        return False
    return True


def selective_scan_mamba(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """As :func:`selective_scan_reference`, by mamba_ssm's kernel on CUDA tensors."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return selective_scan_fn(u.contiguous(), delta.contiguous(), A.contiguous(), B.contiguous(), C.contiguous())
