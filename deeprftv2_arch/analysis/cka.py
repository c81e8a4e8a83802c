"""Linear CKA: how alike two sets of features are, up to rotation and scale.

Rows are examples, columns are features, as in Kornblith et al., "Similarity of neural network representations
revisited" (2019). The minibatch version is that of Nguyen, Raghu and Kornblith (2021): the mean, over batches, of an
estimate of HSIC without bias (Song et al., 2012), so that the result does not depend on how large the batches are.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.errors import DataError

SMALLEST = 4  # examples with which the estimate of HSIC is defined

Features = NDArray[Any]


def linear_cka(x: Features, y: Features) -> float:
    """Compute ||Yc^T Xc||^2 / (||Xc^T Xc|| ||Yc^T Yc||), Frobenius norms of centred features; from 0 to 1.

    Args:
        x: (n, p), n examples.
        y: (n, q) of the same examples.

    Raises:
        DataError: The numbers of examples differ, or features do not vary.
    """
    x, y = _centred(x, y)
    cross, own_x, own_y = (float((a.T @ b).ravel() @ (a.T @ b).ravel()) for a, b in ((x, y), (x, x), (y, y)))
    return _ratio(cross, own_x, own_y)


def unbiased_hsic(x: Features, y: Features) -> float:
    """Estimate of HSIC with linear kernels, without bias, of (n, p) and (n, q) features; it may be below zero.

        (tr(K L) + 1'K1 1'L1 / ((n - 1)(n - 2)) - 2 1'K L1 / (n - 2)) / (n (n - 3))

    K = X X' and L = Y Y' with zeros in the diagonal. Neither is built: the sums are those of products of features, so
    that memory grows with n alone.

    Raises:
        DataError: The numbers of examples differ, or are less than 4.
    """
    x, y = _centred(x, y)  # changes nothing but the rounding
    n = len(x)
    if n < SMALLEST:
        raise DataError(f"CKA needs at least {SMALLEST} examples in a batch, got {n}")
    x_norms, y_norms = (x**2).sum(axis=1), (y**2).sum(axis=1)
    x_rows, y_rows = x @ x.sum(axis=0) - x_norms, y @ y.sum(axis=0) - y_norms  # K 1 and L 1
    trace = ((x.T @ y) ** 2).sum() - x_norms @ y_norms
    total = trace + x_rows.sum() * y_rows.sum() / ((n - 1) * (n - 2)) - 2 * (x_rows @ y_rows) / (n - 2)
    return float(total / (n * (n - 3)))


def batch_terms(x: Features, y: Features) -> NDArray[np.float64]:
    """Estimate what :func:`minibatch_cka` takes the means of over batches: HSIC(x, y), (x, x) and (y, y)."""
    return np.array([unbiased_hsic(x, y), unbiased_hsic(x, x), unbiased_hsic(y, y)])


def minibatch_cka(terms: NDArray[np.float64]) -> float:
    """Compute mean HSIC(x, y) / sqrt(mean HSIC(x, x) mean HSIC(y, y)).

    Args:
        terms: (batches, 3), see :func:`batch_terms`.

    Raises:
        DataError: Features do not vary.
    """
    cross, own_x, own_y = np.mean(terms, axis=0)
    return _ratio(float(cross), float(own_x), float(own_y))


def bootstrap_interval(
    terms: NDArray[np.float64], resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile interval of :func:`minibatch_cka` over batches drawn with replacement.

    Args:
        terms: (batches, 3), see :func:`batch_terms`.
        resamples: How often as many batches as there are are drawn.
        seed: Of the draws.
        level: Part of the resamples inside of the interval.

    Returns:
        Both ends; not numbers for a single batch, which says nothing about others.
    """
    if len(terms) < 2:
        return np.nan, np.nan
    generator = np.random.default_rng(seed)
    values = [minibatch_cka(terms[generator.integers(len(terms), size=len(terms))]) for _ in range(resamples)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _centred(x: Features, y: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise DataError(f"CKA compares features (n, p) and (n, q) of the same examples, not {x.shape} and {y.shape}")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return x - x.mean(axis=0), y - y.mean(axis=0)


def _ratio(cross: float, own_x: float, own_y: float) -> float:
    if not (own_x > 0 and own_y > 0):
        raise DataError("CKA is not defined: features are the same for all examples, or not finite")
    return cross / float(np.sqrt(own_x) * np.sqrt(own_y))
