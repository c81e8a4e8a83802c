"""Colours of films: what their tags mean, frames as RGB images, and RGB images as frames of the same tags.

The numbers of the tags are those of ITU-T H.273, which containers, codecs and FFmpeg share. Nothing is converted from
one set of colours to another: a film in BT.2020 with PQ stays one, and its values are the network's input as they are.
"""

from dataclasses import dataclass

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.common.images import AnyImage

UNSPECIFIED = 2
BT709, BT601 = 1, 6
LIMITED, FULL = 1, 2
# How much red and blue are in the luma.
LUMA = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
LUMA |= dict.fromkeys((9, 10), (0.2627, 0.0593))
# Players take a film without tags for BT.709 from this size on, for BT.601 below.
HD_WIDTH, HD_HEIGHT = 1280, 720

# Of swscale, which enlarges and shrinks the planes of colour: bicubic, with all samples, rounded to nearest, and equal
# on every processor.
SCALING = 0x4 | 0x4000 | 0x40000 | 0x80000
DEEP = 16  # bits of what swscale makes of films with more than 8
PEAK = 2**16 - 1  # of images
STRIP = 64  # rows


@dataclass(frozen=True)
class Colours:
    """What the numbers of a film's frames mean.

    Attributes:
        matrix: By which luma and chroma come from RGB; ``UNSPECIFIED`` if no tag says so.
        primaries: The colours of red, green and blue.
        transfer: The curve between light and values.
        range: ``LIMITED``, ``FULL``, or 0 if no tag says so, which means limited.
        bits: Of a value, in the film.
        is_rgb: Whether the frames are stored as RGB or as a palette.
    """

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    range: int = 0
    bits: int = 8
    is_rgb: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Colours":
        """Return those of a frame."""
        is_rgb = frame.format.is_rgb or frame.format.has_palette
        value_range = frame.color_range
        if frame.format.name.startswith("yuvj"):  # which says it by its name
            value_range = FULL
        bits = 8 if frame.format.has_palette else max(component.bits for component in frame.format.components)
        return cls(frame.colorspace, frame.color_primaries, frame.color_trc, value_range, bits, is_rgb)

    @property
    def is_deep(self) -> bool:
        """Whether more than 8 bits are read and 10 written."""
        return self.bits > 8

    def written(self, size: tuple[int, int], restored: tuple[int, int]) -> "Colours":
        """Return those of the restored film, given the sizes (height, width) of both.

        They are the same, but for films stored as RGB, which get a matrix, and films without tags whose size grows to
        one for which players assume another matrix: there the tag says which one is meant.
        """
        bits = 10 if self.is_deep else 8
        if self.is_rgb:
            return Colours(BT709, self.primaries, self.transfer, LIMITED, bits)
        matrix = self.matrix
        if matrix == UNSPECIFIED and _assumed(*size) != _assumed(*restored):
            matrix = _assumed(*size)
        return Colours(matrix, self.primaries, self.transfer, self.range, bits)

    def to_rgb(self, frame: av.VideoFrame) -> AnyImage:
        """Return a frame of these colours as an image (H, W, 3), uint16.

        The 16 bits are for films with 8 as well: rounded to 8 bits twice, colours would be off by two levels.
        """
        if self.is_rgb:
            image: AnyImage = frame.reformat(format="rgb48le", interpolation=SCALING, threads=1).to_ndarray()
            return image
        planar = _reformatted(frame, "yuv444p16le" if self.is_deep else "yuv444p", self.range or LIMITED)
        yuv = np.dstack([_plane(planar, number) for number in range(3)])
        unit = 2.0 ** (DEEP - self.bits) if self.is_deep else 1.0  # in 16 bits, a value is shifted to the left
        to_values = self._from_rgb(frame.height, frame.width)
        inverse = np.linalg.inv(to_values[:, :3]).astype(np.float64)
        return _transformed(yuv, PEAK * inverse / unit, -PEAK * inverse @ to_values[:, 3], PEAK, np.dtype(np.uint16))

    def from_rgb(self, image: AnyImage) -> av.VideoFrame:
        """Return an image (H, W, 3), uint16, as a frame of these colours, 4:2:0; its sides are even."""
        height, width = image.shape[:2]
        kind = np.dtype(np.uint16 if self.is_deep else np.uint8)
        to_values = self._from_rgb(height, width)
        yuv = _transformed(image, to_values[:, :3] / PEAK, to_values[:, 3], 2**self.bits - 1, kind)
        full_size, name = ("yuv444p10le", "yuv420p10le") if self.is_deep else ("yuv444p", "yuv420p")
        frame = av.VideoFrame(width, height, full_size)
        for number, plane in enumerate(frame.planes):
            lines = np.zeros((height, plane.line_size // yuv.itemsize), kind)
            lines[:, :width] = yuv[:, :, number]
            plane.update(lines.tobytes())
        frame = _reformatted(frame, name, self.range or LIMITED)
        frame.colorspace, frame.color_range = self.matrix, self.range
        frame.color_primaries, frame.color_trc = self.primaries, self.transfer
        return frame

    def _from_rgb(self, height: int, width: int) -> NDArray[np.float64]:
        """Return the affine map (3, 4) from RGB in 0..1 to stored values."""
        bits = self.bits
        matrix = self.matrix if self.matrix in LUMA else _assumed(height, width)
        red, blue = LUMA[matrix]
        luma = np.array([red, 1 - red - blue, blue])
        chroma = [(np.array([0, 0, 1]) - luma) / (2 - 2 * blue), (np.array([1, 0, 0]) - luma) / (2 - 2 * red)]
        zero = 2.0 ** (bits - 1)
        if self.range == FULL:
            top = 2**bits - 1
            return np.column_stack([np.array([luma, *chroma]) * top, [0, zero, zero]])
        unit = 2.0 ** (bits - 8)
        scaled = np.array([219 * luma, 224 * chroma[0], 224 * chroma[1]]) * unit
        return np.column_stack([scaled, [16 * unit, zero, zero]])


def _assumed(height: int, width: int) -> int:
    return BT709 if height >= HD_HEIGHT or width >= HD_WIDTH else BT601


def _reformatted(frame: av.VideoFrame, name: str, value_range: int) -> av.VideoFrame:
    """Store the same values with other planes."""
    if frame.format.name == name:
        return frame
    return frame.reformat(
        format=name,
        interpolation=SCALING,
        src_color_range=value_range,
        dst_color_range=value_range,
        threads=1,
    )


def _plane(frame: av.VideoFrame, number: int) -> AnyImage:
    plane = frame.planes[number]
    kind = np.dtype("<u2" if frame.format.name.endswith("le") else np.uint8)
    lines: AnyImage = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)
    return lines[: frame.height, : frame.width]


def _transformed(
    image: AnyImage, matrix: NDArray[np.float64], offset: NDArray[np.float64], peak: float, dtype: np.dtype[np.generic]
) -> AnyImage:
    """Multiply every pixel by a matrix (3, 3), add an offset, round, and clip to 0..peak."""
    affine = np.column_stack([matrix, offset])
    result = np.empty(image.shape, dtype)
    for top in range(0, len(image), STRIP):  # floats of a whole frame would take more memory than the frame
        values = cv2.transform(image[top : top + STRIP].astype(np.float32), affine)
        result[top : top + STRIP] = np.rint(values, out=values).clip(0, peak, out=values)
    return result
