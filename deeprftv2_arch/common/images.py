"""Images as arrays: decoded from PNG or JPEG, and encoded as PNG."""

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.common.image_format import read_header, require_whole
from deeprftv2_arch.errors import PreparationError

# Images are (H, W) or (H, W, channels). Those of files have 8 or 16 bits, as stored.
Image = NDArray[np.unsignedinteger]
ByteImage = NDArray[np.uint8]
FloatImage = NDArray[np.float64]  # in 0..1
AnyImage = NDArray[Any]  # uint8, uint16, or floats in 0..1


def decode(data: bytes) -> Image:
    """Decode a PNG or JPEG to (H, W, 3), BGR, uint8 or uint16 as stored.

    Grey images get three equal channels and an alpha channel is dropped, as BasicSR's reader does.

    Raises:
        PreparationError: ``data`` is not a whole, undamaged PNG or JPEG; the message lacks the file's name.
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
    """Encode (H, W) or (H, W, 3) BGR, uint8 or uint16, as PNG with zlib level 0 (fast) to 9 (small)."""
    done, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, compression])
    if not done:
        raise PreparationError(f"an image of shape {image.shape} and type {image.dtype} cannot be encoded as PNG")
    return data.tobytes()
