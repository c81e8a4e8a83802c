"""What a restored image is called."""

import os
from pathlib import Path

from deeprftv2_arch.common.image_format import EXTENSIONS


def image_name(address: str, root: str | None) -> str:
    """Return the name of an image within its data set, without extension.

    Its folders stay, so that images of equal names in different folders, and LMDB keys with slashes, do not collide.

    Args:
        address: Path of the blurred image, or its key in an LMDB, dots and slashes included.
        root: Folder of the blurred images, if there is one.
    """
    path = Path(address)
    if root is not None and path.is_relative_to(root):
        path = path.relative_to(root)
    if path.is_absolute() or os.pardir in path.parts:
        path = Path(path.name)
    return (path.with_suffix("") if path.suffix.lower() in EXTENSIONS else path).as_posix()
