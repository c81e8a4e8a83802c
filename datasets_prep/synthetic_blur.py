"""`python -m datasets_prep synthetic-blur`: a fixed set of blurred and sharp images, made from sharp photographs."""

import argparse
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.common.image_bytes import read_image_bytes
from deeprftv2_arch.common.image_format import EXTENSIONS
from deeprftv2_arch.common.images import Image, decode, encode_png
from deeprftv2_arch.common.listing import files_below
from deeprftv2_arch.common.nesting import read_json
from deeprftv2_arch.common.partial_folder import PartialFolder, is_finished
from deeprftv2_arch.data.camera_path import length_of
from deeprftv2_arch.data.synthetic_blur import BlurSettings, Exposure, expose_photograph
from deeprftv2_arch.errors import PreparationError

_RECORDS = "records"  # of the images that are done, while others are not

_TITLE = "Synthetic blur: a validation set of hand-held photographs, made from sharp ones"
_DESCRIPTION = """\
Blurs every photograph of ROOT once for each range of path lengths, as SyntheticBlurDataset does while training, and
keeps the result, so that others compare on the same:

  OUT/blur/<photograph>_<range>.png    OUT/sharp/<photograph>_<range>.png    as DeblurPairDataset reads them
  OUT/kernels/<photograph>_<range>.npz the true blur at points of a grid: kernels (rows, columns, size, size) float32,
                                       points (rows, columns, 2) x and y in pixels. In what was averaged, linear light
                                       or sRGB, blurred(p) = sum_d kernel(d) sharp(p + d)
  OUT/metadata.json                    what happened to every image, and the settings

Every image is a function of its photograph, the range and the seed. OUT is complete or absent: until it is whole its
name ends in .partial, and a command that was interrupted goes on where it stopped."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the sub-command to those of the data sets."""
    parser = commands.add_parser(
        "synthetic-blur",
        help=_TITLE,
        description=f"{_TITLE}\n\n{_DESCRIPTION}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(data_set=None)
    parser.add_argument("--root", type=Path, required=True, help="folder of sharp photographs, at any depth")
    parser.add_argument("--out", type=Path, required=True, help="folder for the result; must not lie in ROOT")
    parser.add_argument(
        "--paths",
        nargs="+",
        type=_range,
        default=[(3.0, 8.0), (8.0, 15.0), (15.0, 30.0)],
        metavar="FROM-TO",
        help="ranges of the length in pixels of the camera's path (default: 3-8 8-15 15-30)",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides all that is random (default: 0)")
    parser.add_argument(
        "--shake-only",
        action="store_true",
        help="no objects, defocus, highlights, noise and JPEG: the camera's motion alone",
    )
    parser.add_argument(
        "--grid", nargs=2, type=int, default=(4, 6), metavar=("ROWS", "COLUMNS"), help="of kernels (default: 4 6)"
    )
    parser.add_argument("--kernel-size", type=int, default=65, help="side of the kernels, odd (default: 65)")


def run(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Make the set, or the rest of it, or nothing if it is there.

    Raises:
        PreparationError: There are no photographs, one is damaged, or the result cannot be written.
    """
    photographs = _photographs(options.root)
    if options.kernel_size < 1 or options.kernel_size % 2 == 0:
        raise PreparationError(f"--kernel-size: expected an odd number from 1 on, not {options.kernel_size}")
    if min(options.grid) < 1:
        raise PreparationError(f"--grid: expected two numbers from 1 on, not {list(options.grid)}")
    settings = {
        "photographs": {name: path.stat().st_size for name, path in photographs.items()},
        "paths": [list(bounds) for bounds in options.paths],
        "seed": options.seed,
        "shake_only": options.shake_only,
        "grid": list(options.grid),
        "kernel_size": options.kernel_size,
        "blur": {_tag(bounds): asdict(_settings(bounds, options.shake_only)) for bounds in options.paths},
    }
    if is_finished(options.out, settings):
        say(f"{options.out} is there already, made with the same settings")
        return
    folder = PartialFolder(options.out, settings)
    try:
        images: dict[str, Any] = {}
        for index, (name, path) in enumerate(photographs.items()):
            for bounds in options.paths:
                key = f"{name.replace('/', '-')}_{_tag(bounds)}"
                rng = np.random.default_rng([options.seed, index, *(round(1000 * bound) for bound in bounds)])
                images[key] = _make(folder.path, key, path, _settings(bounds, options.shake_only), rng, options)
        text = json.dumps({"settings": settings, "images": images}, indent=2) + "\n"
        write_atomically(folder.path / "metadata.json", text.encode())
        shutil.rmtree(folder.path / _RECORDS)
        folder.publish({"entries": len(images)})
    finally:
        folder.release()
    say(f"{options.out}: {len(images)} pairs of {len(photographs)} photographs")


def _make(
    folder: Path,
    key: str,
    photograph: Path,
    settings: BlurSettings,
    rng: np.random.Generator,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Write the files of one image that are not there yet; returns what the metadata say of it."""
    record, parts = folder / _RECORDS / f"{key}.json", ("blur", "sharp", "kernels", _RECORDS)
    if record.exists():
        try:
            return dict(read_json(record.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise PreparationError(f"{record} is damaged ({error}): delete it, it is made again") from error
    for part in parts:
        (folder / part).mkdir(exist_ok=True)
    blurred, sharp, exposure = expose_photograph(settings, rng, _read(photograph))
    write_atomically(folder / "blur" / f"{key}.png", encode_png(blurred, 1))
    write_atomically(folder / "sharp" / f"{key}.png", encode_png(sharp, 1))
    write_atomically(folder / "kernels" / f"{key}.npz", _kernels(exposure, options.grid, options.kernel_size))
    described = {"photograph": photograph.name, **_described(exposure)}
    write_atomically(record, json.dumps(described).encode())  # last: it says that the others are whole
    return described


def _kernels(exposure: Exposure, grid: tuple[int, int], size: int) -> bytes:
    """Return the true blur in the middles of a grid of equal fields, as an .npz file."""
    rows, columns = grid
    y = (np.arange(rows) + 0.5) * exposure.height / rows - 0.5
    x = (np.arange(columns) + 0.5) * exposure.width / columns - 0.5
    points = np.stack(np.meshgrid(x, y), axis=2)
    kernels = np.stack([[exposure.kernel(point[0], point[1], size) for point in row] for row in points])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, kernels=kernels, points=points)
    return buffer.getvalue()


def _described(exposure: Exposure) -> dict[str, Any]:
    """Return what happened to an image, as JSON values."""
    return {
        "path_pixels": round(length_of(exposure.camera.shift), 3),
        "turns": not exposure.camera.is_shift,
        "objects": len(exposure.objects),
        "averaged": "linear light" if exposure.linear else "sRGB",
        "brightness": exposure.brightness,
        "defocus_radius": exposure.radius,
        "second_radius": exposure.depth.radius if exposure.depth else None,
        "photon_variance": exposure.photons,
        "reading_deviation": exposure.reading,
        "jpeg_quality": exposure.quality,
    }


def _settings(path: tuple[float, float], shake_only: bool) -> BlurSettings:
    """Whole photographs, all of them shaken."""
    settings = BlurSettings(sharp=0, still=0, resample=(1, 1), path=path)
    return replace(settings, objects=0, defocus=0, highlights=0, noise=0, jpeg=0) if shake_only else settings


def _photographs(root: Path) -> dict[str, Path]:
    """All photographs of a folder by their path in it, without extension, in the order of their names."""
    try:
        found = {
            path.relative_to(root).with_suffix("").as_posix(): path
            for path in sorted(files_below(root))
            if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
        }
    except OSError as error:
        raise PreparationError(f"{error.filename}: cannot be read: {error.strerror}; correct --root") from error
    if not found:
        raise PreparationError(f"{root}: holds no photographs ({', '.join(EXTENSIONS)}); correct --root")
    return found


def _read(path: Path) -> Image:
    try:
        image = decode(read_image_bytes(path))
    except OSError as error:
        raise PreparationError(f"{path}: cannot be read: {error.strerror}") from error
    except PreparationError as error:
        raise PreparationError(f"{path} {error}; replace or remove the photograph") from error
    return (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image


def _range(text: str) -> tuple[float, float]:
    lowest, _, highest = text.partition("-")
    try:
        bounds = float(lowest), float(highest)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected two numbers as in 3-8, not {text!r}") from error
    if not 0 < bounds[0] <= bounds[1]:
        raise argparse.ArgumentTypeError(f"expected the lower number first and both above 0, not {text!r}")
    return bounds


def _tag(bounds: tuple[float, float]) -> str:
    return "-".join(f"{bound:g}" for bound in bounds)
