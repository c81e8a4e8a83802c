"""Whether the kernels that a network estimates turn with a straight motion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deeprftv2_arch.analysis.figure_files import in_print_style, new_figure
from deeprftv2_arch.analysis.kernels import SIDE, middle_part, tap_restoring
from deeprftv2_arch.restoring.conversion import PEAKS, to_tensor
from deeprftv2_arch.restoring.restorer import Restorer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENGTH = 9.0  # pixels of the motion
MOTIONS = 12  # directions, of half a turn
LOWEST, HIGHEST = 0.02, 0.35  # cycles per pixel of the frequencies that are compared
FLOOR = 0.1  # of a transfer function, whose logarithm has no bottom
SHOWN = 4  # directions in a figure


@dataclass(frozen=True)
class Turning:
    """An estimator's kernels of one image that is moved in n directions; frequencies as of ``numpy.fft.fft2``, shifted.

    Attributes:
        angles: Of the motions in degrees, counter-clockwise from the horizontal, (n,).
        gains: Mean over channels of ln |K|, less its mean over the motions, (n, H, W).
        truth: The same of 1 / |H|, for the motion's transfer function H, held above a tenth, (n, H, W).
        resemblance: Correlation of the gains of motion i with the truth of motion j, over the frequencies between 0.02
            and 0.35 cycles per pixel, (n, n). Above 0 on the diagonal: kernels raise what the motion has weakened.
        errors: By how many degrees the motion whose truth is resembled most differs from the true one, (n,). Kernels
            that know nothing of the motion are off by 45 in the mean.
    """

    angles: NDArray[np.float64]
    gains: NDArray[np.float64]
    truth: NDArray[np.float64]
    resemblance: NDArray[np.float64]
    errors: NDArray[np.float64]


def turning_kernels(
    restorer: Restorer, sharp: NDArray[Any], length: float = LENGTH, motions: int = MOTIONS, side: int = SIDE
) -> dict[str, Turning]:
    """Move an image straight in several directions, and compare what an estimator makes of it with the motion.

    The photograph's own spectrum, and all that kernels do to every blurred image, are the same for all directions; less
    the mean over them, only what depends on the direction is left.

    Args:
        restorer: The network.
        sharp: The image, as :class:`Restorer` takes arrays.
        length: Of the motion in pixels.
        motions: Number of directions, evenly over half a turn.
        side: Height and width of the middle of the image that is looked at.

    Returns:
        By the estimators' names, see :func:`~deeprftv2_arch.analysis.kernels.estimator_kernels`.

    Raises:
        OptionError: The network has no estimators.
    """
    angles = np.arange(motions) * 180.0 / motions
    gains: dict[str, list[NDArray[np.float64]]] = {}
    halvings: dict[str, int] = {}
    for angle in tqdm(angles, desc="motions", unit="motion"):
        x = middle_part(restorer.network, to_tensor(moved(sharp, length, angle)), side)
        for place, tap in tap_restoring(restorer, x):
            width = tap.blurred.shape[3]
            kernel = np.fft.fft2(np.fft.irfft2(tap.kernel[0].cpu().numpy(), (tap.kernel.shape[2], width)))
            gains.setdefault(place.label, []).append(np.log(np.abs(kernel) + 1e-6).mean(axis=0))
            halvings[place.label] = place.halvings
    return {
        name: _compared(angles, np.fft.fftshift(np.array(of_motion), axes=(1, 2)), length / 2 ** halvings[name])
        for name, of_motion in gains.items()
    }


def moved(image: NDArray[Any], length: float, angle: float) -> NDArray[Any]:
    """Average an image over a straight motion.

    Args:
        image: (H, W) or (H, W, C), uint8, uint16 or float32.
        length: In pixels.
        angle: In degrees, counter-clockwise from the horizontal.

    Returns:
        Of the same shape and type.
    """
    scene, size = image.astype(np.float32), image.shape[1::-1]
    exposures = []
    for way in np.linspace(-length / 2, length / 2, max(3, 1 + 4 * int(np.ceil(length)))):
        x, y = way * np.cos(np.deg2rad(angle)), -way * np.sin(np.deg2rad(angle))
        shift = np.array([[1, 0, x], [0, 1, y]])
        exposures.append(cv2.warpAffine(scene, shift, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101))
    mean = np.clip(np.mean(exposures, axis=0), 0, PEAKS[image.dtype])
    result: NDArray[Any] = (mean if image.dtype.kind == "f" else np.rint(mean)).astype(image.dtype)
    return result


def transfer(size: tuple[int, int], length: float, angle: float) -> NDArray[np.float64]:
    """Return sinc(length f), a motion's transfer function of the frequency f along it, (H, W), 0 in the middle."""
    y, x = _frequencies(size)
    frequency = x * np.cos(np.deg2rad(angle)) - y * np.sin(np.deg2rad(angle))
    strength: NDArray[np.float64] = np.sinc(length * frequency)
    return strength


def _frequencies(size: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Return the frequencies downwards and to the right in cycles per pixel, each (H, W), 0 in the middle."""
    return list(np.meshgrid(*(np.fft.fftshift(np.fft.fftfreq(side)) for side in size), indexing="ij"))


def _compared(angles: NDArray[np.float64], gains: NDArray[np.float64], length: float) -> Turning:
    height, width = gains.shape[1:]
    wanted = -np.log(np.maximum(np.abs([transfer((height, width), length, angle) for angle in angles]), FLOOR))
    gains, truth = gains - gains.mean(axis=0), wanted - wanted.mean(axis=0)
    distance = np.hypot(*_frequencies((height, width)))
    kept = (distance > LOWEST) & (distance < HIGHEST)
    count = len(angles)
    resemblance = np.corrcoef(gains[:, kept], truth[:, kept])[:count, count:]
    turned = np.abs(angles - angles[resemblance.argmax(axis=1)])
    return Turning(angles, gains, truth, resemblance, np.minimum(turned, 180 - turned))


@in_print_style
def turning_figure(results: Mapping[str, Turning]) -> "Figure":
    """Draw the truth of some motions, and below it the gains of every estimator; on the right all resemblances."""
    rows = 1 + len(results)
    figure = new_figure(0.3 + 1.35 * rows)
    axes = figure.subplots(rows, SHOWN + 1)
    first = next(iter(results.values()))
    chosen = np.linspace(0, len(first.angles), SHOWN, endpoint=False).astype(int)
    for column, index in enumerate(chosen):
        axes[0, column].set_title(f"{first.angles[index]:.0f} degrees")
        for row, maps in enumerate([first.truth, *(result.gains for result in results.values())]):
            peak = np.quantile(np.abs(maps), 0.995)
            axes[row, column].imshow(maps[index], cmap="RdBu_r", vmin=-peak, vmax=peak)
    axes[0, 0].set_ylabel("1 / |H|")
    axes[0, -1].axis("off")
    for row, (name, result) in enumerate(results.items(), start=1):
        axes[row, 0].set_ylabel(name.replace("_", ", "))
        peak = np.abs(result.resemblance).max()
        axes[row, -1].imshow(result.resemblance, cmap="RdBu_r", vmin=-peak, vmax=peak)
        axes[row, -1].set_title(f"resemblance, up to {peak:.2f}")
        axes[row, -1].set_xlabel(f"{result.errors.mean():.0f}° off in the mean")
    for part in figure.axes:
        part.set_xticks([])
        part.set_yticks([])
    return figure
