"""Images of every kind as the tensors that networks work on, and back."""

import cv2
import numpy as np
import torch
from torch import Tensor

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError

PEAKS = {
    np.dtype(np.uint8): 255,
    np.dtype(np.uint16): 65535,
    np.dtype(np.float16): 1,
    np.dtype(np.float32): 1,
    np.dtype(np.float64): 1,
}
OVERSHOOT = 0.5  # beyond 0..1, of sharpened or resampled images; what goes further was scaled otherwise


def check_image(image: AnyImage) -> None:
    """Refuse an array that is no image.

    Raises:
        DataError: Its shape, type or values are other than :class:`Restorer` says.
    """
    if image.dtype not in PEAKS:
        raise DataError(f"an image is of uint8, uint16 or floating point, not {image.dtype}; convert it first")
    flat = image.ndim == 2
    has_channels = image.ndim == 3 and 1 <= image.shape[2] <= 4
    if not (flat or has_channels) or not image.size:
        raise DataError(f"an image has the shape (H, W) or (H, W, 1 to 4), not {image.shape}")
    if PEAKS[image.dtype] == 1:
        check_range(float(image.min()), float(image.max()))


def check_range(lowest: float, highest: float) -> None:
    """Refuse an image of floats that is not scaled to 0..1.

    Raises:
        DataError: A value lies far outside, or is not finite.
    """
    if not (lowest >= -OVERSHOOT and highest <= 1 + OVERSHOOT):  # NaN is neither
        raise DataError(f"an image of floats has finite values in 0..1, not {lowest:g} to {highest:g}; scale it first")


def to_tensor(image: AnyImage) -> Tensor:
    """Turn (H, W) or (H, W, 1 to 4) into (1, 3, H, W), float32 in 0..1.

    Grey comes into all three channels; alpha is left out.
    """
    colours = image[:, :, None] if image.ndim == 2 else image[:, :, : 1 if is_grey(image) else 3]
    scaled = np.divide(colours, PEAKS[image.dtype], dtype=np.float32)
    return torch.from_numpy(scaled).permute(2, 0, 1)[None].expand(-1, 3, -1, -1)


def to_image(restored: Tensor, like: AnyImage) -> AnyImage:
    """Turn (1, 3, H, W) into an image of the kind of ``like``; ``restored`` is overwritten.

    Grey is the mean of the channels; alpha is enlarged as needed.
    """
    return with_alpha(to_samples(restored, like), like)


def to_samples(restored: Tensor, like: AnyImage) -> AnyImage:
    """Turn (1, 3, H, W), or some rows of it, into (H, W, 1 or 3) of the type of ``like``; it is overwritten."""
    peak = PEAKS[like.dtype]
    channels = restored[0]
    if is_grey(like):
        red, green, blue = channels.split(1)
        channels = red + (green - red + (blue - red)) / 3  # their mean; exact where they are equal
    channels.clamp_(0, 1)
    if peak != 1:
        channels.mul_(peak).round_()
    samples: AnyImage = np.ascontiguousarray(channels.permute(1, 2, 0).numpy().astype(like.dtype))
    return samples


def with_alpha(image: AnyImage, like: AnyImage) -> AnyImage:
    """Return (H, W, 1 or 3) in the shape of ``like``, with its alpha."""
    if like.ndim == 2:
        return image[:, :, 0]
    return np.dstack([image, _alpha(like, image)]) if has_alpha(like) else image


def is_grey(image: AnyImage) -> bool:
    """Tell whether an image is grey, be it with alpha."""
    return image.ndim == 2 or image.shape[2] in (1, 2)


def has_alpha(image: AnyImage) -> bool:
    """Tell whether the last channel of an image is alpha."""
    return image.ndim == 3 and image.shape[2] in (2, 4)


def _alpha(like: AnyImage, restored: AnyImage) -> AnyImage:
    height, width = restored.shape[:2]
    alpha = np.ascontiguousarray(like[:, :, -1])
    if alpha.shape == (height, width):
        return alpha
    if PEAKS[like.dtype] != 1:
        return cv2.resize(alpha, (width, height), interpolation=cv2.INTER_CUBIC)
    enlarged = cv2.resize(alpha.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return enlarged.clip(0, 1).astype(like.dtype)
