"""Small trees with the documented names, for the tests of the preparation."""

import hashlib
import io
from pathlib import Path

import cv2
import lmdb
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SEQUENCES = {"train": ("GOPR0372_07_00", "GOPR0374_11_01"), "test": ("GOPR0384_11_00",)}
FRAMES = ("000047", "000048", "000049")
HEIGHT, WIDTH = 72, 128


def picture(seed: str, height: int = HEIGHT, width: int = WIDTH, dtype: type = np.uint8) -> NDArray:
    """(H, W, 3) RGB noise that depends on the seed alone."""
    numbers = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    return np.random.default_rng(numbers).integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)


def save(path: Path, image: NDArray) -> None:
    """Writes an RGB array; Pillow writes 8 bits, OpenCV 16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if image.dtype == np.uint8:
        Image.fromarray(image).save(path, format="PNG")
    else:
        path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def gopro_pictures(split: str) -> dict[str, dict[str, NDArray]]:
    """key -> folder ("blur", "blur_gamma", "sharp") -> RGB picture."""
    return {
        f"{sequence}/{frame}": {
            side: picture(f"{split} {sequence} {frame} {side}") for side in ("blur", "blur_gamma", "sharp")
        }
        for sequence in SEQUENCES[split]
        for frame in FRAMES
    }


def make_gopro(root: Path) -> Path:
    """GOPRO_Large as it is downloaded."""
    for split in SEQUENCES:
        for key, sides in gopro_pictures(split).items():
            sequence, frame = key.split("/")
            for side, image in sides.items():
                save(root / split / sequence / side / f"{frame}.png", image)
    return root


def read_png(data: bytes) -> NDArray:
    """RGB array of an 8-bit PNG, decoded by Pillow."""
    return np.asarray(Image.open(io.BytesIO(data)))


def read_lmdb(path: Path) -> dict[str, bytes]:
    """Everything in a database, read with lmdb alone."""
    with lmdb.open(str(path), readonly=True, lock=False) as database, database.begin() as transaction:
        return {key.decode(): bytes(value) for key, value in transaction.cursor()}


def hashes(folder: Path) -> dict[str, str]:
    """Relative path -> hash of every file below `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def super_resolution_pair(key: str, height: int, width: int) -> dict[int, NDArray]:
    """scale -> noise of that size; 1 is the ground truth. The low resolutions have nothing to do with it, so that it
    shows whether they were taken or made.
    """
    return {scale: picture(f"{key} x{scale}", height // scale, width // scale) for scale in (1, 2, 3, 4)}


# No side is a multiple of 12; what is left of them is 48x72 and 72x48.
DF2K_SIZES = {"DIV2K/0001": (59, 76), "DIV2K/0002": (73, 50), "Flickr2K/000001": (50, 83), "Flickr2K/000002": (48, 72)}


def make_df2k(root: Path, low: tuple[str, ...] = ("DIV2K", "Flickr2K")) -> Path:
    """DIV2K and Flickr2K as downloaded, with low resolutions for those in `low`."""
    for key, size in DF2K_SIZES.items():
        part, stem = key.split("/")
        base = root / part / ("DIV2K_train" if part == "DIV2K" else part)
        for scale, image in super_resolution_pair(key, *size).items():
            if scale == 1:
                save(base.with_name(f"{base.name}_HR") / f"{stem}.png", image)
            elif part in low:
                save(base.with_name(f"{base.name}_LR_bicubic") / f"X{scale}" / f"{stem}x{scale}.png", image)
    return root
