"""The door through which every file of an image is read: its size and its header are looked at before it is."""

import mmap
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deeprftv2_arch.common import tiff_directory
from deeprftv2_arch.common.image_bytes import require_fitting_size
from deeprftv2_arch.common.image_format import png_announces_alpha
from deeprftv2_arch.errors import DataError, PreparationError
from deeprftv2_arch.restoring.image_kinds import Announced, announced

# Above every camera's; an image of so many pixels takes 3 GB as float32.
MAX_PIXELS = 250_000_000
LONGEST_SIDE = 2**20  # pixels that OpenCV decodes
MOST_AHEAD = 2**20  # bytes of a file that are searched for alpha


def read_file(
    path: Path, max_pixels: int, admit: Callable[[Path, Announced, int], None] | None
) -> tuple[bytes, Announced]:
    """Look at a file's size and header, and read it if they are as they may be; see :func:`look_at`."""
    says = look_at(path, max_pixels, admit)
    return path.read_bytes(), says


def look_at(path: Path, max_pixels: int, admit: Callable[[Path, Announced, int], None] | None = None) -> Announced:
    """Return what a file's header announces.

    Args:
        path: The file.
        max_pixels: The most pixels that its header may announce.
        admit: Raises DataError for what its header announces, or its size in bytes.

    Raises:
        DataError: It is missing, or announces too many pixels.
        OSError: It cannot be read.
        PreparationError: It is no image of a kind that is read, or its header is damaged; the message lacks its name.
    """
    require_file(path)
    size = path.stat().st_size
    if not size:
        raise PreparationError("is empty")
    with _mapped(path) as view:
        says = announced(view)
    require_few_pixels(path, says.height, says.width, max_pixels)
    if not says.height or not says.width:
        raise PreparationError("has a damaged header: it announces no pixels")
    if max(says.height, says.width) > LONGEST_SIDE:
        raise PreparationError(
            f"is {says.width}x{says.height}, and no side of more than {LONGEST_SIDE:,} pixels is decoded; cut it"
        )
    require_fitting_size(size, says.height, says.width)
    if admit is not None:
        admit(path, says, size)
    return says


def require_file(path: Path) -> None:
    """Refuse what is no file, or none with an end.

    Raises:
        DataError: It is not there, or a folder, a device or a pipe.
    """
    if not path.is_file():
        raise DataError(f"{path}: {'is no regular file' if path.exists() else 'there is no such file'}")


def require_few_pixels(path: Path, height: int, width: int, max_pixels: int) -> None:
    """Refuse an image, or a frame, that announces too many pixels.

    Raises:
        DataError: It does.
    """
    if height * width > max_pixels:
        raise DataError(
            f"{path}: announces {width}x{height} pixels, and no more than {max_pixels:,} are decoded; raise that "
            "number (--max-pixels) if the file is to be trusted"
        )


def has_alpha(path: Path) -> bool:
    """Tell whether a file announces alpha ahead of its pixels; one that cannot be read does not."""
    try:
        require_file(path)
        with _mapped(path) as view:
            says = announced(view)
            start = bytes(view[:MOST_AHEAD])
            page = next(tiff_directory.directories(view), None)
            samples = page.number(277, 1) if page else 1
    except (DataError, PreparationError, OSError, ValueError, struct.error):  # an empty file cannot be mapped
        return False
    if says.kind == "PNG":
        return png_announces_alpha(start)
    if says.kind == "WebP":
        flags = {b"VP8X": start[20], b"VP8L": start[24]}.get(start[12:16], 0)
        return bool(flags & 0x10)
    if says.kind == "TIFF":
        return samples in (2, 4) and not says.has_dead_alpha
    return says.announces_alpha or says.kind in ("GIF", "AVIF", "HEIC", "JPEG 2000")  # which may have


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """Give a file's bytes without reading them, so that a header may be looked at wherever it lies."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        yield view
