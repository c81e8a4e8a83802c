"""PNG and JPEG as files: their headers, the parts that they are made of, and whether they are whole.

OpenCV decodes and encodes, but it looks at no header ahead of decoding, passes over damage, and drops what is said of
orientation and colours unless the whole image is decoded by other functions.

Sources: W3C, Portable Network Graphics (third edition); ITU-T T.81, annex B (JPEG); ICC.1:2022, annex B.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from deeprftv2_arch.errors import PreparationError

JPEG_EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif")
EXTENSIONS = (".png", *JPEG_EXTENSIONS)  # of data sets
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_HEADER_BYTES = 33  # the signature and the chunk that comes first
PNG_WITH_ALPHA = (b"\x04", b"\x06")  # types of colour, grey and RGB, as byte 25 of the file says them
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PNG_TRUECOLOUR = 2

JPEG_EXIF, JPEG_PROFILE = 0xE1, 0xE2  # markers of the segments of applications that hold these
JPEG_PROFILE_NAME = b"ICC_PROFILE\0"  # begins such a segment; its number and how many there are follow
LONGEST_PROFILE = 255 * 65_519  # bytes that a JPEG can hold: so many segments, and bytes in each
_PROFILE_PART = 65_519
_START_OF_SCAN, _END, _FILL = 0xDA, 0xD9, 0xFF
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_NOT_FRAME = {0xC4, 0xC8, 0xCC}
# Kinds of JPEGs that no decoder here knows, by the marker of their frame.
_UNREADABLE = dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "a lossless JPEG")
_UNREADABLE |= dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "a hierarchical JPEG") | {0xF7: "a JPEG-LS"}
_ANCILLARY = 0x20  # bit of the first letter of a PNG's chunk, without which every reader has to know it
# In the data of a scan 0xff is followed by 0 or by the number of a restart; anything else is the next segment.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True)
class Header:
    """What an image's header says.

    Attributes:
        height: In pixels.
        width: In pixels.
        channels: 1 to 4; a palette counts as three.
        bit_depth: Bits per channel that are decoded, 8 or more.
        is_jpeg: Whether it is a JPEG; else it is a PNG.
    """

    height: int
    width: int
    channels: int
    bit_depth: int
    is_jpeg: bool = False

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def read_header(data: bytes | memoryview) -> Header:
    """Read the header of a PNG or a JPEG from its first bytes (``PNG_HEADER_BYTES`` are enough for a PNG).

    Raises:
        PreparationError: ``data`` begins neither a PNG nor a JPEG; the message lacks the file's name, which the caller
            knows.
    """
    if data[:8] == PNG_SIGNATURE and data[12:16] == b"IHDR" and len(data) >= PNG_HEADER_BYTES:
        width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
        if colour in _PNG_CHANNELS:
            # A palette's entries have eight bits, however few its indices have; fewer bits are decoded to eight.
            return Header(height, width, _PNG_CHANNELS[colour], max(depth, 8))
    if data[:2] == b"\xff\xd8":
        return _read_jpeg_header(data)
    if not data:
        raise PreparationError("is empty")
    raise PreparationError("is neither a PNG nor a JPEG, or its header is damaged")


def _read_jpeg_header(data: bytes | memoryview) -> Header:
    for marker, content in jpeg_segments(data):
        if marker == _START_OF_SCAN:
            break
        if marker in _UNREADABLE:
            raise PreparationError(f"is {_UNREADABLE[marker]}, a kind that cannot be read here; convert it to PNG")
        if 0xC0 <= marker <= 0xCF and marker not in _NOT_FRAME and len(content) >= 6:
            depth, height, width, channels = struct.unpack(">BHHB", content[:6])
            return Header(height, width, channels, depth, is_jpeg=True)
    raise PreparationError("is a JPEG without a frame header, or is truncated")


def require_whole(data: bytes) -> None:
    """Look at the container, since some decoders return what they have of a truncated or damaged file.

    A JPEG has no checksums, and must end with its end marker: what some phones put behind it counts as damage. A PNG's
    chunks that say something about the image, such as texts, may be damaged: the pixels are whole without them.

    Raises:
        PreparationError: ``data`` is not a whole PNG or JPEG; the message lacks the file's name.
    """
    if not data.startswith(PNG_SIGNATURE):
        if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise PreparationError("is truncated (no end marker)")
        return
    position, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        if position + 12 > len(data):
            raise PreparationError(f"is truncated after {len(data)} bytes")
        (length,) = struct.unpack(">I", data[position : position + 4])
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise PreparationError(f"is truncated after {len(data)} bytes")
        is_needed = not kind[0] & _ANCILLARY
        if is_needed and not _has_right_checksum(data, position, end):
            raise PreparationError(f"is damaged (checksum of chunk {kind.decode('latin-1')} at byte {position})")
        position = end


def _has_right_checksum(data: bytes, start: int, end: int) -> bool:
    return zlib.crc32(data[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")


def is_plain_png(data: bytes) -> bool:
    """Tell whether every reader decodes a PNG to three channels of 8 or 16 bits, so that it may be stored as it is."""
    return data.startswith(PNG_SIGNATURE) and data[24] in (8, 16) and data[25] == _PNG_TRUECOLOUR


def is_plain_jpeg(data: bytes) -> bool:
    """Tell whether a file is a JPEG that every reader decodes to three channels of 8 bits."""
    header = read_header(data)
    return header.is_jpeg and (header.channels, header.bit_depth) == (3, 8)


def png_announces_alpha(start: bytes) -> bool:
    """Tell whether a file that begins so is a PNG with alpha, or with a colour that is transparent."""
    ahead_of_pixels = start.partition(b"IDAT")[0]
    return start.startswith(PNG_SIGNATURE) and (start[25:26] in PNG_WITH_ALPHA or b"tRNS" in ahead_of_pixels)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of every chunk of a whole PNG, but those with a wrong checksum."""
    position, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        end = position + 12 + length
        if _has_right_checksum(data, position, end):
            yield kind, data[position + 8 : end - 4]
        position = end


def png_with_chunk(data: bytes, kind: bytes, content: bytes) -> bytes:
    """Return a PNG with one more chunk behind its header."""
    return data[:PNG_HEADER_BYTES] + png_chunk(kind, content) + data[PNG_HEADER_BYTES:]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk with its length and its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def pixels_of_png(data: bytes) -> bytes:
    """Return a whole PNG with nothing but what its pixels need, so that no decoder stumbles over the rest.

    Of an animated one that is the still image, which viewers show that do not know of animations.
    """
    needed = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
    return PNG_SIGNATURE + b"".join(png_chunk(kind, content) for kind, content in png_chunks(data) if kind in needed)


def jpeg_segments(data: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of every segment, the last one that of the end; a truncated file has no such one.

    What follows the end, such as the short film that some phones put there, is not looked at.
    """
    for marker, start, end in _jpeg_places(data):
        yield marker, bytes(data[start:end])


def _jpeg_places(data: bytes | memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield marker, and begin and end of the content, of every segment."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _FILL or marker in _STANDALONE:
            position += 1 if marker == _FILL else 2
            continue
        end = position + 2 + int(struct.unpack(">H", data[position + 2 : position + 4])[0])
        yield marker, position + 4, end
        position = end
        if marker == _START_OF_SCAN:
            following = _AFTER_SCAN.search(data, position)
            if following is None:
                return
            position = following.start()
            if data[position + 1] == _END:
                yield _END, position + 2, position + 2
                return


def behind_jpeg(data: bytes) -> bytes:
    """Return what follows the end of a JPEG, without the zeros and ends of lines that some programs add."""
    end = next((end for marker, _, end in _jpeg_places(data) if marker == _END), len(data))
    return data[end:].strip(b"\0\r\n ")


def jpeg_reaches_its_end(data: bytes) -> bool:
    """Tell whether a JPEG goes on to its end, whatever follows it."""
    return any(marker == _END for marker, _ in jpeg_segments(data))


def jpeg_with_profile(data: bytes, profile: bytes) -> bytes:
    """Return a JPEG with an ICC profile behind its first segment, which names the format.

    A profile of more than ``LONGEST_PROFILE`` bytes is left out.
    """
    if len(profile) > LONGEST_PROFILE:
        return data
    parts = [profile[start : start + _PROFILE_PART] for start in range(0, len(profile), _PROFILE_PART)]
    contents = (JPEG_PROFILE_NAME + bytes([number, len(parts)]) + part for number, part in enumerate(parts, 1))
    inserted = b"".join(struct.pack(">BBH", 0xFF, JPEG_PROFILE, len(content) + 2) + content for content in contents)
    first_end = 4 + int(struct.unpack(">H", data[4:6])[0])
    return data[:first_end] + inserted + data[first_end:]
