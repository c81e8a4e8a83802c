"""The blur of the ablation benchmark's photographs: simulated camera shake and one region that moves on its own.

Kept for that benchmark alone, whose published figures were made with it; everything else is blurred by
:mod:`deeprftv2_arch.data.synthetic_blur`. Over the exposure (time 0..1) the camera shifts, turns and zooms slightly.
Every frame is the sharp photograph warped by the motion of that moment; frames are averaged in linear light, and the
mean is encoded as sRGB again.
"""

from dataclasses import dataclass
from zlib import crc32

import cv2
import numpy as np

from quickstart.kernel_blur import soft_ellipse
from quickstart.photographs import load_photograph

FRAMES = 25


@dataclass(frozen=True)
class Motion:
    """What moves during one exposure; every trajectory has one row a frame and mean zero.

    Attributes:
        shift: (N, 2) the camera's translation (x, y) in pixels.
        angle: (N,) the camera's rotation about the image's centre in radians.
        zoom: (N,) relative change of scale, 0.01 for one per cent.
        object_shift: (N, 2) the object's own translation (x, y) in pixels, added to the camera's.
        object_mask: (H, W) float32 0..1, how far a pixel takes part in the object's motion.
    """

    shift: np.ndarray
    angle: np.ndarray
    zoom: np.ndarray
    object_shift: np.ndarray
    object_mask: np.ndarray


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """Linear light 0..1 of sRGB values 0..1 (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """sRGB values 0..1 of linear light 0..1, the inverse of srgb_to_linear."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def smooth_trajectory(rng: np.random.Generator, dimensions: int, frames: int = FRAMES) -> np.ndarray:
    """Return a random smooth path of shape (frames, dimensions), mean zero, root mean square distance from it 1.

    Cosines of one to four half-periods over the exposure, with amplitudes that fall as a hand's tremor does. Each of
    them has mean zero over the frames, so that the blur leaves things where they were.
    """
    harmonics = np.arange(1, 5)
    times = (np.arange(frames) + 0.5) / frames
    amplitudes = rng.normal(size=(harmonics.size, dimensions)) / harmonics[:, None] ** 1.5
    path = np.cos(np.pi * times[:, None] * harmonics) @ amplitudes
    unit: np.ndarray = path / np.sqrt((path**2).sum(axis=1).mean())
    return unit


def random_motion(rng: np.random.Generator, height: int, width: int) -> Motion:
    """Return a random hand-held exposure of an image of that size: some pixels of shake and one moving object."""
    corner = np.hypot(height, width) / 2
    shake = rng.uniform(1.1, 1.9)
    return Motion(
        shift=shake * smooth_trajectory(rng, 2),
        angle=rng.uniform(0, 0.4) * shake / corner * smooth_trajectory(rng, 1)[:, 0],
        zoom=rng.uniform(0, 0.2) * shake / corner * smooth_trajectory(rng, 1)[:, 0],
        object_shift=rng.uniform(0.7, 1.4) * smooth_trajectory(rng, 2),
        object_mask=soft_ellipse(rng, height, width),
    )


def motion_of(file_name: str, exposure: int, seed: int) -> Motion:
    """Draw the motion of one exposure of a photograph: a pure function of its arguments."""
    height, width = load_photograph(file_name).shape[:2]
    return random_motion(np.random.default_rng((seed, crc32(file_name.encode()), exposure)), height, width)


def blur_linear(light: np.ndarray, motion: Motion) -> np.ndarray:
    """Return the exposure of a scene in linear light: the mean of its warped frames.

    Args:
        light: (H, W) or (H, W, C) linear light; the scene beyond the border is its mirror image.
        motion: what moves; its mask has the scene's height and width.

    Returns:
        The mean, same shape, float32.
    """
    height, width = light.shape[:2]
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    x = (np.arange(width, dtype=np.float32) - centre_x)[None, :]
    y = (np.arange(height, dtype=np.float32) - centre_y)[:, None]
    light = light.astype(np.float32)
    total = np.zeros_like(light)
    for shift, angle, zoom, object_shift in zip(
        motion.shift, motion.angle, motion.zoom, motion.object_shift, strict=True
    ):
        cosine, sine = (1 + zoom) * np.cos(angle), (1 + zoom) * np.sin(angle)
        map_x = motion.object_mask * object_shift[0] + (x * cosine + (centre_x + shift[0])) - y * sine
        map_y = motion.object_mask * object_shift[1] + (y * cosine + (centre_y + shift[1])) + x * sine
        total += cv2.remap(
            light, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT_101
        )
    return total / len(motion.angle)


def blur_photograph(photograph: np.ndarray, motion: Motion) -> np.ndarray:
    """Return the blurred photograph: (H, W, 3) uint8 sRGB in and out."""
    blurred = linear_to_srgb(blur_linear(srgb_to_linear(photograph / 255.0), motion))
    rounded: np.ndarray = np.rint(blurred * 255).clip(0, 255).astype(np.uint8)
    return rounded
