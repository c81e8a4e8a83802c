"""The formats in which images are written, with what they can hold of metadata."""

import logging
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from deeprftv2_arch.common import tiff_directory as tiff
from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.common.image_format import PNG_SIGNATURE, png_chunk
from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError, PreparationError
from deeprftv2_arch.restoring import opencv_codecs
from deeprftv2_arch.restoring.image_door import LONGEST_SIDE
from deeprftv2_arch.restoring.image_metadata import (
    NOTHING,
    Metadata,
    jpeg_with_metadata,
    lost_outside_of_png,
    png_with_metadata,
    tiff_with_metadata,
)
from deeprftv2_arch.restoring.marks import Mark, marked

COMPRESSION = 3  # of 0 to 9, zlib's; higher ones take several times as long for some per cent
QUALITY = 95  # of JPEGs, with colours as fine as the brightness, and of WebPs
FULL_COLOURS = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
LOSSLESS = 101  # WebP's quality in OpenCV's terms
_DEFLATE = 8  # TIFF's compression

logger = logging.getLogger(__name__)


def write_image(
    path: Path, image: AnyImage, metadata: Metadata = NOTHING, quality: int = QUALITY, mark: Mark | None = None
) -> None:
    """Write an image in the format of its name (see ``WRITTEN``), which appears when it is complete.

    What a format cannot hold of the metadata, a line of the log says.

    Args:
        path: The file; one of this name is replaced.
        image: As :func:`read_image` returns it. In a JPEG or a WebP 16 bits become 8; floats become 16 bits.
        metadata: What it says about itself, as that function returns it.
        quality: Of a JPEG or a WebP, 1 to 100; at 100 a WebP loses nothing.
        mark: Of what and by what it was made, if it is to say so.

    Raises:
        DataError: It cannot be encoded, or is to be a JPEG and has alpha.
        WriteError: It cannot be written.
    """
    write = _WRITERS[path.suffix.lower()]
    try:
        require_writable(path, image.shape[0], image.shape[1], image.ndim == 3 and image.shape[2] in (2, 4))
        if np.issubdtype(image.dtype, np.floating):
            image = (image.clip(0, 1) * 65535).round().astype(np.uint16)
        if metadata.exif is not None:
            metadata = replace(metadata, exif=tiff.sized(metadata.exif, *image.shape[:2]))
        encoded = write(path, image, metadata, quality)
    except PreparationError as error:
        raise DataError(f"{path}: {error}") from error
    except cv2.error as error:
        raise DataError(f"{path}: cannot be written: {error.err}") from error
    if write is not _png:
        for chunk in lost_outside_of_png(metadata):
            logger.warning("%s: its %s is left out, which only a PNG can hold", path, chunk)
    write_atomically(path, marked(encoded, path.suffix, mark))


def require_writable(path: Path, height: int, width: int, has_alpha: bool) -> None:
    """Refuse an image that the format of a name cannot hold.

    Raises:
        DataError: A side is too long, or there is alpha and the name is a JPEG's.
    """
    if has_alpha and _WRITERS[path.suffix.lower()] is _jpeg:
        raise DataError(f"{path}: a JPEG has no alpha; write a PNG")
    most = _LONGEST_SIDES.get(path.suffix.lower(), LONGEST_SIDE)
    if max(height, width) > most:
        raise DataError(f"{path}: an image of {width}x{height} has a side of more than {most:,} pixels; write a PNG")


def _png(path: Path, image: AnyImage, metadata: Metadata, quality: int) -> bytes:
    if image.ndim == 3 and image.shape[2] == 2:
        encoded = _grey_alpha_png(image)
    else:
        encoded = opencv_codecs.encoded(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION])
    return png_with_metadata(encoded, metadata)


def _grey_alpha_png(image: AnyImage) -> bytes:
    """Encode (H, W, 2), which OpenCV has no PNG for; every row is stored as its difference from the one above."""
    height, width = image.shape[:2]
    rows = image.astype(image.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    rows = np.concatenate([rows[:1], rows[1:] - rows[:-1]])
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), rows], axis=1)
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = size + bytes([8 * image.dtype.itemsize, 4, 0, 0, 0])
    pixels = zlib.compress(filtered.tobytes(), COMPRESSION)
    return PNG_SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def _jpeg(path: Path, image: AnyImage, metadata: Metadata, quality: int) -> bytes:
    encoded = opencv_codecs.encoded(".jpg", _of_bytes(image), [cv2.IMWRITE_JPEG_QUALITY, quality, *FULL_COLOURS])
    return jpeg_with_metadata(encoded, metadata, path)


def _webp(path: Path, image: AnyImage, metadata: Metadata, quality: int) -> bytes:
    known = {
        cv2.IMAGE_METADATA_ICCP: metadata.profile if image.ndim == 3 and image.shape[2] > 2 else None,
        cv2.IMAGE_METADATA_EXIF: metadata.exif,
        cv2.IMAGE_METADATA_XMP: metadata.xmp,
    }
    if metadata.profile is not None and known[cv2.IMAGE_METADATA_ICCP] is None:
        logger.warning("%s: its colour profile is left out, since a WebP has colours and the profile is of greys", path)
    if metadata.density is not None:
        logger.warning("%s: pixels per inch are left out, which a WebP cannot hold", path)
    blocks = {kind: np.frombuffer(content, np.uint8)[None] for kind, content in known.items() if content is not None}
    settings = [cv2.IMWRITE_WEBP_QUALITY, LOSSLESS if quality == 100 else quality]
    with opencv_codecs.in_silence():
        done, data = cv2.imencodeWithMetadata(
            ".webp",
            opencv_codecs.swap_red_and_blue(_coloured(_of_bytes(image))),
            list(blocks),
            list(blocks.values()),
            settings,
        )
    return opencv_codecs.bytes_of(done, data, image)


def _tiff(path: Path, image: AnyImage, metadata: Metadata, quality: int) -> bytes:
    if image.ndim == 3 and image.shape[2] == 2:
        image = _coloured(image)
    encoded = opencv_codecs.encoded(".tiff", image, [cv2.IMWRITE_TIFF_COMPRESSION, _DEFLATE])
    return tiff_with_metadata(encoded, metadata, path, has_alpha=image.ndim == 3 and image.shape[2] == 4)


# The names by which formats are chosen, and what writes them.
_WRITERS: dict[str, Callable[[Path, AnyImage, Metadata, int], bytes]] = {
    ".png": _png,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _webp,
    ".tif": _tiff,
    ".tiff": _tiff,
}
WRITTEN = tuple(_WRITERS)
_LONGEST_SIDES = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}  # pixels


def _of_bytes(image: AnyImage) -> AnyImage:
    return (image / 257).round().astype(np.uint8) if image.dtype == np.uint16 else image


def _coloured(image: AnyImage) -> AnyImage:
    """Return grey, or grey with alpha, as colours."""
    if image.ndim == 2:
        return np.dstack([image] * 3)
    return image[:, :, [0, 0, 0, 1]] if image.shape[2] == 2 else image
