"""The segments of a JPEG file: whether it is whole, and which way up the camera was held."""

import re
import struct
from collections.abc import Iterator

START_OF_SCAN, END = 0xDA, 0xD9
APP1 = 0xE1
EXIF = b"Exif\0\0"
ORIENTATION = 0x0112
# In the data of a scan 0xff is followed by 0 or by the number of a restart; anything else is the next segment.
AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of every segment, the last one that of the end; a truncated file has no such one.

    What follows the end, such as the short film that some phones put there, is not looked at.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        end = position + 2 + int(struct.unpack(">H", data[position + 2 : position + 4])[0])
        yield marker, data[position + 4 : end]
        position = end
        if marker == START_OF_SCAN:
            following = AFTER_SCAN.search(data, position)
            if following is None:
                return
            position = following.start()
            if data[position + 1] == END:
                yield END, b""
                return


def is_whole(data: bytes) -> bool:
    """Whether a JPEG goes on to its end."""
    return any(marker == END for marker, _ in segments(data))


def exif_orientation(data: bytes) -> int:
    """Orientation in the Exif data of a JPEG, 1 to 8; 1, which is upright, where there is none."""
    for marker, content in segments(data):
        if marker == APP1 and content.startswith(EXIF):
            return tiff_orientation(content[len(EXIF) :])
        if marker == START_OF_SCAN:
            break
    return 1


def tiff_orientation(tiff: bytes) -> int:
    """Orientation in a block of Exif data, which is a TIFF file; 1 where there is none or the block is damaged."""
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
