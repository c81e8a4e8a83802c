"""The images of an analysis, one by one and in pairs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.common.image_format import EXTENSIONS
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.conversion import PEAKS
from deeprftv2_arch.restoring.image_files import read_image

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


def read_large_enough(path: Path, smallest: int) -> NDArray[Any]:
    """Read an image, see :func:`~deeprftv2_arch.restoring.image_files.read_image`.

    Raises:
        DataError: It cannot be read, or is lower or narrower than ``smallest``.
    """
    image, _ = read_image(path)
    height, width = image.shape[:2]
    if min(height, width) < smallest:
        raise DataError(
            f"{path}: an image of {width}x{height} shows no kernels; take one of at least {smallest}x{smallest}"
        )
    return image


def luma(image: NDArray[Any]) -> NDArray[np.float64]:
    """Turn an image of any kind into grey (H, W) in 0..1, without its alpha."""
    scaled = np.asarray(image, np.float64) / PEAKS[image.dtype]
    return scaled if scaled.ndim == 2 else scaled[:, :, :3] @ np.array(LUMA)


def read_pair(blurred: Path, sharp: Path, smallest: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read a blurred image and its sharp one.

    Raises:
        DataError: See :func:`read_large_enough`; or their sizes differ.
    """
    pair = read_large_enough(blurred, smallest), read_large_enough(sharp, smallest)
    first, second = (f"{image.shape[1]}x{image.shape[0]}" for image in pair)
    if first != second:
        raise DataError(f"{blurred} is {first} and {sharp} is {second}; a pair has images of one size")
    return pair


def pairs_in(blurred: Path, sharp: Path) -> list[tuple[Path, Path]]:
    """Pair the images of two folders by the names before their extensions.

    Returns:
        (blurred, sharp), sorted by name.

    Raises:
        DataError: A folder is missing or has no images, or an image has no partner or two.
    """
    found = [_by_name(folder) for folder in (blurred, sharp)]
    alone = [
        mine[name]
        for folder, mine, others in zip((blurred, sharp), found, found[::-1], strict=True)
        for name in sorted(mine.keys() - others.keys())
    ]
    if alone:
        more = f" and {len(alone) - 1} more have" if len(alone) > 1 else " has"
        raise DataError(f"{alone[0]}{more} no partner of the same name in the other folder; add or remove them")
    return [(found[0][name], found[1][name]) for name in sorted(found[0])]


def _by_name(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; name the one of the pairs by --pairs, see --help")
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."):
            if path.stem in images:
                raise DataError(f"{path} and {images[path.stem]} have the same name; remove one")
            images[path.stem] = path
    if not images:
        raise DataError(f"{folder}: holds no images ({', '.join(EXTENSIONS)})")
    return images
