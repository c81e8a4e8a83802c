"""DeepRFTv2 for BasicSR: kernel-level learning for image deblurring.

Importing this package makes the released ``basicsr`` importable on current torchvision and registers the networks,
losses, models and data sets of this project in BasicSR's registries. Both happen once, however often and under whatever
launcher the package is imported.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deeprftv2_arch.restoring.restorer import Restorer

__all__ = ["Restorer", "__version__"]
__version__ = "1.0.0"


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # hidden on purpose
        return False


# The numerical operators, layers and networks also work on a machine that has PyTorch but not BasicSR.
if _is_installed("basicsr"):
    import basicsr_torchvision_repair  # noqa: F401  (must precede the first import of basicsr)
    from deeprftv2_arch.registration import register_all

    register_all()


def __getattr__(name: str) -> Any:
    """Import :class:`Restorer` when it is first asked for."""
    if name != "Restorer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from deeprftv2_arch.restoring.restorer import Restorer

    return Restorer
