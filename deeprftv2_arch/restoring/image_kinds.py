"""The kinds of image files that people have: told by their first bytes, and how large they say that they are.

Nothing is decoded here. Whatever a file claims is looked at before memory is taken for it.

Sources: TIFF 6.0; the WebP container (RFC 9649); GIF89a; ISO/IEC 15444-1 annex I (JPEG 2000); ISO/IEC 23008-12 (HEIF).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from deeprftv2_arch.common.image_format import JPEG_EXTENSIONS, PNG_SIGNATURE, png_chunks, read_header
from deeprftv2_arch.common.tiff_directory import TIFF_ORDERS, Directory, directories
from deeprftv2_arch.errors import PreparationError

IMAGE_EXTENSIONS = (
    *(".png", ".apng", *JPEG_EXTENSIONS, ".tif", ".tiff", ".webp", ".bmp", ".dib", ".gif"),
    *(".jp2", ".j2k", ".avif", ".heic", ".heif", ".hif"),
)
READ = "PNG, JPEG, TIFF, WebP, BMP, GIF, JPEG 2000, AVIF and HEIC"
JP2, _J2K = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
_RAW = "a raw photo of a camera"
_REFUSED = {  # kinds that are known and not read, by their first bytes
    b"\x76\x2f\x31\x01": "an OpenEXR image",
    b"#?RADIANCE": "a Radiance HDR image",
    b"#?RGBE": "a Radiance HDR image",
    b"8BPS": "a Photoshop document",
    b"\xff\x0a": "a JPEG XL image",
    b"\0\0\0\x0cJXL ": "a JPEG XL image",
    b"II\x2b\0": "a BigTIFF",
    b"MM\0\x2b": "a BigTIFF",
    b"FUJIFILM": _RAW,
    b"IIRO": _RAW,  # Olympus
    b"IIRS": _RAW,
    b"IIU\0": _RAW,  # Panasonic
    b"\0\0\0\x18ftypcrx ": _RAW,  # Canon
}
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
_AVIF_BRANDS = (b"avif", b"avis")
_GIF_EXTENSION, _GIF_IMAGE, _GIF_END = 0x21, 0x2C, 0x3B
_PNG_DECODED = {0: 2, 2: 4, 3: 4, 4: 4, 6: 4}  # most channels by the type of colour, of which one may be transparent
_MOST_SAMPLES = 16  # bytes of a pixel: four of float32, to which double ones are turned
_CMYK = 5  # a TIFF's photometric interpretation
_SUBFILE, _IS_PREVIEW = 254, 1  # the tag that says what a page is for, and its bit that says so
_PAGES_WITHIN, _DNG_VERSION, _CANON = 330, 50706, b"CR"


@dataclass(frozen=True)
class Announced:
    """What a file says that it holds.

    Attributes:
        kind: "PNG", "JPEG", "TIFF", "WebP", "BMP", "GIF", "JPEG 2000", "AVIF" or "HEIC".
        height: In pixels, as stored.
        width: In pixels, as stored.
        announces_alpha: Whether a BMP has alpha, which some versions of OpenCV do not decode.
        has_dead_alpha: Whether a decoder makes alpha of it that it has not.
        pixel_bytes: The most bytes of a pixel once it is decoded.
    """

    kind: str
    height: int
    width: int
    announces_alpha: bool = False
    has_dead_alpha: bool = False
    pixel_bytes: int = 4


def announced(data: memoryview) -> Announced:
    """Read what a file says that it holds, from as few of its bytes as that takes.

    Raises:
        PreparationError: It is no image of a kind that is read, or its header is damaged; the message lacks its name.
    """
    start = bytes(data[:70])
    for signature, name in _REFUSED.items():
        if start.startswith(signature):
            raise PreparationError(f"is {name}, which is not read; convert it to one of {READ}")
    try:
        return _announced(data, start)
    except (struct.error, IndexError) as error:
        raise PreparationError("has a damaged header, or is truncated") from error


def _announced(data: memoryview, start: bytes) -> Announced:
    if not start:
        raise PreparationError("is empty")
    if start.startswith((PNG_SIGNATURE, b"\xff\xd8")):
        header = read_header(data)
        channels = header.channels if header.is_jpeg else _PNG_DECODED[start[25]]
        bytes_of_all = channels * -(-header.bit_depth // 8)
        kind = "JPEG" if header.is_jpeg else "PNG"
        return Announced(kind, header.height, header.width, pixel_bytes=bytes_of_all)
    if start[:4] in TIFF_ORDERS:
        return _tiff(directories(data))
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return _webp(start)
    if start.startswith((b"GIF87a", b"GIF89a")):
        width, height = struct.unpack_from("<HH", start, 6)
        return Announced("GIF", height, width)
    if start.startswith(b"BM"):
        return _bmp(start)
    if start.startswith((JP2, _J2K)):
        return _jpeg2000(data)
    if start[4:8] == b"ftyp":
        return _heif(data)
    raise PreparationError(f"is neither a PNG nor a JPEG nor another image that is read ({READ}), or damaged")


def _tiff(pages: Iterator[Directory]) -> Announced:
    page = next(pages, None)
    has_more_pages = next(pages, None) is not None
    if page is None:
        raise PreparationError("has a damaged header, or is truncated")
    if _DNG_VERSION in page.entries or page.data[8:10] == _CANON:
        raise PreparationError(f"is {_RAW}, which is not read; develop it and save it as a TIFF")
    if page.number(_SUBFILE) & _IS_PREVIEW and (has_more_pages or _PAGES_WITHIN in page.entries):
        raise PreparationError("begins with a small preview of another image, as raw photos do; save that one anew")
    width, height = page.number(256), page.number(257)
    samples, is_cmyk = page.number(277, 1), page.number(262) == _CMYK
    bits = page.number(258, 8)  # of each sample
    pixel_bytes = min(max(samples, 3) * -(-bits // 8), _MOST_SAMPLES)
    return Announced("TIFF", height, width, has_dead_alpha=is_cmyk, pixel_bytes=pixel_bytes)


def _webp(start: bytes) -> Announced:
    kind = start[12:16]
    if kind == b"VP8X":
        sizes = (int.from_bytes(start[at : at + 3], "little") + 1 for at in (24, 27))
        return Announced("WebP", width=next(sizes), height=next(sizes))
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", start, 21)
        return Announced("WebP", width=(bits & 0x3FFF) + 1, height=(bits >> 14 & 0x3FFF) + 1)
    width, height = struct.unpack_from("<HH", start, 26)
    return Announced("WebP", height & 0x3FFF, width & 0x3FFF)


def _bmp(start: bytes) -> Announced:
    (header_size,) = struct.unpack_from("<I", start, 14)
    if header_size == 12:
        width, height = struct.unpack_from("<HH", start, 18)
        return Announced("BMP", height, width)
    width, height, _, bits = struct.unpack_from("<iiHH", start, 18)
    alpha = start[66:70] if bits == 32 and header_size > 52 else b""  # which bits of a pixel are alpha
    return Announced("BMP", abs(height), abs(width), announces_alpha=any(alpha))


def _jpeg2000(data: memoryview) -> Announced:
    head = bytes(data[:4096])
    codestream = head.find(_J2K)
    if codestream < 0:
        raise PreparationError("has a damaged header, or is truncated")
    width, height, left, top = struct.unpack_from(">IIII", head, codestream + 8)
    return Announced("JPEG 2000", height - top, width - left, pixel_bytes=8)


def jpeg2000_samples(data: bytes) -> tuple[int, int]:
    """Return how many samples a pixel of a JPEG 2000 has, and of how many bits the first is.

    Raises:
        PreparationError: There is no header.
    """
    codestream = data.find(_J2K)
    if codestream < 0 or len(data) < codestream + 43:
        raise PreparationError("has a damaged header, or is truncated")
    (count,) = struct.unpack_from(">H", data, codestream + 40)
    return int(count), (data[codestream + 42] & 0x7F) + 1


def _heif(data: memoryview) -> Announced:
    (size,) = struct.unpack_from(">I", data, 0)
    brands = {bytes(data[at : at + 4]) for at in (8, *range(16, min(size, 256), 4))}
    kind = "AVIF" if brands & set(_AVIF_BRANDS) else "HEIC" if brands & set(_HEIC_BRANDS) else None
    if kind is None:
        raise PreparationError(f"is no image of a kind that is read ({READ})")
    head = bytes(data[: 2**20])
    # Of the image, and of the tiles and the small one that it may hold.
    sizes = [struct.unpack_from(">II", head, at + 4) for at in _places(head, b"ispe")]
    if not sizes:
        raise PreparationError("has a damaged header, or is truncated")
    width, height = max(sizes, key=lambda size: int(size[0]) * int(size[1]))
    return Announced(kind, height, width, pixel_bytes=8 if heif_bits(head) > 8 else 4)


def heif_bits(head: bytes) -> int:
    """Return how many bits a sample of a HEIC or an AVIF has, by what it says to the decoders of all images in it."""
    codes = [head[at + 2] for at in _places(head, b"av1C") if at + 2 < len(head)]
    bits = [(12 if code & 0x20 else 10) if code & 0x40 else 8 for code in codes]
    bits += [8 + (head[at + 17] & 7) for at in _places(head, b"hvcC") if at + 17 < len(head)]
    return max(bits, default=8)


def _places(head: bytes, name: bytes) -> Iterator[int]:
    """Yield where the contents of boxes of a kind begin, at whatever depth."""
    at = head.find(name)
    while at >= 0:
        yield at + 4
        at = head.find(name, at + 4)


def frame_count(data: bytes, kind: str) -> int:
    """Return how many frames or pages a whole file holds; 1 for what holds one or cannot hold more."""
    try:
        if kind == "PNG":
            control = next((content for name, content in png_chunks(data) if name == b"acTL"), b"\0\0\0\1")
            return int.from_bytes(control[:4], "big")
        if kind == "TIFF":  # smaller versions of a page, for previews, are no pages
            return sum(not page.number(_SUBFILE) & _IS_PREVIEW for page in directories(memoryview(data)))
        if kind == "WebP":
            return max(1, sum(name == b"ANMF" for name, _ in webp_chunks(data)))
        if kind == "GIF":
            return sum(1 for _ in _gif_images(data))
    except (struct.error, IndexError):  # what follows the first one is damaged
        return 1
    return 1


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of every chunk of a WebP."""
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


def _gif_images(data: bytes) -> Iterator[int]:
    """Yield the position of every image of a GIF."""

    def colours(flags: int) -> int:
        return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0

    position = 13 + colours(data[10])
    while data[position] != _GIF_END:
        if data[position] == _GIF_IMAGE:
            yield position
            position += 10 + colours(data[position + 9]) + 1
        elif data[position] == _GIF_EXTENSION:
            position += 2
        else:
            return
        while data[position]:
            position += data[position] + 1
        position += 1
