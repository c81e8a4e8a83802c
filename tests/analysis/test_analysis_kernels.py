"""The estimators' kernels and their ground truth, and the commands of ``python -m deeprftv2_arch analyze``."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from restoring_helpers import TINY_DEBLURRING, noise, run_command, save_atd

from deeprftv2_arch.analysis.cka import batch_terms
from deeprftv2_arch.analysis.figure_files import AnalysisFiles
from deeprftv2_arch.analysis.ground_truth_kernel import ground_truth_kernel
from deeprftv2_arch.analysis.images import luma
from deeprftv2_arch.analysis.kernel_cka import kernel_cka
from deeprftv2_arch.analysis.kernels import estimator_kernels
from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.layers.estimator_taps import EstimatorTap, estimators, tapped
from deeprftv2_arch.networks.card import EstimatorPlace
from deeprftv2_arch.networks.cards import card_of
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.restoring.image_files import read_image, write_image
from deeprftv2_arch.restoring.restorer import Restorer

TWO_UNITS: dict[str, Any] = TINY_DEBLURRING | {"units": 2, "fke_blocks": (1, 1)}
NAMES = ["unit1_full", "unit1_half", "unit2_full", "unit2_half"]


@pytest.fixture
def restorer() -> Restorer:
    return Restorer(DeepRFTv2(**TWO_UNITS), "cpu")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a checkpoint and pairs, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    torch.save({"params": DeepRFTv2(**TINY_DEBLURRING, fke_blocks=(1, 1)).state_dict()}, "net.pth")
    torch.save({"params": DeepRFTv2(**TINY_DEBLURRING, fke_blocks=()).state_dict()}, "without.pth")
    for kind in ("blur", "sharp"):
        (tmp_path / kind).mkdir()
        for seed, name in enumerate(["a", "b"]):
            write_image(tmp_path / kind / f"{name}.png", noise(48 + seed + 3 * (kind == "blur"), 60, 3)[:48])
    write_image(tmp_path / "dot.png", noise(1, 1, 3))
    write_image(tmp_path / "small.png", noise(40, 48, 3))
    return tmp_path


def analyze(*words: object) -> int:
    return run_command("analyze", *words)


def test_taps_tell_what_the_estimator_did(restorer: Restorer) -> None:
    parts = estimators(restorer.network)
    with tapped(parts) as taps, torch.no_grad():
        restorer.network(torch.rand(1, 3, 32, 40))
    for name, part in parts.items():
        tap = taps[name]
        spectrum = np.fft.rfft2(tap.blurred.double().numpy()) * tap.kernel.numpy()
        np.testing.assert_allclose(tap.deblurred, np.fft.irfft2(spectrum, tap.blurred.shape[2:]), atol=1e-5)
        with torch.no_grad():
            head = part.kernel_head(part.norm(tap.features[-1]))
        np.testing.assert_allclose(torch.cat([tap.kernel.real, tap.kernel.imag], dim=1), head, atol=1e-6)
        assert len(tap.features) == 3
    before = {name: tap.kernel for name, tap in taps.items()}
    restorer.network(torch.rand(1, 3, 32, 40))  # the hooks are gone
    assert all(tap.kernel is before[name] for name, tap in taps.items())


def test_channels_of_most_energy_are_shown(restorer: Restorer) -> None:
    for part in estimators(restorer.network).values():
        part.kernel_head.weight.data.zero_()
        part.kernel_head.bias.data.copy_(torch.tensor([1.0, -4, 2, 0] + [0.0] * 4))
    image = noise(32, 48, 3)
    results = estimator_kernels(restorer, image)
    assert list(results) == NAMES
    for result in results.values():
        assert result.channels.tolist() == [1, 2, 0, 3]
        np.testing.assert_allclose(result.deblurred[0], -4 * result.blurred[0], atol=1e-5)
        assert result.truth is None
    assert results["unit2_half"].blurred.shape == (4, 16, 24)
    chosen = estimator_kernels(restorer, image, channels=[3, 1])["unit1_full"]
    assert chosen.channels.tolist() == [3, 1]
    np.testing.assert_array_equal(chosen.blurred[1], results["unit1_full"].blurred[0])


def test_ground_truth_is_the_regularised_quotient() -> None:
    blurred, sharp = np.random.default_rng(0).random((2, 3, 8, 6))
    fade = [0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, length + 1) / (length + 1)) for length in (8, 6)]
    spectra = [np.fft.fft2(image * fade[0][:, None] * fade[1], (10, 12)) for image in (blurred, sharp)]
    power = (np.abs(spectra[1]) ** 2).sum(axis=0)
    expected = (spectra[0] * spectra[1].conj()).sum(axis=0) / (power + 0.1 * power.ravel()[1:].mean())
    kernel = ground_truth_kernel(blurred, sharp, (10, 12), regularisation=0.1)
    np.testing.assert_allclose(kernel, expected[:, :7])


def test_ground_truth_finds_a_kernel() -> None:
    sharp = np.random.default_rng(0).random((3, 96, 96)) - 0.5
    blurred = 0.6 * sharp + 0.3 * np.roll(sharp, 1, axis=1) + 0.1 * np.roll(sharp, -2, axis=2)
    expected = np.zeros((96, 96))
    expected[0, 0], expected[1, 0], expected[0, -2] = 0.6, 0.3, 0.1
    found = np.fft.irfft2(ground_truth_kernel(blurred, sharp), (96, 96))
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_ground_truth_of_black_images_is_finite() -> None:
    assert np.array_equal(ground_truth_kernel(np.zeros((3, 8, 8)), np.zeros((3, 8, 8))), np.zeros((8, 5)))


def moving_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Write two pairs, the first moved downwards, the second to the right."""
    pairs = []
    for index in range(2):
        sharp = noise(64 + index, 64, 3)[index:].astype(np.float32) / 255
        blurred = 0.6 * sharp + 0.4 * np.roll(sharp, 3, axis=index)
        pairs.append((folder / f"blurred{index}.png", folder / f"sharp{index}.png"))
        for path, image in zip(pairs[-1], (blurred, sharp), strict=True):
            write_image(path, (255 * image).round().astype(np.uint8))
    return pairs


def test_cka_of_features_that_know_the_kernel_and_of_others(
    restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = iter([(1.0, 0.0), (0.0, 1.0)])

    def planted(restorer: Restorer, x: torch.Tensor) -> list[tuple[EstimatorPlace, EstimatorTap]]:
        down, right = next(moves)
        height, width = x.shape[2:]
        phase = 3 * (down * torch.fft.fftfreq(height)[:, None] + right * torch.fft.rfftfreq(width)[None])
        kernel = 0.6 + 0.4 * torch.exp(-2j * torch.pi * phase)
        knowing = torch.stack([kernel.real, -kernel.real, kernel.imag, -kernel.imag])[None]
        first = card_of(restorer.network).estimators(restorer.network)[0]
        return [(first, EstimatorTap(x, x, kernel, [torch.rand(knowing.shape), 5 * knowing]))]

    monkeypatch.setattr("deeprftv2_arch.analysis.kernel_cka.tap_restoring", planted)
    result = kernel_cka(restorer, moving_pairs(tmp_path), resamples=50)["unit1_full"]
    assert abs(result.cka[0]) < 0.02
    assert result.cka[1] > 0.5  # what is lost is the strength at every frequency
    assert result.other[1] < 0.2
    assert np.isnan(result.terms[1, 0]).all()  # before the first pair there is none
    assert result.low[1] <= result.cka[1] <= result.high[1]


def test_cka_of_a_network(restorer: Restorer, tmp_path: Path) -> None:
    results = kernel_cka(restorer, moving_pairs(tmp_path), resamples=20)
    assert list(results) == NAMES
    pairs = moving_pairs(tmp_path)
    with torch.no_grad(), tapped({"": estimators(restorer.network)["units.1.full_scale.fke"]}) as taps:
        images = [torch.from_numpy(read_image(path)[0] / 255).permute(2, 0, 1).float()[None] for path in pairs[0]]
        restorer.network(images[0])
    truth = ground_truth_kernel(images[0][0].numpy(), images[1][0].numpy()).ravel()[1:]
    feature = taps[""].features[2][0].flatten(1).T[1:].double().numpy()
    feature = feature - feature.mean(axis=1, keepdims=True)
    feature = feature / np.sqrt((feature**2).mean(axis=1, keepdims=True) + 1e-6)
    expected = batch_terms(feature, np.stack([truth.real, truth.imag], axis=1))
    np.testing.assert_allclose(results["unit2_full"].terms[0, 0, 2], expected, rtol=1e-3, atol=1e-6)


def test_pair_that_has_no_kernel_is_named(restorer: Restorer, tmp_path: Path) -> None:
    pairs = moving_pairs(tmp_path)
    black = pairs[1][1]
    write_image(black, np.zeros_like(read_image(black)[0]))
    with pytest.raises(DataError, match=r"blurred1\.png with .*sharp1\.png: CKA is not defined"):
        kernel_cka(restorer, pairs, resamples=20)


def test_single_pair_has_no_interval(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    for kind in ("blur", "sharp"):
        (folder / kind / "b.png").unlink()
    assert analyze("cka", "--checkpoint", "net.pth", "--pairs", ".", "-o", "cka") == 0
    arrays = np.load("cka.npz")
    assert np.isfinite(arrays["unit1_full_cka"]).all()
    assert np.isnan([arrays["unit1_full_low"], arrays["unit1_full_high"]]).all()
    lines = capsys.readouterr().out.splitlines()
    assert f"unit1_full r_1: {arrays['unit1_full_cka'][1]:.3f} (one pair has no interval); " in lines[1]
    assert lines[-1].endswith("; 1 pair")


@pytest.mark.slow
def test_commands_write_figures_and_arrays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert analyze("fft-relu", "blur/a.png") == 0
    blurred = luma(read_image(Path("blur/a.png"))[0])
    pattern = np.load("a_fft_relu.npz")["pattern"]
    rectified = np.fft.fft2(blurred)
    inverse = np.fft.ifft2(np.maximum(rectified.real, 0) + 1j * np.maximum(rectified.imag, 0)).real - blurred / 2
    np.testing.assert_allclose(np.roll(pattern, (-(48 // 2), -(60 // 2)), axis=(0, 1)), inverse, atol=1e-12)
    pair = ("blur/a.png", "sharp/a.png")
    assert analyze("kernels", "--checkpoint", "net.pth", *pair, "--channels", "2,0", "-o", "k.png") == 0
    arrays = np.load("k.npz")
    assert arrays["unit1_half_channels"].tolist() == [2, 0]
    assert arrays["unit1_half_kernels"].shape == (2, 24, 15)  # of 48 x 56, the multiple of 8
    assert arrays["unit1_full_truth"].shape == (48, 29)
    assert analyze("cka", "--checkpoint", "net.pth", "--pairs", ".", "-o", "cka") == 0
    assert np.load("cka.npz")["unit1_full_cka"].shape == (3,)
    assert "unit1_half r_2: " in capsys.readouterr().out
    figures = ["a_fft_relu", "cka", *(f"k_{name}" for name in NAMES[:2])]
    for suffix, beginning in ((".png", b"\x89PNG"), (".pdf", b"%PDF")):
        assert sorted(path.stem for path in folder.glob(f"*{suffix}") if path.stem in figures) == sorted(figures)
        assert all(Path(name + suffix).read_bytes().startswith(beginning) for name in figures)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for words in (
        ("fft-relu", "blur/a.png"),
        ("kernels", "--checkpoint", "net.pth", *pair, "-o", "k"),
        ("cka", "--checkpoint", "net.pth", "--pairs", ".", "-o", "cka"),
    ):
        assert analyze(*words) == 2
        assert "exists already; remove it or choose another name by -o" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_network_that_enlarges(folder: Path) -> None:
    results = estimator_kernels(Restorer.from_checkpoint(save_atd(folder / "atd.pth", fke=True)), noise(40, 48, 3))
    assert list(results) == ["group1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fft-relu", "dot.png"], "dot.png: an image of 1x1 shows no kernels; take one of at least 32x32"),
        (["fft-relu", "nothing.png"], "nothing.png: there is no such file"),
        (["fft-relu", "small.png", "-o", "no/such/folder/x"], "there is no folder no/such/folder"),
        (["kernels", "--checkpoint", "net.pth", "dot.png"], "dot.png: an image of 1x1"),
        (
            ["kernels", "--checkpoint", "net.pth", "small.png", "sharp/a.png"],
            "small.png is 48x40 and sharp/a.png is 60x48",
        ),
        (["kernels", "--checkpoint", "net.pth", "small.png", "--channels", "0,4"], "--channels 4: the estimators have"),
        (["kernels", "--checkpoint", "net.pth", "small.png", "--channels", "x"], "--channels x: write numbers"),
        (["kernels", "--checkpoint", "net.pth", "small.png", "--side", "8"], "--side 8: at least 32 pixels"),
        (["kernels", "--checkpoint", "without.pth", "small.png"], "no kernel estimators"),
        (["kernels", "--checkpoint", "no.pth", "small.png"], "no.pth"),
        (["cka", "--checkpoint", "without.pth", "--pairs", "."], "no kernel estimators"),
        (["cka", "--checkpoint", "net.pth", "--pairs", "elsewhere"], "elsewhere/blur: there is no such folder"),
        (
            ["cka", "--checkpoint", "net.pth", "--pairs", ".", "--sharp", "alone"],
            "blur/a.png and 2 more have no partner",
        ),
        (["cka", "--checkpoint", "net.pth", "--pairs", ".", "--sharp", "empty"], "empty: holds no images"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    (folder / "alone").mkdir()
    (folder / "empty").mkdir()
    write_image(folder / "alone" / "c.png", noise(40, 48, 3))
    before = sorted(folder.iterdir())
    assert analyze(*words) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "pair/s" not in line]
    assert len(error) == 1
    assert message in error[0]
    assert sorted(folder.iterdir()) == before


def test_missing_matplotlib_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OptionError, match=r"pip install 'deeprftv2_arch\[analysis\]'"):
        AnalysisFiles(folder / "figure")
