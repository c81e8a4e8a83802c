"""What files with films are, told from their contents: the kind of container, and whether it is complete.

Decoders pass over what is missing at the end of a torn file, so that is read from the container. What was streamed, or
recorded without a length, such as MPEG, has no end that one could miss: of that it is only known whether it ends
in the middle of a packet, as after a crash of the recorder.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from deeprftv2_arch.errors import DataError

VIDEO_EXTENSIONS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi"),
    *(".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".wmv", ".asf", ".flv"),
)
KINDS = "MP4, QuickTime, 3GP, Matroska, WebM, AVI, MPEG, WMV, Flash"

# The first box of an MP4 or a QuickTime film; old ones have no ftyp.
FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
INDEX = b"moov"
SMALLEST_BOX = 8  # bytes, of its size and its kind
SIZE_FOLLOWS, SIZE_TO_END = 1, 0  # in place of the size of a box
MATROSKA, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # begin the two elements of a Matroska or WebM file
ASF = bytes.fromhex("3026b2758e66cf11")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
PROGRAM_STREAM, PROGRAM_END = b"\x00\x00\x01\xba", 0xB9
FLASH_TAG = 11  # bytes ahead of what a tag holds
# Of transport streams: the byte with which packets begin, and how long one is; on discs with four bytes before it.
SYNC, PACKET, PACKET_OF_DISC = 0x47, 188, 192
MOST_AHEAD = 2**16  # bytes in which a header says the size of the file


def require_whole_video(path: Path) -> str:
    """Refuse what is no film or has lost its end, which decoders would pass over in silence.

    Also refused are text files that name other files to play, whatever they are called.

    Returns:
        The name of the demuxer for it.

    Raises:
        DataError: It is of no kind in ``KINDS``, or it is truncated.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(MOST_AHEAD)
        if not start:
            raise DataError(f"{path}: is empty")
        kind = _kind(start)
        if kind is None:
            raise DataError(f"{path}: is no film of a known kind ({KINDS})")
        if not _IS_WHOLE[kind](file, start, size):
            raise DataError(f"{path}: is truncated")
    return kind


def _kind(start: bytes) -> str | None:
    if start[4:8] in FIRST_BOXES:
        return "mov"
    for kind, found in (
        ("avi", start[:4] == b"RIFF" and start[8:12] == b"AVI "),
        ("matroska", start[:4] == MATROSKA),
        ("flv", start[:3] == b"FLV"),
        ("asf", start[:8] == ASF),
        ("mpeg", start[:4] == PROGRAM_STREAM),
        ("mpegts", all(start[at : at + 1] == bytes([SYNC]) for at in (0, PACKET))),
        ("mpegts", all(start[at : at + 1] == bytes([SYNC]) for at in (4, 4 + PACKET_OF_DISC))),
    ):
        if found:
            return kind
    return None


def _mp4_is_whole(file: BinaryIO, start: bytes, size: int) -> bool:
    """Tell whether every box is there to its end, and the index among them."""
    kinds = []
    for kind, end in _boxes(file, size):
        if end > size:
            return False
        kinds.append(kind)
    return INDEX in kinds


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield kind and end of every box of the outermost level; what is no box, as some cameras append, ends them."""
    position = 0
    while position + SMALLEST_BOX <= size:
        file.seek(position)
        header = file.read(16)
        length, kind = struct.unpack(">I4s", header[:8])
        if length == SIZE_FOLLOWS and len(header) == 16:
            length = struct.unpack(">Q", header[8:])[0]
        elif length == SIZE_TO_END:
            length = size - position
        if length < SMALLEST_BOX:
            return
        position += length
        yield kind, position


def _avi_is_whole(file: BinaryIO, start: bytes, size: int) -> bool:
    return 0 < int.from_bytes(start[4:8], "little") <= size - 8


def _matroska_is_whole(file: BinaryIO, start: bytes, size: int) -> bool:
    """Tell whether the element that holds everything is there to its end; one that was streamed does not say."""
    file.seek(4)
    header_length = _ebml_number(file) or 0
    file.seek(header_length, 1)
    if file.read(4) != SEGMENT or file.tell() == size:
        return False
    length = _ebml_number(file)
    return length is None or file.tell() + length <= size


def _ebml_number(file: BinaryIO) -> int | None:
    """Read a number of variable length; None where it is said to be unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return 0
    more = 8 - first[0].bit_length()
    number = int.from_bytes(bytes([first[0] - (1 << (7 - more))]) + file.read(more), "big")
    return None if number == (1 << 7 * (more + 1)) - 1 else number


def _asf_is_whole(file: BinaryIO, start: bytes, size: int) -> bool:
    """Tell whether the file is as long as its properties say; what was streamed says nothing."""
    at = start.find(ASF_PROPERTIES)
    return at >= 0 and int.from_bytes(start[at + 40 : at + 48], "little") <= size


def _flv_is_whole(file: BinaryIO, start: bytes, size: int) -> bool:
    """Tell whether the file is as long as its metadata say, if they do."""
    at = start.find(b"filesize\x00")
    return at < 0 or len(start) < at + 17 or struct.unpack(">d", start[at + 9 : at + 17])[0] <= size


def ends_torn(path: Path, kind: str) -> bool:
    """Tell whether a film of a kind without an end ends in the middle of a packet.

    Args:
        path: A file that :func:`require_whole_video` has let pass.
        kind: As that has said.

    Raises:
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        return kind in _IS_TORN and _IS_TORN[kind](file, size)


def _mpegts_is_torn(file: BinaryIO, size: int) -> bool:
    start = file.read(1)
    return size % (PACKET if start == bytes([SYNC]) else PACKET_OF_DISC) != 0


def _mpeg_is_torn(file: BinaryIO, size: int) -> bool:
    """Look at the packets of the last pack."""
    begin = max(0, size - MOST_AHEAD)
    file.seek(begin)
    end = file.read()
    at = end.rfind(PROGRAM_STREAM)
    if at < 0 or len(end) < at + 14:
        return True
    is_mpeg2 = end[at + 4] & 0xC0 == 0x40
    at += 14 + (end[at + 13] & 7) if is_mpeg2 else 12
    while at + 6 <= len(end) and end[at : at + 3] == PROGRAM_STREAM[:3] and end[at + 3] != PROGRAM_END:
        at += 6 + int.from_bytes(end[at + 4 : at + 6], "big")
    return at > len(end)


def _flv_is_torn(file: BinaryIO, size: int) -> bool:
    """Tell whether the file does not end with the length of what comes before, as behind every tag."""
    file.seek(max(0, size - 4))
    length = int.from_bytes(file.read(4), "big")
    if not FLASH_TAG < length <= size - 4:
        return True
    file.seek(size - 4 - length)
    return int.from_bytes(file.read(4)[1:], "big") != length - FLASH_TAG


def _matroska_is_torn(file: BinaryIO, size: int) -> bool:
    """Go through the elements, but for those within others that say how long they are."""
    position = 0
    while position < size:
        file.seek(position)
        first = file.read(1)[0]
        file.seek(max(0, 8 - first.bit_length()), 1)
        length = _ebml_number(file)
        if not first or (length == 0 and file.tell() >= size):
            return True
        position = file.tell() + (length or 0)  # what says no length holds what follows
    return position > size


_IS_TORN: dict[str, Callable[[BinaryIO, int], bool]] = {
    "matroska": _matroska_is_torn,
    "flv": _flv_is_torn,
    "mpeg": _mpeg_is_torn,
    "mpegts": _mpegts_is_torn,
}
_IS_WHOLE: dict[str, Callable[[BinaryIO, bytes, int], bool]] = {
    "mov": _mp4_is_whole,
    "avi": _avi_is_whole,
    "matroska": _matroska_is_whole,
    "asf": _asf_is_whole,
    "flv": _flv_is_whole,
    "mpeg": lambda *_: True,
    "mpegts": lambda *_: True,
}
