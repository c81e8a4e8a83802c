"""Which optional packages are there, and why not: looked up once per process, since importing them is slow."""

import logging
import os
from collections.abc import Callable, Hashable
from functools import cache, wraps
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import torch

logger = logging.getLogger(__name__)

SMALLEST_CAPABILITY = 70  # of an NVIDIA GPU: what Triton compiles for


def looked_up_once(function: Callable[..., str | None]) -> Callable[..., str | None]:
    """Call ``function`` once for its arguments; a constant to torch.compile, which would otherwise trace its imports.

    The constant is a function around the cache: torch.compile looks through a cache itself, and past such a mark on it.
    """
    cached = cache(function)

    @torch.compiler.assume_constant_result
    @wraps(function)
    def constant(*arguments: Hashable) -> str | None:
        return cached(*arguments)

    constant.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
    return constant


@looked_up_once
def import_failure(package: str, module: str) -> str | None:
    """Why ``module`` cannot be imported, or None if it can; logged when ``package`` is there but does not load."""
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


@looked_up_once
def triton_driver_failure() -> str | None:
    """Why Triton cannot start kernels on this machine's GPU, or None if it can; logged when it cannot."""
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


@torch.compiler.assume_constant_result
def triton_is_interpreted() -> bool:
    """Whether Triton's kernels run in its interpreter, on tensors of any device (slowly: it is for tests)."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
