"""Results that say of which file and by which network they were made.

Without that nobody could tell ``out/photo.png``, made of one ``photo.jpg``, from that of another one, of the same file
before it was changed, or by other weights; and it would be taken for done. The mark is in the result itself, in a block
of its own that viewers pass over, since it appears, moves and goes with it. It has checksums alone, so that it tells of
no person, place or time, and equal results stay equal files.
"""

import hashlib
import re
import struct
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deeprftv2_arch.common import tiff_directory as tiff
from deeprftv2_arch.common.image_format import PNG_HEADER_BYTES, png_chunk
from deeprftv2_arch.common.stopping import stop_if_asked
from deeprftv2_arch.errors import DataError

if TYPE_CHECKING:
    from torch import nn

_DIGEST = 16  # bytes
_PIECE = 2**20  # bytes that are read at once
_REACH = 2**16  # bytes at both ends of a file, in which its mark lies
_TEXT = b"deeprftv2_arch made this of %b by %b"
_FOUND = re.compile(_TEXT.replace(b"%b", b"([0-9a-f]{%d})" % (2 * _DIGEST)))
_PNG_CHUNK = b"drFT"  # by its letters: not needed to show the image, private, not to be copied by what changes it
_JPEG_SEGMENT = b"\xff\xe4"  # an application's
_WEBP_CHUNK = b"drFT"
_MP4_USER_BOX = struct.pack(">4s16s", b"uuid", b"deeprftv2_arch 1")


class Mark(NamedTuple):
    """What a result was made of, and by what; checksums of the file's bytes, and of the network."""

    source: str
    network: str

    def __bytes__(self) -> bytes:
        return _TEXT % (self.source.encode(), self.network.encode())


class Marker:
    """Gives the marks of what a network restores.

    Args:
        network: What restores.
    """

    def __init__(self, network: "nn.Module") -> None:
        self._network = network

    @cached_property
    def network(self) -> str:
        """What the network is told by: its layers and settings, which are in its text, and its weights."""
        import torch

        digest = hashlib.blake2b(repr(self._network).encode(), digest_size=_DIGEST)
        for name, value in self._network.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def mark(self, source: Path) -> Mark:
        """Return the mark of what is made of a file.

        Raises:
            DataError: It cannot be read.
        """
        digest = hashlib.blake2b(digest_size=_DIGEST)
        try:
            if not source.is_file():
                raise DataError(f"{source}: {'is no regular file' if source.exists() else 'there is no such file'}")
            with source.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    stop_if_asked()
        except OSError as error:
            raise DataError(f"{source}: cannot be read: {error.strerror}") from error
        return Mark(digest.hexdigest(), self.network)


def doubt_of(result: Path, found: Mark, mark: Mark) -> str | None:
    """Say why a file, whose mark was found, is not the result that has another one; None if it is."""
    if found.source != mark.source:
        return f"{result} was made of another file, or before this one was changed"
    return f"{result} was made by another network" if found != mark else None


def mark_of(path: Path) -> Mark | None:
    """Return the mark of a file, if it has one.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        begin = file.read(_REACH)
        file.seek(max(len(begin), path.stat().st_size - _REACH))
        found = _FOUND.search(begin) or _FOUND.search(file.read(_REACH))
    return Mark(found[1].decode(), found[2].decode()) if found else None


def marked(data: bytes, suffix: str, mark: Mark | None) -> bytes:
    """Return an encoded image, of a format that is told by the ending of names, with a mark."""
    return data if mark is None else _INTO[suffix.lower()](data, bytes(mark))


def mark_film(path: Path, mark: Mark) -> None:
    """Add a mark to an MP4."""
    content = _MP4_USER_BOX + bytes(mark)
    with path.open("ab") as file:
        file.write(struct.pack(">I", 4 + len(content)) + content)


def _into_png(png: bytes, content: bytes) -> bytes:
    return png[:PNG_HEADER_BYTES] + png_chunk(_PNG_CHUNK, content) + png[PNG_HEADER_BYTES:]


def _into_jpeg(jpeg: bytes, content: bytes) -> bytes:
    end = 4 + int.from_bytes(jpeg[4:6], "big")  # of the first segment, which is JFIF's
    return jpeg[:end] + _JPEG_SEGMENT + struct.pack(">H", 2 + len(content)) + content + jpeg[end:]


def _into_webp(webp: bytes, content: bytes) -> bytes:
    chunk = _WEBP_CHUNK + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return webp[:4] + struct.pack("<I", len(webp) - 8 + len(chunk)) + webp[8:] + chunk


def _into_tiff(data: bytes, content: bytes) -> bytes:
    return tiff.with_entries(data, {tiff.PRIVATE: content})


_INTO: dict[str, Callable[[bytes, bytes], bytes]] = {
    ".png": _into_png,
    ".jpg": _into_jpeg,
    ".jpeg": _into_jpeg,
    ".webp": _into_webp,
    ".tif": _into_tiff,
    ".tiff": _into_tiff,
}
