"""The quickstart's figures and images, against arithmetic by hand and scikit-image."""

import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from quickstart.comparison import (
    busiest_window,
    comparison_png,
    kernel_column,
    kernel_tile,
    photograph_columns,
)
from quickstart.deblurring import Deblurring
from quickstart.results import Result, average, markdown_table, metric_columns, to_json
from quickstart.task import Words

FIRST = Result("cat", 20.0, 23.0, 0.5, 0.75, 1.0)
SECOND = Result("dog", 30.0, 30.5, 0.9, 0.95, 3.0)
WORDS = Words("blurred", "restored", "sharp")


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    sharp = rng.integers(40, 200, (40, 48, 3), dtype=np.uint8)
    noise = rng.integers(-8, 9, sharp.shape)
    return (sharp + 2 * noise).astype(np.uint8), (sharp + noise).astype(np.uint8), sharp


def test_psnr_is_that_of_the_mean_square(images: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    blurred, restored, sharp = images
    for image in (blurred, restored):
        mean_square = np.mean((image.astype(float) - sharp) ** 2)
        assert Deblurring().psnr(image, sharp) == pytest.approx(10 * np.log10(255**2 / mean_square), abs=1e-9)


def test_ssim_is_that_of_its_paper(images: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    blurred, restored, sharp = images
    by_channel = [
        structural_similarity(
            sharp[:, :, c], blurred[:, :, c], gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for c in range(3)
    ]
    assert Deblurring().ssim(blurred, sharp) == pytest.approx(np.mean(by_channel), abs=1e-12)
    assert Deblurring().ssim(blurred, sharp) < Deblurring().ssim(restored, sharp) < 1


def test_average_is_the_mean_of_every_column() -> None:
    assert average([FIRST, SECOND]) == Result("mean", 25.0, 26.75, 0.7, 0.85, 2.0)
    assert average([FIRST, SECOND]).gain == pytest.approx((3.0 + 0.5) / 2)


def test_table_has_the_figures() -> None:
    lines = markdown_table([FIRST, SECOND], WORDS).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["image", "PSNR blurred", "PSNR restored", "gain", "SSIM blurred", "SSIM restored", "seconds"]
    assert cells[2] == ["cat", "20.00 dB", "23.00 dB", "+3.00 dB", "0.5000", "0.7500", "1.00"]
    assert cells[4] == ["mean", "25.00 dB", "26.75 dB", "+1.75 dB", "0.7000", "0.8500", "2.00"]
    assert {len(row) for row in cells} == {7}
    assert len({len(line) for line in lines}) == 1


def test_json_has_the_same_figures() -> None:
    content = json.loads(to_json([FIRST, SECOND], WORDS))
    assert [row["gain"] for row in content["photographs"]] == [3.0, 0.5]
    assert content["mean"]["restored_psnr"] == 26.75


def test_kernel_tile_tells_signs_apart() -> None:
    tile = kernel_tile(np.array([[0.0, 1.0], [-0.25, 0.0]]), 8)
    assert tile[0, 7].tolist() == [255, 190, 90]
    assert tile[7, 0].tolist() == [45, 80, 127]
    assert not tile[0, 0].any()


def test_busiest_window_finds_the_texture() -> None:
    image = np.full((100, 140, 3), 128, np.uint8)
    image[52:72, 93:123] = np.random.default_rng(0).integers(0, 256, (20, 30, 3))
    top, left = busiest_window(image, 24, 34)
    assert 48 <= top <= 52
    assert 89 <= left <= 93


def test_comparison_shows_the_photographs_side_by_side() -> None:
    red, green, blue = (np.full((100, 160, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200)))
    kernels = np.zeros((6, 64, 64))
    kernels[:, 0, 0] = 1
    columns = photograph_columns({"blurred": red, "restored": green, "sharp": blue}, zoom=2)
    png = comparison_png([*columns, kernel_column(kernels, columns[0].whole.height)])
    sheet = np.asarray(Image.open(BytesIO(png)))
    assert [sheet[150, x].tolist() for x in (170, 500, 830)] == [[200, 0, 0], [0, 200, 0], [0, 0, 200]]
    assert (sheet == (255, 190, 90)).all(axis=2).any()


def test_network_of_the_package_stands_beside_the_trained_one() -> None:
    rows = [replace(FIRST, psnr_shipped=24.0), replace(SECOND, psnr_shipped=33.0)]
    assert average(rows).psnr_shipped == 28.5
    columns = metric_columns([*rows, average(rows)], WORDS)
    assert columns["shipped network"] == ["24.00 dB", "33.00 dB", "28.50 dB"]
    assert json.loads(to_json(rows, WORDS))["mean"]["shipped_psnr"] == 28.5
    assert "shipped network" not in metric_columns([FIRST, SECOND], WORDS)
