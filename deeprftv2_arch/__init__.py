"""DeepRFTv2 for BasicSR: kernel-level learning for image deblurring.

Importing this package makes the released ``basicsr`` importable on current torchvision, and sees to it that the
networks, losses, models and data sets of this project are in BasicSR's registries as soon as ``basicsr`` is imported,
whichever of the two comes first. It loads neither PyTorch nor BasicSR itself, so that commands answer at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import basicsr_torchvision_repair  # noqa: F401  (must precede the first import of basicsr)
from deeprftv2_arch.basicsr_hook import register_with_basicsr

if TYPE_CHECKING:
    from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
    from deeprftv2_arch.restoring.restorer import Restorer

__all__ = ["FourierKernelEstimator", "Restorer", "__version__"]
__version__ = "1.0.0"

_LAZY = {
    "FourierKernelEstimator": "deeprftv2_arch.layers.kernel_estimator",
    "Restorer": "deeprftv2_arch.restoring.restorer",
}

register_with_basicsr()


def __getattr__(name: str) -> Any:
    """Import a public class when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    """Name also what is imported on demand."""
    return sorted({*globals(), *__all__})
