"""What images say about themselves: which way up the camera was held, what their colours mean, when they were taken."""

import logging
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from deeprftv2_arch.common import tiff_directory as tiff
from deeprftv2_arch.common.image_format import (
    JPEG_EXIF,
    JPEG_PROFILE,
    JPEG_PROFILE_NAME,
    LONGEST_PROFILE,
    PNG_HEADER_BYTES,
    jpeg_segments,
    jpeg_with_profile,
    png_chunk,
    png_chunks,
)
from deeprftv2_arch.common.orientation import orientation_of
from deeprftv2_arch.restoring.boxes import box, boxes
from deeprftv2_arch.restoring.image_kinds import JP2, webp_chunks

EXIF_NAME = b"Exif\0\0"  # begins such a segment of a JPEG
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
PNG_PROFILE, PNG_EXIF, PNG_DENSITY, PNG_TEXT = b"iCCP", b"eXIf", b"pHYs", b"iTXt"
PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"  # begins such a text: a keyword, and that it is not packed, in any language
PNG_COLOURS = (b"cICP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI")  # the last two: of the screen of HDR images
PNG_WORDS = (b"tEXt", b"zTXt", b"iTXt")
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:=["']|>))[2-8](?=["'<])""")
# That there is a film behind the image, or a gain map, which players would look for.
_XMP_PROMISES = re.compile(
    rb"""\s(?:(?:GCamera|Camera):(?:MotionPhoto|MicroVideo)|hdrgm:Version)=(?:"[^"]*"|'[^']*')"""
)
_JP2_PROFILES = (b"\2", b"\3")  # methods of describing colours by an ICC profile, restricted or any
JP2_EXIF, JP2_XMP = b"JpgTiffExif->JP2", bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # names of their boxes
COLOUR_SPACE = slice(16, 20)  # of an ICC profile
_JFIF, _JFIF_NAME = 0xE0, b"JFIF\0"
_LONGEST_SEGMENT = 65_533  # bytes of a JPEG's segment
_LARGEST_PROFILE = 2**24  # bytes; more is no profile but an attempt to fill the memory
_PER_INCH, _PER_CENTIMETRE = 1, 2  # JFIF's units
_INCH = 0.0254  # metres

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metadata:
    """What is kept of an image beside its pixels.

    Attributes:
        profile: Its ICC profile.
        exif: Its Exif data, a TIFF, which call it upright.
        xmp: Its XMP packet.
        colours: What a PNG's chunks say of its colours (cICP, sRGB, gAMA, cHRM), by their names.
        density: Pixels to a metre in width and height, or, with False, their aspect alone, as in a PNG's pHYs.
        words: A PNG's texts, such as its title: the kind of each chunk and its content.
    """

    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    colours: Mapping[bytes, bytes] = field(default_factory=lambda: MappingProxyType({}))
    density: tuple[int, int, bool] | None = None
    words: tuple[tuple[bytes, bytes], ...] = ()

    def stripped(self) -> "Metadata":
        """Return it without what tells of people, places and times, but with what colours mean."""
        return replace(self, exif=None, xmp=None, words=())

    def without_colours(self) -> "Metadata":
        """Return it without what describes colours of another kind than the pixels have."""
        return replace(self, profile=None, colours={})


NOTHING = Metadata()


def read_metadata(data: bytes, kind: str, is_grey: bool) -> tuple[Metadata, int]:
    """Read what is kept of a whole file, and its orientation by Exif, 1 to 8, which is 1 where a decoder has turned it.

    Args:
        data: The file.
        kind: As :class:`~deeprftv2_arch.restoring.image_kinds.Announced` says.
        is_grey: Whether the image is decoded as grey; profiles of other colours, such as CMYK, are not kept.
    """
    reader = _READERS.get(kind)
    if reader is None:
        return NOTHING, 1
    found = reader(data)
    orientation = 1 if found.exif is None else orientation_of(found.exif)
    return checked(found, is_grey, turned=orientation >= 5), orientation


def says_colours(data: bytes, kind: str) -> bool:
    """Tell whether a whole file has a colour profile, of whatever colours."""
    reader = _READERS.get(kind)
    return reader is not None and reader(data).profile is not None


def checked(found: Metadata, is_grey: bool, turned: bool = False) -> Metadata:
    """Return metadata for an upright image: no profile of other colours, and densities as the sides now lie."""
    if found.profile is not None and found.profile[COLOUR_SPACE] != (b"GRAY" if is_grey else b"RGB "):
        found = replace(found, profile=None)
    if found.density is not None and turned:
        across, down, metric = found.density
        found = replace(found, density=(down, across, metric))
    if found.xmp is not None:
        found = replace(found, xmp=_XMP_PROMISES.sub(b"", _XMP_ORIENTATION.sub(rb"\g<1>1", found.xmp)))
    return found if found.exif is None else replace(found, exif=tiff.upright(found.exif))


def _of_png(data: bytes) -> Metadata:
    chunks: dict[bytes, bytes] = {}
    xmp, words = None, []
    for kind, content in png_chunks(data):
        chunks.setdefault(kind, content)
        if kind == PNG_TEXT and content.startswith(PNG_XMP[:-4]):
            xmp = _text_of_png(content[len(PNG_XMP) - 4 :])
        elif kind in PNG_WORDS:
            words.append((kind, content))
    density = None
    if len(chunks.get(PNG_DENSITY, b"")) == 9:
        across, down, unit = struct.unpack(">IIB", chunks[PNG_DENSITY])
        density = across, down, unit == 1
    return Metadata(
        _unpacked(chunks[PNG_PROFILE]) if PNG_PROFILE in chunks else None,
        chunks.get(PNG_EXIF, b"").removeprefix(EXIF_NAME) or None,
        xmp,
        {kind: chunks[kind] for kind in PNG_COLOURS if kind in chunks},
        density,
        tuple(words),
    )


def _text_of_png(content: bytes) -> bytes | None:
    """Return the text of an international text chunk, packed or not, from behind its keyword on."""
    text = content[2:].split(b"\0", 2)[-1]
    if content[:1] != b"\1":
        return text
    try:
        return zlib.decompressobj().decompress(text, _LARGEST_PROFILE) or None
    except zlib.error:
        return None


def _unpacked(chunk: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(chunk.partition(b"\0")[2][1:], _LARGEST_PROFILE) or None
    except zlib.error:
        return None


def _of_jpeg(data: bytes) -> Metadata:
    parts: dict[int, bytes] = {}
    exif = xmp = density = None
    for marker, content in jpeg_segments(data):
        if marker == JPEG_EXIF and content.startswith(EXIF_NAME):
            exif = exif or content[len(EXIF_NAME) :] or None
        elif marker == JPEG_EXIF and content.startswith(XMP_NAME):
            xmp = xmp or content[len(XMP_NAME) :]
        elif marker == _JFIF and content.startswith(_JFIF_NAME) and len(content) >= 12:
            density = _jfif_density(*struct.unpack_from(">BHH", content, 7))
        elif marker == JPEG_PROFILE and content.startswith(JPEG_PROFILE_NAME):
            number, part = content[len(JPEG_PROFILE_NAME) :][:1], content[len(JPEG_PROFILE_NAME) + 2 :]
            parts |= {number[0]: part} if number else {}
    return Metadata(b"".join(parts[number] for number in sorted(parts)) or None, exif, xmp, density=density)


def _jfif_density(unit: int, across: int, down: int) -> tuple[int, int, bool] | None:
    if not across or not down or (unit == 0 and across == down):
        return None
    length = {_PER_INCH: _INCH, _PER_CENTIMETRE: 0.01}.get(unit, 1)
    return round(across / length), round(down / length), unit in (_PER_INCH, _PER_CENTIMETRE)


def _of_webp(data: bytes) -> Metadata:
    chunks = dict(webp_chunks(data))
    exif = chunks.get(b"EXIF", b"").removeprefix(EXIF_NAME)
    return Metadata(chunks.get(b"ICCP") or None, exif or None, chunks.get(b"XMP ") or None)


def _of_bmp(data: bytes) -> Metadata:
    if int.from_bytes(data[14:18], "little") < 40:  # the oldest header, which is shorter
        return NOTHING
    across, down = struct.unpack_from("<ii", data, 38)
    return Metadata(density=(across, down, True) if min(across, down) > 0 else None)


def _of_jpeg2000(data: bytes) -> Metadata:
    header = box(memoryview(data), b"jp2h")
    profile = density = None
    for kind, content in boxes(header):
        if kind == b"colr" and content[:1] in _JP2_PROFILES:
            profile = profile or bytes(content[3:])
    for kind in (b"resd", b"resc"):  # for showing, or of the camera
        if density is None and len(sides := box(header, b"res ", kind)) >= 10:
            over_down, under_down, over, under, power_down, power = struct.unpack_from(">HHHHbb", sides)
            across, down = (
                round(a / max(b, 1) * 10.0**c)
                for a, b, c in ((over, under, power), (over_down, under_down, power_down))
            )
            density = (across, down, True) if 0 < min(across, down) <= max(across, down) < 2**31 else None
    known = dict(uuids(data))
    exif = known.get(JP2_EXIF, b"").removeprefix(EXIF_NAME)
    return Metadata(profile or None, exif or None, known.get(JP2_XMP) or None, density=density)


def uuids(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of what a JPEG 2000 holds that others than its makers have defined."""
    if data.startswith(JP2):
        yield from (
            (bytes(content[:16]), bytes(content[16:])) for kind, content in boxes(memoryview(data)) if kind == b"uuid"
        )


def _of_tiff(data: bytes) -> Metadata:
    page = next(tiff.directories(memoryview(data)))
    density = None
    unit = {2: _INCH, 3: 0.01}.get(page.number(tiff.RESOLUTION_UNIT, 2))
    sides = [page.content(tag) for tag in (tiff.X_RESOLUTION, tiff.Y_RESOLUTION)]
    if unit and all(side and len(side) == 8 for side in sides):
        fractions = [struct.unpack(f"{page.order}II", side or b"") for side in sides]
        if all(part > 0 for fraction in fractions for part in fraction):
            across, down = (round(over / under / unit) for over, under in fractions)
            density = (down, across, True) if page.number(tiff.ORIENTATION) >= 5 else (across, down, True)
    return Metadata(page.content(tiff.PROFILE), tiff.exif_of(page), page.content(tiff.XMP), density=density)


_READERS = {
    "PNG": _of_png,
    "JPEG": _of_jpeg,
    "WebP": _of_webp,
    "TIFF": _of_tiff,
    "BMP": _of_bmp,
    "JPEG 2000": _of_jpeg2000,
}


def png_with_metadata(png: bytes, metadata: Metadata) -> bytes:
    """Return a PNG that says it."""
    chunks = [(kind, metadata.colours[kind]) for kind in PNG_COLOURS if kind in metadata.colours]
    if metadata.profile is not None:
        chunks.append((PNG_PROFILE, b"icc\0\0" + zlib.compress(metadata.profile)))
    if metadata.density is not None:
        across, down, metric = metadata.density
        chunks.append((PNG_DENSITY, struct.pack(">IIB", across, down, metric)))
    if metadata.exif is not None:
        chunks.append((PNG_EXIF, metadata.exif))
    if metadata.xmp is not None:
        chunks.append((PNG_TEXT, PNG_XMP + metadata.xmp))
    chunks += metadata.words
    written = b"".join(png_chunk(*chunk) for chunk in chunks)
    return png[:PNG_HEADER_BYTES] + written + png[PNG_HEADER_BYTES:] if written else png


def jpeg_with_metadata(jpeg: bytes, metadata: Metadata, path: Path) -> bytes:
    """Return a JPEG that says it; a line of the log tells what is too long for one."""
    if metadata.profile is not None:
        if len(metadata.profile) > LONGEST_PROFILE:
            logger.warning("%s: its colour profile is left out, too long for a JPEG", path)
        jpeg = jpeg_with_profile(jpeg, metadata.profile)
    segments = b""
    for what, name, content in (("Exif data", EXIF_NAME, metadata.exif), ("XMP", XMP_NAME, metadata.xmp)):
        if content is None:
            continue
        if len(name + content) > _LONGEST_SEGMENT:
            logger.warning("%s: its %s are left out, too long for a JPEG", path, what)
        else:
            segments += struct.pack(">BBH", 0xFF, JPEG_EXIF, len(name + content) + 2) + name + content
    first_end = 4 + int(struct.unpack(">H", jpeg[4:6])[0])
    first = bytearray(jpeg[:first_end])
    if metadata.density is not None and first[6:11] == _JFIF_NAME:
        across, down, metric = metadata.density
        sides = [min(65_535, max(1, round(side * _INCH) if metric else side)) for side in (across, down)]
        struct.pack_into(">BHH", first, 13, _PER_INCH if metric else 0, *sides)
    return bytes(first) + segments + jpeg[first_end:]


def tiff_with_metadata(data: bytes, metadata: Metadata, path: Path, has_alpha: bool) -> bytes:
    """Return a TIFF that says it, of Exif data what is described there; a line of the log tells of damaged ones."""
    more: dict[int, bytes | tuple[int, int] | int] = {tiff.EXTRA_SAMPLES: tiff.PLAIN_ALPHA} if has_alpha else {}
    if metadata.profile is not None:
        more[tiff.PROFILE] = metadata.profile
    if metadata.xmp is not None:
        more[tiff.XMP] = metadata.xmp
    if metadata.density is not None and metadata.density[2]:
        across, down, _ = metadata.density
        more |= {tiff.X_RESOLUTION: (across, 100), tiff.Y_RESOLUTION: (down, 100), tiff.RESOLUTION_UNIT: 3}
    try:
        return tiff.with_entries(data, more, metadata.exif) if more or metadata.exif else data
    except struct.error:
        logger.warning("%s: its Exif data are left out, since they are damaged", path)
        return tiff.with_entries(data, more)


def lost_outside_of_png(metadata: Metadata) -> Iterator[str]:
    """Yield what only a PNG can hold, of colours if it would be missed: without a profile, other than sRGB."""
    if metadata.words:
        yield "text"
    if metadata.profile is None and b"sRGB" not in metadata.colours:
        yield from (kind.decode() for kind in PNG_COLOURS if kind in metadata.colours)
