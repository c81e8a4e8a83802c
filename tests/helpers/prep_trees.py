"""Small trees with the documented names, for the tests of the preparation."""

import hashlib
import io
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SEQUENCES = {"train": ("GOPR0372_07_00", "GOPR0374_11_01"), "test": ("GOPR0384_11_00",)}
FRAMES = ("000047", "000048", "000049")
HEIGHT, WIDTH = 72, 128


def make_image(seed: str, height: int = HEIGHT, width: int = WIDTH, dtype: type = np.uint8) -> NDArray[Any]:
    """Make (H, W, 3) RGB noise that depends on the seed alone."""
    numbers = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    return np.random.default_rng(numbers).integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)


def save(path: Path, image: NDArray[Any]) -> None:
    """Write an RGB array; Pillow writes 8 bits, OpenCV 16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if image.dtype == np.uint8:
        Image.fromarray(image).save(path, format="PNG")
    else:
        path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def gopro_images(split: str) -> dict[str, dict[str, NDArray[Any]]]:
    """Return key -> folder ("blur", "blur_gamma", "sharp") -> RGB image."""
    return {
        f"{sequence}/{frame}": {
            side: make_image(f"{split} {sequence} {frame} {side}") for side in ("blur", "blur_gamma", "sharp")
        }
        for sequence in SEQUENCES[split]
        for frame in FRAMES
    }


def make_gopro(root: Path) -> Path:
    """Make GOPRO_Large as it is downloaded."""
    for split in SEQUENCES:
        for key, sides in gopro_images(split).items():
            sequence, frame = key.split("/")
            for side, image in sides.items():
                save(root / split / sequence / side / f"{frame}.png", image)
    return root


def read_png(data: bytes) -> NDArray[Any]:
    """Decode an 8-bit PNG by Pillow to an RGB array."""
    return np.asarray(Image.open(io.BytesIO(data)))


def read_lmdb(path: Path) -> dict[str, bytes]:
    """Read everything in a database, with lmdb alone."""
    with lmdb.open(str(path), readonly=True, lock=False) as database, database.begin() as transaction:
        return {key.decode(): bytes(value) for key, value in transaction.cursor()}


def damage_page(data: Path) -> None:
    """Overwrite the beginning of the first page of a `data.mdb` that is not a page of its own two headers."""
    with data.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * 200)


def hashes(folder: Path) -> dict[str, str]:
    """Hash every file below `folder`: relative path -> hash."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def super_resolution_pair(key: str, height: int, width: int) -> dict[int, NDArray[Any]]:
    """Make scale -> noise of that size; 1 is the ground truth.

    The low resolutions have nothing to do with it, so that it shows whether they were taken or made.
    """
    return {scale: make_image(f"{key} x{scale}", height // scale, width // scale) for scale in (1, 2, 3, 4)}


# No side is a multiple of 12; what is left of them is 48x72 and 72x48.
DF2K_SIZES = {"DIV2K/0001": (59, 76), "DIV2K/0002": (73, 50), "Flickr2K/000001": (50, 83), "Flickr2K/000002": (48, 72)}


def make_df2k(root: Path, low: tuple[str, ...] = ("DIV2K", "Flickr2K")) -> Path:
    """Make DIV2K and Flickr2K as downloaded, with low resolutions for those in `low`."""
    for key, size in DF2K_SIZES.items():
        part, stem = key.split("/")
        base = root / part / ("DIV2K_train" if part == "DIV2K" else part)
        for scale, image in super_resolution_pair(key, *size).items():
            if scale == 1:
                save(base.with_name(f"{base.name}_HR") / f"{stem}.png", image)
            elif part in low:
                save(base.with_name(f"{base.name}_LR_bicubic") / f"X{scale}" / f"{stem}x{scale}.png", image)
    return root


# Two scenes with images of the same names; scene002 is for testing.
REALBLUR_SCENES = {"train": ("scene001", "scene003"), "test": ("scene002",)}
REALBLUR_FOLDERS = {
    "J": "RealBlur-J_ECC_IMCORR_centroid_itensity_ref",
    "R": "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref",
}


def realblur_images(subset: str, split: str) -> dict[str, dict[str, NDArray[Any]]]:
    """Return key -> side -> RGB image; the sizes differ from scene to scene, as those of RealBlur do."""
    return {
        f"{scene}/blur_{number}": {
            side: make_image(f"{subset} {scene} {number} {side}", 40 + int(scene[-1]), 50) for side in ("blur", "sharp")
        }
        for scene in REALBLUR_SCENES[split]
        for number in (1, 2)
    }


def make_realblur(root: Path, subsets: str = "JR") -> Path:
    """Make RealBlur as it is downloaded, with its lists: ground truth first."""
    for subset in subsets:
        folder = REALBLUR_FOLDERS[subset]
        for split in REALBLUR_SCENES:
            lines = []
            for key, sides in realblur_images(subset, split).items():
                scene, stem = key.split("/")
                blur, sharp = (
                    f"{folder}/{scene}/blur/{stem}.png",
                    f"{folder}/{scene}/gt/{stem.replace('blur', 'gt')}.png",
                )
                save(root / blur, sides["blur"])
                save(root / sharp, sides["sharp"])
                save(root / folder / scene / "avg" / f"{stem}.png", make_image("something else"))
                lines.append(f"{sharp} {blur} \n")
            (root / f"RealBlur_{subset}_{split}_list.txt").write_text("".join(lines))
    return root


def smooth_image(seed: str, height: int = HEIGHT, width: int = WIDTH) -> NDArray[Any]:
    """Make (H, W, 3) RGB that JPEG can hold."""
    return np.asarray(Image.fromarray(make_image(seed, 4, 5)).resize((width, height), Image.Resampling.BICUBIC))


def make_reds(root: Path, clips: dict[str, tuple[str, ...]], frames: tuple[int, ...]) -> Path:
    """Make REDS as it is downloaded: blurred JPEGs and sharp PNGs; split -> clips."""
    for split, names in clips.items():
        for clip in names:
            for frame in frames:
                blurred = root / split / f"{split}_blur_jpeg" / clip / f"{frame:08d}.jpg"
                blurred.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(smooth_image(f"{split} {clip} {frame}")).save(blurred, quality=90)
                sharp = root / split / f"{split}_sharp" / clip / f"{frame:08d}.png"
                save(sharp, smooth_image(f"{split} {clip} {frame} sharp"))
    return root


# The camera numbers the images of a scene, source and target, one after the other.
DPDD_SCENES = {"train": (917, 921, 1000), "val": (15,), "test": (1693, 1697, 1701)}
DPDD_VIEWS = {"blur": "c", "left": "l", "right": "r"}


def dpdd_images(split: str) -> dict[str, dict[str, NDArray[Any]]]:
    """Return key -> side -> RGB image of 16 bits."""
    return {
        f"1P0A{number:04d}": {
            side: make_image(f"{split} {number} {side}", 40, 60, np.uint16) for side in (*DPDD_VIEWS, "sharp")
        }
        for number in DPDD_SCENES[split]
    }


def dpdd_target_name(key: str) -> str:
    """Name of the ground truth: the image that the camera took next."""
    return f"1P0A{int(key[4:]) + 1:04d}"


def make_dpdd(root: Path, same_names: bool = False) -> Path:
    """Make dd_dp_dataset_png as downloaded; the ground truth is there once per view, as in the original.

    With `same_names`, the ground truth is called like the source, so that a set of any size pairs by name.
    """
    for split in DPDD_SCENES:
        for key, sides in dpdd_images(split).items():
            for side, view in DPDD_VIEWS.items():
                save(root / f"{split}_{view}" / "source" / f"{key}.png", sides[side])
                target = key if same_names else dpdd_target_name(key)
                save(root / f"{split}_{view}" / "target" / f"{target}.png", sides["sharp"])
    return root
