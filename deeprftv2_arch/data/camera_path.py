"""How the scene moves over the sensor during an exposure, and the blur that this makes.

Time is cut into N moments. At each of them the sensor's pixel p sees the point

    q = c + (1 + zoom) R(angle) (p - c) + shift

of the sharp scene, where c is the centre of rotation and zoom. All coordinates are (x, y) in pixels, x to the right and
y downwards. The blurred image is the mean of the scenes of all moments, interpolated bicubically.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.data.light import FloatImage

Points = NDArray[np.float64]  # (N, 2): x, y

_SHARPNESS = -0.75  # of OpenCV's bicubic interpolation
_REACH = 2  # pixels to either side that bicubic interpolation reads


@dataclass(frozen=True)
class CameraPath:
    """The motion of one exposure.

    Attributes:
        shift: (N, 2) translation (x, y) in pixels.
        angle: (N,) rotation in radians.
        zoom: (N,) relative change of scale, 0.01 for one per cent.
        centre: (2,) the point (x, y) about which the camera turns and zooms, in pixels of the blurred image; it may
            lie outside, as it does for a crop of a photograph.
    """

    shift: Points
    angle: NDArray[np.float64]
    zoom: NDArray[np.float64]
    centre: NDArray[np.float64]

    @staticmethod
    def still() -> "CameraPath":
        """No motion at all."""
        return CameraPath(np.zeros((1, 2)), np.zeros(1), np.zeros(1), np.zeros(2))

    @cached_property
    def is_shift(self) -> bool:
        """Whether all of the image moves alike, so that the blur is a convolution."""
        return not (self.angle.any() or self.zoom.any())

    @cached_property
    def is_still(self) -> bool:
        """Whether nothing moves."""
        return self.is_shift and not self.shift.any()

    def followed_by(self, shift: Points) -> "CameraPath":
        """Return the path of an object whose own motion (N, 2) is added to the camera's."""
        return CameraPath(self.shift + shift, self.angle, self.zoom, self.centre)

    def displacement(self, point: Points) -> Points:
        """Offsets q - p (N, 2) over the exposure at one point (x, y)."""
        radius = np.asarray(point, np.float64) - self.centre
        cosine, sine = (1 + self.zoom) * np.cos(self.angle), (1 + self.zoom) * np.sin(self.angle)
        turned = np.stack([cosine * radius[0] - sine * radius[1], sine * radius[0] + cosine * radius[1]], axis=1)
        return turned - radius + self.shift

    def reach(self, height: int, width: int) -> int:
        """By how many pixels the scene must be larger on every side than a blurred image of this size."""
        if self.is_still:
            return 0
        corners = [(x, y) for x in (0.0, width - 1.0) for y in (0.0, height - 1.0)]
        farthest = max(np.abs(self.displacement(np.array(corner))).max() for corner in corners)
        return int(np.ceil(farthest)) + _REACH

    def kernel(self, point: Points, size: int) -> FloatImage:
        """Return the blur at one point as weights (size, size) of the scene around it, sum 1.

        Row and column ``size // 2`` are the point itself: ``blurred(p) = sum_d kernel(d) scene(p + d)``, the convention
        of :func:`~deeprftv2_arch.ops.reblur.reblur` (a correlation). What falls outside is lost.
        """
        return splat(self.displacement(point), size)

    def seen_from(self, x: float, y: float) -> "CameraPath":
        """Return the same motion in the coordinates of an image whose first pixel lies at (x, y) of this one's."""
        return replace(self, centre=self.centre - (x, y))

    def blur(self, scene: FloatImage, margin: int) -> FloatImage:
        """Expose a scene.

        Args:
            scene: (H + 2 margin, W + 2 margin, C) float32 of any range.
            margin: By how many pixels the scene is larger on every side than the image; at least :meth:`reach`.

        Returns:
            The blurred image (H, W, C) float32.
        """
        height, width = (side - 2 * margin for side in scene.shape[:2])
        inner = slice(margin, margin + height), slice(margin, margin + width)
        if self.is_still:
            return scene[inner]
        if self.is_shift:
            kernel = splat(self.shift, 2 * self.reach(1, 1) + 1)
            return np.asarray(cv2.filter2D(scene, -1, kernel), np.float32).reshape(scene.shape)[inner]
        total = np.zeros((height, width, scene.shape[2]), np.float32)
        for matrix in self._matrices(margin):
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            total += cv2.warpAffine(scene, matrix, (width, height), flags=flags).reshape(total.shape)
        mean: FloatImage = total / np.float32(len(self.angle))
        return mean

    def _matrices(self, margin: int) -> NDArray[np.float64]:
        """(N, 2, 3): from pixels of the blurred image to those of a scene with a margin."""
        cosine, sine = (1 + self.zoom) * np.cos(self.angle), (1 + self.zoom) * np.sin(self.angle)
        rows = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
        offset = self.centre - rows @ self.centre + self.shift + margin
        return np.concatenate([rows, offset[:, :, None]], axis=2)


def splat(offsets: Points, size: int) -> FloatImage:
    """Return the mean of bicubic interpolations at offsets (N, 2) from a point, as weights (size, size), sum 1."""
    column, across = _taps(offsets[:, 0])
    row, down = _taps(offsets[:, 1])
    row, column = row + size // 2, column + size // 2
    weights = down[:, :, None] * across[:, None, :] / len(offsets)
    inside = ((row >= 0) & (row < size))[:, :, None] & ((column >= 0) & (column < size))[:, None, :]
    place = row[:, :, None] * size + column[:, None, :]
    kernel = np.bincount(place[inside], weights[inside], minlength=size * size)
    return kernel.reshape(size, size).astype(np.float32)


def _taps(at: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the four pixels around each coordinate (N,), and their weights, both (N, 4)."""
    first = np.floor(at).astype(np.int64)
    offsets = np.arange(-1, 3)
    distance = np.abs((at - first)[:, None] - offsets)
    near = ((_SHARPNESS + 2) * distance - (_SHARPNESS + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * _SHARPNESS - 4 * _SHARPNESS
    return first[:, None] + offsets, np.where(distance <= 1, near, far)


def smooth_path(rng: np.random.Generator, dimensions: int, moments: int, decay: float) -> NDArray[np.float64]:
    """Return a random smooth path (moments, dimensions) with mean zero.

    A sum of cosines of one to six half-periods over the exposure whose amplitudes fall with their number to the power
    ``-decay``: 1 trembles, 3 is nearly an arc. Each of them has mean zero, so that blur leaves things where they were.
    """
    harmonics = np.arange(1, 7)
    times = (np.arange(moments) + 0.5) / moments
    amplitudes = rng.normal(size=(harmonics.size, dimensions)) / harmonics[:, None] ** decay
    return np.asarray(np.cos(np.pi * times[:, None] * harmonics) @ amplitudes)


def straight_path(rng: np.random.Generator, moments: int) -> Points:
    """Return a straight path (moments, 2) of constant speed and length 1, with mean zero and a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    along = (np.arange(moments) + 0.5) / moments - 0.5
    path: Points = along[:, None] * np.array([np.cos(angle), np.sin(angle)])
    return path


def length_of(path: Points) -> float:
    """Length of a path (N, D), with half a step before the first and after the last moment."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    return float(steps.sum() * len(path) / max(1, len(path) - 1))
