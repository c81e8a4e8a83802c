"""The Fourier Kernel Estimator as a part of other networks: its example, its defaults and its errors."""

import doctest
from typing import Any

import pytest
import torch

from deeprftv2_arch import FourierKernelEstimator
from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.layers import kernel_estimator


def test_the_example_of_the_docstring_runs() -> None:
    (example,) = [
        found
        for found in doctest.DocTestFinder().find(kernel_estimator.FourierKernelEstimator, globs={})
        if found.examples
    ]
    assert len(example.examples) <= 10
    assert doctest.DocTestRunner().run(example) == (0, len(example.examples))


def test_the_width_alone_is_needed_for_an_estimator_of_the_paper() -> None:
    estimator = FourierKernelEstimator(48)
    explicit = FourierKernelEstimator(48, (1, 1, 1, 1), "VS", True, "none")
    assert sum(parameter.numel() for parameter in estimator.parameters()) == 92_000
    explicit.load_state_dict(estimator.state_dict())
    f = torch.rand(1, 48, 6, 9)
    deblurred, features = estimator(f)
    assert torch.equal(deblurred, explicit(f, None)[0])
    assert [feature.shape for feature in features] == [(1, 48, 6, 6)] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"counts": ()}, r"counts must be a list with the number of blocks of every level, each at least 1, got \(\)"),
        ({"counts": [1, 0]}, r"got \[1, 0\]"),
        ({"counts": [1, 1.5]}, r"got \[1, 1.5\]"),
        ({"counts": 4}, "got 4"),
        ({"counts": "1111"}, "got '1111'"),
        ({"counts": (True,)}, r"got \(True,\)"),
        ({"dim": 0}, "dim must be a whole number of at least 1, got 0"),
        ({"dim": "16"}, "dim must be a whole number of at least 1, got '16'"),
        ({"dim": 16.0}, "got 16.0"),
        ({"dim": True}, "got True"),
        ({"kind": "VSS"}, "block kind 'VSS' is unknown"),
        ({"memory": "some"}, "'some' is not a memory mode"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        FourierKernelEstimator(**{"dim": 4, **arguments})


def test_features_of_an_estimator_of_another_depth_are_refused() -> None:
    f = torch.rand(1, 4, 6, 8)
    _, features = FourierKernelEstimator(4, (1, 1))(f)
    with pytest.raises(OptionError, match="the estimator before this one has 2 features, this one 4"):
        FourierKernelEstimator(4, first=False)(f, features)


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (1, 4, 1, 8), (1, 4, 8, 1), (1, 3, 6, 8), (4, 6, 8)])
def test_maps_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        DataError, match=r"expected features \(B, 4, H, W\) of at least 2x2 pixels, got .* shape"
    ) as caught:
        FourierKernelEstimator(4, (1,))(torch.rand(shape))
    assert str(caught.value).endswith(f"{shape}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (2, 4, 6, 8), (1, 4, 6, 10)])
def test_features_of_an_estimator_on_other_maps_are_refused(shape: tuple[int, ...]) -> None:
    _, features = FourierKernelEstimator(4, (1,))(torch.rand(shape))
    with pytest.raises(
        DataError, match=r"expected features of shape \(1, 4, 6, 5\) from the estimator before this one"
    ):
        FourierKernelEstimator(4, (1,), first=False)(torch.rand(1, 4, 6, 8), features)


def test_a_first_estimator_has_none_before_it_and_another_one_has() -> None:
    f = torch.rand(1, 4, 6, 8)
    _, features = FourierKernelEstimator(4, (1,))(f)
    with pytest.raises(OptionError, match="expected previous=None for a first estimator"):
        FourierKernelEstimator(4, (1,))(f, features)
    with pytest.raises(
        OptionError, match="expected the features of the estimator before this one as previous, got None"
    ):
        FourierKernelEstimator(4, (1,), first=False)(f)
