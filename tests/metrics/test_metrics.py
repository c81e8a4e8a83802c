"""The metrics against scikit-image, loops and arithmetic; what they take and what they refuse."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from basicsr.metrics import calculate_metric, calculate_psnr, calculate_ssim
from basicsr.utils.registry import METRIC_REGISTRY
from launch_helpers import training_options
from skimage.data import astronaut
from skimage.metrics import structural_similarity

from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.metrics.pixel_errors import calculate_mae, calculate_psnr_float
from deeprftv2_arch.metrics.ssim import calculate_ssim_3d, calculate_ssim_uniform
from deeprftv2_arch.options.checks import check_options

PIXELWISE = [calculate_mae, calculate_psnr_float, calculate_ssim_3d, calculate_ssim_uniform]
ALL = [
    "calculate_lpips",
    "calculate_mae",
    "calculate_psnr_aligned",
    "calculate_psnr_float",
    "calculate_ssim_3d",
    "calculate_ssim_aligned",
    "calculate_ssim_uniform",
]
Metric = Callable[..., float]


def pair(height: int = 20, width: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with noise and the image itself, uint8."""
    generator = np.random.default_rng(0)
    sharp = cv2.resize(generator.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8), (width, height))
    noise = generator.integers(-20, 21, sharp.shape)
    return (sharp + noise).clip(0, 255).astype(np.uint8), sharp


def blurred_astronaut() -> tuple[np.ndarray, np.ndarray]:
    """Return a photograph (512, 512, 3) RGB of 8 bits, blurred and as it is."""
    sharp = astronaut()
    return np.rint(cv2.GaussianBlur(sharp.astype(float), (9, 9), 1.6)).astype(np.uint8), sharp


def ssim_of_volumes(x: np.ndarray, y: np.ndarray) -> float:
    """Add up the 11 x 11 x 11 windows one by one, on the scale of 0..255."""
    line = np.exp(-(np.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
    window = np.einsum("i,j,k->ijk", line, line, line)
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    padded_x, padded_y = (np.pad(volume.astype(float), 5, mode="edge") for volume in (x, y))
    values = []
    for position in np.ndindex(*x.shape):
        around = tuple(slice(index, index + 11) for index in position)
        of_x, of_y = padded_x[around], padded_y[around]
        mean_x, mean_y = (window * of_x).sum(), (window * of_y).sum()
        variance_x = (window * (of_x - mean_x) ** 2).sum()
        variance_y = (window * (of_y - mean_y) ** 2).sum()
        covariance = (window * (of_x - mean_x) * (of_y - mean_y)).sum()
        luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        values.append(luminance * (2 * covariance + c2) / (variance_x + variance_y + c2))
    return float(np.mean(values))


def test_four_definitions_of_ssim_on_one_photograph() -> None:
    blurred, sharp = blurred_astronaut()
    as_bgr = blurred[..., ::-1], sharp[..., ::-1]
    figures = (
        calculate_ssim(*as_bgr, crop_border=0),
        calculate_ssim_3d(*as_bgr),
        calculate_ssim_uniform(*as_bgr),
        calculate_ssim(*as_bgr, crop_border=0, test_y_channel=True),
    )
    assert [round(float(figure), 4) for figure in figures] == [0.8545, 0.9254, 0.8656, 0.8805]
    # That of BasicSR is scikit-image's with a Gaussian window in every channel.
    options = {"channel_axis": -1, "gaussian_weights": True, "use_sample_covariance": False, "data_range": 255}
    assert figures[0] == pytest.approx(structural_similarity(blurred, sharp, **options), abs=1e-9)


def test_ssim_3d_is_that_of_windows_added_up() -> None:
    restored, sharp = pair(8, 12)
    assert calculate_ssim_3d(restored, sharp) == pytest.approx(ssim_of_volumes(restored, sharp), abs=1e-10)


@pytest.mark.parametrize("metric", [calculate_ssim_3d, calculate_ssim_uniform])
def test_ssim_of_nearly_black_images_takes_its_range_from_their_type(metric: Metric) -> None:
    one, other = (np.full((16, 16, 3), level, np.uint8) for level in (0, 1))
    # No variance, so the luminance term alone: (2 * 0 * 1 + c1) / (0 + 1 + c1) with c1 = (0.01 * 255)^2.
    assert metric(one, other) == pytest.approx(6.5025 / 7.5025, abs=1e-12)


def test_ssim_uniform_is_scikit_images_default() -> None:
    restored, sharp = (image / 255 for image in blurred_astronaut())
    expected = structural_similarity(restored, sharp, channel_axis=-1, data_range=1)
    assert calculate_ssim_uniform(restored, sharp) == pytest.approx(expected, abs=1e-12)
    restored, sharp = pair(7, 9)  # three windows
    expected = structural_similarity(restored, sharp, channel_axis=-1, data_range=255)
    assert calculate_ssim_uniform(restored, sharp) == pytest.approx(expected, abs=1e-12)


def test_psnr_of_floats_by_hand() -> None:
    sharp = np.full((4, 4, 3), 0.5)
    assert calculate_psnr_float(sharp + 1e-3, sharp) == pytest.approx(60, abs=1e-9)  # not rounded to 8 bits
    one_value = sharp.copy()
    one_value[0, 0, 0] = 1  # mean squared difference 0.25 / 48
    assert calculate_psnr_float(one_value, sharp) == pytest.approx(10 * math.log10(192), abs=1e-12)
    assert calculate_psnr_float(sharp, sharp) == math.inf


def test_psnr_of_8_bits_is_basicsrs() -> None:
    assert calculate_psnr_float(*pair(), crop_border=3) == pytest.approx(calculate_psnr(*pair(), 3), abs=1e-12)


def test_real_pair(real_pair: tuple[Path, Path]) -> None:
    blurred, sharp = (cv2.imread(str(path)) for path in real_pair)
    figure = calculate_psnr_float(blurred, sharp)
    assert figure == pytest.approx(calculate_psnr(blurred, sharp, 0), abs=1e-9)
    assert round(figure, 2) == 24.05


def test_mae_by_hand() -> None:
    sharp = np.zeros((2, 2, 3), np.uint8)
    restored = sharp.copy()
    restored[0, 0] = [51, 0, 102]
    assert calculate_mae(restored, sharp) == pytest.approx((0.2 + 0.4) / 12, abs=1e-15)
    assert calculate_mae(sharp, restored) == calculate_mae(restored, sharp)


@pytest.mark.parametrize("metric", PIXELWISE)
def test_every_type_of_the_same_image_gives_the_same_figure(metric: Metric) -> None:
    restored, sharp = pair()
    figure = metric(restored, sharp)
    of_16_bits = sharp.astype(np.uint16) * 257  # 65535 / 255
    for other in (of_16_bits, sharp / 255, (sharp / 255).astype(np.float32)):
        assert metric(restored, other) == pytest.approx(figure, abs=1e-5)


@pytest.mark.parametrize("metric", PIXELWISE)
def test_border_is_cropped_at_all_four_edges(metric: Metric) -> None:
    restored, sharp = pair()
    inside = (slice(2, -2), slice(2, -2))
    expected = metric(restored[inside], sharp[inside])
    for edge in ((0,), (-1,), (slice(None), 0), (slice(None), -1)):
        restored[edge] = 255 - sharp[edge]
    assert metric(restored, sharp, crop_border=2) == pytest.approx(expected, abs=1e-12)
    assert abs(metric(restored, sharp) - expected) > 0.02


@pytest.mark.parametrize("metric", PIXELWISE)
def test_the_order_of_the_colours_and_the_images_does_not_matter(metric: Metric) -> None:
    restored, sharp = pair()
    figure = metric(restored, sharp)
    assert metric(restored[..., ::-1], sharp[..., ::-1]) == pytest.approx(figure, abs=1e-12)
    assert metric(sharp, restored) == pytest.approx(figure, abs=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_basicsr_calls_it_by_its_name_in_option_files(name: str, tmp_path: Path) -> None:
    options = {"type": name, "crop_border": 1, "better": "higher"}
    check_options(training_options(tmp_path, tmp_path, val__metrics={"figure": options}), "run.yml", is_train=True)
    for wrong, expected in (
        ({"crop_boarder": 1}, "unknown key 'crop_boarder'; did you mean 'crop_border'?"),
        ({"crop_border": "1"}, "crop_border: expected a whole number, not '1'"),
    ):
        opt = training_options(tmp_path, tmp_path, val__metrics={"figure": {"type": name, **wrong}})
        with pytest.raises(OptionError, match="val: metrics: figure: ") as caught:
            check_options(opt, "run.yml", is_train=True)
        assert expected in str(caught.value)
    if name != "calculate_lpips":  # that needs weights
        restored, sharp = pair()
        figure = calculate_metric({"img": restored, "img2": sharp}, options)
        assert type(figure) is float
        assert figure == METRIC_REGISTRY.get(name)(restored, sharp, 1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("restored", "sharp", "more", "expected"),
    [
        (np.zeros((40, 40, 3)), np.zeros((40, 41, 3)), {}, r"images of shape (40, 40, 3) and (40, 41, 3)"),
        (np.zeros((40, 40)), np.zeros((40, 40)), {}, "of shape (height, width, 3), not (40, 40)"),
        (np.zeros((40, 40, 4)), np.zeros((40, 40, 4)), {}, "of shape (height, width, 3), not (40, 40, 4)"),
        (np.zeros((40, 40, 3), int), np.zeros((40, 40, 3), int), {}, "uint8, uint16 or floats, not of int64"),
        (np.full((40, 40, 3), 255.0), np.zeros((40, 40, 3)), {}, "floats in 0..1, not 255..255"),
        (np.zeros((40, 40, 3)), np.full((40, 40, 3), -0.1), {}, "floats in 0..1, not -0.1..-0.1"),
        (np.full((40, 40, 3), np.nan), np.zeros((40, 40, 3)), {}, "floats in 0..1, not nan..nan"),
        (
            np.zeros((40, 40, 3)),
            np.zeros((40, 40, 3)),
            {"crop_border": 20},
            "40x40 without a border of 20 are too small",
        ),
        (np.zeros((40, 40, 3)), np.zeros((40, 40, 3)), {"crop_border": -1}, "crop_border: expected 0 or more, not -1"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    name: str, restored: np.ndarray, sharp: np.ndarray, more: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=r"^metrics: ") as caught:
        METRIC_REGISTRY.get(name)(restored, sharp, **more)
    assert isinstance(caught.value, DataError | OptionError)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "smallest"),
    [("calculate_ssim_uniform", 7), ("calculate_ssim_aligned", 11), ("calculate_lpips", 31)],
)
def test_images_smaller_than_a_window_are_refused(name: str, smallest: int) -> None:
    image = np.zeros((40, smallest - 1, 3))
    with pytest.raises(DataError, match=f"images of {smallest - 1}x40 are too small; .* {smallest}x{smallest} or"):
        METRIC_REGISTRY.get(name)(image, image)
