"""Images of Pillow as arrays, and back; Pillow itself is loaded by whoever gives one, never by this package."""

import sys
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

_AS_THEY_ARE = ("L", "LA", "RGB", "RGBA", "F", "I;16")
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def is_pil_image(image: object) -> "TypeGuard[PilImage]":
    """Tell whether something is an image of Pillow."""
    module = sys.modules.get("PIL.Image")  # without which there are none
    return module is not None and isinstance(image, module.Image)


def from_pil(image: "PilImage") -> AnyImage:
    """Turn an image of mode 1, L, LA, P, RGB, RGBA, I;16 or F into an array; the caller sees to its orientation.

    Raises:
        DataError: It is of another mode.
    """
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode not in _AS_THEY_ARE:
        raise DataError(f"an image of Pillow's mode {image.mode} is not restored; convert it to RGB")
    return np.asarray(image)


def to_pil(image: AnyImage) -> "PilImage":
    """Turn an array that :func:`from_pil` could have returned into an image."""
    from PIL import Image

    if image.ndim == 2:
        return Image.fromarray(image)
    return Image.frombytes(_MODES[image.shape[2]], (image.shape[1], image.shape[0]), image.tobytes())
