"""Images as bytes: headers, whole and unharmed or not, decoding and encoding."""

import struct
import zlib
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.errors import PreparationError

Image = NDArray[np.unsignedinteger]

EXTENSIONS = (".png", ".jpg", ".jpeg")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PNG_TRUECOLOUR = 2
_JPEG_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_JPEG_NOT_FRAME = {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class Header:
    """Size of an image in pixels, its channels and the bits of each; whether it is a JPEG, else it is a PNG."""

    height: int
    width: int
    channels: int
    bit_depth: int
    is_jpeg: bool = False

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def read_header(data: bytes | memoryview) -> Header:
    """Header of a PNG or a JPEG from its first bytes (33 are enough for a PNG).

    Raises:
        PreparationError: `data` begins neither a PNG nor a JPEG; the message lacks the file's name, which the caller
            knows.
    """
    if data[:8] == PNG_SIGNATURE and data[12:16] == b"IHDR" and len(data) >= 33:
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
    position = 2
    while position + 9 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in _JPEG_STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _JPEG_NOT_FRAME:
            depth, height, width, channels = struct.unpack(">BHHB", data[position + 4 : position + 10])
            return Header(height, width, channels, depth, is_jpeg=True)
        position += 2 + int(struct.unpack(">H", data[position + 2 : position + 4])[0])
    raise PreparationError("is a JPEG without a frame header, or is truncated")


def require_whole(data: bytes) -> None:
    """Some decoders return what they have of a truncated or damaged file; this looks at the container instead.

    Raises:
        PreparationError: `data` is not a whole PNG or JPEG; the message lacks the file's name.
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
        if zlib.crc32(data[position + 4 : end - 4]) != struct.unpack(">I", data[end - 4 : end])[0]:
            raise PreparationError(f"is damaged (checksum of chunk {kind.decode('latin-1')} at byte {position})")
        position = end


def decode(data: bytes) -> Image:
    """Decodes a PNG or JPEG to (H, W, 3), BGR, uint8 or uint16 as stored.

    Grey images get three equal channels and an alpha channel is dropped, as BasicSR's reader does.

    Raises:
        PreparationError: `data` is not a whole, undamaged PNG or JPEG; the message lacks the file's name.
    """
    read_header(data)
    require_whole(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise PreparationError(f"cannot be decoded ({error.err})") from error
    if image is None:
        raise PreparationError("cannot be decoded")
    if image.dtype not in (np.uint8, np.uint16):
        raise PreparationError(f"has samples of type {image.dtype}, not 8 or 16 bits")
    return cast(Image, image)


def encode_png(image: Image, compression: int) -> bytes:
    """Encodes (H, W) or (H, W, 3) BGR, uint8 or uint16, as PNG with zlib level 0 (fast) to 9 (small)."""
    done, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, compression])
    if not done:
        raise PreparationError(f"an image of shape {image.shape} and type {image.dtype} cannot be encoded as PNG")
    return data.tobytes()


def is_plain_png(data: bytes) -> bool:
    """True for a PNG that every reader decodes to three channels of 8 or 16 bits, so that it may be stored as it is."""
    return data.startswith(PNG_SIGNATURE) and data[24] in (8, 16) and data[25] == _PNG_TRUECOLOUR


def is_plain_jpeg(data: bytes) -> bool:
    """True for a JPEG that every reader decodes to three channels of 8 bits."""
    header = read_header(data)
    return header.is_jpeg and (header.channels, header.bit_depth) == (3, 8)
