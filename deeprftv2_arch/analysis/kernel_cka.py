"""How much of the ground-truth kernel is in the features of the kernel estimators (paper, Figure 8)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from deeprftv2_arch.analysis.cka import batch_terms, bootstrap_interval, minibatch_cka
from deeprftv2_arch.analysis.images import read_pair
from deeprftv2_arch.analysis.kernels import SIDE, label, middle_part, tap_restoring, truth_at_scale
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.conversion import to_tensor
from deeprftv2_arch.restoring.restorer import Restorer

SMALLEST = 32  # pixels
EPSILON = 1e-6  # of the estimator's norm, added to variances


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
    terms: dict[str, list[list[NDArray[np.float64]]]] = {}
    before: dict[str, NDArray[np.float64]] = {}
    for blurred, sharp in tqdm(list(pairs), desc="pairs", unit="pair"):
        x, truth = (
            middle_part(restorer.network, to_tensor(image), side) for image in read_pair(blurred, sharp, SMALLEST)
        )
        for name, tap in tap_restoring(restorer, x).items():
            kernel = truth_at_scale(name, tap, x, truth)
            own = np.stack([kernel.real.ravel(), kernel.imag.ravel()], axis=1)[1:]
            other = before.get(name, own[:0])
            features = [_frequencies(feature) for feature in tap.features]
            of_pair = _terms(features, own)
            try:
                for level in of_pair:
                    minibatch_cka(level[None])  # refuses what does not vary while it is known which pair that is
            except DataError as error:
                raise DataError(f"{blurred} with {sharp}: {error}") from error
            terms.setdefault(label(name), []).append([of_pair, _terms(features, other)])
            before[name] = own
    return {name: _summary(np.array(of_pairs).swapaxes(0, 1), resamples, seed) for name, of_pairs in terms.items()}


def _frequencies(feature: Tensor) -> NDArray[np.float32]:
    """(1, C, H, W) -> (H W - 1, C), without frequency zero, mean 0 and variance 1 at every frequency."""
    values = feature[0].float().flatten(1).T[1:]
    return F.layer_norm(values, values.shape[1:], eps=EPSILON).cpu().numpy()


def _terms(features: Sequence[NDArray[np.float32]], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """(levels, 3); not numbers where the kernel is of another size."""
    if len(kernel) != len(features[0]):
        return np.full((len(features), 3), np.nan)
    return np.array([batch_terms(feature, kernel) for feature in features])


def _summary(terms: NDArray[np.float64], resamples: int, seed: int) -> KernelCKA:
    own, other = (of_pairs.swapaxes(0, 1) for of_pairs in terms)  # (levels, pairs, 3)
    intervals = np.array([bootstrap_interval(level, resamples, seed) for level in own])
    comparable = np.isfinite(other[0, :, 0])
    others = [minibatch_cka(level[comparable]) if comparable.any() else np.nan for level in other]
    cka = np.array([minibatch_cka(level) for level in own])
    return KernelCKA(cka, intervals[:, 0], intervals[:, 1], np.array(others), terms)
