"""Writes the photographs as the LMDBs of the option file, from which BasicSR trains and validates.

Those for training hold crops of the training photographs in all versions, those for validation the held-out photographs
as a whole; true and degraded ones are kept apart.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from deeprftv2_arch.common.lmdb_io import LmdbWriter
from deeprftv2_arch.common.partial_folder import is_finished
from quickstart.photographs import HELD_OUT, TRAINING
from quickstart.task import Task

CROP = 160


def crop_corners(length: int, crop: int) -> list[int]:
    """Return where crops start so that they cover a length evenly and overlap as little as possible."""
    number = -(-length // crop)
    return [int(corner) for corner in np.linspace(0, length - crop, number).round()]


def crops(photograph: np.ndarray, crop: int, scale: int = 1) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and square crops that cover the photograph.

    Args:
        photograph: (scale H, scale W, 3), of which the degraded version has (H, W, 3).
        crop: Side of a crop of the degraded version.
        scale: Side of what one pixel of the degraded version shows. Crops of both versions show the same.
    """
    height, width = (side // scale for side in photograph.shape[:2])
    for top in crop_corners(height, crop):
        for left in crop_corners(width, crop):
            rows, columns = (slice(scale * corner, scale * (corner + crop)) for corner in (top, left))
            yield f"y{top:04d}_x{left:04d}", photograph[rows, columns]


def write_databases(task: Task, out: Path, seed: int) -> None:
    """Write the four databases, except those that an earlier run finished.

    Raises:
        PreparationError: The folder holds databases of another seed, or cannot be written to.
    """
    for split, versions in (
        ("train", {name: task.versions(name) for name in TRAINING}),
        ("val", dict.fromkeys(HELD_OUT, 1)),
    ):
        settings = {"versions": versions, "crop": CROP, "seed": seed}
        for kind, scale in (("gt", task.scale), ("lq", 1)):
            database = out / task.options["datasets"][split][f"dataroot_{kind}"]
            if is_finished(database, settings):
                continue
            jobs = [(name, version) for name, number in versions.items() for version in range(number)]
            with LmdbWriter(database, settings=settings) as writer:
                for name, version in tqdm(jobs, desc=f"{split}: {database.stem} photographs", unit="photo"):
                    photograph = task.true_version(name, version)
                    if kind == "lq":
                        photograph = task.degrade(photograph, name, version, seed)
                    key = f"{Path(name).stem}_{version}"
                    if split == "val":
                        writer.put(key, photograph[:, :, ::-1])
                    else:
                        for place, piece in crops(photograph, CROP // task.scale, scale):
                            writer.put(f"{key}_{place}", piece[:, :, ::-1])
