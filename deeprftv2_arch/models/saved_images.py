"""Images that validation and testing save."""

from pathlib import Path

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.common.images import ByteImage, encode_png
from deeprftv2_arch.errors import WriteError

COMPRESSION = 1  # of zlib's 0 to 9, as OpenCV's own


def save_image(path: Path, image: ByteImage) -> None:
    """Write a PNG that is there when it is complete, and the folders that it is to be in.

    BasicSR's own writer leaves half an image on a full disk, under the name of a whole one and without a word.

    Args:
        path: The file; one of this name is replaced.
        image: (H, W) or (H, W, 3), BGR, of 8 bits.

    Raises:
        WriteError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(f"{path.parent}: cannot be made: {reason}; check that place", reason) from error
    write_atomically(path, encode_png(image, COMPRESSION))
