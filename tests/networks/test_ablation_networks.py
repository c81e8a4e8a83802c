"""The ablations' networks, against their formulas written out."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.ablated_estimators import (
    AddedKernelEstimator,
    LinearKernelEstimator,
    SourceKernelEstimator,
    SpatialKernelEstimator,
)
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.losses.criteria import MultiScaleLoss
from deeprftv2_arch.networks.ablation import DeepRFTv2Ablation
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.mimo_unet import MIMOUNet

VARIANTS = ("spatial", "no_activation", "added", "without_skip", "from_blurred", "from_restored", "from_e1")
TINY: dict[str, Any] = {"dim": 2, "blocks": (1, 1, 1), "fke_blocks": (1, 1)}
PLAIN: dict[str, Any] = {"units": 1, "scales": 1, "full_kinds": ("NAF", "NAF", "NAF"), "fke_kind": "Res"}


def shaken(network: nn.Module) -> nn.Module:
    """Build the network with all of its branches open, in float64."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.double()


def merged(estimator: FourierKernelEstimator, deblurred: Tensor, f: Tensor) -> Tensor:
    return F.conv2d(torch.cat([deblurred, f], dim=1), estimator.merge.weight)


def test_added_kernels_are_the_fourier_estimator_s_and_are_added() -> None:
    added, plain = (
        shaken(kind(2, (1, 1), "Res", True, "none")) for kind in (AddedKernelEstimator, FourierKernelEstimator)
    )
    plain.load_state_dict(added.state_dict())
    f = torch.rand(1, 2, 6, 8, dtype=torch.float64)
    kernel, _ = plain.estimate_kernel(plain.to_sub_resnet(f), None)
    y = F.conv2d(f, added.to_blurred.weight)
    expected = y + torch.fft.irfft2(kernel, s=(6, 8))  # the transform is linear
    torch.testing.assert_close(added(f, None)[0], merged(added, expected, f))


def test_without_activation_the_sub_resnet_is_affine() -> None:
    linear, plain = (
        shaken(kind(2, (1, 1), "Res", True, "none")) for kind in (LinearKernelEstimator, FourierKernelEstimator)
    )
    a, b = torch.randn(2, 1, 2, 5, 4, dtype=torch.float64)

    def departure(estimator: nn.Module) -> float:
        def last(x: Tensor) -> Tensor:
            return estimator.sub_resnet(x, [None, None])[-1]

        return (last(a) + last(b) - last(a + b) - last(torch.zeros_like(a))).abs().max().item()

    assert departure(linear) < 1e-12
    assert departure(plain) > 1e-3
    assert linear.state_dict().keys() == plain.state_dict().keys()


def test_kernels_estimated_in_space_are_convolved_with() -> None:
    estimator = shaken(SpatialKernelEstimator(1, (1, 1), "Res", True, "none"))
    height, width = 4, 6
    f = torch.rand(1, 1, height, width, dtype=torch.float64)
    source = F.conv2d(F.conv2d(f, estimator.to_kernel.weight), estimator.stem.weight)
    r = estimator.sub_resnet(source, [None, None])
    kernel = estimator.kernel_head(estimator.norm(r[-1]))[0, 0]
    y = F.conv2d(f, estimator.to_blurred.weight)[0, 0]
    expected = torch.zeros_like(f)
    for row in range(height):
        for column in range(width):
            for i in range(height):
                for j in range(width):
                    expected[0, 0, row, column] += kernel[i, j] * y[(row - i) % height, (column - j) % width]
    expected /= math.sqrt(height * width)  # the kernels' transform is orthonormal
    torch.testing.assert_close(estimator(f, None)[0], merged(estimator, expected, f))


def test_a_source_takes_the_place_of_the_features_in_the_estimation_alone() -> None:
    estimator = shaken(SourceKernelEstimator(2, 2, (1, 1), "Res", True, "none"))
    plain = FourierKernelEstimator(2, (1, 1), "Res", True, "none").double()
    plain.load_state_dict(estimator.state_dict())
    f, source = torch.rand(2, 1, 2, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(estimator.deblur_from(f, f, None)[0], plain(f, None)[0])
    kernel, _ = plain.estimate_kernel(plain.to_sub_resnet(source), None)
    y = torch.fft.rfft2(F.conv2d(f, plain.to_blurred.weight))
    expected = merged(plain, torch.fft.irfft2(y * kernel, s=(6, 8)), f)
    torch.testing.assert_close(estimator.deblur_from(source, f, None)[0], expected)


@pytest.mark.parametrize("variant", ["from_blurred", "from_restored", "from_e1"])
def test_sources_are_what_they_are_called(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = shaken(DeepRFTv2Ablation(variant, **TINY))
    seen = {}
    deblur_from = SourceKernelEstimator.deblur_from

    def watch(self: Any, source: Any, f: Any, previous: Any) -> Any:
        seen["source"], seen["f"] = source, f
        return deblur_from(self, source, f, previous)

    monkeypatch.setattr(SourceKernelEstimator, "deblur_from", watch)
    unit = network.units[0].full_scale
    unit.encoder.levels[0].register_forward_hook(lambda module, inputs, output: seen.update(e1=output))
    unit.decoder.levels[-1].register_forward_hook(lambda module, inputs, output: seen.update(d1=output))
    x = torch.rand(1, 3, 8, 16, dtype=torch.float64)
    images = network.train()(x, supervise=True)["full"]
    expected = {"from_blurred": x, "from_restored": images[0], "from_e1": seen["e1"]}[variant]
    torch.testing.assert_close(seen["source"], expected)
    torch.testing.assert_close(seen["f"], seen["d1"])


def test_without_skip_only_alpha_ties_an_estimator_to_the_one_before() -> None:
    network = shaken(DeepRFTv2Ablation("without_skip", **TINY, units=2))
    estimator = network.units[1].full_scale.fke
    x, first, second = torch.rand(3, 1, 2, 4, 3, dtype=torch.float64)
    expected, level = [], x
    for blocks, alpha, previous in zip(
        [level.blocks for level in estimator.sub_resnet.levels],
        estimator.sub_resnet.alphas,
        (first, second),
        strict=True,
    ):
        level = blocks(level) + alpha * previous
        expected.append(level)
    torch.testing.assert_close(estimator.estimate_kernel(x, [first, second])[1], expected)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("memory", ["reversible", "lean"])
def test_gradients_are_the_same_whatever_is_kept(variant: str, memory: str) -> None:
    x = torch.rand(1, 3, 8, 16, dtype=torch.float64)
    networks = [DeepRFTv2Ablation(variant, **TINY, units=2, scales=2, memory=mode) for mode in ("none", memory)]
    shaken(networks[0])
    networks[1].double().load_state_dict(networks[0].state_dict())
    for network in networks:
        images = network.train()(x, supervise=True)
        sum(image.square().mean() for of_scale in images.values() for image in of_scale).backward()
    for (name, ours), theirs in zip(networks[1].named_parameters(), networks[0].parameters(), strict=True):
        assert ours.grad is not None, name
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


def test_what_a_variant_shares_with_the_network_starts_alike() -> None:
    torch.manual_seed(3)
    plain = DeepRFTv2(**TINY, **PLAIN)
    torch.manual_seed(3)
    ablated = DeepRFTv2Ablation("added", **TINY)
    shared = {name for name in plain.state_dict() if ".fke." not in name}
    assert all(torch.equal(plain.state_dict()[name], ablated.state_dict()[name]) for name in shared)


def test_weights_of_a_variant_do_not_pass_for_another_network_s() -> None:
    with pytest.raises(RuntimeError, match=r"Unexpected key.*variant_added"):
        DeepRFTv2(**TINY, **PLAIN).load_state_dict(DeepRFTv2Ablation("added", **TINY).state_dict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "temporal"}, "variant 'temporal' is unknown"),
        ({"variant": "added", "fke_blocks": ()}, "fke_blocks must have an entry"),
        ({"variant": "no_activation", "fke_kind": "VS"}, "blocks of the kind Res, not VS"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DeepRFTv2Ablation(**{**TINY, **arguments})


def halved(image: Tensor) -> Tensor:
    kernel = torch.tensor([1.0, 4, 6, 4, 1], dtype=image.dtype) / 16
    smooth = F.pad(image, (2, 2, 2, 2), mode="reflect")
    return F.avg_pool2d(F.conv2d(smooth, torch.outer(kernel, kernel).expand(3, 1, 5, 5), groups=3), 2)


def mimo_by_hand(network: MIMOUNet, image: Tensor) -> list[Tensor]:
    """Of a network whose blocks are still the identity."""
    blurred = [image, halved(image), halved(halved(image))]
    looks = [F.conv2d(b, e.weight, padding=1) for b, e in zip(blurred, network.embed, strict=True)]
    e0 = looks[0]
    e1 = F.conv2d(torch.cat([F.conv2d(e0, network.down[0].weight, stride=2), looks[1]], 1), network.fuse[0].weight)
    e2 = F.conv2d(torch.cat([F.conv2d(e1, network.down[1].weight, stride=2), looks[2]], 1), network.fuse[1].weight)
    up1 = F.pixel_shuffle(F.conv2d(e2, network.up[1][0].weight), 2)
    d1 = F.conv2d(torch.cat([up1, e1], 1), network.skip[1].weight)
    up0 = F.pixel_shuffle(F.conv2d(d1, network.up[0][0].weight), 2)
    d0 = F.conv2d(torch.cat([up0, e0], 1), network.skip[0].weight)
    return [
        F.conv2d(d, head.weight, head.bias, padding=1) + b
        for d, head, b in zip((d0, d1, e2), network.heads, blurred, strict=True)
    ]


def test_mimo_unet_is_its_formula() -> None:
    network = MIMOUNet(2, (1, 2, 1)).double()
    image = torch.rand(1, 3, 16, 24, dtype=torch.float64)
    expected = mimo_by_hand(network, image)
    found = network.train()(image, supervise=True)
    assert list(found) == ["full", "half", "quarter"]
    for (restored,), hand in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(restored, hand)
    torch.testing.assert_close(network.eval()(image), expected[0])


def test_mimo_unet_learns_at_three_scales() -> None:
    sharp = torch.rand(1, 3, 16, 16)
    restored = {"full": [sharp], "half": [torch.zeros(1, 3, 8, 8)], "quarter": [torch.rand(1, 3, 4, 4)]}
    losses = MultiScaleLoss({"l1": nn.L1Loss()}, {"quarter": 0.5})(restored, sharp)
    expected = [0.0, halved(sharp).mean(), 0.5 * (restored["quarter"][0] - halved(halved(sharp))).abs().mean()]
    assert list(losses) == ["l1_full", "l1_half", "l1_quarter"]
    torch.testing.assert_close(torch.stack(list(losses.values())), torch.tensor(expected))


def test_mimo_unet_restores_any_size_and_in_tiles() -> None:
    whole, tiled = MIMOUNet(2, (1, 1, 1)).eval(), MIMOUNet(2, (1, 1, 1), tile=32, tile_overlap=8).eval()
    tiled.load_state_dict(whole.state_dict())
    x = torch.rand(1, 3, 13, 21)
    padded = F.pad(x, (0, 3, 0, 3))
    torch.testing.assert_close(whole(x), whole(padded)[:, :, :13, :21])
    torch.testing.assert_close(tiled(x), whole(x))
    large = torch.rand(1, 3, 32, 56)
    assert tiled(large).shape == large.shape
    # Blocks are the identity, and the pyramid is that of the whole image: only what lies near the tiles' borders,
    # where the 3x3 convolutions are padded with zeros, differs.
    torch.testing.assert_close(tiled(large)[:, :, :, :16], whole(large)[:, :, :, :16])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "must be at least 1"),
        ({"blocks": (1, 1)}, "three numbers of blocks"),
        ({"tile": 12}, "multiples of 8"),
        ({"tile": 16, "tile_overlap": 16}, "smaller than tile"),
    ],
)
def test_wrong_arguments_of_mimo_unet_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        MIMOUNet(**{"dim": 2, "blocks": (1, 1, 1), **arguments})


def test_mimo_unet_refuses_what_it_cannot_train_on() -> None:
    with pytest.raises(OptionError, match="multiple of 8 pixels"):
        MIMOUNet(2, (1, 1, 1)).train()(torch.rand(1, 3, 16, 12))
