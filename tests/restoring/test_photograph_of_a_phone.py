"""A photograph as large as a phone's, from the file to the file."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from restoring_helpers import TINY_DEBLURRING

from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

HEIGHT, WIDTH = 3024, 4032
MOST = 3 * 2**30  # bytes


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_twelve_megapixels_with_exif_take_less_than_three_gibibytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = {**TINY_DEBLURRING, "dim": 2, "scales": 1, "fke_blocks": ()}
    torch.save({"params": DeepRFTv2(**small).state_dict()}, tmp_path / "net.pth")
    coarse = np.random.default_rng(0).integers(0, 256, (HEIGHT // 48, WIDTH // 48, 3), np.uint8)
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Camera", 6
    photograph = Image.fromarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))
    photograph.save(tmp_path / "photo.jpg", quality=90, exif=exif)
    limited = (
        "import resource, sys; from deeprftv2_arch.__main__ import main;"
        "sys.argv[:] = ['deeprftv2_arch', *sys.argv[1:]]; main();"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    )
    words = ("restore", "photo.jpg", "-o", "out", "--format", "jpg", "--checkpoint", "net.pth", "--device", "cpu")
    command = [sys.executable, "-c", limited, *words, "--memory-limit", "3G"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert int(result.stdout.split()[-1]) < MOST
    with Image.open(tmp_path / "out" / "photo.jpg") as restored:
        assert restored.size == (HEIGHT, WIDTH)  # upright
        assert dict(restored.getexif()) == {0x010F: "Camera", 0x0112: 1}
