"""``python -m benchmarks.synthetic_blur``: how fast blurred patches are made, and a sheet of what they look like.

Patches per second on one core, with each part of the physics alone and with all of it as it is by default, from
photographs that come with scikit-image. The table is printed and written; ``--sheet`` writes the sheet instead.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from benchmarks.environment import environment_lines
from deeprftv2_arch.data.synthetic_blur import BlurSettings, expose_photograph
from deeprftv2_arch.data.synthetic_blur_dataset import SyntheticBlurDataset
from quickstart.photographs import HELD_OUT, load_photograph

RESULT = Path(__file__).parent / "results" / "synthetic_blur_cpu.md"
SHEET = Path(__file__).resolve().parents[1] / "docs" / "synthetic_blur.png"
HEADER = """\
Patches of {patch}x{patch} that `SyntheticBlurDataset` makes in a second of one core, photographs decoded before:
medians of {rounds} interleaved rounds of {patches} patches.

| blur | patches/s |
|---|---|
"""

# Nothing but a shift; every row of the table adds one thing to it.
SHAKE = BlurSettings(
    sharp=0, path=(1, 40), turning=0, objects=0, srgb=0, highlights=0, defocus=0, noise=0, jpeg=0, resample=(0.5, 1)
)
TABLE = {
    "none: sharp patches": replace(SHAKE, sharp=1),
    "shift": SHAKE,
    "shift averaged in sRGB": replace(SHAKE, srgb=1),
    "shift, rotation and zoom": replace(SHAKE, turning=1),
    "shift and moving objects": replace(SHAKE, objects=1),
    "shift and defocus": replace(SHAKE, defocus=1),
    "shift, noise and JPEG": replace(SHAKE, noise=1, jpeg=1),
    "everything, as by default": BlurSettings(),
}

# What the sheet shows, one column each.
COLUMNS = {
    "path of 3 to 8 px": replace(SHAKE, path=(3, 8)),
    "8 to 15 px": replace(SHAKE, path=(8, 15)),
    "15 to 30 px": replace(SHAKE, path=(15, 30)),
    "rotation, zoom": replace(SHAKE, path=(12, 15), turning=1, rotation=1, zoom=1),
    "objects": replace(SHAKE, path=(8, 20), objects=1, still=0.5, object_size=(0.2, 0.35)),
    "lights above white": replace(SHAKE, path=(12, 20), highlights=1, brightness=(6, 8)),
    "defocus, two depths": replace(SHAKE, path=(1, 2), defocus=1, radius=(1, 4), second_depth=1),
    "noise, JPEG": replace(
        SHAKE, path=(4, 6), noise=1, photons=(1e-3, 1e-3), reading=(3e-3, 3e-3), jpeg=1, quality=(75, 75)
    ),
}
SIDE, KERNEL, LABEL = 144, 33, 22  # pixels of the sheet's images, of its kernels, and the height of its captions


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.synthetic_blur", description=__doc__)
    parser.add_argument("--patch", type=int, default=96, help="side of the patches (default: 96)")
    parser.add_argument("--patches", type=int, default=32, help="patches of a round (default: 32)")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--sheet", action="store_true", help=f"write {SHEET.name} instead")
    options = parser.parse_args(arguments)
    if options.sheet:
        sheet().save(SHEET, optimize=True)
        return
    text = HEADER.format(**vars(options)) + "".join(
        f"| {name} | {speed:.0f} |\n" for name, speed in speeds(options.patch, options.patches, options.rounds).items()
    )
    text += "\n" + "\n".join(environment_lines(torch.device("cpu"))) + "\n"
    print(text)
    RESULT.write_text(text, encoding="utf-8")


def speeds(patch: int, patches: int, rounds: int) -> dict[str, float]:
    """Patches per second of every row of the table."""
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        for name in HELD_OUT:
            cv2.imwrite(str(Path(folder, name)), load_photograph(name)[:, :, ::-1])
        stages = [{"iters": 1, "patch_size": patch, "batch_size": 1}]
        section = {"name": "speed", "phase": "train", "dataroot_gt": folder, "io_backend": {"type": "disk"}}
        data = SyntheticBlurDataset(section | {"patch_stages": stages, "cache_mb": 100})
        times: dict[str, list[float]] = {name: [] for name in TABLE}
        for number in range(rounds + 1):
            for name, data.settings in TABLE.items():
                start = time.process_time()
                for index in range(patches):
                    data[number * patches + index]
                times[name].append(time.process_time() - start)
    return {name: patches / statistics.median(of_rounds[1:]) for name, of_rounds in times.items()}


def sheet() -> Image.Image:
    """Photographs as the simulator blurs them: a row for every photograph, the first column sharp, kernels inset."""
    crops = [_crop(load_photograph(name)) for name in HELD_OUT]
    page = Image.new("RGB", ((len(COLUMNS) + 1) * (SIDE + 4), len(crops) * (SIDE + 4) + LABEL), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for column, name in enumerate(["sharp", *COLUMNS]):
        draw.text((column * (SIDE + 4) + 2, 3), name, "black", font)
        for row, crop in enumerate(crops):
            shown = crop if name == "sharp" else _with_kernel(COLUMNS[name], crop, seed=10 * row + column)
            page.paste(Image.fromarray(shown), (column * (SIDE + 4), LABEL + row * (SIDE + 4)))
    return page


def _crop(photograph: np.ndarray) -> np.ndarray:
    top, left = ((side - SIDE) // 2 for side in photograph.shape[:2])
    return np.ascontiguousarray(photograph[top : top + SIDE, left : left + SIDE])


def _with_kernel(settings: BlurSettings, sharp: np.ndarray, seed: int) -> np.ndarray:
    """Return an image blurred, as BGR while that happens, with the blur of its middle in a corner."""
    settings = replace(settings, resample=(1, 1))
    blurred, _, exposure = expose_photograph(settings, np.random.default_rng(seed), sharp[:, :, ::-1])
    kernel = exposure.kernel(SIDE / 2, SIDE / 2, KERNEL).clip(0)
    shown: np.ndarray = blurred[:, :, ::-1].copy()
    shown[-KERNEL - 2 :, : KERNEL + 2] = 255
    shown[-KERNEL - 1 : -1, 1 : KERNEL + 1] = (255 * (kernel / kernel.max()) ** 0.5)[:, :, None]
    return np.asarray(shown)


if __name__ == "__main__":
    main()
