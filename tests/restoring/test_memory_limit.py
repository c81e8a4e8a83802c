"""A limit of the memory, and images that are restored in rows of tiles so that they fit into it."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
from restoring_helpers import Enlarging, ShortSighted, noise

from deeprftv2_arch import Restorer
from deeprftv2_arch.common.image_format import PNG_SIGNATURE, Header, png_chunk, read_header
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.conversion import to_image, to_tensor
from deeprftv2_arch.restoring.image_files import read_image
from deeprftv2_arch.restoring.image_kinds import announced
from deeprftv2_arch.restoring.memory import reading_bytes


@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,), (4,)])
@pytest.mark.parametrize("tile", [(48, 12), (48, 24), (33, 7)])
def test_rows_of_tiles_are_those_of_the_whole_image_to_the_last_bit(
    channels: tuple[int, ...], tile: tuple[int, int]
) -> None:
    """An image is cut, restored and stored row by row; a tensor is cut and blended as a whole."""
    image = noise(130, 100, *channels)
    restorer = Restorer(ShortSighted(), "cpu", tile)
    blended, tiles = restorer.restore_tensor(to_tensor(image))
    assert tiles == tile
    np.testing.assert_array_equal(restorer(image), to_image(blended, image))


def test_enlarged_rows_of_tiles() -> None:
    image = noise(130, 100, 3, dtype=np.uint16)
    np.testing.assert_array_equal(Restorer(Enlarging(3), "cpu", (48, 12))(image), image.repeat(3, 0).repeat(3, 1))


def test_limit_of_the_memory_is_kept_or_refused_ahead_of_reading(tmp_path: Path) -> None:
    """A header of 48 megapixels is enough; there are no pixels that could be decoded."""
    header = struct.pack(">IIBBBBB", 8000, 6000, 8, 2, 0, 0, 0)
    path = tmp_path / "large.png"
    path.write_bytes(
        PNG_SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", bytes(9)) + png_chunk(b"IEND", b"")
    )
    taken = psutil.Process().memory_info().rss
    limit = taken + 2**28
    with pytest.raises(DataError, match=r"an image of 8000x6000 takes about [\d,]+M of memory") as caught:
        Restorer(ShortSighted(), "cpu", memory_limit=limit)(path)
    enough = re.search(r"--memory-limit (\d+)M", str(caught.value))
    assert enough is not None
    assert taken + 4 * 144 * 10**6 < int(enough[1]) * 2**20 < taken + 10 * 144 * 10**6
    with pytest.raises(DataError, match="damaged"):  # so much would be enough
        Restorer(ShortSighted(), "cpu", memory_limit=2 * int(enough[1]) * 2**20)(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".bmp"])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_header_tells_how_many_bytes_a_pixel_takes(
    tmp_path: Path, suffix: str, channels: tuple[int, ...], dtype: type
) -> None:
    if (suffix, channels) == (".jpg", (4,)):
        pytest.skip("no JPEG has alpha")
    cv2.imwrite(str(tmp_path / f"a{suffix}"), noise(8, 9, *channels, dtype=dtype))
    data = (tmp_path / f"a{suffix}").read_bytes()
    decoded = read_image(tmp_path / f"a{suffix}").image
    assert decoded.nbytes <= 72 * announced(memoryview(data)).pixel_bytes <= 4 * decoded.nbytes


@pytest.mark.skipif(not cv2.haveImageWriter("x.avif"), reason="needs OpenCV with AVIF")
@pytest.mark.parametrize("depth", [8, 10, 12])
def test_header_tells_how_many_bytes_a_pixel_of_an_avif_takes(depth: int) -> None:
    image = noise(16, 16, 3, dtype=np.uint16) >> 16 - depth
    image = image.astype(np.uint8) if depth == 8 else image
    done, data = cv2.imencode(".avif", image, [cv2.IMWRITE_AVIF_DEPTH, depth])
    assert done
    assert announced(memoryview(data.tobytes())).pixel_bytes == (4 if depth == 8 else 8)


SPECIAL_TIFFS: dict[str, tuple[int, type, dict[str, Any]]] = {
    "multiplied by alpha": (4, np.uint16, {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
    "apart": (4, np.uint16, {"photometric": "rgb", "extrasamples": ["unassalpha"], "planarconfig": "separate"}),
    "differences": (2, np.uint16, {"photometric": "minisblack", "extrasamples": ["unassalpha"], "predictor": 2}),
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured as Linux can")
@pytest.mark.parametrize("name", SPECIAL_TIFFS)
def test_reading_a_tiff_takes_no_more_memory_than_is_asked_for_ahead(tmp_path: Path, name: str) -> None:
    """Of those that are put in order after OpenCV has decoded them."""
    tifffile = pytest.importorskip("tifffile")
    channels, dtype, settings = SPECIAL_TIFFS[name]
    image: np.ndarray = np.full((2000, 3000, channels), 1000, dtype)
    stored = np.moveaxis(image, 2, 0) if settings.get("planarconfig") == "separate" else image
    if "predictor" in settings:
        settings = settings | {"compression": "zlib"}
    tifffile.imwrite(tmp_path / "a.tif", stored, **settings)
    output = subprocess.run(
        [sys.executable, "-c", READING, str(tmp_path / "a.tif")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    before, peak = map(int, output.split())
    pixel_bytes = announced(memoryview((tmp_path / "a.tif").read_bytes())).pixel_bytes
    asked = reading_bytes(2000 * 3000, pixel_bytes, (tmp_path / "a.tif").stat().st_size)
    assert image.nbytes < peak - before <= asked + 2**23  # and what a decoder takes whatever it decodes


READING = """\
import sys
from pathlib import Path
from deeprftv2_arch.restoring.image_files import read_image

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024

before = status("VmRSS:")
read_image(Path(sys.argv[1]))
print(before, status("VmHWM:"))
"""

MEASURED = """\
import sys
from pathlib import Path
import torch
from deeprftv2_arch import Restorer
from deeprftv2_arch.restoring.batch.plan import Job
from deeprftv2_arch.restoring.batch.restore_files import restore_image
from restoring_helpers import ShortSighted

torch.set_num_threads(1)
folder = Path(sys.argv[1])
restorer = Restorer(ShortSighted(width=2), "cpu", memory_limit="2G")
print(restore_image(restorer, Job(folder / "large.png", folder / "restored.png")).size)
(peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(int(peak.split()[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured as Linux can")
def test_48_megapixels_are_restored_within_2_gib(tmp_path: Path) -> None:
    grown = cv2.resize(noise(600, 800, 3), (8000, 6000), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "large.png"), grown)
    del grown
    repository = Path(__file__).parents[2]
    paths = [str(repository / "tests" / "helpers"), str(repository)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    # Not by the usage of a child: that counts what this process had when it was forked.
    output = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    ).stdout
    tile, peak = map(int, output.split())
    assert tile < 6000
    assert peak < 2 * 2**30
    assert read_header((tmp_path / "restored.png").read_bytes()[:33]) == Header(6000, 8000, 3, 8)
