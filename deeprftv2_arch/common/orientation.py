"""Which way up the camera was held, as images of data sets say."""

import struct
from collections.abc import Mapping

from deeprftv2_arch.common import tiff_directory as tiff
from deeprftv2_arch.common.image_format import JPEG_EXIF, PNG_SIGNATURE, jpeg_segments, png_chunks
from deeprftv2_arch.errors import PreparationError

LYING = (5, 6, 7, 8)  # orientations by which height and width change places
_EXIF_NAME = b"Exif\0\0"  # begins such a segment of a JPEG
_PNG_EXIF = b"eXIf"


def require_one_orientation(images: Mapping[str, bytes]) -> None:
    """Refuse a pair of which one image alone would be turned when it is read: the two would not show the same.

    Args:
        images: Whole PNGs and JPEGs as files, by what to call them.

    Raises:
        PreparationError: Their orientations differ.
    """
    found = {name: quick_orientation(data) for name, data in images.items()}
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{name} {value}" for name, value in found.items())
        raise PreparationError(
            f"only one of a pair is turned by its Exif orientation ({listed}; 1 is upright): turn both upright, or "
            "remove the orientation, whichever makes them show the same"
        )


def quick_orientation(data: bytes) -> int:
    """Return the orientation of a whole PNG or JPEG, 1 to 8; without any 1, which is upright.

    Most have none, which is found without taking them apart.
    """
    if (_PNG_EXIF if data.startswith(PNG_SIGNATURE) else _EXIF_NAME) not in data:
        return 1
    return orientation_of(_exif(data))


def orientation_of(exif: bytes) -> int:
    """Return the orientation in Exif data, 1 to 8; 1 where there is none or they are damaged."""
    try:
        for directory in tiff.directories(memoryview(exif)):
            value = directory.number(tiff.ORIENTATION, 1)
            return value if 1 <= value <= 8 else 1
    except struct.error:  # it points outside of itself
        pass
    return 1


def _exif(data: bytes) -> bytes:
    if data.startswith(PNG_SIGNATURE):
        return next((content for kind, content in png_chunks(data) if kind == _PNG_EXIF), b"")
    segments = (content for marker, content in jpeg_segments(data) if marker == JPEG_EXIF)
    return next((content[len(_EXIF_NAME) :] for content in segments if content.startswith(_EXIF_NAME)), b"")
