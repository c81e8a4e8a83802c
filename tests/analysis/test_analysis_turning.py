"""Kernels beside straight motions of known direction, and ``python -m deeprftv2_arch analyze turning``."""

from pathlib import Path

import numpy as np
import pytest
import torch
from restoring_helpers import TINY_DEBLURRING, noise, run_command, save_atd

from deeprftv2_arch.analysis.turning import _compared, moved, transfer, turning_kernels
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.restoring.image_files import write_image
from deeprftv2_arch.restoring.restorer import Restorer

ANGLES = np.arange(12) * 15.0


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_motion_has_its_transfer_function(angle: float) -> None:
    y, x = np.mgrid[:96, :96]
    for across, down in ((4, 2), (3, -5), (0, 6)):  # waves of as many periods, counted to the right and downwards
        wave = (0.5 + 0.4 * np.cos(2 * np.pi * (across * x + down * y) / 96)).astype(np.float32)
        inside = (slice(16, -16), slice(16, -16))
        expected = 0.5 + transfer((96, 96), 8.0, angle)[48 + down, 48 + across] * (wave - 0.5)
        np.testing.assert_allclose(moved(wave, 8.0, angle)[inside], expected[inside], atol=0.01)


def test_motion_is_a_mean_over_its_length() -> None:
    dot = np.zeros((21, 21), np.float32)
    dot[10, 10] = 1
    drawn = moved(dot, 8.0, 90.0)[:, 10]
    assert drawn[7:14] == pytest.approx(np.full(7, 1 / 8), abs=0.02)
    assert drawn[:5] == pytest.approx(np.zeros(5), abs=0.01)
    assert moved((dot * 255).astype(np.uint8), 8.0, 0.0).dtype == np.uint8


@pytest.mark.parametrize("turn", [0, 3])
def test_direction_of_kernels_is_found(turn: int) -> None:
    generator = np.random.default_rng(0)
    image = generator.normal(size=(64, 64))  # what all motions share
    inverse = [-np.log(np.maximum(np.abs(transfer((64, 64), 9.0, angle + 15 * turn)), 0.1)) for angle in ANGLES]
    gains = np.array([0.2 * values + image + 0.05 * generator.normal(size=(64, 64)) for values in inverse])
    found = _compared(ANGLES, gains, 9.0)
    assert found.errors == pytest.approx(np.full(12, 15 * turn))
    assert (found.resemblance.max(axis=1) > 0.5).all()


def test_kernels_that_copy_the_blur_resemble_it_the_other_way_round() -> None:
    copies = np.array([np.abs(transfer((64, 64), 9.0, angle)) for angle in ANGLES])
    assert (_compared(ANGLES, copies, 9.0).resemblance.diagonal() < -0.5).all()


def test_estimators_are_compared_at_their_scales() -> None:
    torch.manual_seed(0)
    results = turning_kernels(
        Restorer(DeepRFTv2(**TINY_DEBLURRING, fke_blocks=(1,)), "cpu"), noise(48, 56, 3), motions=4
    )
    assert list(results) == ["unit1_full", "unit1_half"]
    full, half = results.values()
    assert full.resemblance.shape == half.resemblance.shape == (4, 4)
    assert full.angles.tolist() == [0, 45, 90, 135]
    # The motion is half as long at half the scale.
    np.testing.assert_allclose(
        half.truth[0] - half.truth[1],
        np.log(np.maximum(np.abs(transfer(half.truth.shape[1:], 4.5, 45.0)), 0.1))
        - np.log(np.maximum(np.abs(transfer(half.truth.shape[1:], 4.5, 0.0)), 0.1)),
        atol=1e-12,
    )


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"params": DeepRFTv2(**TINY_DEBLURRING, fke_blocks=(1,)).state_dict()}, "net.pth")
    write_image(tmp_path / "sharp.png", noise(48, 56, 3))
    words = ("analyze", "turning", "--checkpoint", "net.pth", "sharp.png", "--motions", "4")
    assert run_command(*words) == 0
    assert "knows nothing" in capsys.readouterr().out
    assert all((tmp_path / f"sharp_turning{suffix}").stat().st_size > 500 for suffix in (".png", ".pdf", ".npz"))
    for wrong in (("--motions", "3"), ("--length", "0.5"), ("--side", "8"), ()):
        assert run_command(*words, *wrong) != 0
        assert capsys.readouterr().err.count("\n") == 1
    save_atd(tmp_path / "sr.pth", fke=False)
    assert run_command("analyze", "turning", "--checkpoint", "sr.pth", "sharp.png", "-o", "other") != 0
    assert "no kernel estimators" in capsys.readouterr().err
