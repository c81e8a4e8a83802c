"""OpenCV's decoders and encoders of images, in RGB, and without the lines that they write to the terminal."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import cv2
import numpy as np

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import PreparationError

_quiet = False


def silence_image_decoders() -> None:
    """Keep decoders of images from writing to the terminal what the errors here say in a line; for commands.

    What other threads write to the terminal during a decoder's work is lost with it.
    """
    global _quiet
    _quiet = True


@contextmanager
def in_silence() -> Iterator[None]:
    """Send what a library in C writes to the terminal nowhere, if a command has asked for that."""
    if not _quiet:
        yield
        return
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def decoded(data: bytes) -> AnyImage | None:
    """Decode an image as it is stored: (H, W) grey, (H, W, 3) BGR, (H, W, 4) with alpha; None where it cannot be."""
    with in_silence():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return None
    return cast("AnyImage | None", image)


def encoded(suffix: str, image: AnyImage, settings: list[int]) -> bytes:
    """Encode (H, W), (H, W, 3) or (H, W, 4), uint8 or uint16, in the format of a suffix.

    Raises:
        PreparationError: The format cannot hold it.
    """
    with in_silence():
        done, data = cv2.imencode(suffix, swap_red_and_blue(image), settings)
    return bytes_of(done, data, image)


def bytes_of(done: bool, data: AnyImage, image: AnyImage) -> bytes:
    """Return what OpenCV has encoded of an image.

    Raises:
        PreparationError: It has not.
    """
    if not done:
        raise PreparationError(f"an image of {image.shape[1]}x{image.shape[0]} cannot be written in this format")
    return data.tobytes()


def swap_red_and_blue(image: AnyImage) -> AnyImage:
    """RGB(A) to OpenCV's BGR(A) and back; grey stays, be it with alpha."""
    if image.ndim == 2 or image.shape[2] == 2:
        return image
    return cast(AnyImage, cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA))


def scaled(image: AnyImage, bits: int) -> AnyImage:
    """Scale values of so many bits, as they were decoded, to the whole range of 8 or 16 bits."""
    peak, full = 2**bits - 1, int(np.iinfo(image.dtype).max)
    if peak == full:
        return image
    table = ((np.arange(peak + 1) * full + peak // 2) // peak).astype(image.dtype)
    return cast(AnyImage, table.take(image, mode="clip"))
