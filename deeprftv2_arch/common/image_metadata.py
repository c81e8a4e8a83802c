"""What images say about themselves: which way up the camera was held, and what their colours mean."""

import struct
import zlib
from collections.abc import Mapping

from deeprftv2_arch.common.image_format import (
    JPEG_EXIF,
    JPEG_PROFILE,
    JPEG_PROFILE_NAME,
    PNG_SIGNATURE,
    jpeg_segments,
    png_chunks,
)
from deeprftv2_arch.errors import PreparationError

ORIENTATION = 0x0112  # a tag of Exif
LYING = (5, 6, 7, 8)  # orientations by which height and width change places
EXIF_NAME = b"Exif\0\0"  # begins such a segment of a JPEG
PNG_PROFILE, PNG_EXIF = b"iCCP", b"eXIf"
COLOUR_SPACE = slice(16, 20)  # of an ICC profile


def orientation(data: bytes, is_jpeg: bool) -> int:
    """Return the orientation in the Exif data of a whole JPEG or PNG, 1 to 8; without any 1, which is upright."""
    if is_jpeg:
        exif = (
            content[len(EXIF_NAME) :]
            for marker, content in jpeg_segments(data)
            if marker == JPEG_EXIF and content.startswith(EXIF_NAME)
        )
    else:
        exif = (content for kind, content in png_chunks(data) if kind == PNG_EXIF)
    return _tiff_orientation(next(exif, b""))


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
    """Return the orientation of a whole file; most have none, which is found without taking them apart."""
    if data.startswith(PNG_SIGNATURE):
        return orientation(data, is_jpeg=False) if PNG_EXIF in data else 1
    return orientation(data, is_jpeg=True) if EXIF_NAME in data else 1


def _tiff_orientation(tiff: bytes) -> int:
    """Return the orientation in a block of Exif data, a TIFF file; 1 where there is none or the block is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:  # it points outside of itself
        pass
    return 1


def colour_profile(data: bytes, is_jpeg: bool, is_grey: bool) -> bytes | None:
    """Return the ICC profile of a whole JPEG or PNG, as the content of a PNG's chunk.

    Returns:
        None where there is none, it is damaged, or one of other colours than the decoded image has, such as CMYK.
    """
    if is_jpeg:
        parts = {
            content[len(JPEG_PROFILE_NAME)]: content[len(JPEG_PROFILE_NAME) + 2 :]
            for marker, content in jpeg_segments(data)
            if marker == JPEG_PROFILE
            and content.startswith(JPEG_PROFILE_NAME)
            and len(content) > len(JPEG_PROFILE_NAME) + 2
        }
        profile = b"".join(parts[number] for number in sorted(parts))
        chunk = b"icc\0\0" + zlib.compress(profile)
    else:
        chunk = next((content for kind, content in png_chunks(data) if kind == PNG_PROFILE), b"")
        try:  # its beginning is enough, and takes no memory whatever it claims to be
            profile = unpacked_profile(chunk, COLOUR_SPACE.stop)
        except zlib.error:
            return None
    return chunk if profile[COLOUR_SPACE] == (b"GRAY" if is_grey else b"RGB ") else None


def unpacked_profile(chunk: bytes, most: int) -> bytes:
    """Return the ICC profile in the content of a PNG's chunk, or as much of it as its first ``most`` bytes.

    Raises:
        zlib.error: It is damaged.
    """
    return zlib.decompressobj().decompress(chunk.partition(b"\0")[2][1:], most)
