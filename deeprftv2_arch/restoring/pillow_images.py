"""Images of Pillow as arrays, and back; Pillow itself is loaded by whoever gives one, never by this package."""

import sys
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

_AS_THEY_ARE = ("L", "LA", "RGB", "RGBA", "F", "I;16")
_WITH_ALPHA = {"1": "LA", "L": "LA", "P": "RGBA", "RGB": "RGBA"}
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
    if "transparency" in image.info and image.mode in _WITH_ALPHA:  # a colour, of which restoring makes others
        image = image.convert(_WITH_ALPHA[image.mode])
    elif image.mode in ("1", "P"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if image.mode not in _AS_THEY_ARE:
        raise DataError(f"an image of Pillow's mode {image.mode} is not restored; convert it to RGB")
    return np.asarray(image)


def to_pil(image: AnyImage, like: "PilImage") -> "PilImage":
    """Turn an array that :func:`from_pil` could have returned of an image into one that says the same of itself."""
    from PIL import Image

    if image.ndim == 2:
        result = Image.fromarray(image)
    else:
        result = Image.frombytes(_MODES[image.shape[2]], (image.shape[1], image.shape[0]), image.tobytes())
    result.info = {key: value for key, value in like.info.items() if key != "transparency"}
    return result
