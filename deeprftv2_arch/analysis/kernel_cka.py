"""How much of the ground-truth kernel is in the features of the kernel estimators (paper, Figure 8)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from deeprftv2_arch.analysis.cka import batch_terms, bootstrap_interval, minibatch_cka
from deeprftv2_arch.analysis.figure_files import in_print_style, new_figure
from deeprftv2_arch.analysis.images import read_pair
from deeprftv2_arch.analysis.kernels import SIDE, middle_part, tap_restoring, truth_at_scale
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.conversion import to_tensor
from deeprftv2_arch.restoring.restorer import Restorer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST = 32  # pixels
EPSILON = 1e-6  # of the estimator's norm, added to variances
WIDTH, HEIGHT = 3.5, 2.5  # inches of the figure, of one column


@dataclass(frozen=True)
class KernelCKA:
    """CKA of an estimator's features r_0, r_1, ... with the ground-truth kernel, over a set of pairs.

    Attributes:
        cka: Of every feature, (levels,).
        low: Lower end of its bootstrap interval over pairs, (levels,); not a number for a single pair.
        high: Upper end, (levels,), likewise.
        other: CKA with the kernel of another pair instead, (levels,): what is alike without that kernel being known.
            Of every pair but the first it is that of the pair before, if that has the same size; else not a number.
        terms: What they are made of, of the own kernel and of another one, (2, pairs, levels, 3), see
            :func:`~deeprftv2_arch.analysis.cka.batch_terms`.
    """

    cka: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    other: NDArray[np.float64]
    terms: NDArray[np.float64]


def kernel_cka(
    restorer: Restorer,
    pairs: Iterable[tuple[Path, Path]],
    side: int = SIDE,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, KernelCKA]:
    """Compare the features of every estimator with the ground-truth kernel F(B)/F(S) in Fourier space.

    Examples are frequencies, since a kernel in Fourier space is a map over them: at every frequency of an image a
    feature has the values of its channels, and the kernel a real and an imaginary part. An image is a batch. So the
    question is whether, within an image, frequencies have like features where they have like kernels. (With images
    as examples, hundreds of them would be needed for features of so many numbers.)

    Strengths of low and high frequencies differ by orders of magnitude, so that a handful would decide alone. As the
    estimator does before it reads the kernel off its last feature, the channels at every frequency are therefore
    brought to mean 0 and variance 1; frequency zero, the features' sum, is no example.

    Args:
        restorer: The network.
        pairs: Files of blurred images and of their sharp ones.
        side: Height and width of the middle of the images that is looked at.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        By the estimators' names, see :func:`~deeprftv2_arch.analysis.kernels.estimator_kernels`.

    Raises:
        OptionError: The network has no estimators.
        DataError: Images cannot be read, are too small, do not fit each other, or have nothing to compare.
    """
    own: dict[str, list[NDArray[np.float64]]] = {}
    other: dict[str, list[NDArray[np.float64]]] = {}
    before: dict[str, NDArray[np.float64]] = {}
    for blurred, sharp in tqdm(list(pairs), desc="pairs", unit="pair"):
        for name, (features, kernel) in _examples(restorer, blurred, sharp, side).items():
            of_pair = _terms(features, kernel)
            _require_variation(of_pair, blurred, sharp)
            own.setdefault(name, []).append(of_pair)
            other.setdefault(name, []).append(_terms(features, before.get(name)))
            before[name] = kernel
    return {name: _summary(np.array(own[name]), np.array(other[name]), resamples, seed) for name in own}


def _examples(
    restorer: Restorer, blurred: Path, sharp: Path, side: int
) -> dict[str, tuple[list[NDArray[np.float32]], NDArray[np.float64]]]:
    """Return, by estimator, a pair's n frequencies: features r_0, r_1, ... (n, C) of the blurred one, kernel (n, 2)."""
    x, truth = (middle_part(restorer.network, to_tensor(image), side) for image in read_pair(blurred, sharp, SMALLEST))
    examples = {}
    for place, tap in tap_restoring(restorer, x):
        kernel = truth_at_scale(place, tap, x, truth)
        parts = np.stack([kernel.real.ravel(), kernel.imag.ravel()], axis=1)[1:]
        examples[place.label] = [_frequencies(feature) for feature in tap.features], parts
    return examples


def _frequencies(feature: Tensor) -> NDArray[np.float32]:
    """Map (1, C, H, W) -> (H W - 1, C), without frequency zero, mean 0 and variance 1 at every frequency."""
    values = feature[0].float().flatten(1).T[1:]
    return F.layer_norm(values, values.shape[1:], eps=EPSILON).cpu().numpy()


def _terms(features: list[NDArray[np.float32]], kernel: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return (levels, 3); not numbers without a kernel, or with one of another size."""
    if kernel is None or len(kernel) != len(features[0]):
        return np.full((len(features), 3), np.nan)
    return np.array([batch_terms(feature, kernel) for feature in features])


def _require_variation(terms: NDArray[np.float64], blurred: Path, sharp: Path) -> None:
    """Raise DataError, which names the pair, if its features or kernel do not vary."""
    try:
        for level in terms:
            minibatch_cka(level[None])
    except DataError as error:
        raise DataError(f"{blurred} with {sharp}: {error}") from error


def _summary(own: NDArray[np.float64], other: NDArray[np.float64], resamples: int, seed: int) -> KernelCKA:
    """Summarise the terms (pairs, levels, 3) with the own kernel and with another pair's."""
    levels = range(own.shape[1])
    cka = [minibatch_cka(own[:, level]) for level in levels]
    low, high = np.transpose([bootstrap_interval(own[:, level], resamples, seed) for level in levels])
    known = np.isfinite(other).all(axis=(1, 2))  # pairs with which another kernel could be compared
    others = [minibatch_cka(other[known, level]) if known.any() else np.nan for level in levels]
    return KernelCKA(np.array(cka), low, high, np.array(others), np.stack([own, other]))


@in_print_style
def cka_figure(results: Mapping[str, KernelCKA]) -> "Figure":
    """Draw a line for every estimator over its features, with bootstrap intervals; dotted with other pairs' kernels."""
    figure = new_figure(HEIGHT, WIDTH)
    axes = figure.subplots()
    for index, (name, result) in enumerate(results.items()):
        levels = np.arange(len(result.cka)) + 0.04 * (index - (len(results) - 1) / 2)
        axes.plot(levels, result.cka, marker="o", markersize=3, linewidth=1, color=f"C{index}", label=name)
        axes.plot(levels, result.other, marker="x", markersize=3, linewidth=0.6, linestyle=":", color=f"C{index}")
        axes.vlines(levels, result.low, result.high, linewidth=1, color=f"C{index}")
    count = max(len(result.cka) for result in results.values())
    axes.set_xticks(range(count), [f"$r_{level}$" for level in range(count)])
    axes.set_ylabel("CKA with F(B)/F(S)")
    lowest = (float(np.nanmin([result.cka, result.low, result.other])) for result in results.values())
    axes.set_ylim(bottom=min(0.0, *lowest))
    axes.grid(axis="y", linewidth=0.3)
    axes.plot(
        [], [], marker="x", markersize=3, linewidth=0.6, linestyle=":", color="0.4", label="another pair's kernel"
    )
    axes.legend(frameon=False)
    return figure
