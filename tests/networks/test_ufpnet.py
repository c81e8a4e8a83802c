"""UFPNet: published counts, an independent implementation, draws of kernels, frozen parts, and what is refused."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from oracle_ufpnet import is_parameter, random_state, reference_shapes, restore
from scipy.ndimage import uniform_filter
from torch import nn
from ufpnet_helpers import NARROW

from deeprftv2_arch.checkpoints.reference import under_our_names
from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.networks.kernel_flow import KernelFlow
from deeprftv2_arch.networks.kernel_guided import KernelGuidedNetwork
from deeprftv2_arch.networks.ufpnet import UFPNet
from deeprftv2_arch.networks.uncertain_kernel_estimator import UncertainKernelEstimator, local_contrast


def network_of(state: dict[str, torch.Tensor], **arguments: object) -> UFPNet:
    network = UFPNet(**arguments).to(state["intro.weight"].dtype)
    network.load_state_dict(under_our_names(state, "reference"))
    return network


def narrow(**options: object) -> UFPNet:
    """Build a narrow network of which every part has an effect."""
    return network_of(random_state(**NARROW), **NARROW, **options).eval()


def drawn(height: int, width: int, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, and noise of the padded size."""
    padded = (height + 15) // 16 * 16, (width + 15) // 16 * 16
    return torch.rand(batch, 3, height, width).double(), torch.randn(batch, 9, *padded).double()


def test_parameters_are_the_published_ones_less_two_layers_without_effect() -> None:
    with torch.device("meta"):
        network = UFPNet()
        parts = network, network.estimator, network.flow
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
    assert counts == [80_343_663 - 2 * 521_645, 5_619_858, 194_470]


def test_multiplications_of_every_part_are_those_of_the_reference() -> None:
    """Of convolutions and linear layers at 3x256x256, transposed ones counted at their input, in units of 10^9."""
    with torch.device("meta"):
        network = UFPNet().eval()
        macs: Counter[str] = Counter()

        def count(name: str, layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
            pixels = (inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output).numel()
            macs[name.partition(".")[0]] += pixels * layer.weight[0].numel()

        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                layer.register_forward_hook(lambda *call, name=name: count(name, *call))
        with torch.no_grad():
            network(torch.empty(1, 3, 256, 256))
    unused = 361**2 * 4 * 32**2 / 1e9
    wanted = {"estimator": 96.22, "flow": 12.24, "pyramid": 11.21 - unused, "downs": 2.15, "middle": 1.62, "ups": 2.15}
    wanted |= {"decoders": 6.58, "intro": 0.115, "ending": 0.115}
    for name, value in wanted.items():
        assert macs[name] / 1e9 == pytest.approx(value, abs=0.006), name
    assert (macs["encoders"] + macs["kernel_blocks"]) / 1e9 == pytest.approx(103.17, abs=0.006)
    assert macs.total() / 1e9 == pytest.approx(235.56 - unused, abs=0.006)


@pytest.mark.parametrize(
    ("height", "width", "train_size"), [(32, 16, None), (21, 35, None), (32, 48, 16), (48, 21, 20), (9, 40, 16)]
)
@pytest.mark.parametrize("training", [False, True])
def test_images_and_kernels_equal_an_independent_implementation(
    height: int, width: int, train_size: int | None, training: bool
) -> None:
    state = random_state(**NARROW)
    network = network_of(state, **NARROW, train_size=train_size).train(training)
    x, noise = drawn(height, width, batch=2)
    expected, kernels = restore(state, x, noise, train_size)
    inside = (expected > 0) & (expected < 1)
    assert inside.double().mean() > 0.3
    if training:
        result = network(x, noise, supervise=True)
        restored, field = result["restored"], result["kernels"]
    else:
        restored, field = network(x, noise), network.estimate_kernels(x, noise)
    torch.testing.assert_close(field, kernels[:, :, :height, :width], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(restored, expected, rtol=1e-10, atol=1e-10)
    # The same in float32.
    single = network.float().eval()(x.float(), noise.float())
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-5)


def test_the_published_network_equals_an_independent_implementation_on_all_852_tensors() -> None:
    shapes = reference_shapes()
    assert len(shapes) == 852
    assert sum(torch.Size(shape).numel() for key, shape in shapes.items() if is_parameter(key)) == 80_343_663
    state = random_state(torch.float32)
    network = network_of(state, train_size=256).eval()
    x, noise = torch.rand(1, 3, 32, 32), torch.randn(1, 361, 32, 32)
    with torch.no_grad():
        expected, kernels = restore(state, x, noise, 256)
        found, field = network(x, noise), network.estimate_kernels(x, noise)
    assert 0.01 < kernels.std() < 1
    assert ((expected > 0) & (expected < 1)).double().mean() > 0.3
    torch.testing.assert_close(field.double(), kernels, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


def test_contrast_is_detail_divided_by_its_strength_around() -> None:
    x = torch.rand(2, 3, 18, 23, dtype=torch.float64)
    for image, found in zip(x.numpy(), local_contrast(x).numpy(), strict=True):
        detail = image - uniform_filter(image, (0, 3, 3), mode="nearest")
        strength = np.sqrt(uniform_filter((detail**2).mean(axis=0), 15, mode="nearest") + 255**-2)
        np.testing.assert_allclose(found, detail / strength, rtol=1e-9, atol=1e-12)


def test_estimator_may_read_contrast_instead_of_colours() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    estimator = UFPNet(**NARROW, kernel_contrast=True).double().estimator
    head = estimator.encoders[0].head
    read: list[torch.Tensor] = []
    head.register_forward_hook(lambda layer, inputs, output: read.append(inputs[0]))
    estimator(x)
    torch.testing.assert_close(read[0], local_contrast(x), rtol=1e-6, atol=0)


def test_kernels_have_no_effect_before_training() -> None:
    torch.manual_seed(1)
    network = UFPNet(**NARROW)
    x, noise = torch.rand(1, 3, 16, 16), torch.randn(2, 1, 9, 16, 16)
    first, second = (network(x, draw, supervise=True) for draw in noise)
    assert not torch.equal(first["kernels"], second["kernels"])
    torch.testing.assert_close(first["restored"], second["restored"], rtol=0, atol=0)


def test_a_generator_or_a_seed_repeats_the_draws_and_without_them_they_differ() -> None:
    network = narrow()
    x, _ = drawn(20, 16)
    with torch.no_grad():
        first, second = (network(x, generator=torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(first, second)
        kernels = network.estimate_kernels(x, generator=torch.Generator().manual_seed(3))
        assert torch.equal(first, network(x, generator=torch.Generator().manual_seed(3)))
        assert not torch.equal(network(x), network(x))
        network.seed = 3
        assert torch.equal(network(x), first)
        assert torch.equal(network(x), first)
        assert torch.equal(network.estimate_kernels(x), kernels)
        assert not torch.equal(network.train()(x, supervise=True)["kernels"], network(x, supervise=True)["kernels"])


def test_several_samples_give_the_mean_of_what_single_draws_give() -> None:
    x, _ = drawn(16, 21)
    network = narrow()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(5)
        singles = torch.stack([network(x, generator=generator) for _ in range(3)])
        assert singles.std(dim=0).max() > 1e-4
        network.samples = 3
        mean = network(x, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(mean, singles.mean(dim=0))


@pytest.mark.parametrize("training", [False, True])
def test_no_samples_restore_with_the_mean_code(training: bool) -> None:
    x, noise = drawn(16, 21)
    network = narrow().train(training)
    with torch.no_grad():
        expected = network(x, torch.zeros_like(noise))
        network.samples = 0
        torch.testing.assert_close(network(x), expected)


def test_what_is_frozen_is_in_eval_mode_and_has_neither_gradients_nor_decay() -> None:
    network = narrow().train()
    assert not any(part.training for part in [*network.estimator.modules(), *network.flow.modules()])
    assert network.kernel_blocks[0].training
    frozen = {name: value.clone() for name, value in network.state_dict().items() if name.startswith(("est", "flow"))}
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.5)
    x, _ = drawn(16, 16)
    result = network(x, supervise=True)
    assert not result["kernels"].requires_grad
    result["restored"].square().sum().backward()
    optimizer.step()
    for name, parameter in network.named_parameters():
        if name in frozen:
            assert parameter.grad is None
        else:
            assert parameter.grad is not None, name
    assert all(torch.equal(network.state_dict()[name], value) for name, value in frozen.items())
    assert len(frozen) == 66 + 3 * (12 + 4) + 1


def test_every_level_pools_over_one_and_a_half_times_its_training_patch() -> None:
    network = UFPNet(**NARROW, train_size=36)
    windows = {
        name.removesuffix(".channel_attention"): part[0].window
        for name, part in network.named_modules()
        if name.endswith(".channel_attention")
    }
    wanted = {f"kernel_blocks.{level}.block": 54 // 2**level for level in range(3)}
    wanted |= {"encoders.3.0": 6, "encoders.3.1": 6, "middle.0": 3, "middle.1": 3}
    wanted |= {"decoders.0.0": 6, "decoders.1.0": 13, "decoders.1.1": 13, "decoders.2.0": 27, "decoders.3.0": 54}
    assert windows == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "UFPNet: width must be at least 1, got 0"),
        ({"enc_blocks": (1, 1)}, "one entry for each level, .* got \\[1, 1\\] and \\[1, 2, 1, 1\\]"),
        ({"dec_blocks": (1, 0, 1, 1)}, "UFPNet: dec_blocks must be at least 1 everywhere, got \\[1, 0, 1, 1\\]"),
        ({"middle_blocks": 0}, "UFPNet: middle_blocks must be at least 1"),
        ({"train_size": 15}, "UFPNet: train_size must be at least 16 or null, got 15"),
        ({"samples": -1}, "UFPNet: samples must be at least 0, got -1"),
        ({"kernel_size": 1}, "kernel_size must be at least 2, got 1"),
        ({"kernel_width": 0}, "UncertainKernelEstimator: width must be at least 1, got 0"),
    ],
)
def test_arguments_that_make_no_network_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        UFPNet(**{**NARROW, **arguments})


def test_estimators_and_flows_of_other_kernels_are_refused() -> None:
    class Guided(KernelGuidedNetwork):
        def deblur(self, x: Any, kernels: Any) -> Any:
            return x

    with pytest.raises(OptionError, match="Guided: the estimator has kernel_size 3, the flow 5; they must be the same"):
        Guided(UncertainKernelEstimator(2, 3), KernelFlow(5), size_multiple=2)


def test_images_that_cannot_be_restored_are_refused() -> None:
    network = narrow()
    with pytest.raises(DataError, match="UFPNet restores images of at least 9x9 pixels, got 30x8"):
        network(torch.rand(1, 3, 8, 30).double())
    assert network(torch.rand(1, 3, 9, 9).double()).shape == (1, 3, 9, 9)
    with pytest.raises(OptionError, match=r"restores RGB images \(B, 3, H, W\), got a tensor of shape \(1, 1, 16, 16"):
        network(torch.rand(1, 1, 16, 16).double())
    with pytest.raises(OptionError, match=r"noise must be of shape \(1, 9, 32, 16\), got \(1, 9, 20, 16\)"):
        network(torch.rand(1, 3, 20, 16).double(), torch.randn(1, 9, 20, 16).double())
