"""Whether images are large enough for blur kernels."""

from collections.abc import Sequence

from torch import Tensor

from deeprftv2_arch.errors import DataError


def require_room_for_kernels(images: Tensor, kernel_size: int, paths: Sequence[str]) -> None:
    """Refuse images (B, 3, H, W) that are smaller than kernels.

    Raises:
        DataError: They are; names them.
    """
    height, width = images.shape[2:]
    if min(height, width) < kernel_size:
        raise DataError(
            f"{', '.join(paths)}: {width}x{height} pixels are less than a kernel of {kernel_size}x{kernel_size}; take "
            "larger images or patches, or networks with a smaller kernel_size"
        )
