"""The Fourier Kernel Estimator as a part of other networks: its example, its defaults and its errors."""

import doctest
from typing import Any

import pytest
import torch

from deeprftv2_arch import FourierKernelEstimator
from deeprftv2_arch.errors import OptionError
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
        ({"dim": 0}, "dim must be at least 1, got 0"),
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
