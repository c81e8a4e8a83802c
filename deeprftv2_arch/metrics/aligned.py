"""PSNR and SSIM after alignment, as published for RealBlur."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from basicsr.utils import get_root_logger

from deeprftv2_arch.metrics.alignment import Aligned, align
from deeprftv2_arch.metrics.images import AnyImage, comparable
from deeprftv2_arch.metrics.structural_similarity import RADIUS, gaussian_mean, similarity_map


@dataclass(frozen=True)
class AlignedFigures:
    """What was measured on one aligned pair.

    Attributes:
        psnr: In dB.
        ssim: At most 1.
        failed: Whether the alignment failed, so that these are the figures of the pair as it was.
    """

    psnr: float
    ssim: float
    failed: bool


def measure_aligned(restored: AnyImage, sharp: AnyImage, crop_border: int = 0) -> AlignedFigures:
    """Align a restored image with its ground truth and measure both figures; about 2.5 s for one of RealBlur.

    What was found for the last pair is kept, so that asking for it again costs next to nothing.

    Args:
        restored: (H, W, 3) BGR: uint8, uint16, or floats in 0..1.
        sharp: Of the same shape.
        crop_border: How many pixels to leave out at each edge, before the alignment.

    Raises:
        DataError: The images cannot be compared.
    """
    one, other = comparable(restored, sharp, crop_border, smallest=2 * RADIUS + 1)
    return _measure_once(one.tobytes(), other.tobytes(), one.shape)


def calculate_psnr_aligned(img: AnyImage, img2: AnyImage, crop_border: int = 0, **_: Any) -> float:
    """Return the PSNR in dB after alignment; see :func:`measure_aligned`."""
    return measure_aligned(img, img2, crop_border).psnr


def calculate_ssim_aligned(img: AnyImage, img2: AnyImage, crop_border: int = 0, **_: Any) -> float:
    """Return the SSIM after alignment; see :func:`measure_aligned`."""
    return measure_aligned(img, img2, crop_border).ssim


# The metrics that :func:`measure_aligned` has the values of, by their names in METRIC_REGISTRY.
ALIGNED_METRICS = frozenset({calculate_psnr_aligned.__name__, calculate_ssim_aligned.__name__})


@lru_cache(maxsize=1)
def _measure_once(restored: bytes, sharp: bytes, shape: tuple[int, ...]) -> AlignedFigures:
    pair = align(np.frombuffer(restored).reshape(shape), np.frombuffer(sharp).reshape(shape))
    if pair.failure is not None:
        get_root_logger().warning("An image is measured without alignment: %s", pair.failure)
    return AlignedFigures(_psnr(pair), _ssim(pair), pair.failure is not None)


def _psnr(pair: Aligned) -> float:
    """PSNR over the values that the mask lets through, in all channels."""
    channels = pair.sharp.shape[2]
    error = ((pair.restored - pair.sharp) ** 2).sum() / (channels * pair.mask.sum())
    return -10 * math.log10(error) if error else math.inf


def _ssim(pair: Aligned) -> float:
    """Mean over the mask, in whose border windows would reach outside the image, of the 11x11 Gaussian SSIM."""
    inside = slice(RADIUS, -RADIUS)
    similarity = similarity_map(pair.restored, pair.sharp, gaussian_mean)
    mask = pair.mask[inside, inside]
    return float((similarity[inside, inside] * mask).sum((0, 1)).mean() / mask.sum())
