"""The quickstart of DeepRFTv2: photographs slightly out of focus, and shaken, are deblurred."""

import os
from dataclasses import replace
from functools import cached_property
from zlib import crc32

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from deeprftv2_arch.data.synthetic_blur import BlurSettings, expose_photograph
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.restoring.kernels import estimated_kernels
from deeprftv2_arch.restoring.pretrained import default_name
from deeprftv2_arch.restoring.restorer import Restorer
from quickstart.photographs import load_photograph
from quickstart.restoring import Restored, restore
from quickstart.task import OPTION_FILES, Task, Words

EXPOSURES = 10


# Slightly out of focus, and shaken by a steady hand, in linear light, without what else befalls photographs. What they
# all share is learned in minutes; a network that tells shakes apart takes hours (docs/deeprftv2_t.md).
BLUR = BlurSettings(
    sharp=0,
    resample=(1, 1),
    path=(2, 4),
    straight=0.2,
    turning=1,
    objects=0,
    srgb=0,
    highlights=0,
    defocus=1,
    radius=(1.4, 1.6),
    second_depth=0,
    noise=0,
    jpeg=0,
)


def blurred_version(photograph: np.ndarray, file_name: str, exposure: int, seed: int) -> np.ndarray:
    """Blur a photograph: a pure function of the arguments."""
    rng = np.random.default_rng((seed, crc32(file_name.encode()), exposure))
    return expose_photograph(BLUR, rng, photograph)[0]


class Deblurring(Task):
    """Every version of a photograph is another exposure. PSNR and SSIM are those of RGB of 8 bits.

    SSIM has Gaussian windows of sigma 1.5 and population covariances, as in its paper.
    """

    command = "python -m quickstart"
    description = (
        "Trains a small DeepRFTv2 on photographs that come with scikit-image, slightly out of focus and "
        "shaken by a simulated hand, and shows what it makes of photographs that it never saw. Needs no GPU."
    )
    option_file = OPTION_FILES / "quickstart.yml"
    network: type[nn.Module] = DeepRFTv2
    words = Words("blurred", "restored", "sharp")
    scale = 1
    threads = os.cpu_count() or 1
    detail_zoom = 2

    def versions(self, file_name: str) -> int:
        """Return the number of exposures."""
        return EXPOSURES

    def true_version(self, file_name: str, version: int) -> np.ndarray:
        """Return the photograph: all exposures show the same."""
        return load_photograph(file_name)

    def degrade(self, photograph: np.ndarray, file_name: str, version: int, seed: int) -> np.ndarray:
        """Blur the photograph by the motion of that exposure."""
        return blurred_version(photograph, file_name, version, seed)

    def without_network(self, degraded: np.ndarray) -> np.ndarray:
        """Return the blurred photograph as it is."""
        return degraded

    def restore(self, network: nn.Module, degraded: np.ndarray) -> Restored:
        """Deblur, and look into the last kernel estimator."""
        restored: list[Restored] = []
        kernels = estimated_kernels(network, lambda: restored.append(restore(network, degraded)))
        return replace(restored[0], kernels=kernels)

    def shipped(self, degraded: np.ndarray) -> np.ndarray | None:
        """Restore it with the network that comes with the package, if there is one."""
        return self._shipped(degraded) if self._shipped else None

    @cached_property
    def _shipped(self) -> Restorer | None:
        return Restorer.from_pretrained(device="cpu") if default_name() else None

    def psnr(self, photograph: np.ndarray, truth: np.ndarray) -> float:
        """Measure the peak signal-to-noise ratio in dB."""
        return float(peak_signal_noise_ratio(truth, photograph))

    def ssim(self, photograph: np.ndarray, truth: np.ndarray) -> float:
        """Measure the structural similarity, mean over the channels."""
        windows = {"gaussian_weights": True, "use_sample_covariance": False}
        return float(structural_similarity(truth, photograph, channel_axis=2, **windows))
