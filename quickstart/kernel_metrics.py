"""How good estimated kernels are: beside the true ones, and by what they make of the sharp photograph."""

from dataclasses import dataclass

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from deeprftv2_arch.ops.reblur import reblur
from quickstart.kernel_blur import KernelBlur

STRIDE = 8  # between the pixels whose kernels are compared


@dataclass(frozen=True)
class KernelMetrics:
    """How good the kernels of one photograph are.

    Attributes:
        similarity: Mean over the pixels of :func:`similarity` to the true kernel, 0..1.
        reblur_psnr: Of the sharp photograph, blurred by the kernels, against the blurred one, in dB.
    """

    similarity: float
    reblur_psnr: float


def similarity(kernels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the largest normalised cross-correlation over all shifts, as Hu and Yang (ECCV 2012) compare kernels.

    Args:
        kernels: (N, k, k).
        others: The same.

    Returns:
        (N,): 1 for kernels that are equal but for their place and their sum.
    """
    size = 2 * kernels.shape[1] - 1
    spectra = (np.fft.rfft2(x, (size, size)) for x in (kernels, others))
    correlation = np.fft.irfft2(next(spectra) * np.conj(next(spectra)), (size, size))
    norms = (np.sqrt((x**2).sum(axis=(1, 2))) for x in (kernels, others))
    found: np.ndarray = correlation.max(axis=(1, 2)) / (next(norms) * next(norms))
    return found


def compared_pixels(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the pixels whose kernels are compared."""
    rows, columns = np.mgrid[STRIDE // 2 : height : STRIDE, STRIDE // 2 : width : STRIDE]
    return rows.ravel(), columns.ravel()


@torch.no_grad()
def measure_field(field: Tensor, blur: KernelBlur, sharp: np.ndarray, blurred: np.ndarray) -> KernelMetrics:
    """Measure a kernel field.

    Args:
        field: (1, k * k, H, W) the estimated kernels.
        blur: The true ones.
        sharp: (H, W, 3) uint8 RGB.
        blurred: The same, by the true kernels.
    """
    rows, columns = compared_pixels(*sharp.shape[:2])
    true = blur.kernels(rows, columns)
    estimated = field[0][:, rows, columns].T.numpy().reshape(true.shape)
    image = torch.from_numpy(np.ascontiguousarray(sharp.transpose(2, 0, 1))).float()[None] / 255
    again = reblur(image, field)[0].permute(1, 2, 0).numpy().clip(0, 1)
    return KernelMetrics(
        similarity=float(similarity(estimated, true).mean()),
        reblur_psnr=float(peak_signal_noise_ratio(blurred / 255, again, data_range=1)),
    )


def same_everywhere(kernel: np.ndarray, height: int, width: int) -> Tensor:
    """Make the field (1, k * k, H, W) that has one kernel for all pixels."""
    flat = torch.from_numpy(kernel.astype(np.float32)).flatten()
    return flat[None, :, None, None].expand(1, -1, height, width)
