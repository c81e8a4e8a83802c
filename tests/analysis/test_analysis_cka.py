"""Linear CKA against its definition, and the bootstrap."""

import numpy as np
import pytest

from deeprftv2_arch.analysis.cka import batch_terms, bootstrap_interval, linear_cka, minibatch_cka, unbiased_hsic
from deeprftv2_arch.errors import DataError

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(30, 5)) @ RANDOM.normal(size=(5, 5)), RANDOM.normal(size=(30, 3))
Y[:, 0] += X[:, 1]


def orthogonal(size: int) -> np.ndarray:
    return np.linalg.qr(RANDOM.normal(size=(size, size)))[0]


def test_features_are_like_themselves() -> None:
    assert linear_cka(X, X) == pytest.approx(1)
    assert minibatch_cka(batch_terms(X, X)[None]) == pytest.approx(1)


def test_orthogonal_maps_shifts_and_isotropic_scaling_change_nothing() -> None:
    turned = 7 * Y @ orthogonal(3) + [1.0, -20, 300]
    assert linear_cka(X @ orthogonal(5), turned) == pytest.approx(linear_cka(X, Y))
    assert minibatch_cka(batch_terms(X @ orthogonal(5), turned)[None]) == pytest.approx(
        minibatch_cka(batch_terms(X, Y)[None])
    )
    assert linear_cka(X * [1, 1, 1, 1, 9], Y) != pytest.approx(linear_cka(X, Y), abs=0.01)  # not isotropic


def test_value_by_hand() -> None:
    # Centred: x = (-1, 0, 1), y = ((-1, 1), (0, -2), (1, 1)); y'x = (2, 0), x'x = 2, y'y = ((2, 0), (0, 6)).
    x, y = np.array([[0.0], [1], [2]]), np.array([[0.0, 3], [1, 0], [2, 3]])
    assert linear_cka(x, y) == pytest.approx(4 / (2 * np.sqrt(4 + 36)))


def test_it_is_the_hsic_of_centred_grams() -> None:
    centre = np.eye(30) - 1 / 30
    k, l_ = centre @ X @ X.T @ centre, centre @ Y @ Y.T @ centre
    assert linear_cka(X, Y) == pytest.approx(np.trace(k @ l_) / np.sqrt(np.trace(k @ k) * np.trace(l_ @ l_)))


def test_estimate_without_bias_is_that_of_the_definition() -> None:
    k, l_ = X @ X.T, Y @ Y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l_, 0)
    one, n = np.ones(30), 30
    expected = (
        np.trace(k @ l_) + (one @ k @ one) * (one @ l_ @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ l_ @ one)
    ) / (n * (n - 3))
    assert unbiased_hsic(X, Y) == pytest.approx(expected)


def test_estimate_has_no_bias_and_plain_cka_has() -> None:
    unlike = [(RANDOM.normal(size=(20, 30)), RANDOM.normal(size=(20, 30))) for _ in range(200)]
    assert np.mean([linear_cka(x, y) for x, y in unlike]) > 0.5
    assert abs(minibatch_cka(np.array([batch_terms(x, y) for x, y in unlike]))) < 0.02


def test_one_batch_of_all_is_the_unbiased_estimate_and_many_come_close() -> None:
    x = RANDOM.normal(size=(4000, 4))
    y = x[:, :2] + RANDOM.normal(size=(4000, 2))
    whole = unbiased_hsic(x, y) / np.sqrt(unbiased_hsic(x, x) * unbiased_hsic(y, y))
    assert minibatch_cka(batch_terms(x, y)[None]) == pytest.approx(whole)
    batches = np.array([batch_terms(x[start : start + 40], y[start : start + 40]) for start in range(0, 4000, 40)])
    assert minibatch_cka(batches) == pytest.approx(whole, abs=0.01)


def test_bootstrap_is_seeded_and_covers() -> None:
    y = X[:, :2] + RANDOM.normal(size=(30, 2))
    terms = np.array([batch_terms(X[start : start + 5], y[start : start + 5]) for start in range(0, 30, 5)])
    low, high = bootstrap_interval(terms, 500, seed=1)
    assert (low, high) == bootstrap_interval(terms, 500, seed=1) != bootstrap_interval(terms, 500, seed=2)
    assert low < minibatch_cka(terms) < high
    assert np.isnan(bootstrap_interval(terms[:1], 10)).all()  # one batch says nothing about others


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y[:29], "of the same examples"),
        (X[:, 0], Y, "of the same examples"),
        (np.ones((30, 2)), Y, "the same for all examples"),
        (X, np.full((30, 2), np.nan), "not finite"),
    ],
)
def test_features_that_cannot_be_compared(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        linear_cka(x, y)


def test_too_few_examples() -> None:
    with pytest.raises(DataError, match="at least 4 examples"):
        unbiased_hsic(X[:3], Y[:3])
