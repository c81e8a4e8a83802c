"""The kernel estimator as a plug-in of the plain U-Net."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.kernel_attention import KernelGuidance
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.kernel_guided_unet import KernelGuidedUNet

ARGUMENTS: dict[str, Any] = {
    "dim": 4,
    "blocks": (1, 1, 1),
    "kernel_width": 4,
    "kernel_size": 5,
    "flow_blocks": 2,
    "flow_hidden": 4,
}


def network(**changes: Any) -> KernelGuidedUNet:
    """Build a tiny network of which nothing is zero but what its kernels add."""
    torch.manual_seed(0)
    built = KernelGuidedUNet(**{**ARGUMENTS, **changes})
    randomise(built.unet)
    return built


def randomise(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if name.endswith(("beta", "gamma")) and ".fuse." not in name:
            nn.init.normal_(parameter, std=0.5)


def plain_unet(like: KernelGuidedUNet) -> DeepRFTv2:
    """Build the plain U-Net with the same weights."""
    plain = DeepRFTv2(4, units=1, scales=1, blocks=(1, 1, 1), full_kinds=("NAF",) * 3, fke_blocks=(), memory="none")
    weights = {
        f"units.0.full_scale.{name}": value for name, value in like.unet.state_dict().items() if ".fuse." not in name
    }
    plain.load_state_dict(weights)
    return plain


def guides(net: KernelGuidedUNet) -> list[KernelGuidance]:
    return [module for module in net.modules() if isinstance(module, KernelGuidance)]


@pytest.mark.parametrize("size", [(16, 24), (13, 10)])
def test_without_effect_it_is_the_plain_network(size: tuple[int, int]) -> None:
    net = network().eval()
    x = torch.rand(2, 3, *size)
    with torch.no_grad():
        restored = net(x)
        # The plain network continues images by zeros, this one by reflection.
        padded = net._padded(x)
        expected = plain_unet(net).eval()(padded)[:, :, : size[0], : size[1]]
    assert (expected - x).abs().max() > 0.01
    torch.testing.assert_close(restored, expected.clamp(0, 1), rtol=0, atol=1e-6)


def test_once_it_has_an_effect_the_kernels_of_a_pixel_count() -> None:
    net = network().eval()
    for guide in guides(net):
        nn.init.constant_(guide.gamma, 1)
    x = torch.rand(1, 3, 16, 16)
    kernels = torch.rand(1, 25, 16, 16)
    other = kernels.clone()
    other[:, :, 3, 4] += 1
    with torch.no_grad():
        change = (net.deblur(x, other) - net.deblur(x, kernels)).abs().amax(dim=1)[0]
    assert change[3, 4] > 1e-5
    assert change[3, 4] > change.mean()


def test_guidance_takes_a_learned_part_of_kernel_attention() -> None:
    guide = KernelGuidance(3, 4).double()
    nn.init.uniform_(guide.gamma, -1, 1)
    x, kernels = torch.rand(2, 3, 5, 6, dtype=torch.float64), torch.rand(2, 4, 5, 6, dtype=torch.float64)
    expected = x + guide.gamma * (guide.attention(x, kernels) - x)
    torch.testing.assert_close(guide(torch.cat([x, kernels], dim=1)), expected, rtol=0, atol=1e-14)


def test_all_memory_modes_give_the_same_gradients_also_to_the_pyramid() -> None:
    x, target = torch.rand(2, 2, 3, 16, 16)
    gradients = {}
    for memory in ("none", "reversible", "lean"):
        net = network(memory=memory, samples=0).train()
        for guide in guides(net):
            nn.init.constant_(guide.gamma, 0.5)
        (net(x, supervise=True)["restored"] - target).square().mean().backward()
        gradients[memory] = {name: p.grad for name, p in net.named_parameters() if p.requires_grad}
    pyramid = [name for name in gradients["none"] if name.startswith("pyramid")]
    assert len(pyramid) == 4
    for name, grad in gradients["none"].items():
        assert grad is not None, name
        for memory in ("reversible", "lean"):
            torch.testing.assert_close(gradients[memory][name], grad, rtol=1e-4, atol=1e-9)
    assert all(gradients["none"][name].abs().max() > 0 for name in pyramid)


def test_it_learns_and_estimator_and_flow_do_not() -> None:
    net = network(samples=0).train()
    frozen = {name: value.clone() for part in (net.estimator, net.flow) for name, value in part.state_dict().items()}
    sharp = torch.rand(2, 3, 16, 16)
    blurred = nn.functional.avg_pool2d(nn.functional.pad(sharp, (1, 1, 0, 0), mode="replicate"), (1, 3), stride=1)
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, 6e-3)
    losses: list[float] = []
    for _ in range(20):
        loss = (net(blurred, supervise=True)["restored"] - sharp).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]
    assert all(guide.gamma.abs().max() > 1e-3 for guide in guides(net))
    after: dict[str, Tensor] = {
        name: value for part in (net.estimator, net.flow) for name, value in part.state_dict().items()
    }
    assert all(torch.equal(value, after[name]) for name, value in frozen.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 5}, "dim must be an even number"),
        ({"blocks": (1, 1)}, r"blocks must have one entry for each of 3 levels, got \[1, 1\]"),
        ({"kinds": ("NAF",)}, "kinds must have one entry"),
        ({"blocks": (1, 0, 1)}, "every entry of blocks must be at least 1"),
        ({"train_size": 2}, "train_size must be at least 4"),
        ({"kinds": ("NAF", "NAF", "Naf")}, "block kind 'Naf' is unknown"),
        ({"memory": "some"}, "'some' is not a memory mode"),
    ],
)
def test_bad_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        KernelGuidedUNet(**{**ARGUMENTS, **changes})
