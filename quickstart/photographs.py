"""The photographs: those that come inside scikit-image's wheel, so that nothing is downloaded."""

from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray

from deeprftv2_arch.errors import DataError

COLOURED = ("coffee.png", "rocket.jpg", "ihc.png")
GREY = ("camera.png", "coins.png", "brick.png", "gravel.png", "page.png")
TRAINING = (*COLOURED, *GREY)
# The motorcycle is one of a stereo pair; its twin, nearly the same image, is used nowhere.
HELD_OUT = ("astronaut.png", "chelsea.png", "motorcycle_left.png")


def load_photograph(file_name: str) -> np.ndarray:
    """Load one of scikit-image's photographs as (H, W, 3) uint8 RGB with even sides, grey ones with equal channels.

    Raises:
        DataError: The installed scikit-image does not have it.
    """
    path = Path(skimage.__file__).parent / "data" / file_name
    try:
        photograph: NDArray[np.uint8] = skimage.io.imread(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: photograph missing or unreadable; reinstall scikit-image") from error
    if photograph.ndim == 2:
        photograph = np.repeat(photograph[:, :, None], 3, axis=2)
    height, width = (side - side % 2 for side in photograph.shape[:2])
    return photograph[:height, :width]
