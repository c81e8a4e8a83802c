"""The pixels of images in files, whole or refused.

OpenCV decodes them, since it alone keeps 16 bits of colour and of alpha; what it does not do with grey with alpha and
damaged files is done here.
"""

import io
import warnings
from collections.abc import Callable

import numpy as np

from deeprftv2_arch.common.image_format import (
    jpeg_reaches_its_end,
    jpeg_segments,
    pixels_of_png,
    png_chunks,
    require_whole,
)
from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import PreparationError
from deeprftv2_arch.restoring.boxes import box
from deeprftv2_arch.restoring.image_kinds import Announced, jpeg2000_samples
from deeprftv2_arch.restoring.opencv_codecs import decoded, scaled, swap_red_and_blue
from deeprftv2_arch.restoring.tiff_pixels import decode_tiff

_PROGRESSIVE = (0xC2, 0xCA)  # frames of JPEGs that come in several scans
_END_OF_JPEG = b"\xff\xd9"
_SOME_PIXELS = b"\x5a" * 64  # bytes that mean something to every decoder of JPEGs
_COMMON_TYPES = (np.uint8, np.uint16, np.float32, np.float64)


def decode(data: bytes, says: Announced) -> AnyImage:
    """Decode a file: (H, W) for grey, (H, W, 2) with alpha, (H, W, 3) for RGB, (H, W, 4) with alpha.

    Raises:
        PreparationError: It is damaged, or of a variant that is not read; the message lacks its name.
    """
    image = _DECODERS.get(says.kind, decoded)(data)
    if image is None:
        raise PreparationError("is damaged and cannot be decoded, or of a variant that is not read; save it as a PNG")
    if image.dtype not in _COMMON_TYPES:
        raise PreparationError(f"has samples of type {image.dtype}; save it with 8 or 16 bits or as floats in 0..1")
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    image = swap_red_and_blue(image)
    if says.kind == "PNG":
        return _with_grey_alpha(image, data)
    is_alpha_dead = says.has_dead_alpha or (says.kind == "GIF" and image.ndim == 3 and (image[..., 3:] == 255).all())
    if image.ndim == 3 and image.shape[2] == 4 and is_alpha_dead:
        return np.ascontiguousarray(image[:, :, :3])
    return image


def _jpeg2000(data: bytes) -> AnyImage | None:
    """Decode a JPEG 2000 as OpenCV does, but with values of less bits than they are stored in over the whole range."""
    samples, bits = jpeg2000_samples(data)
    if samples != 2:
        image = decoded(data)
        has_palette = bool(box(memoryview(data), b"jp2h", b"pclr"))
        return image if image is None or has_palette or bits > 16 else scaled(image, bits)
    if bits > 8:
        raise PreparationError(f"is a JPEG 2000 of grey with alpha of {bits} bits, which is not read; save it as a PNG")
    try:
        from PIL import Image
    except ImportError as error:
        raise PreparationError(
            "is a JPEG 2000 of grey with alpha, which needs a package more: pip install pillow"
        ) from error
    try:
        with warnings.catch_warnings():  # of many pixels, which were looked at before
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as opened:
                return np.asarray(opened.convert("LA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _with_grey_alpha(image: AnyImage, png: bytes) -> AnyImage:
    """Give grey and alpha to what OpenCV has decoded as colours, or without the shade that is transparent."""
    depth, colour = png[24], png[25]
    if colour == 4:
        return np.ascontiguousarray(image[:, :, [0, 3]])
    shade = next((content for kind, content in png_chunks(png) if kind == b"tRNS"), b"")
    if colour != 0 or len(shade) != 2:
        return image
    grey = image if image.ndim == 2 else image[:, :, 0]
    peak = int(np.iinfo(grey.dtype).max)
    transparent = int.from_bytes(shade, "big") * (peak if depth < 8 else 1) // (2**depth - 1 if depth < 8 else 1)
    return np.dstack([grey, np.where(grey == transparent, 0, peak).astype(grey.dtype)])


def _whole_jpeg(data: bytes) -> bytes:
    """Return a JPEG with its end marker, without which some programs leave those whose pixels are all there.

    Raises:
        PreparationError: Pixels are missing.
    """
    if jpeg_reaches_its_end(data):
        return data
    if not any(marker in _PROGRESSIVE for marker, _ in jpeg_segments(data)):
        # What follows the last pixel is passed over; what follows a missing one is taken for it.
        ended, continued = (
            decoded(data + more + _END_OF_JPEG) for more in (b"", _SOME_PIXELS * (1 + len(data) // 4096))
        )
        if ended is not None and continued is not None and np.array_equal(ended, continued):
            return data + _END_OF_JPEG
    raise PreparationError("is truncated")


def _png(data: bytes) -> AnyImage | None:
    require_whole(data)
    return decoded(pixels_of_png(data))


_DECODERS: dict[str, Callable[[bytes], AnyImage | None]] = {
    "PNG": _png,
    "JPEG": lambda data: decoded(_whole_jpeg(data)),
    "TIFF": lambda data: decode_tiff(data, decoded),
    "JPEG 2000": _jpeg2000,
}
