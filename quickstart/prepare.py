"""Blurs the photographs and writes them as the LMDBs from which BasicSR trains and validates.

<out>/datasets/train/{sharp,blur}.lmdb    crops of the training photographs, each exposed several times
<out>/datasets/val/{sharp,blur}.lmdb      the held-out photographs, whole, each exposed once
"""

from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import numpy as np
from tqdm import tqdm

from datasets_prep.lmdb_writer import LmdbWriter
from datasets_prep.partial_folder import is_finished
from quickstart.photographs import HELD_OUT, TRAINING, load_photograph
from quickstart.synthetic_blur import Motion, blur_photograph, random_motion

EXPOSURES = 10
CROP = 160


def motion_of(file_name: str, exposure: int, seed: int) -> Motion:
    """The motion of one exposure of a photograph: a pure function of its arguments."""
    height, width = load_photograph(file_name).shape[:2]
    return random_motion(np.random.default_rng((seed, crc32(file_name.encode()), exposure)), height, width)


def crop_corners(length: int, crop: int) -> list[int]:
    """Where crops start so that they cover a length evenly and overlap as little as possible."""
    number = -(-length // crop)
    return np.linspace(0, length - crop, number).round().astype(int).tolist()


def crops(photograph: np.ndarray, crop: int = CROP) -> Iterator[tuple[str, np.ndarray]]:
    """Names and square crops that cover the photograph."""
    for top in crop_corners(photograph.shape[0], crop):
        for left in crop_corners(photograph.shape[1], crop):
            yield f"y{top:04d}_x{left:04d}", photograph[top : top + crop, left : left + crop]


def prepare(out: Path, seed: int) -> Path:
    """Writes the four databases, except those that an earlier run finished, and returns their folder.

    Raises:
        PreparationError: the folder holds databases of another seed, or cannot be written to.
    """
    folder = out / "datasets"
    for split, names, exposures in (("train", TRAINING, EXPOSURES), ("val", HELD_OUT, 1)):
        settings = {"photographs": names, "exposures": exposures, "crop": CROP, "seed": seed}
        for kind in ("sharp", "blur"):
            database = folder / split / f"{kind}.lmdb"
            if is_finished(database, settings):
                continue
            jobs = [(name, exposure) for name in names for exposure in range(exposures)]
            with LmdbWriter(database, settings=settings) as writer:
                for name, exposure in tqdm(jobs, desc=f"{split}: {kind} photographs", unit="photo"):
                    photograph = load_photograph(name)
                    if kind == "blur":
                        photograph = blur_photograph(photograph, motion_of(name, exposure, seed))
                    key = f"{Path(name).stem}_{exposure}"
                    if split == "val":
                        writer.put(key, photograph[:, :, ::-1])
                    else:
                        for place, crop in crops(photograph):
                            writer.put(f"{key}_{place}", crop[:, :, ::-1])
    return folder
