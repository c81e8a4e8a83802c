"""One image that somebody tries: what the page shows of it, and the file to keep."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeprftv2_arch.common.images import AnyImage, ByteImage
from deeprftv2_arch.common.kernel_images import estimated_kernel_sheet
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.restoring.conversion import PEAKS, has_alpha, is_grey
from deeprftv2_arch.restoring.image_files import write_image
from deeprftv2_arch.restoring.kernels import last_estimator
from deeprftv2_arch.restoring.restorer import Restorer


class Trial(NamedTuple):
    """What became of an image.

    Attributes:
        before: PNG of the image, upright and as large as the restored one, without alpha.
        after: PNG of the restored one, without alpha.
        restored: File of it with all that the image had: bits, alpha, colour profile.
        kernels: Image of the estimated kernels, (h, w, 3) RGB; None for a network without estimators.
        text: Name, sizes, tiles and seconds, a line each but for the last two.
    """

    before: Path
    after: Path
    restored: Path
    kernels: ByteImage | None
    text: str


def has_kernels(restorer: Restorer) -> bool:
    """Tell whether the network estimates kernels."""
    try:
        last_estimator(restorer.network)
    except OptionError:
        return False
    return True


def try_image(
    restorer: Restorer,
    path: Path,
    folder: Path,
    suffix: str = ".png",
    announce: Callable[[int, int], None] = lambda height, width: None,
) -> Trial:
    """Restore an image for the page.

    Args:
        restorer: What restores it.
        path: An image.
        folder: Where the files go.
        suffix: Of the file to keep, which says its format; what has alpha becomes a PNG rather than a JPEG.
        announce: Is told, before it is restored, its height and width, for which the restorer then knows the time.

    Raises:
        DataError: See :class:`Restorer`.
    """
    image, metadata = restorer.read(path)
    if suffix == ".jpg" and has_alpha(image):
        suffix = ".png"
    height, width = image.shape[:2]
    restorer.seconds_for(height, width)
    announce(height, width)
    start = time.perf_counter()
    found = restorer.restore(image)
    seconds = time.perf_counter() - start
    restored = found.image
    enlarged = image.repeat(restorer.upscale, axis=0).repeat(restorer.upscale, axis=1)
    before, after, kept = (folder / name for name in ("before.png", "after.png", f"{path.stem}_restored{suffix}"))
    write_image(before, over_white(enlarged), metadata)
    write_image(after, over_white(restored), metadata)
    write_image(kept, restored, metadata)
    way = f"in {found.tiles}" if found.tiles else "whole"
    text = f"{path.name}\n{_size(image)} → {_size(restored)} pixels\nrestored {way} in {seconds:.1f} seconds"
    kernels = estimated_kernel_sheet(restorer.kernels(image, found.tiles)) if has_kernels(restorer) else None
    return Trial(before, after, kept, kernels, text)


def over_white(image: AnyImage) -> AnyImage:
    """Lay what has alpha over white, so that in the slider no image shines through the other; others as they are."""
    if not has_alpha(image):
        return image
    peak = PEAKS[image.dtype]
    opacity = image[:, :, -1:].astype(np.float32) / peak
    laid_over: AnyImage = opacity * image[:, :, :-1] + (1 - opacity) * peak
    if peak != 1:
        laid_over = laid_over.round().astype(image.dtype)
    return laid_over[:, :, 0] if is_grey(image) else laid_over


def _size(image: AnyImage) -> str:
    return f"{image.shape[1]} × {image.shape[0]}"
