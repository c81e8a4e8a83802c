"""A network without end is refused while it is built."""

import pytest
from torch import nn

from deeprftv2_arch.checkpoints.building import check_whole
from deeprftv2_arch.errors import CheckpointError, OptionError
from deeprftv2_arch.networks import layers_bound
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.layers_bound import MOST_LAYERS, layers_bounded
from deeprftv2_arch.options.building import build_network

TINY = {"dim": 4, "units": 1, "blocks": (1, 1, 1), "full_kinds": ("NAF",) * 3}


def test_more_layers_than_any_network_has_are_refused() -> None:
    with pytest.raises(OptionError, match="more than 20,000 layers"), layers_bounded():
        nn.ModuleList(nn.Sequential(nn.Identity()) for _ in range(MOST_LAYERS // 2 + 1))
    assert len(nn.ModuleList(nn.Identity() for _ in range(MOST_LAYERS + 1))) == MOST_LAYERS + 1  # outside, none is


def test_option_files_and_checkpoints_build_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    state = DeepRFTv2(**TINY).state_dict()
    monkeypatch.setattr(layers_bound, "MOST_LAYERS", 50)
    with pytest.raises(OptionError, match=r"a\.yml: network_g: this network would have more than 50 layers"):
        build_network({"type": "DeepRFTv2", **TINY}, "a.yml: network_g", "meta")
    with pytest.raises(CheckpointError, match="more than 50 layers"):
        check_whole(state)
