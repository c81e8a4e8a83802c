"""PSNR and SSIM after alignment, as published for RealBlur, whose cameras did not quite see the same."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.common.images import AnyImage, FloatImage
from deeprftv2_arch.metrics.comparable import comparable
from deeprftv2_arch.metrics.ssim import RADIUS, gaussian_mean, similarity_map

STEPS = 100
SMOOTHING = 5  # width of the Gaussian filter that the search applies first

logger = logging.getLogger("basicsr")  # of BasicSR, whose loops call the metrics


class _NotAlignedError(Exception):
    """Says why two images cannot be aligned."""


@dataclass(frozen=True)
class Aligned:
    """Two images that can be compared pixel by pixel.

    Attributes:
        restored: (H, W, 3), of the ground truth's brightness and position, and 0 outside the mask.
        sharp: The ground truth (H, W, 3), 0 outside the mask.
        mask: (H, W, 1), 1 where the restored image has values and 0 elsewhere.
        failure: Why nothing could be aligned; None where it could. After a failure the images are as they were, and
            the mask is 1 everywhere.
    """

    restored: FloatImage
    sharp: FloatImage
    mask: NDArray[np.float64]
    failure: str | None


def align(restored: FloatImage, sharp: FloatImage) -> Aligned:
    """Give a restored image the brightness of the ground truth, and move it by the homography that fits best.

    The protocol of RealBlur (Rim et al., 2020): one factor for the intensity, by least squares; then at most 100 steps
    that maximise the enhanced correlation coefficient of the grey images.

    Args:
        restored: (H, W, 3) BGR in 0..1.
        sharp: Of the same shape.
    """
    try:
        scaled = _of_same_intensity(restored, sharp).astype(np.float32)
        homography = _homography(scaled, sharp.astype(np.float32))
        mask = _moved(np.ones_like(scaled[..., :1]), homography, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)[..., None]
        if not mask.any():
            raise _NotAlignedError("the best homography leaves nothing of the image")
        moved = _moved(scaled, homography, cv2.INTER_CUBIC, cv2.BORDER_REFLECT)
    except _NotAlignedError as error:
        return Aligned(restored, sharp, np.ones_like(sharp[..., :1]), str(error))
    return Aligned(moved * mask, sharp * mask, mask, None)


def _of_same_intensity(restored: FloatImage, sharp: FloatImage) -> FloatImage:
    for name, image in (("restored image", restored), ("ground truth", sharp)):
        if not np.ptp(image, axis=(0, 1)).any():
            raise _NotAlignedError(f"the {name} is of one colour")
    factor = float((sharp * restored).sum() / (restored * restored).sum())
    return factor * restored


def _homography(restored: NDArray[np.float32], sharp: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the matrix (3, 3) that maps positions in the sharp image to those in the restored one."""
    grey_restored, grey_sharp = (cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (restored, sharp))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS, 0)
    start, everywhere = np.eye(3, dtype=np.float32), np.ones_like(grey_restored, np.uint8)
    try:
        found = cv2.findTransformECC(
            grey_sharp, grey_restored, start, cv2.MOTION_HOMOGRAPHY, criteria, everywhere, SMOOTHING
        )
    except cv2.error as error:  # images of different things
        reason = " ".join(str(error.err).split())
        raise _NotAlignedError(f"OpenCV's search for a homography failed: {reason}") from error
    return np.asarray(found[1], np.float32)


def _moved(
    image: NDArray[np.float32], homography: NDArray[np.float32], interpolation: int, border: int
) -> NDArray[np.float64]:
    """Move an image to the place of the ground truth."""
    size = image.shape[1], image.shape[0]
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(image, homography, size, flags=flags, borderMode=border).astype(np.float64)


@dataclass(frozen=True)
class AlignedMetrics:
    """What was measured on one aligned pair.

    Attributes:
        psnr: In dB.
        ssim: At most 1.
        failed: Whether the alignment failed, so that these are the values of the pair as it was.
    """

    psnr: float
    ssim: float
    failed: bool


def measure_aligned(restored: AnyImage, sharp: AnyImage, crop_border: int = 0) -> AlignedMetrics:
    """Align a restored image with its ground truth and measure both; about 2.5 s for one of RealBlur.

    Args:
        restored: (H, W, 3) BGR: uint8, uint16, or floats in 0..1.
        sharp: Of the same shape.
        crop_border: How many pixels to leave out at each edge, before the alignment.

    Raises:
        DataError: The images cannot be compared.
    """
    one, other = comparable(restored, sharp, crop_border, smallest=2 * RADIUS + 1)
    pair = align(one, other)
    if pair.failure is not None:
        logger.warning("An image is measured without alignment: %s", pair.failure)
    return AlignedMetrics(_psnr(pair), _ssim(pair), pair.failure is not None)


def calculate_psnr_aligned(img: AnyImage, img2: AnyImage, crop_border: int = 0, **_: Any) -> float:
    """Return the PSNR in dB after alignment; see :func:`measure_aligned`."""
    return measure_aligned(img, img2, crop_border).psnr


def calculate_ssim_aligned(img: AnyImage, img2: AnyImage, crop_border: int = 0, **_: Any) -> float:
    """Return the SSIM after alignment; see :func:`measure_aligned`."""
    return measure_aligned(img, img2, crop_border).ssim


# What these two take of :func:`measure_aligned`, by their names in METRIC_REGISTRY: who wants both aligns once.
ALIGNED_METRICS: dict[str, Callable[[AlignedMetrics], float]] = {
    calculate_psnr_aligned.__name__: attrgetter("psnr"),
    calculate_ssim_aligned.__name__: attrgetter("ssim"),
}


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
