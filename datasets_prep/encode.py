"""From the images of one sample to the bytes that are stored."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from datasets_prep.plan import Sample
from datasets_prep.views import View
from deeprftv2_arch.common.image_format import is_plain_jpeg, is_plain_png
from deeprftv2_arch.common.images import Image, decode, encode_png
from deeprftv2_arch.common.imresize import imresize
from deeprftv2_arch.common.orientation import quick_orientation, require_one_orientation
from deeprftv2_arch.errors import PreparationError

Encoded = tuple[dict[str, dict[str, bytes]], list[str]]
"""The outputs of one sample: side -> key -> bytes, and the problems that there were instead."""


def _read_view(view: View, data: bytes, keep_jpegs: bool) -> tuple[bytes | None, Image]:
    """Decode the image that is wanted, with its bytes where they can be stored as they are."""
    image = decode(data)
    (height, width), kept, shrink = view.size, view.kept, view.image.shrink
    if image.shape[:2] != view.size:
        raise PreparationError(f"is decoded to {image.shape[1]}x{image.shape[0]}, not to {width}x{height}")
    is_plain = is_plain_png(data) or (keep_jpegs and is_plain_jpeg(data))
    # An image that is turned when it is read gets stored upright, as its size is given.
    as_stored = kept == view.size and shrink == 1 and is_plain and quick_orientation(data) == 1
    image = image[: kept[0], : kept[1]]
    if shrink > 1:
        image = imresize(cast(NDArray[np.uint8], image), (kept[0] // shrink, kept[1] // shrink))
    return data if as_stored else None, image


def encode_sample(sample: Sample, sides: Sequence[str], compression: int, keep_jpegs: bool) -> Encoded:
    """Decode the named sides of a sample and encode their outputs as PNGs.

    Args:
        sample: The images, and what is made of them.
        sides: Those that are wanted.
        compression: zlib level of the PNGs.
        keep_jpegs: Whether a whole plain JPEG keeps its bytes, as a whole plain PNG always does.
    """
    encoded: dict[str, dict[str, bytes]] = {}
    problems = []
    read: dict[str, bytes] = {}
    for side, view in sample.views.items():
        try:
            read[str(view.image)] = view.image.read()
            if side not in sides:
                continue
            data, image = _read_view(view, read[str(view.image)], keep_jpegs)
        except PreparationError as error:
            problems.append(f"{view.image} {error}")
            continue
        except OSError as error:
            problems.append(f"{view.image} cannot be read: {error.strerror}")
            continue
        encoded[side] = {}
        for key, window in sample.outputs:
            if window is not None:
                part = window.shrunk(view.scale)
                rows, columns = slice(part.top, part.top + part.size), slice(part.left, part.left + part.size)
                encoded[side][key] = encode_png(image[rows, columns], compression)
            else:
                encoded[side][key] = data or encode_png(image, compression)
    if not problems:
        try:
            require_one_orientation(read)
        except PreparationError as error:
            problems.append(str(error))
    return encoded, problems
