"""Images in files, as the rest of the package sees them: read with what they say of themselves, and written."""

import logging
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError, PreparationError
from deeprftv2_arch.restoring.heif import read_heif
from deeprftv2_arch.restoring.image_decoding import decode
from deeprftv2_arch.restoring.image_door import (
    MAX_PIXELS,
    has_alpha,
    look_at,
    read_file,
    require_few_pixels,
    require_file,
)
from deeprftv2_arch.restoring.image_kinds import Announced
from deeprftv2_arch.restoring.image_losses import losses_of
from deeprftv2_arch.restoring.image_metadata import Metadata, checked, read_metadata
from deeprftv2_arch.restoring.image_writing import QUALITY, WRITTEN, require_writable, write_image
from deeprftv2_arch.restoring.opencv_codecs import silence_image_decoders

__all__ = [
    "MAX_PIXELS",
    "QUALITY",
    "WRITTEN",
    "Picture",
    "has_alpha",
    "read_image",
    "require_few_pixels",
    "require_file",
    "require_readable",
    "require_writable",
    "silence_image_decoders",
    "write_image",
]

logger = logging.getLogger(__name__)


class Picture(NamedTuple):
    """An image from a file.

    Attributes:
        image: uint8 or uint16 as stored, or float32: (H, W) for grey, (H, W, 2) for grey with alpha, (H, W, 3) for RGB,
            (H, W, 4) for RGB with alpha.
        metadata: What :func:`write_image` keeps beside.
    """

    image: AnyImage
    metadata: Metadata


def read_image(
    path: Path, max_pixels: int = MAX_PIXELS, admit: Callable[[Path, Announced, int], None] | None = None
) -> Picture:
    """Read an image of any kind, turned upright as its Exif data say.

    What is not read of the file, such as all frames but the first, a line of the log says.

    Args:
        path: The file.
        max_pixels: The most pixels that its header may announce; otherwise it is refused and not decoded.
        admit: Raises DataError for what its header announces, or its size in bytes, before it is read.

    Raises:
        DataError: The file is missing, no image of a kind that is read, damaged, or announces too many pixels.
    """
    with _named_errors(path):
        data, says = read_file(path, max_pixels, admit)
        if says.kind in ("AVIF", "HEIC"):
            image, found, orientation, losses = read_heif(data, says.kind)
            metadata = checked(found, is_grey=image.ndim == 2, turned=orientation >= 5)
        else:
            image = decode(data, says)
            is_grey = image.ndim == 2 or image.shape[2] == 2
            metadata, orientation = read_metadata(data, says.kind, is_grey)
            losses = list(losses_of(data, says, image, metadata))
    for loss in losses:
        logger.warning("%s: %s", path, loss)
    return Picture(_upright(image, orientation), metadata)


def require_readable(path: Path, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse an image by its size and its header alone, which takes no time whatever its size.

    Raises:
        DataError: As of :func:`read_image`.
    """
    with _named_errors(path):
        look_at(path, max_pixels)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Say of which file an error is."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except PreparationError as error:
        raise DataError(f"{path}: {error}") from error
    except struct.error as error:  # something in it points outside
        raise DataError(f"{path}: is damaged, or is truncated") from error


def _upright(image: AnyImage, stored: int) -> AnyImage:
    """Turn an image that the camera stored in one of the eight orientations of Exif."""
    if stored >= 5:
        image = image.swapaxes(0, 1)
    if stored in (2, 3, 6, 7):
        image = image[:, ::-1]
    if stored in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
