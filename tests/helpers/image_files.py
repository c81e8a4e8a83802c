"""Images whose pixels say where they are, in folders and LMDBs."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deeprftv2_arch.common.lmdb_io import LmdbWriter


def position_image(height: int, width: int, side: int = 0) -> np.ndarray:
    """Return (height, width, 3) BGR of 16 bits: row, column, and which of the two images it is."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, side)], axis=-1).astype(np.uint16)


def positions(tensor: Any) -> np.ndarray:
    """Return rows and columns, (2, H, W), that a data set's item of a `position_image` shows."""
    blue_green = tensor[[2, 1]].numpy() * 65535
    return np.asarray(np.rint(blue_green).astype(int))


def write_folder(root: Path, images: dict[str, np.ndarray]) -> Path:
    for name, image in images.items():
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)
    return root


def write_lmdb(root: Path, images: dict[str, np.ndarray]) -> Path:
    with LmdbWriter(root) as writer:
        for name, image in images.items():
            writer.put(name, image)
    return root


def options(blurred: Path, sharp: Path, **more: Any) -> dict[str, Any]:
    """Return a training set's options."""
    return {
        "name": "images",
        "type": "DeblurPairDataset",
        "phase": "train",
        "dataroot_lq": str(blurred),
        "dataroot_gt": str(sharp),
        "io_backend": {"type": "lmdb" if blurred.suffix == ".lmdb" else "disk"},
        "patch_stages": [
            {"iters": 4, "patch_size": 8, "batch_size": 4},
            {"iters": 4, "patch_size": 16, "batch_size": 2},
        ],
        **more,
    }
