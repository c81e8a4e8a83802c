"""How much of the ground-truth kernel is in the features of the kernel estimators (paper, Figure 8)."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from deeprftv2_arch.analysis.cka import batch_terms, bootstrap_interval, minibatch_cka
from deeprftv2_arch.analysis.kernels import SIDE, label, middle_part, tap_restoring, truth_at_scale
from deeprftv2_arch.analysis.pictures import read_pair
from deeprftv2_arch.restoring.conversion import to_tensor
from deeprftv2_arch.restoring.restorer import Restorer

SMALLEST = 32  # pixels


@dataclass(frozen=True)
class KernelCKA:
    """CKA of an estimator's features r_0, r_1, ... with the ground-truth kernel, over a set of pairs.

    Attributes:
        cka: Of every feature, (levels,).
        low: Lower end of its bootstrap interval over pairs, (levels,).
        high: Upper end, (levels,).
        terms: What it is made of, (pairs, levels, 3), see :func:`~deeprftv2_arch.analysis.cka.batch_terms`.
    """

    cka: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    terms: NDArray[np.float64]


def kernel_cka(
    restorer: Restorer,
    pairs: Iterable[tuple[Path, Path]],
    side: int = SIDE,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, KernelCKA]:
    """Compare the features of every estimator with the ground-truth kernel F(B)/F(S) in Fourier space.

    Examples are frequencies, since a kernel in Fourier space is a map over them: at every frequency of a picture a
    feature has the values of its channels, and the kernel a real and an imaginary part. A picture is a batch. So the
    question is whether, within a picture, frequencies have like features where they have like kernels. Frequency zero
    is no example: there lies the sum of the feature, which is so much larger than all else that it would decide alone.

    Args:
        restorer: The network.
        pairs: Files of blurred pictures and of their sharp ones.
        side: Height and width of the middle of the pictures that is looked at.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        By the estimators' names, see :func:`~deeprftv2_arch.analysis.kernels.estimator_kernels`.

    Raises:
        OptionError: The network has no estimators.
        DataError: Pictures cannot be read, are too small, or do not fit each other.
    """
    terms: dict[str, list[list[NDArray[np.float64]]]] = {}
    for blurred, sharp in tqdm(list(pairs), desc="pairs", unit="pair"):
        x, truth = (
            middle_part(restorer.network, to_tensor(picture), side) for picture in read_pair(blurred, sharp, SMALLEST)
        )
        for name, tap in tap_restoring(restorer, x).items():
            kernel = truth_at_scale(name, tap, x, truth)
            examples = np.stack([kernel.real.ravel(), kernel.imag.ravel()], axis=1)[1:]
            levels = [batch_terms(_frequencies(feature), examples) for feature in tap.features]
            terms.setdefault(label(name), []).append(levels)
    return {name: _summary(np.array(of_pairs), resamples, seed) for name, of_pairs in terms.items()}


def _frequencies(feature: Tensor) -> NDArray[np.float32]:
    """(1, C, H, W) -> (H W - 1, C), without frequency zero."""
    return feature[0].float().flatten(1).T.cpu().numpy()[1:]


def _summary(terms: NDArray[np.float64], resamples: int, seed: int) -> KernelCKA:
    levels = range(terms.shape[1])
    intervals = np.array([bootstrap_interval(terms[:, level], resamples, seed) for level in levels])
    cka = np.array([minibatch_cka(terms[:, level]) for level in levels])
    return KernelCKA(cka, intervals[:, 0], intervals[:, 1], terms)
