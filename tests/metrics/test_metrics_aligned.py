"""Alignment on images whose displacement is known, and the metrics against scikit-image."""

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from deblur_model_helpers import logged
from skimage.metrics import structural_similarity

from deeprftv2_arch.metrics import aligned as aligned_module
from deeprftv2_arch.metrics.aligned import (
    Aligned,
    align,
    calculate_psnr_aligned,
    calculate_ssim_aligned,
    measure_aligned,
)
from deeprftv2_arch.metrics.metric_values import metric_values
from deeprftv2_arch.metrics.pixel_errors import calculate_psnr_float

HEIGHT, WIDTH = 90, 120
HOMOGRAPHY = np.array([[1.004, 0.003, 2.3], [-0.002, 0.998, -1.7], [4e-6, -3e-6, 1]])
SHIFT = np.array([[1.0, 0, 3], [0, 1, 0], [0, 0, 1]])


def scene(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return smooth colours in 0.1..0.9 at real positions, which no interpolation has touched."""
    waves = [
        np.sin(0.11 * x + 0.05 * y) + np.cos(0.031 * x * (1 + channel / 9) - 0.14 * y) + np.sin(0.002 * x * y + channel)
        for channel in range(3)
    ]
    return np.stack(waves, -1) * 0.4 / 3 + 0.5


def positions() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    return x, y


def mapped(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u, v, w = np.einsum("ij,jyx->iyx", matrix, np.stack([x, y, np.ones_like(x)]))
    return u / w, v / w


def displaced(homography: np.ndarray, brightness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return a scene, darker and with what belongs to `p` at `homography @ p`, and the scene in its place."""
    x, y = positions()
    return brightness * scene(*mapped(np.linalg.inv(homography), x, y)), scene(x, y)


def noisy(restored: np.ndarray) -> np.ndarray:
    return (restored + np.random.default_rng(0).normal(0, 0.03, restored.shape)).clip(0, 1)


def unaligned_ssim(restored: np.ndarray, sharp: np.ndarray) -> float:
    return structural_similarity(
        restored, sharp, channel_axis=-1, gaussian_weights=True, use_sample_covariance=False, data_range=1
    )


def values_by_hand(pair: Aligned) -> tuple[float, float]:
    """PSNR and SSIM of aligned images, by steps 5 and 6 of the protocol."""
    mask = np.repeat(pair.mask, 3, axis=2)
    psnr = 10 * math.log10(1 / (((pair.restored - pair.sharp) ** 2).sum() / mask.sum()))
    _, full = structural_similarity(
        pair.restored,
        pair.sharp,
        channel_axis=-1,
        gaussian_weights=True,
        use_sample_covariance=False,
        data_range=1,
        full=True,
    )
    inner, inner_mask = (full * mask)[5:-5, 5:-5], mask[5:-5, 5:-5]
    return psnr, float(np.mean([inner[..., c].sum() / inner_mask[..., c].sum() for c in range(3)]))


@pytest.mark.parametrize("homography", [SHIFT, HOMOGRAPHY], ids=["shift", "homography"])
@pytest.mark.parametrize("brightness", [1.0, 0.7])
def test_known_displacement_and_brightness_are_undone(homography: np.ndarray, brightness: float) -> None:
    restored, sharp = displaced(homography, brightness)
    assert calculate_psnr_float(restored, sharp) < 28
    pair = align(restored, sharp)
    assert pair.failure is None
    visible = pair.mask[..., 0] == 1
    inner = visible & (cv2.erode(visible.astype(np.uint8), np.ones((9, 9))) == 1)
    inner[:4] = inner[-4:] = inner[:, :4] = inner[:, -4:] = False  # cubic interpolation sees the mirrored border
    assert np.abs(pair.restored - sharp)[inner].max() < 0.01
    measured = measure_aligned(restored, sharp)
    assert measured.psnr > 40
    assert measured.ssim > 0.995
    assert not measured.failed


def test_mask_is_where_the_restored_image_has_values() -> None:
    restored, sharp = displaced(HOMOGRAPHY)
    pair = align(restored, sharp)
    assert set(np.unique(pair.mask)) == {0, 1}
    u, v = mapped(HOMOGRAPHY, *positions())
    # More than half a pixel inside and outside, where the small error of the estimate does not matter.
    inside = (u > 0.3) & (u < WIDTH - 1.3) & (v > 0.3) & (v < HEIGHT - 1.3)
    outside = (u < -0.8) | (u > WIDTH - 0.2) | (v < -0.8) | (v > HEIGHT - 0.2)
    assert outside.sum() > 200
    assert (pair.mask[..., 0][inside] == 1).all()
    assert (pair.mask[..., 0][outside] == 0).all()
    assert (pair.restored[outside] == 0).all()
    assert (pair.sharp[outside] == 0).all()
    assert np.array_equal(pair.sharp[inside], sharp[inside])


@pytest.mark.parametrize("homography", [np.eye(3), HOMOGRAPHY], ids=["in place", "displaced"])
def test_values_are_those_of_the_protocol(homography: np.ndarray) -> None:
    restored, sharp = displaced(homography, 0.8)
    restored = noisy(restored)
    measured = measure_aligned(restored, sharp)
    psnr, ssim = values_by_hand(align(restored, sharp))
    assert measured.psnr == pytest.approx(psnr, abs=1e-9)
    assert measured.ssim == pytest.approx(ssim, abs=1e-9)


def test_protocol_step_by_step_on_rgb() -> None:
    restored, sharp = (image.astype(np.float32) for image in displaced(HOMOGRAPHY, 0.8))
    restored[..., 2] = noisy(np.roll(restored[..., 2], 4, axis=1))  # blue is elsewhere: the weights of grey matter
    scaled = np.float32((restored * sharp).sum() / (restored**2).sum()) * restored
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (sharp, scaled)]
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0)
    everywhere = np.ones((HEIGHT, WIDTH), np.uint8)
    find: Any = cv2.findTransformECC  # whose stub lacks this form
    _, warp = find(*grey, np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria, everywhere, 5)
    cubic, nearest = (flag + cv2.WARP_INVERSE_MAP for flag in (cv2.INTER_CUBIC, cv2.INTER_NEAREST))
    moved = cv2.warpPerspective(scaled, warp, (WIDTH, HEIGHT), flags=cubic, borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpPerspective(np.ones_like(scaled), warp, (WIDTH, HEIGHT), flags=nearest)
    values = (image.astype(float) for image in (moved * mask, sharp * mask, mask[..., :1]))
    psnr, ssim = values_by_hand(Aligned(*values, None))
    measured = measure_aligned(restored[..., ::-1], sharp[..., ::-1])
    assert measured.psnr == pytest.approx(psnr, abs=1e-4)
    assert measured.ssim == pytest.approx(ssim, abs=1e-5)


def test_images_in_place_differ_by_their_brightness_alone() -> None:
    sharp = scene(*positions())
    restored = noisy(sharp)
    factor = (restored * sharp).sum() / (restored * restored).sum()
    measured = measure_aligned(0.5 * restored, sharp)
    # What the search moves, it moves by hundredths of a pixel.
    assert measured.psnr == pytest.approx(-10 * math.log10(((factor * restored - sharp) ** 2).mean()), abs=0.1)
    assert measured.ssim == pytest.approx(unaligned_ssim(factor * restored, sharp), abs=5e-3)


def test_brightness_and_type_of_the_restored_image_do_not_matter() -> None:
    restored, sharp = (np.rint(image * 255).astype(np.uint8) for image in displaced(HOMOGRAPHY, 0.8))
    measured = measure_aligned(restored, sharp)
    for other in (restored / 255, restored / 510, restored.astype(np.uint16) * 257):
        same = measure_aligned(other, sharp)
        assert same.psnr == pytest.approx(measured.psnr, abs=1e-3)
        assert same.ssim == pytest.approx(measured.ssim, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda sharp: np.full_like(sharp, 0.3), "the restored image is of one colour"),
        (np.zeros_like, "the restored image is of one colour"),
        (lambda sharp: 1 - sharp, "OpenCV's search for a homography failed: "),
    ],
    ids=["flat", "black", "negative"],
)
def test_what_cannot_be_aligned_is_measured_as_it_is(change: Callable[[np.ndarray], np.ndarray], reason: str) -> None:
    sharp = scene(*positions())
    restored = change(sharp)
    pair = align(restored, sharp)
    assert pair.failure is not None
    assert pair.failure.startswith(reason)
    assert np.array_equal(pair.restored, restored)
    assert np.array_equal(pair.sharp, sharp)
    assert (pair.mask == 1).all()
    with logged() as messages:
        measured = measure_aligned(restored, sharp)
    assert measured.failed
    assert measured.psnr == pytest.approx(calculate_psnr_float(restored, sharp), abs=1e-9)
    assert measured.ssim == pytest.approx(unaligned_ssim(restored, sharp), abs=1e-9)
    assert messages == [f"An image is measured without alignment: {pair.failure}"]


def test_flat_ground_truth() -> None:
    sharp = np.full((HEIGHT, WIDTH, 3), 0.4)
    pair = align(scene(*positions()), sharp)
    assert pair.failure == "the ground truth is of one colour"
    assert measure_aligned(scene(*positions()), sharp).failed


def test_border_is_cropped_before_the_alignment() -> None:
    restored, sharp = displaced(HOMOGRAPHY)
    inside = slice(6, -6), slice(6, -6)
    expected = measure_aligned(restored[inside], sharp[inside])
    assert measure_aligned(restored, sharp, crop_border=6) == expected
    assert calculate_psnr_aligned(restored, sharp, crop_border=6) == expected.psnr
    assert calculate_ssim_aligned(restored, sharp, crop_border=6) == expected.ssim


def test_two_metrics_align_a_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    alignments = []

    def counted(*images: np.ndarray) -> Aligned:
        alignments.append(images)
        return align(*images)

    monkeypatch.setattr(aligned_module, "align", counted)
    restored, sharp = (np.rint(image * 255).astype(np.uint8) for image in displaced(SHIFT, 0.9))
    metrics = {name: {"type": f"calculate_{name}", "crop_border": 0} for name in ("psnr_aligned", "ssim_aligned")}
    first = metric_values({"img": restored, "img2": sharp}, metrics)
    assert len(alignments) == 1
    assert first.alignment_failed is False
    assert first.values == {
        "psnr_aligned": calculate_psnr_aligned(restored, sharp),
        "ssim_aligned": calculate_ssim_aligned(restored, sharp),
    }
    restored[:40] = noisy(restored[:40] / 255) * 255  # the same array, another image
    del alignments[:]
    later = metric_values({"img": restored, "img2": sharp}, metrics)
    assert len(alignments) == 1
    expected = values_by_hand(align(restored / 255, sharp / 255))
    assert tuple(later.values.values()) == pytest.approx(expected, abs=1e-9)
    assert later.alignment_failed is False
    assert later.values["psnr_aligned"] < first.values["psnr_aligned"] - 1
    assert later.values["ssim_aligned"] < first.values["ssim_aligned"]
    with_borders = metrics | {"ssim_aligned": {"type": "calculate_ssim_aligned", "crop_border": 6}}
    cropped = metric_values({"img": restored, "img2": sharp}, with_borders)
    assert len(alignments) == 3
    assert cropped.values["ssim_aligned"] == measure_aligned(restored, sharp, 6).ssim != later.values["ssim_aligned"]


def test_a_failed_alignment_is_told_beside_the_values() -> None:
    sharp = scene(*positions())
    images = {"img": np.full_like(sharp, 0.3), "img2": sharp}
    psnr, psnr_aligned = ({"type": f"calculate_{name}", "crop_border": 0} for name in ("psnr_float", "psnr_aligned"))
    found = metric_values(images, {"psnr": psnr, "psnr_aligned": psnr_aligned})
    assert found.alignment_failed is True
    assert found.values["psnr_aligned"] == pytest.approx(found.values["psnr"])
    assert metric_values(images, {"psnr": psnr}).alignment_failed is None
