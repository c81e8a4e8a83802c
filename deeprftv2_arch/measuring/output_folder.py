"""The folder of the results."""

import os
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.errors import EvaluationError


def make_folder(folder: Path) -> None:
    """Make a folder if need be, before hours are spent on what cannot be written.

    Raises:
        EvaluationError: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"{folder}: cannot be made: {error.strerror}; choose another by --out") from error
    if not os.access(folder, os.W_OK):
        raise EvaluationError(f"{folder}: cannot be written to; choose another by --out")


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write an image (H, W, 3) BGR of 8 bits; an earlier one of the name is replaced when it is complete.

    Raises:
        WriteError: It cannot be written.
    """
    write_atomically(path, cv2.imencode(".png", image)[1].tobytes(), "the table was")
