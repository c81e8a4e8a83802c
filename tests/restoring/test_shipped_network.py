"""The network that comes with the package does what its card says, on photographs that it never saw."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from benchmarks.deblurring import SHAKE
from deeprftv2_arch.data.synthetic_blur import expose_photograph
from deeprftv2_arch.restoring.restorer import Restorer
from quickstart.photographs import load_photograph


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer.from_pretrained(device="cpu")


def crop(name: str) -> np.ndarray:
    return np.ascontiguousarray(load_photograph(name)[150:278, 200:328])


@pytest.mark.parametrize(("path", "gain"), [((3.0, 8.0), 1.5), ((8.0, 15.0), 0.5)])
def test_shaken_photographs_become_sharper(restorer: Restorer, path: tuple[float, float], gain: float) -> None:
    gains = []
    for seed, name in enumerate(("astronaut.png", "chelsea.png", "motorcycle_left.png")):
        sharp = crop(name)
        blurred = expose_photograph(replace(SHAKE, path=path), np.random.default_rng(seed), sharp)[0]
        before, after = (peak_signal_noise_ratio(sharp, image) for image in (blurred, restorer(blurred)))
        gains.append(after - before)
    assert np.mean(gains) > gain
    assert min(gains) > -0.2


def test_sharp_photographs_stay_as_they_are(restorer: Restorer) -> None:
    for name in ("astronaut.png", "motorcycle_left.png"):
        sharp = crop(name)
        restored = restorer(sharp)
        assert peak_signal_noise_ratio(sharp, restored) > 40
        assert np.abs(restored.mean(axis=(0, 1)) - sharp.mean(axis=(0, 1))).max() < 0.5
