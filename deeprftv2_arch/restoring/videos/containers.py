"""What files with videos are, told from their contents: the kind of container, and whether it is complete."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from deeprftv2_arch.errors import DataError

# The first box of an MP4 or a QuickTime film; old ones have no ftyp.
FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
INDEX = b"moov"
SMALLEST_BOX = 8  # bytes, of its size and its kind
SIZE_FOLLOWS, SIZE_TO_END = 1, 0  # in place of the size of a box
MATROSKA, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # begin the two elements of a Matroska or WebM file


def require_whole_video(path: Path) -> bool:
    """Refuse what is no video or has lost its end, which decoders would pass over in silence.

    Also refused are text files that name other files to play, whatever they are called.

    Returns:
        Whether the number of frames that a decoder finds announced is that of the file; of Matroska and WebM it is
        estimated from the length of everything, sound included.

    Raises:
        DataError: It is not MP4, QuickTime, Matroska, WebM or AVI, or it is truncated.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if not start:
            raise DataError(f"{path}: is empty")
        if start[4:8] in FIRST_BOXES:
            is_whole = _mp4_is_whole(file, size)
        elif start[:4] == b"RIFF" and start[8:] == b"AVI ":
            is_whole = 0 < struct.unpack("<I", start[4:8])[0] <= size - 8
        elif start[:4] == MATROSKA:
            is_whole = _matroska_is_whole(file, size)
        else:
            raise DataError(f"{path}: is no video of a known kind (MP4, QuickTime, Matroska, WebM, AVI)")
    if not is_whole:
        raise DataError(f"{path}: is truncated")
    return start[:4] != MATROSKA


def _mp4_is_whole(file: BinaryIO, size: int) -> bool:
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


def _matroska_is_whole(file: BinaryIO, size: int) -> bool:
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
