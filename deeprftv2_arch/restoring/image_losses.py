"""What files of images hold that is not read of them, to be said in a line each."""

import re
from collections.abc import Callable, Iterator

from deeprftv2_arch.common import tiff_directory as tiff
from deeprftv2_arch.common.image_format import JPEG_EXIF, JPEG_PROFILE, behind_jpeg, jpeg_segments, png_chunks
from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.restoring.boxes import box
from deeprftv2_arch.restoring.image_kinds import JP2, Announced, frame_count
from deeprftv2_arch.restoring.image_metadata import (
    JP2_EXIF,
    JP2_XMP,
    PNG_COLOURS,
    PNG_DENSITY,
    PNG_EXIF,
    PNG_PROFILE,
    PNG_WORDS,
    Metadata,
    says_colours,
    uuids,
)

GAIN_MAP = "its gain map, for the brightness of HDR screens, is left out"
# Of a PNG: its pixels; what is read, or said in other words; what is untrue or needless once the pixels have changed.
_KNOWN_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT"}
_KNOWN_CHUNKS |= {PNG_PROFILE, PNG_EXIF, PNG_DENSITY, *PNG_WORDS, *PNG_COLOURS}
_KNOWN_CHUNKS |= {b"sBIT", b"bKGD", b"hIST", b"sPLT", b"tIME", b"iDOT", b"vpAg", b"oFFs"}
_KNOWN_CHUNKS |= {b"drFT"}  # of marks.py: of what an earlier result was made
_COMMENT, _IPTC = 0xFE, 0xED  # segments of a JPEG
_LONG_XMP = b"http://ns.adobe.com/xmp/extension/\0"
# By their numbers: what is read of them, said in other words, or needless without the original's pixels.
_KNOWN_SEGMENTS = {
    0: (b"JFIF\0", b"JFXX\0"),
    1: (b"Exif\0", b"http://ns.adobe.com/"),
    2: (b"ICC_PROFILE\0", b"MPF\0", b"FPXR\0", b"urn:iso:std:iso:ts:21496:-1"),
    4: (b"deeprftv2_arch ",),  # of marks.py
    12: (b"Ducky",),
    13: (b"Photoshop 3.0\0", b"Adobe_"),
    14: (b"Adobe",),
}
_FILM = re.compile(rb"ftyp(?:mp4|iso|qt)")  # of phones, after the end of the image
_NEXT_JPEG = b"\xff\xd8\xff"
# In gain maps, which are images behind the first: of ISO 21496-1, of Android and of Apple.
_GAIN_MAP_NAMES = (b"urn:iso:std:iso:ts:21496:-1", b"hdrgm:", b"hdrgainmap")
# The list of images in a JPEG (CIPA DC-007), the tag of its entries, and the kinds of those that are previews.
_MPF, _MPF_ENTRIES, _MPF_PREVIEWS = b"MPF\0", 0xB002, (0x010001, 0x010002)
_LOST_OF_TIFF = {  # by the tags of which one is there
    "its IPTC data are left out": (33723,),
    "its layers are left out": (37724,),
    "its place on a map is left out": (33550, 33922, 34264, 34735),
}


def losses_of(data: bytes, says: Announced, image: AnyImage, kept: Metadata) -> Iterator[str]:
    """Say what a whole file holds that is not in what is read of it.

    Args:
        data: The file.
        says: What its header announces; not that of a HEIC or an AVIF, whose reader says what is lost.
        image: What was decoded of it.
        kept: What was read of its metadata.
    """
    frames = frame_count(data, says.kind)
    if frames > 1:
        yield f"the first of {frames} {'pages' if says.kind == 'TIFF' else 'frames'} is restored"
    if says.announces_alpha and (image.ndim == 2 or image.shape[2] not in (2, 4)):
        yield "its transparency is lost, which is not read from this kind; save it as a PNG"
    if image.dtype.kind == "f" and (image.min() < 0 or image.max() > 1):
        yield "its values beyond 0..1 are cut off"
    if says_colours(data, says.kind) and kept.profile is None:
        yield "its colour profile is left out, which is of other colours than the restored image has"
    if says.kind in _LOSSES:
        yield from _LOSSES[says.kind](data)


def _of_tiff(data: bytes) -> Iterator[str]:
    page = next(tiff.directories(memoryview(data)))
    if any(tag in page.entries for tag in tiff.DESCRIPTIVE) and tiff.exif_of(page) is None:
        yield "its Exif data are damaged and left out"
    for what, tags in _LOST_OF_TIFF.items():
        if any(tag in page.entries for tag in tags):
            yield what


def _of_jpeg(data: bytes) -> Iterator[str]:
    segments = list(jpeg_segments(data))
    if any(marker == _COMMENT for marker, _ in segments):
        yield "its comment is left out"
    if any(marker == _IPTC and b"8BIM\x04\x04" in content for marker, content in segments):
        yield "its IPTC data are left out"
    if any(marker == JPEG_EXIF and content.startswith(_LONG_XMP) for marker, content in segments):
        yield "of its XMP the extended part is left out"
    others = {f"APP{marker - 0xE0}" for marker, content in segments if _is_of_others(marker, content)}
    if others:
        yield f"what other programs say in it ({', '.join(sorted(others))}) is left out"
    yield from _behind(behind_jpeg(data), _images_beside(segments))


def _is_of_others(marker: int, content: bytes) -> bool:
    """Tell whether a segment is neither read nor needless, such as credentials (C2PA) and what heat cameras measure."""
    return 0xE0 <= marker <= 0xEF and not content.startswith(_KNOWN_SEGMENTS.get(marker - 0xE0, ()))


def _behind(behind: bytes, images: int) -> Iterator[str]:
    """Say what of a JPEG follows its end, and how many images it says are there, without previews."""
    if behind.startswith(_NEXT_JPEG) and any(name in behind for name in _GAIN_MAP_NAMES):
        yield GAIN_MAP
    elif images:
        yield f"the first of its {images + 1} images is restored"
    if _FILM.search(behind):
        yield "the film behind it is left out"
    elif behind and not behind.startswith(_NEXT_JPEG):
        yield f"{len(behind):,} bytes behind its end are left out"


def _images_beside(segments: list[tuple[int, bytes]]) -> int:
    """Return how many images a JPEG announces beside the first, without previews."""
    index = next((content[4:] for marker, content in segments if marker == JPEG_PROFILE and content[:4] == _MPF), b"")
    page = next(tiff.directories(memoryview(index)), None)
    entries = (page.content(_MPF_ENTRIES) or b"") if page else b""
    kinds = (
        int.from_bytes(entries[at : at + 4], "little" if index[:2] == b"II" else "big") & 0xFFFFFF
        for at in range(16, len(entries) - 15, 16)
    )
    return sum(kind not in _MPF_PREVIEWS for kind in kinds)


def _of_png(data: bytes) -> Iterator[str]:
    others = sorted({kind.decode("latin-1") for kind, _ in png_chunks(data) if kind not in _KNOWN_CHUNKS})
    if others:
        yield f"what other programs say in it ({', '.join(others)}) is left out"


def _of_jpeg2000(data: bytes) -> Iterator[str]:
    if any(name not in (JP2_EXIF, JP2_XMP) for name, _ in uuids(data)):
        yield "what else it says of itself, such as a place on a map, is left out"
    if data.startswith(JP2) and box(memoryview(data), b"xml "):
        yield "its XML is left out"


_LOSSES: dict[str, Callable[[bytes], Iterator[str]]] = {
    "PNG": _of_png,
    "TIFF": _of_tiff,
    "JPEG": _of_jpeg,
    "JPEG 2000": _of_jpeg2000,
}
