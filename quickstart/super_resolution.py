"""The quickstart of ATD with Fourier Kernel Estimators: photographs of half the size are enlarged again.

Run it with ``make quickstart-sr`` or ``python -m quickstart.super_resolution`` from the checkout's folder.
"""

import numpy as np
from basicsr.metrics import calculate_metric
from torch import nn

from deeprftv2_arch.common.imresize import imresize
from deeprftv2_arch.networks.atd import ATD
from quickstart.photographs import COLOURED, load_photograph
from quickstart.restoring import Restored, restore
from quickstart.steps import main
from quickstart.task import OPTION_FILES, Task, Words

SIZES = (1.0, 0.8, 0.6)


class SuperResolution(Task):
    """Every version of a photograph has another size and its channels in another order.

    A smaller one shows more detail in as many pixels. Those three photographs that have colours thus show more of them,
    and outweigh the grey ones, of which there is one version.

    PSNR and SSIM are those of the validation in the option file: on the luma, without a border of two pixels.
    """

    command = "python -m quickstart.super_resolution"
    description = (
        "Trains a narrow ATD with Fourier Kernel Estimators to enlarge photographs that come with scikit-image from "
        "half their size, and shows what it makes of photographs that it never saw, beside bicubic interpolation. "
        "Needs no GPU."
    )
    option_file = OPTION_FILES / "quickstart_sr.yml"
    network = ATD
    words = Words("bicubic", "network", "ground truth")
    scale = 2
    threads = 1  # So narrow a network has no work to share: two threads take longer, waiting for each other.
    detail_zoom = 4

    def versions(self, file_name: str) -> int:
        """Return one of every size for a photograph with colours."""
        return len(SIZES) if file_name in COLOURED else 1

    def true_version(self, file_name: str, version: int) -> np.ndarray:
        """Resize the photograph to the version's size, with even sides, and roll its channels by that number."""
        photograph = np.roll(load_photograph(file_name), version, axis=2)
        height, width = (2 * round(side * SIZES[version] / 2) for side in photograph.shape[:2])
        return imresize(photograph, (height, width))

    def degrade(self, photograph: np.ndarray, file_name: str, version: int, seed: int) -> np.ndarray:
        """Shrink the photograph to half its size, as MATLAB's imresize makes it."""
        height, width = photograph.shape[:2]
        return imresize(photograph, (height // 2, width // 2))

    def without_network(self, degraded: np.ndarray) -> np.ndarray:
        """Interpolate bicubically, by MATLAB's imresize too."""
        height, width = degraded.shape[:2]
        return imresize(degraded, (2 * height, 2 * width))

    def restore(self, network: nn.Module, degraded: np.ndarray) -> Restored:
        """Enlarge the photograph by the network."""
        return restore(network, degraded)

    def psnr(self, photograph: np.ndarray, truth: np.ndarray) -> float:
        """Measure the peak signal-to-noise ratio of the luma in dB."""
        return self._metric("psnr", photograph, truth)

    def ssim(self, photograph: np.ndarray, truth: np.ndarray) -> float:
        """Measure the structural similarity of the luma."""
        return self._metric("ssim", photograph, truth)

    def _metric(self, name: str, photograph: np.ndarray, truth: np.ndarray) -> float:
        bgr = {"img": photograph[:, :, ::-1], "img2": truth[:, :, ::-1]}
        return float(calculate_metric(bgr, self.options["val"]["metrics"][name]))


if __name__ == "__main__":
    main(SuperResolution())
