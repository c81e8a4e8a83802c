"""How the frames of a film are turned or mirrored to be upright, as its display matrix says."""

import struct
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.restoring.videos.side_data import side_data

ONE = 2**16  # of the fixed-point numbers of the matrix


@dataclass(frozen=True)
class Orientation:
    """What to do to a frame, in this order.

    Attributes:
        transposed: Exchange rows and columns.
        mirrored: Exchange left and right.
        upside_down: Exchange top and bottom.
        is_oblique: Whether the film asks for an angle that is no multiple of 90 degrees, which is not done.
    """

    transposed: bool = False
    mirrored: bool = False
    upside_down: bool = False
    is_oblique: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Orientation":
        """Return that of a frame."""
        matrix = side_data(frame).get("DISPLAYMATRIX")
        if matrix is None:
            return cls()
        # A pixel at (x, y) is shown at (a x + c y, b x + d y).
        a, b, _, c, d = struct.unpack_from("=5i", matrix)
        if max(abs(b), abs(c)) < ONE // 100:
            return cls(mirrored=a < 0, upside_down=d < 0)
        if max(abs(a), abs(d)) < ONE // 100:
            return cls(transposed=True, mirrored=c < 0, upside_down=b < 0)
        return cls(is_oblique=True)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of what becomes upright."""
        return (width, height) if self.transposed else (height, width)

    def aspect(self, stored: Fraction) -> Fraction:
        """Return width over height of the pixels of what becomes upright."""
        return 1 / stored if self.transposed and stored else stored or Fraction(1)

    def upright(self, image: AnyImage) -> AnyImage:
        """Turn an image (H, W, C)."""
        if self.transposed:
            image = image.swapaxes(0, 1)
        if self.mirrored:
            image = image[:, ::-1]
        if self.upside_down:
            image = image[::-1]
        return np.ascontiguousarray(image)
