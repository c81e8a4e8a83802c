"""The network that comes with the package does what its card says, on photographs that it never saw."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks.deblurring import SHAKE
from deeprftv2_arch.data.synthetic_blur import expose_photograph
from deeprftv2_arch.restoring.restorer import Restorer
from quickstart.photographs import load_photograph

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "motorcycle_left.png")


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer.from_pretrained(device="cpu")


def crop(name: str) -> np.ndarray:
    return np.ascontiguousarray(load_photograph(name)[150:278, 200:328])


@pytest.mark.parametrize(
    ("path", "mean", "least"), [((3.0, 8.0), 1.5, -0.2), ((8.0, 15.0), 1.0, -0.2), ((15.0, 30.0), 0.0, -0.5)]
)
def test_shaken_photographs_become_sharper(
    restorer: Restorer, path: tuple[float, float], mean: float, least: float
) -> None:
    """The mean and the least gain of PSNR in dB, by the length of the shake in pixels."""
    gains = []
    for seed, name in enumerate(2 * PHOTOGRAPHS):
        sharp = crop(name)
        blurred = expose_photograph(replace(SHAKE, path=path), np.random.default_rng(seed), sharp)[0]
        before, after = (peak_signal_noise_ratio(sharp, image) for image in (blurred, restorer(blurred)))
        gains.append(after - before)
    assert np.mean(gains) > mean
    assert min(gains) > least


def test_sharp_photographs_stay_as_they_are(restorer: Restorer) -> None:
    for name in PHOTOGRAPHS:
        sharp = crop(name)
        restored = restorer(sharp)
        assert peak_signal_noise_ratio(sharp, restored) > 40
        assert structural_similarity(sharp, restored, channel_axis=2) > 0.99
        assert np.abs(restored.mean(axis=(0, 1)) - sharp.mean(axis=(0, 1))).max() < 0.5
