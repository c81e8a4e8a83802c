"""The whole network: published counts, an independent implementation, sizes, and arguments that are refused."""

from typing import Any

import pytest
import torch
from oracle_deeprftv2 import random_state, restore
from ptflops import get_model_complexity_info

from benchmarks.complexity import OWN_CONVOLUTIONS
from deeprftv2_arch.checkpoints.reference import under_our_names
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.deeprftv2_card import DeepRFTv2Card

NAF: dict[str, Any] = {"full_kinds": ("NAF", "NAF", "NAF")}
UNET: dict[str, Any] = {"units": 1, "scales": 1, **NAF}
NO_FKE: dict[str, Any] = {"fke_blocks": ()}
TINY: dict[str, Any] = {"dim": 4, "units": 1, "blocks": (1, 1, 1), "fke_blocks": (1, 1), **NAF}

# arguments, parameters (exact where published to the digit, else in thousands), GMACs at 3x256x256 by ptflops, in paper
TABLE = {
    "B": ({}, 30_117_560, 120.297),
    "S": (NAF, 21_191_096, 75.326),
    "2 units NAF, no FKE": ({**NAF, **NO_FKE}, 20_790e3, 67.189),
    "1 unit NAF + FKE": ({"units": 1, **NAF}, 10_577e3, 37.184),
    "1 unit NAF, no FKE": ({"units": 1, **NAF, **NO_FKE}, 10_390e3, 33.404),
    "one-scale UNet NAF, no FKE": ({**UNET, **NO_FKE}, 4_994e3, 25.815),
    "one-scale UNet NAF + FKE": (UNET, 5_088e3, 28.835),
    "one-scale UNet NAF + FKE, two VSBlocks a level": ({**UNET, "fke_blocks": (2, 2, 2, 2)}, 5_161e3, 30.859),
    "one-scale UNet NAF, dim 56, no FKE": ({**UNET, **NO_FKE, "dim": 56}, 6_772e3, 34.933),
    "1 unit NAFEVS + FKE": ({"units": 1}, 15_040e3, 59.669),
    "1 unit, NAF blocks and VSBlocks doubled": (
        {"units": 1, **NAF, "blocks": (2, 8, 16), "fke_blocks": (2, 2, 2, 2)},
        20_337e3,
        70.264,
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_parameters_are_the_published_ones(name: str) -> None:
    arguments, published, _ = TABLE[name]
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in DeepRFTv2(**arguments).parameters())
    assert count == published if isinstance(published, int) else round(count / 1e3) == published / 1e3


@pytest.mark.parametrize("name", TABLE)
def test_macs_are_the_published_ones(name: str) -> None:
    """To a thousandth of the published figure's last digit, on tensors without data."""
    arguments, _, published = TABLE[name]
    with torch.device("meta"):
        network = DeepRFTv2(**arguments)
    with torch.no_grad():
        macs, _ = get_model_complexity_info(
            network,
            (3, 256, 256),
            as_strings=False,
            print_per_layer_stat=False,
            verbose=False,
            backend="pytorch",
            custom_modules_hooks=OWN_CONVOLUTIONS,
        )
    assert macs / 1e9 == pytest.approx(published, abs=1e-3)


CONFIGURATIONS: dict[str, Any] = {
    "B, narrow": {"dim": 4},
    "S, narrow": {"dim": 6, "kinds": ("naf",) * 3},
    "one unit, one scale": {"dim": 4, "units": 1, "scales": 1, "kinds": ("naf", "nafevs", "naf")},
    "three units, no FKE": {"dim": 4, "units": 3, "fke_blocks": (), "enc_blocks": (1, 1, 2), "kinds": ("naf",) * 3},
    "deeper FKE": {"dim": 4, "enc_blocks": (1, 4, 1), "kinds": ("naf", "nafevs", "naf"), "fke_blocks": (1, 2, 1)},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("memory", ["none", "reversible", "lean"])
def test_images_equal_an_independent_implementation(name: str, memory: str) -> None:
    state = random_state(**CONFIGURATIONS[name])
    converted = under_our_names(state, "reference")
    network = DeepRFTv2(**DeepRFTv2Card(DeepRFTv2).deduce_arguments(converted), memory=memory).double()
    network.load_state_dict(converted)
    image = torch.rand(2, 3, 8, 16, dtype=torch.float64)
    expected = restore(state, image)
    images = network.train()(image, supervise=True)
    for scale, found in images.items():
        assert len(found) == len(expected[scale])
        for ours, theirs in zip(found, expected[scale], strict=True):
            assert (ours - theirs).norm() <= 1e-9 * theirs.norm()
    assert (network.eval()(image) - expected["full"][-1]).norm() <= 1e-9 * expected["full"][-1].norm()


def test_any_size_and_batch_are_restored_as_if_padded_by_hand() -> None:
    network = DeepRFTv2(**TINY).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for height, width in [(1, 1), (8, 8), (13, 21), (16, 9)]:
            x = torch.rand(2, 3, height, width)
            padded = torch.zeros(2, 3, -(-height // 8) * 8, -(-width // 8) * 8)
            padded[:, :, :height, :width] = x
            y = network(x)
            assert y.shape == x.shape
            torch.testing.assert_close(y, network(padded)[:, :, :height, :width])
            torch.testing.assert_close(y[1:], network(x[1:]), rtol=1e-4, atol=1e-5)


def test_tiles_are_used_in_evaluation_only_where_the_image_is_larger() -> None:
    whole, tiled = DeepRFTv2(**TINY), DeepRFTv2(**TINY, tile=32, tile_overlap=16)
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    tiled.load_state_dict(whole.state_dict())
    small, large = torch.rand(1, 3, 32, 24), torch.rand(1, 3, 48, 24)
    with torch.no_grad():
        assert torch.equal(tiled.eval()(small), whole.eval()(small))
        top, bottom = whole(large[:, :, :32]), whole(large[:, :, 16:])
        found = tiled(large)
        # The half scale of a tile is cut from the pyramid of the whole image, so that only the rows whose blur does
        # not reach over the tile's edge are those of the tile on its own: with this network all rows differ a little.
        torch.testing.assert_close(found[:, :, :16], top[:, :, :16], rtol=0.05, atol=0.05)
        torch.testing.assert_close(found[:, :, 32:], bottom[:, :, 16:], rtol=0.05, atol=0.05)


def test_the_defaults_draw_on_nothing_but_the_image() -> None:
    """Identity at initialisation but for the heads: eval output is the image plus a head's response."""
    network = DeepRFTv2(**TINY).eval()
    with torch.no_grad():
        for head in (network.units[0].full_scale.deblurred_head, network.units[0].full_scale.decoded_head):
            head.weight.zero_()
            head.bias.fill_(0.25)
        x = torch.rand(1, 3, 16, 16)
        torch.testing.assert_close(network(x), x + 0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 7}, "dim must be an even number of channels, got 7"),
        ({"dim": 0}, "dim must be an even number"),
        ({"units": 0}, "units must be at least 1"),
        ({"scales": 3}, "scales must be 1 or 2, got 3"),
        ({"blocks": (1, 1)}, "blocks must have one entry for each of 3 levels"),
        ({"blocks": (1, 0, 1)}, r"every entry of blocks must be at least 1, got \[1, 0, 1\]"),
        ({"fke_blocks": (-1,)}, "every entry of fke_blocks must be at least 1"),
        ({"full_kinds": ("NAF",)}, "full_kinds must have one entry"),
        ({"full_kinds": ("NAF", "NAF", "VSS")}, "'VSS' is unknown"),
        ({"memory": ("none", "none")}, "one per unit"),
        ({"tile": 30}, "multiples of 8, got 30"),
        ({"tile": 32, "tile_overlap": 32}, "tile_overlap must be from 0 on and smaller than tile"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DeepRFTv2(**{**TINY, **arguments})


@pytest.mark.parametrize("channels", [1, 4])
def test_images_that_are_not_rgb_are_refused(channels: int) -> None:
    with pytest.raises(OptionError, match="restores RGB images"):
        DeepRFTv2(**TINY)(torch.rand(1, channels, 16, 16))


def test_training_refuses_sizes_that_do_not_fit() -> None:
    with pytest.raises(OptionError, match="multiples of 8, got 16x20; change patch_size"):
        DeepRFTv2(**TINY).train()(torch.rand(1, 3, 16, 20))
