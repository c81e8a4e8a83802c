"""Weights that do not fit a network: the error says what they are of, and what is wanted."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from deeprftv2_arch.checkpoints.io import require_fit
from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2


def without_memory(build: Callable[[], nn.Module]) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return build().state_dict()


def other_network() -> nn.Module:
    return nn.Sequential(OrderedDict(conv1=nn.Conv2d(3, 64, 7, bias=False), bn1=nn.BatchNorm2d(64)))


S = {"full_kinds": ("NAF",) * 3}


@pytest.mark.parametrize(
    ("file", "network", "phrases"),
    [
        (
            DeepRFTv2,
            lambda: DeepRFTv2(**S),
            [
                "those of DeepRFTv2-B with dim 48",
                "(full_kinds ['NAF', 'NAFEVS', 'NAFEVS'] instead of",
                "unexpected, e.g.",
            ],
        ),
        (
            lambda: DeepRFTv2(**S),
            DeepRFTv2,
            [
                "those of DeepRFTv2-S with dim 48",
                "(full_kinds ['NAF', 'NAF', 'NAF'] instead of ['NAF', 'NAFEVS'",
                "missing",
            ],
        ),
        (
            lambda: DeepRFTv2(dim=32),
            DeepRFTv2,
            ["those of DeepRFTv2 with dim 32", "(dim 32 instead of 48)", "another shape"],
        ),
        (
            lambda: ATD(upscale=2),
            lambda: ATD(upscale=4),
            [
                "those of ATD-light at x2 without fke (upscale 2 instead of 4); tensors 2 of another shape, "
                "e.g. upsample.0.weight (12, 48, 3, 3) instead of (48, 48, 3, 3), upsample.0.bias (12,) instead of"
            ],
        ),
        (
            DeepRFTv2,
            lambda: ATD(upscale=4),
            [
                "DeepRFTv2-B with",
                "(the option file builds ATD-light at x4 without fke)",
                "missing, e.g. relative_position",
            ],
        ),
        (
            other_network,
            DeepRFTv2,
            [
                "those of no network of this package (the option file builds DeepRFTv2-B",
                "e.g. conv1.weight, bn1.weight,",
            ],
        ),
    ],
)
def test_what_a_file_is_and_what_is_wanted_are_told(file: Any, network: Any, phrases: list[str]) -> None:
    with pytest.raises(CheckpointError, match=r"^a\.pth: does not fit the network of the option file: ") as caught:
        require_fit(without_memory(network), without_memory(file), Path("a.pth"))
    assert "\n" not in str(caught.value)
    for phrase in phrases:
        assert phrase in str(caught.value)


def test_a_part_of_a_network_is_told() -> None:
    state = without_memory(ATD)
    part = {name: value for name, value in state.items() if name != "conv_first.weight"}
    with pytest.raises(
        CheckpointError, match=r"those of a part of a network ATD .*; tensors 1 missing, e\.g\. conv_first"
    ):
        require_fit(state, part, Path("a.pth"))
