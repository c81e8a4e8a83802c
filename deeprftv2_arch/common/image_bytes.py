"""Files of images, which are looked at before they are read."""

import mmap
import stat
from pathlib import Path

from deeprftv2_arch.common.image_format import read_header
from deeprftv2_arch.errors import PreparationError

BYTES_OF_PIXEL = 16  # of the largest kinds of pixels, which no compression makes larger than they are
BYTES_BESIDE = 2**29  # that a file may have for other things, such as the film of a phone's photograph


def read_image_bytes(path: Path) -> bytes:
    """Read the file of a PNG or a JPEG, unless it is far longer than its pixels can be: it might fill the memory.

    Raises:
        OSError: It cannot be read.
        PreparationError: It is too long, or nothing that keeps bytes; the message lacks its name.
    """
    found = path.stat()
    size = found.st_size
    if not stat.S_ISREG(found.st_mode):  # such as a pipe, which would be waited for
        raise PreparationError("is no file that holds an image; take it away")
    if size > BYTES_BESIDE:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            header = read_header(view)
        require_fitting_size(size, header.height, header.width)
    return path.read_bytes()


def require_fitting_size(size: int, height: int, width: int) -> None:
    """Refuse a file of many more bytes than an image of that size takes.

    Raises:
        PreparationError: It is one; the message lacks its name.
    """
    if size > height * width * BYTES_OF_PIXEL + BYTES_BESIDE:
        raise PreparationError(f"is {size:,} bytes long, far more than {width}x{height} pixels take; save it anew")
