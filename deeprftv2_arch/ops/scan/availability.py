"""Which optional packages are there, and why not: looked up once per process, since importing them is slow."""

import logging
import os
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ParamSpec, Protocol

import torch

logger = logging.getLogger(__name__)

P = ParamSpec("P")

SMALLEST_CAPABILITY = 70  # of an NVIDIA GPU: what Triton compiles for


class _Lookup(Protocol[P]):
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> str | None: ...

    def cache_clear(self) -> None:
        """Look anew at the next call; for tests."""


def _looked_up_once(function: Callable[P, str | None]) -> _Lookup[P]:
    """Keep what a function returns, as a constant to torch.compile, which would otherwise trace the imports."""
    kept: Any = cache(function)

    @wraps(function)
    def look(*args: P.args, **kwargs: P.kwargs) -> str | None:  # torch.compile would look into what `cache` returns
        reason: str | None = kept(*args, **kwargs)
        return reason

    constant: Any = torch.compiler.assume_constant_result(look)
    constant.cache_clear = kept.cache_clear
    lookup: _Lookup[P] = constant
    return lookup


@_looked_up_once
def import_failure(package: str, module: str) -> str | None:
    """Say why ``module`` cannot be imported, or None if it can; log when ``package`` is there but does not load."""
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name == package:
            return f"{package} is not installed"
        reason = str(error)
    except Exception as error:  # anything: it was built for another torch or CUDA, and must break nothing here
        reason = " ".join(str(error).split())
    else:
        return None
    logger.warning("%s is installed but does not load (%s); the selective scan does without it", package, reason)
    return f"{package} is installed but does not load ({reason})"


@_looked_up_once
def triton_driver_failure() -> str | None:
    """Say why Triton cannot start kernels on this machine's GPU, or None if it can; log it when it cannot."""
    from triton.runtime import driver

    try:
        target = driver.active.get_current_target()
    except Exception as error:  # anything: no C compiler, no header to compile with, no driver
        reason = f"triton does not start ({type(error).__name__}: {' '.join(str(error).split())})"
    else:
        if target.backend != "cuda" or target.arch >= SMALLEST_CAPABILITY:
            return None
        major, minor = divmod(target.arch, 10)
        reason = f"triton needs a GPU of compute capability 7.0 or later, and this one has {major}.{minor}"
    logger.warning("%s; the selective scan does without it", reason)
    return reason


@_looked_up_once
def numba_failure(dtype: torch.dtype) -> str | None:
    """Say why numba's kernels do not run on this processor, or None if they do; log it when they do not.

    The first call for a dtype compiles them, or reads them from disk.
    """
    from deeprftv2_arch.ops.scan.numba_scan import prepare

    try:
        prepare(dtype)
    except Exception as error:  # anything: it was built for another LLVM or NumPy, or does not know the processor
        reason = f"numba does not compile here ({type(error).__name__}: {' '.join(str(error).split())})"
    else:
        return None
    logger.warning("%s; the selective scan does without it", reason)
    return reason


@torch.compiler.assume_constant_result
def triton_is_interpreted() -> bool:
    """Tell whether Triton's kernels run in its interpreter, on tensors of any device (slowly: it is for tests)."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
