"""The segments of a JPEG file."""

import re
import struct
from collections.abc import Iterator

START_OF_SCAN, END, FILL = 0xDA, 0xD9, 0xFF
EXIF, PROFILE = 0xE1, 0xE2  # the segments of applications that hold these
PROFILE_NAME = b"ICC_PROFILE\0"  # begins such a segment; its number and how many there are follow
LONGEST_PART, MOST_PARTS = 65_519, 255  # bytes of a profile in one segment; segments
# In the data of a scan 0xff is followed by 0 or by the number of a restart; anything else is the next segment.
AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of every segment, the last one that of the end; a truncated file has no such one.

    What follows the end, such as the short film that some phones put there, is not looked at.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == FILL:
            position += 1
            continue
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


def with_profile(data: bytes, profile: bytes) -> bytes:
    """A JPEG with an ICC profile behind its first segment, which names the format; one that is too long is left out."""
    parts = [profile[start : start + LONGEST_PART] for start in range(0, len(profile), LONGEST_PART)]
    if len(parts) > MOST_PARTS:
        return data
    contents = (PROFILE_NAME + bytes([number, len(parts)]) + part for number, part in enumerate(parts, 1))
    inserted = b"".join(struct.pack(">BBH", 0xFF, PROFILE, len(content) + 2) + content for content in contents)
    first_end = 4 + int(struct.unpack(">H", data[4:6])[0])
    return data[:first_end] + inserted + data[first_end:]
