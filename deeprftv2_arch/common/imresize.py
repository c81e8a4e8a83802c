"""MATLAB's imresize for 8-bit images: bicubic, with antialiasing when it shrinks.

The low-resolution images of super-resolution are made with it, and other bicubic implementations differ in the last
bit of many pixels. What makes the difference is that the image is resized along one dimension at a time and rounded
to 8 bits in between.

Source: R. Keys, "Cubic convolution interpolation for digital image processing", 1981 (a = -1/2); the documentation of
MATLAB's imresize.
"""

import numpy as np
from numpy.typing import NDArray

_KERNEL_WIDTH = 4


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate Keys' cubic convolution kernel with a = -1/2, which is zero from |x| = 2 on."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def contributions(length: int, new_length: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Say which samples make each new sample, and with which weights.

    Args:
        length: Number of samples.
        new_length: Number of new samples, which cover the same extent.

    Returns:
        Indices into the samples, (new_length, taps), mirrored at the borders with the outermost sample repeated; and
        weights of the same shape, each row of which sums to 1.
    """
    scale = new_length / length
    # When shrinking, the kernel is stretched to the distance of the new samples: that is the antialiasing.
    stretch = min(scale, 1.0)
    width = _KERNEL_WIDTH / stretch
    # Centre of each new sample in the old coordinates, in which sample i has its centre at i. Counted from 1 and in
    # this order of operations as in MATLAB, since the last digit decides where a sum lies half way between two values.
    centres = np.arange(1, new_length + 1) / scale + 0.5 * (1 - 1 / scale)
    first = np.floor(centres - width / 2).astype(np.intp)
    indices = first[:, None] + np.arange(int(np.ceil(width)) + 2)
    weights = stretch * cubic(stretch * (centres[:, None] - indices))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = (indices - 1) % (2 * length)
    mirrored = np.minimum(mirrored, 2 * length - 1 - mirrored)
    used = weights.any(axis=0)
    return mirrored[:, used], weights[:, used]


def _resize_rows(image: NDArray[np.uint8], new_height: int) -> NDArray[np.uint8]:
    indices, weights = contributions(len(image), new_height)
    samples = image.astype(np.float64)
    trailing = (1,) * (image.ndim - 1)
    total = np.zeros((new_height, *image.shape[1:]))
    for index, weight in zip(indices.T, weights.T, strict=True):
        total += weight.reshape(-1, *trailing) * samples[index]
    # Half is rounded up.
    return np.clip(np.floor(total + 0.5), 0, 255).astype(np.uint8)


def imresize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an image, bit for bit as MATLAB's ``imresize(image, size)`` does.

    Args:
        image: (H, W) or (H, W, C).
        size: New (height, width), each smaller, equal or larger.

    Returns:
        The image of that size. The dimension that shrinks most is resized first, the rows if both shrink alike.

    Raises:
        ValueError: The image is not of 8 bits, or is no image; or the size is none.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size:
        raise ValueError(f"imresize takes (H, W) or (H, W, C) of uint8, not {image.shape} of {image.dtype}")
    if min(size) < 1:
        raise ValueError(f"imresize makes images of at least one pixel, not of height and width {tuple(size)}")
    for axis in sorted((0, 1), key=lambda axis: size[axis] / image.shape[axis]):
        image = np.ascontiguousarray(image.swapaxes(0, axis))
        image = _resize_rows(image, size[axis]).swapaxes(0, axis)
    return np.ascontiguousarray(image)
