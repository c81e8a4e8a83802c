"""``python -m benchmarks.shipped_network``: an image of what the network that comes with the package restores.

A photograph of scikit-image, which it never saw, is shaken by the project's simulator: README's first image.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.deblurring import SHAKE, psnr
from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.data.synthetic_blur import expose_photograph
from deeprftv2_arch.restoring.restorer import Restorer
from quickstart.comparison import comparison_png, photograph_columns
from quickstart.photographs import load_photograph

PHOTOGRAPH = "motorcycle_left.png"
PATH = (6.0, 6.5)  # pixels
SEED = 3
ZOOM = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shipped_network", description=__doc__)
    parser.add_argument("--checkpoint", help="another network than the one that comes with the package")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/deeprftv2_t.png"), help="file to write (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    write_atomically(options.out, drawn(Restorer.from_pretrained(options.checkpoint)))


def drawn(restorer: Restorer) -> bytes:
    """Return the image as a PNG."""
    sharp = load_photograph(PHOTOGRAPH)
    blurred = expose_photograph(replace(SHAKE, path=PATH), np.random.default_rng(SEED), sharp)[0]
    restored: NDArray[np.uint8] = restorer(blurred)
    shown = {
        f"blurred, {psnr(blurred, sharp):.2f} dB": blurred,
        f"restored, {psnr(restored, sharp):.2f} dB": restored,
        "sharp": sharp,
    }
    return comparison_png(photograph_columns(shown, ZOOM))


if __name__ == "__main__":
    main()
