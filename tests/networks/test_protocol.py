"""What is known of a network, of this package or of somebody else's."""

from typing import Any

import pytest
from basicsr.archs.edsr_arch import EDSR
from basicsr.archs.srresnet_arch import MSRResNet
from torch import nn
from ufpnet_helpers import NARROW

from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.identity import Identity
from deeprftv2_arch.networks.mimo_unet import MIMOUNet
from deeprftv2_arch.networks.protocol import KernelGuided, MultiScaleNetwork, NetworkTraits, TiledNetwork, traits_of
from deeprftv2_arch.networks.ufpnet import UFPNet

TINY: dict[str, Any] = {"dim": 4, "blocks": (1, 4, 4)}
ATD_SIZES: dict[str, Any] = {
    "embed_dim": 16,
    "depths": (1,),
    "num_heads": (2,),
    "window_size": 8,
    "num_tokens": 8,
    "reducted_dim": 4,
}


@pytest.mark.parametrize(
    ("network", "traits"),
    [
        (DeepRFTv2(**TINY), NetworkTraits(size_multiple=8, training_multiple=8)),
        (
            DeepRFTv2(**TINY, scales=1, tile=32, tile_overlap=4),
            NetworkTraits(size_multiple=4, training_multiple=4, tile=32, tile_overlap=4),
        ),
        (MIMOUNet(**TINY, tile=16), NetworkTraits(size_multiple=8, training_multiple=8, tile=16)),
        (UFPNet(**NARROW), NetworkTraits(size_multiple=2 ** len(NARROW["enc_blocks"]), training_multiple=16)),
        (
            ATD(upscale=3, in_chans=1, **ATD_SIZES),
            NetworkTraits(upscale=3, channels=1, size_multiple=8, tile_overlap=16, keeps_tiles=True),
        ),
        (
            ATD(upscale=4, img_size=32, fke=True, tile_overlap=2, **ATD_SIZES),
            NetworkTraits(upscale=4, size_multiple=8, tile=32, tile_overlap=2, keeps_tiles=True),
        ),
        (Identity(), NetworkTraits()),
        (MSRResNet(3, 3, 4, 1, upscale=3), NetworkTraits(upscale=3)),  # of BasicSR, which says its factor
        (EDSR(3, 3, 4, 1, upscale=2), NetworkTraits()),  # of BasicSR, which does not
        (nn.Conv2d(3, 3, 1), NetworkTraits()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_traits_of_any_network(network: nn.Module, traits: NetworkTraits) -> None:
    assert traits_of(network) == traits


def test_traits_follow_the_tiles_that_are_chosen() -> None:
    network = DeepRFTv2(**TINY)
    assert isinstance(network, TiledNetwork)
    network.use_tiles(64, 16)
    assert (traits_of(network).tile, traits_of(network).tile_overlap) == (64, 16)


def test_protocols_tell_what_networks_offer() -> None:
    offered = {
        network: [isinstance(network, protocol) for protocol in (MultiScaleNetwork, KernelGuided, TiledNetwork)]
        for network in (DeepRFTv2(**TINY), MIMOUNet(**TINY), UFPNet(**NARROW), ATD(**ATD_SIZES), Identity())
    }
    assert list(offered.values()) == [
        [True, False, True],
        [True, False, True],
        [False, True, False],
        [False, False, True],
        [False, False, False],
    ]


def test_supervised_scales_are_those_of_the_network() -> None:
    assert DeepRFTv2(**TINY).supervised_scales == ("full", "half")
    assert DeepRFTv2(**TINY, scales=1).supervised_scales == ("full",)
    assert MIMOUNet(**TINY).supervised_scales == ("full", "half", "quarter")
