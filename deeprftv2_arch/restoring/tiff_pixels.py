"""Pixels of TIFFs that OpenCV decodes otherwise than they are meant, or not at all.

It negates greys of 16 bits where 0 is white, loses the alpha of grey, takes colours stored apart for pixels, and
multiplies colours of 8 bits by their alpha, of which rounding leaves little. So it is given the same samples with
another description of them, and what it decodes is put in order afterwards.
"""

from collections.abc import Callable

import numpy as np

from deeprftv2_arch.common import tiff_directory as tiff
from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.common.tiff_directory import Directory
from deeprftv2_arch.errors import PreparationError

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 256, 257, 258, 259, 262, 277
ROWS_OF_STRIP, PLANAR, PREDICTOR, TILE_WIDTH, SAMPLE_FORMAT = 278, 284, 317, 322, 339
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK = 0, 1, 2, 5
APART, DIFFERENCES, MULTIPLIED_ALPHA = 2, 2, 1
JPEGS = (6, 7)  # compressions whose samples are not to be described otherwise
_NOT_READ = {8: "CIELAB", 9: "CIELAB", 10: "CIELAB", 32803: "raw data of a camera", 34892: "raw data of a camera"}


def decode_tiff(data: bytes, decode: Callable[[bytes], AnyImage | None]) -> AnyImage | None:
    """Decode the first page of a TIFF.

    Args:
        data: The file.
        decode: Decodes an image to grey, BGR, or BGR with alpha; None where it cannot.

    Returns:
        (H, W), (H, W, 2), grey with alpha, or as ``decode`` does; None where it cannot be decoded.

    Raises:
        PreparationError: It is of a kind that is not read; the message names it.
    """
    page = next(tiff.directories(memoryview(data)))
    bits, samples, kind = page.number(BITS, 1), page.number(SAMPLES, 1), page.number(PHOTOMETRIC)
    if kind in _NOT_READ:
        raise PreparationError(f"is a TIFF in {_NOT_READ[kind]}, which is not read; save it in RGB")
    if kind == CMYK and bits > 8:
        raise PreparationError(f"is a TIFF in CMYK of {bits} bits, which is not read; save it in RGB")
    if samples == 2 or (page.number(PLANAR) == APART and samples > 1 and bits > 8):
        image = _separated(data, page, decode)
    elif kind == WHITE_IS_ZERO and bits > 8:
        image = decode(tiff.with_entries(data, {PHOTOMETRIC: BLACK_IS_ZERO}))
    elif samples == 4 and kind == RGB and bits == 8 and tiff.EXTRA_SAMPLES in page.entries:
        image = decode(tiff.with_entries(data, {tiff.EXTRA_SAMPLES: 0}))
    else:
        image = decode(data)
    if image is None:
        return None
    if kind == WHITE_IS_ZERO and (bits > 8 or samples == 2):
        grey = image if image.ndim == 2 else image[:, :, :1]
        np.subtract(np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1, grey, out=grey)
    if samples == 4 and kind == RGB and page.number(tiff.EXTRA_SAMPLES) == MULTIPLIED_ALPHA:
        return divided_by_alpha(image)
    return image


def _separated(data: bytes, page: Directory, decode: Callable[[bytes], AnyImage | None]) -> AnyImage | None:
    """Decode pixels of several samples as one image of grey, and put them in order."""
    bits, samples, height, width = (page.number(tag) for tag in (BITS, SAMPLES, HEIGHT, WIDTH))
    is_apart, has_differences = page.number(PLANAR) == APART, page.number(PREDICTOR) == DIFFERENCES
    rows, tile_width = min(page.number(ROWS_OF_STRIP, height), height), page.number(TILE_WIDTH)
    fits = (not tile_width and height % max(rows, 1) == 0) if is_apart else not (tile_width and has_differences)
    if (
        not fits
        or bits not in (8, 16)
        or page.number(SAMPLE_FORMAT, 1) != 1
        or page.number(COMPRESSION, 1) in JPEGS
        or page.number(PHOTOMETRIC) not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
        or samples > 4
    ):
        raise PreparationError(
            f"is a TIFF of {samples} samples of {bits} bits in an order that is not read; save it anew"
        )
    changed: dict[int, int | None] = {PHOTOMETRIC: BLACK_IS_ZERO, SAMPLES: 1, BITS: bits, PLANAR: 1}
    changed |= {tiff.EXTRA_SAMPLES: None, SAMPLE_FORMAT: None}
    if is_apart:
        image = decode(tiff.with_entries(data, changed | {HEIGHT: samples * height, ROWS_OF_STRIP: rows}))
        planes = None if image is None else image.reshape(samples, height, width)
        order = [2, 1, 0, 3][:samples] if samples > 2 else [0, 1]
        return None if planes is None else np.ascontiguousarray(planes[order].transpose(1, 2, 0))
    changed |= {WIDTH: samples * width} | ({TILE_WIDTH: samples * tile_width} if tile_width else {})
    image = decode(tiff.with_entries(data, changed | ({PREDICTOR: 1} if has_differences else {})))
    pixels = None if image is None else image.reshape(height, width, samples)
    if pixels is not None and has_differences:  # of a sample from the one of its kind to the left
        return np.cumsum(pixels, axis=1, dtype=pixels.dtype)
    return pixels


def divided_by_alpha(image: AnyImage) -> AnyImage:
    """Undo that colours (H, W, 4) are stored multiplied by their alpha, row by row, since there may be many."""
    peak = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    result: AnyImage = image.copy()
    for row in result:
        alpha = row[:, 3:].astype(np.float32)
        colours = np.divide(
            row[:, :3] * np.float32(peak), alpha, out=np.zeros((len(row), 3), np.float32), where=alpha > 0
        ).clip(0, peak)
        row[:, :3] = colours.round() if peak > 1 else colours
    return result
