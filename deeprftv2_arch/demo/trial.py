"""One picture that somebody tries: what the page shows of it, and the file to keep."""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.restoring.conversion import Picture
from deeprftv2_arch.restoring.kernels import kernel_picture, last_estimator
from deeprftv2_arch.restoring.picture_files import read_picture, write_picture
from deeprftv2_arch.restoring.restorer import Restorer


class Trial(NamedTuple):
    """What became of a picture.

    Attributes:
        before: PNG of the picture, upright and as large as the restored one, without alpha.
        after: PNG of the restored one, without alpha.
        restored: PNG of it with all that the picture had: bits, alpha, colour profile.
        kernels: Picture of the estimated kernels, (h, w, 3) RGB; None for a network without estimators.
        text: Name, sizes, tiles and seconds, a line each but for the last two.
    """

    before: Path
    after: Path
    restored: Path
    kernels: NDArray[np.uint8] | None
    text: str


def has_kernels(restorer: Restorer) -> bool:
    """Whether the network estimates kernels."""
    try:
        last_estimator(restorer.network)
    except OptionError:
        return False
    return True


def try_picture(restorer: Restorer, path: Path, folder: Path) -> Trial:
    """Restore a picture for the page.

    Args:
        restorer: What restores it.
        path: A PNG or a JPEG.
        folder: Where the files go.

    Raises:
        DataError: See :class:`Restorer`.
    """
    picture, profile = read_picture(path, restorer.max_pixels)
    start = time.perf_counter()
    restored = restorer(picture)
    seconds = time.perf_counter() - start
    enlarged = picture.repeat(restorer.upscale, axis=0).repeat(restorer.upscale, axis=1)
    before, after, kept = (folder / name for name in ("before.png", "after.png", f"{path.stem}_restored.png"))
    write_picture(before, over_white(enlarged), profile)
    write_picture(after, over_white(restored), profile)
    write_picture(kept, restored, profile)
    way = f"in {restorer.tiles}" if restorer.tiles else "whole"
    text = f"{path.name}\n{_size(picture)} → {_size(restored)} pixels\nrestored {way} in {seconds:.1f} seconds"
    kernels = kernel_picture(restorer.kernels(picture)) if has_kernels(restorer) else None
    return Trial(before, after, kept, kernels, text)


def over_white(picture: Picture) -> Picture:
    """Lay (H, W, 4) over white, so that in the slider no picture shines through the other; others as they are."""
    if picture.ndim == 2 or picture.shape[2] != 4:
        return picture
    peak = np.iinfo(picture.dtype).max
    opacity = picture[:, :, 3:].astype(np.float32) / peak
    return (opacity * picture[:, :, :3] + (1 - opacity) * peak).round().astype(picture.dtype)


def _size(picture: Picture) -> str:
    return f"{picture.shape[1]} × {picture.shape[0]}"
