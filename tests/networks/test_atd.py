"""ATD: published counts, another program's ATD on equal weights, formulas by hand, sizes, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from oracle_deeprftv2 import estimator_shapes, kernel_estimator, random_value
from spandrel import ModelLoader
from spandrel.architectures import ATD as atd_of_spandrel  # noqa: N811 (a module)
from torch.nn.functional import softmax

from deeprftv2_arch.checkpoints.recognition import describe
from deeprftv2_arch.checkpoints.reference import translate_all
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.atd.attentions import (
    CategoryAttention,
    TokenDictionaryCrossAttention,
    WindowAttention,
    relative_position_index,
)
from deeprftv2_arch.layers.atd.transformer_layer import to_map, to_tokens
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2_card import DeepRFTv2Card
from deeprftv2_arch.ops.attention import attention

FULL: dict[str, Any] = {
    "embed_dim": 210,
    "depths": (6,) * 6,
    "num_heads": (6,) * 6,
    "category_size": 256,
    "num_tokens": 128,
    "reducted_dim": 20,
    "convffn_kernel_size": 5,
    "mlp_ratio": 2,
    "upsampler": "pixelshuffle",
}
NARROW: dict[str, Any] = {
    "embed_dim": 12,
    "depths": (2, 3),
    "num_heads": (2, 3),
    "window_size": 8,
    "category_size": 50,
    "num_tokens": 16,
    "reducted_dim": 4,
    "convffn_kernel_size": 5,
    "mlp_ratio": 1,
    "img_size": 16,
    "tile_overlap": 4,
}


def count(**arguments: Any) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in ATD(**arguments).parameters())


def lively(network: ATD) -> ATD:
    """Return the network with no branch at rest: windows' biases, sigma and norms are not where they start."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def peer_of(network: ATD, **arguments: Any) -> ATD:
    """Another program's ATD with the weights of ``network``, which must load strictly."""
    arguments = NARROW | {"upsampler": "pixelshuffledirect", "upscale": 2} | arguments
    known = {key: value for key, value in arguments.items() if key not in ("fke", "tile_overlap", "use_checkpoint")}
    built = atd_of_spandrel.ATD(**known)
    built.load_state_dict(network.state_dict())
    return built.to(next(network.parameters()).dtype).train(network.training)


@pytest.mark.parametrize(
    ("upscale", "without", "with_fke"), [(2, 753_204, 1_163_108), (3, 759_699, 1_169_603), (4, 768_792, 1_178_696)]
)
def test_parameters_of_atd_light_as_published(upscale: int, without: int, with_fke: int) -> None:
    assert count(upscale=upscale) == without
    assert count(upscale=upscale, fke=True) == with_fke


def test_full_size_atd_builds_with_the_parameters_of_the_public_one() -> None:
    assert count(upscale=4, **FULL) == 20_260_929


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"upscale": 3},
        {"upsampler": "pixelshuffle", "upscale": 2},
        {"upsampler": "pixelshuffle", "upscale": 3},
        {"upsampler": "pixelshuffle", "upscale": 8},
        {"upsampler": "nearest+conv", "upscale": 4},
        {"resi_connection": "3conv"},
        {"in_chans": 1},
        {"img_range": 255.0},
        {"qkv_bias": False},
        {"window_size": 7},
        {"mlp_ratio": 1.5},
    ],
)
@pytest.mark.parametrize("shape", [(1, 16, 24), (2, 29, 13)])
def test_results_are_those_of_another_implementation(change: dict[Any, Any], shape: tuple[int, ...]) -> None:
    network = lively(ATD(**NARROW | change)).double().eval()
    batch, height, width = shape
    x = torch.rand(batch, change.get("in_chans", 3), height, width, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), peer_of(network, **change)(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(64, 64), (40, 70)])
def test_atd_light_in_float32_is_the_public_one_to_the_last_bit(size: tuple[int, int]) -> None:
    """A difference in the last bit can put pixels into other categories and end at 1e-3, so there should be none."""
    network = ATD(upscale=4).eval()
    public = ModelLoader().load_from_state_dict(network.state_dict())
    assert (public.architecture.id, public.scale, "light" in public.tags) == ("ATD", 4, True)
    x = torch.rand(1, 3, *size)
    with torch.no_grad():
        assert (network(x) - public.model.eval()(x)).abs().max() <= 1e-7


def test_gradients_are_those_of_another_implementation_with_and_without_checkpointing() -> None:
    network = lively(ATD(**NARROW)).double()
    frugal = ATD(**NARROW, use_checkpoint=True).double()
    frugal.load_state_dict(network.state_dict())
    other = peer_of(network)
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    for net in (network, frugal, other):
        (net(x) ** 3).sum().backward()
    expected = dict(other.named_parameters())
    for net in (network, frugal):
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-9, atol=1e-9)


def test_checkpointing_with_fke_changes_no_gradient() -> None:
    network, frugal = (ATD(**NARROW, fke=True, use_checkpoint=use).double() for use in (False, True))
    frugal.load_state_dict(network.state_dict())
    x = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    for net in (network, frugal):
        (net(x) ** 2).sum().backward()
    for (name, parameter), other in zip(network.named_parameters(), frugal.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-10, atol=1e-12, msg=name)


def test_estimators_form_a_chain_behind_the_groups() -> None:
    """The whole ATD+FKE from its own groups and the reference formulas of the estimator."""
    network = lively(ATD(**NARROW, fke=True)).double().eval()
    generator = torch.Generator().manual_seed(0)
    params = {
        f"kernel_estimator.{index}.{name}": random_value(name, shape, generator, edges=True)
        for index in range(2)
        for name, shape in estimator_shapes(12, (1, 1, 1, 1), first=index == 0).items()
    }
    converted, _ = translate_all(params, "here", DeepRFTv2Card.layout)
    prefix = ("units.", ".full_scale.fke.")
    state = {
        name.replace(prefix[1], ".").replace(prefix[0], "fkes."): value
        for name, value in converted.items()
        if prefix[1] in name
    }
    assert {name for name in network.state_dict() if name.startswith("fkes.")} == set(state)
    network.load_state_dict(network.state_dict() | state)

    x = torch.rand(2, 3, 16, 8, dtype=torch.float64)
    with torch.no_grad():
        shallow = network.conv_first(x - torch.tensor([0.4488, 0.4371, 0.4040]).double().view(1, 3, 1, 1))
        features, kernels = network.patch_embed(shallow), None
        for index, group in enumerate(network.layers):
            features = group(features, network.relative_position_index_SA)
            deblurred, kernels = kernel_estimator(params, f"kernel_estimator.{index}", to_map(features), kernels)
            features = to_tokens(deblurred)
        body = network.conv_after_body(to_map(network.norm(features))) + shallow
        expected = network.upsample(body) + network.mean
        torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


def test_larger_images_are_enlarged_in_blended_tiles_of_the_shallow_features() -> None:
    network = lively(ATD(**NARROW, upscale=3, fke=True)).double().eval()
    x = torch.rand(1, 3, 16, 37, dtype=torch.float64)  # mirrored to 16x40; tiles of 16 every 12, the last at 24
    with torch.no_grad():
        shallow = network.conv_first(torch.cat([x, x[..., 34:].flip(3)], dim=3) - network.mean)
        tiles = [network.enlarge(shallow[..., left : left + 16]) for left in (0, 12, 24)]
        expected = torch.zeros(1, 3, 48, 120, dtype=torch.float64)
        ramp = torch.linspace(0, 1, 12, dtype=torch.float64)
        flat = torch.ones(24, dtype=torch.float64)
        weights = [
            torch.cat([flat, torch.ones(12), ramp.flip(0)]),
            torch.cat([ramp, flat, ramp.flip(0)]),
            torch.cat([ramp, flat, torch.ones(12)]),
        ]
        for tile, weight, left in zip(tiles, weights, (0, 36, 72), strict=True):
            expected[..., left : left + 48] += tile * weight
        torch.testing.assert_close(network(x), (expected + network.mean)[..., :111], rtol=1e-9, atol=1e-9)
        network.tile = 48
        assert (network(x) - (expected + network.mean)[..., :111]).abs().max() > 1e-6


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 9), (3, 17), (20, 5)])
def test_any_size_is_continued_by_its_mirror_images(height: int, width: int) -> None:
    network = ATD(**NARROW).double().eval()
    x = torch.rand(1, 3, height, width, dtype=torch.float64)
    pad = [(0, 0), (0, 0), (0, -height % 8), (0, -width % 8)]
    mirrored = torch.from_numpy(np.pad(x.numpy(), pad, mode="symmetric"))
    with torch.no_grad():
        torch.testing.assert_close(network(x), network(mirrored)[:, :, : 2 * height, : 2 * width], rtol=0, atol=1e-12)


def test_relative_positions_of_a_window_of_two() -> None:
    """Pixels 0 1 / 2 3; rows of the table are (dy, dx) = (-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0), ..."""
    assert relative_position_index(2).tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


@pytest.mark.parametrize("shift", [0, 2])
def test_window_attention_pixel_by_pixel(shift: int) -> None:
    """Which pixels attend: those of one shifted window that lie together in the image without its being rolled."""
    window, heads, height, width = 4, 2, 8, 12
    layer: Any = WindowAttention(6, window, heads).double()
    layer.proj = torch.nn.Identity()
    table = torch.nn.init.normal_(layer.relative_position_bias_table)
    qkv = torch.randn(1, height, width, 18, dtype=torch.float64)
    q, k, v = qkv.view(height, width, 3, heads, 3).unbind(2)
    expected = torch.zeros(height, width, heads, 3, dtype=torch.float64)

    def place(y: Any, x: Any) -> Any:
        return (y + window - shift) // window, (x + window - shift) // window

    positions = [(y, x) for y in range(height) for x in range(width)]
    for y, x in positions:
        seen = [(a, b) for a, b in positions if place(a, b) == place(y, x)]
        for head in range(heads):
            bias = [table[(y - a + window - 1) * (2 * window - 1) + x - b + window - 1, head] for a, b in seen]
            logits = [q[y, x, head] @ k[a, b, head] / math.sqrt(3) for a, b in seen]
            weights = softmax(torch.stack(logits) + torch.stack(bias), dim=0)
            expected[y, x, head] = sum(weight * v[a, b, head] for weight, (a, b) in zip(weights, seen, strict=True))
    with torch.no_grad():
        found = layer(qkv, relative_position_index(window), shift)
    torch.testing.assert_close(found[0], expected.flatten(2))


def test_category_attention_group_by_group() -> None:
    """Seven pixels in groups of three: sorted by category, the last group filled up with the mirrored end."""
    layer: Any = CategoryAttention(2, 1, 3, bias=True).double()
    layer.proj = torch.nn.Identity()
    torch.nn.init.constant_(layer.logit_scale, math.log(2.0))
    qkv = torch.randn(1, 7, 6, dtype=torch.float64)
    categories = torch.tensor([4, 0, 6, 2, 1, 5, 3])  # no two alike: their order is theirs alone
    similarity = torch.nn.functional.one_hot(categories, 8).double()[None]
    order = categories.argsort().tolist()
    filled = [*order, order[-1], order[-2]]
    q, k, v = qkv[0].split(2, dim=1)
    expected = torch.zeros(7, 2, dtype=torch.float64)
    for start in (6, 3, 0):  # a pixel of the filling keeps what its own group gave it
        group = filled[start : start + 3]
        for pixel in group if start < 6 else group[:1]:
            weights = softmax(torch.stack([2 * q[pixel] @ k[other] for other in group]), dim=0)
            expected[pixel] = sum(weight * v[other] for weight, other in zip(weights, group, strict=True))
    with torch.no_grad():
        torch.testing.assert_close(layer(qkv, similarity)[0], expected)


def test_category_scale_is_limited_to_a_hundred() -> None:
    layer = CategoryAttention(2, 1, 4, bias=False).double()
    qkv, similarity = torch.randn(1, 4, 6, dtype=torch.float64), torch.ones(1, 4, 2, dtype=torch.float64)
    results = []
    for scale in (math.log(100), 50.0):
        torch.nn.init.constant_(layer.logit_scale, scale)
        results.append(layer(qkv, similarity))
    torch.testing.assert_close(*results)


def test_dictionary_is_looked_up_by_cosine_similarity() -> None:
    layer = TokenDictionaryCrossAttention(3, tokens=4, reduced=2, bias=True).double()
    with torch.no_grad():
        layer.scale.copy_(torch.tensor([-1.0, 0.25, 1.0, 7.0]))
        x, tokens = torch.randn(1, 5, 3, dtype=torch.float64), torch.randn(1, 4, 3, dtype=torch.float64)
        found, similarity = layer(x, tokens)
        for pixel in range(5):
            q = layer.wq(x[0, pixel])
            logits = []
            for token, scale in enumerate((0, 0.25, 1, 1)):
                k = layer.wk(tokens[0, token])
                logits.append((1 + scale * math.log(4)) * float(q @ k / (q.norm() * k.norm())))
            weights = np.exp(logits) / np.exp(logits).sum()
            np.testing.assert_allclose(similarity[0, pixel], weights, rtol=1e-12)
            np.testing.assert_allclose(found[0, pixel], weights @ layer.wv(tokens[0]).numpy(), rtol=1e-10)


@pytest.mark.parametrize("pieces", [1, 3])
def test_attention_in_pieces_is_attention_as_a_whole(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = torch.randn(3, 5, 2, 7, 4, dtype=torch.float64)
    bias, scale = torch.randn(2, 7, 7, dtype=torch.float64), torch.tensor([[1.7]], dtype=torch.float64)
    monkeypatch.setattr("deeprftv2_arch.ops.attention.PIECE", 2 * 7 * 7 * -(-5 // pieces))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.7)
    with torch.no_grad():
        torch.testing.assert_close(attention(q, k, v, bias, scale), expected)


def test_linear_layers_start_as_in_the_public_network_those_of_the_estimators_too() -> None:
    network = ATD(fke=True)
    wqkv = network.layers[0].residual_group.layers[0].wqkv
    scan = network.fkes[1].sub_resnet.levels[0].blocks[0].scan
    for weight in (wqkv.weight, scan.scan_proj.weight, scan.gate_proj.weight, scan.out_proj.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not wqkv.bias.any()
    # PyTorch's own start for a 1x1 convolution of 96 channels: uniform, with a standard deviation of 1 / sqrt(3 * 96).
    assert network.fkes[1].merge.weight.std().item() == pytest.approx((3 * 96) ** -0.5, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"upsampler": "pixelshuffle", "upscale": 6}, r"cannot enlarge by 6"),
        ({"upsampler": "nearest+conv", "upscale": 2}, r"cannot enlarge by 2"),
        ({"upsampler": "bicubic"}, r"'bicubic' cannot enlarge"),
        ({"category_size": 0}, r"category_size must be positive, got 0"),
        ({"convffn_kernel_size": -1}, r"convffn_kernel_size must be positive, got -1"),
        ({"img_range": 0.0}, r"img_range must be positive, got 0.0"),
        ({"mlp_ratio": 0.0}, r"mlp_ratio must leave at least one of 48 channels, got 0.0"),
        ({"depths": (), "num_heads": ()}, r"depths must have an entry for every residual group"),
        ({"depths": (6, 0, 6, 6)}, r"every entry of depths must be at least 1, got \[6, 0, 6, 6\]"),
        (
            {"embed_dim": 2, "num_heads": (1,) * 4, "resi_connection": "3conv"},
            r"3conv needs an embed_dim of at least 4",
        ),
        ({"num_heads": (4, 4)}, r"depths and num_heads must be as long as each other"),
        ({"num_heads": (5, 5, 5, 5)}, r"embed_dim must be a multiple of every entry of num_heads, got 48"),
        ({"convffn_kernel_size": 4}, r"convffn_kernel_size must be odd, got 4"),
        ({"in_chans": 4}, r"in_chans must be 1 or 3, got 4"),
        ({"fke": True, "img_size": 60}, r"img_size must be a multiple of window_size \(16\)"),
        ({"fke": True, "tile_overlap": 64}, r"tile_overlap must be from 0 on and smaller than img_size"),
        ({"upscale": 0}, r"upscale must be positive, got 0"),
        ({"resi_connection": "2conv"}, r"resi_connection must be 1conv or 3conv, got '2conv'"),
    ],
)
def test_arguments_that_cannot_be_met_are_refused(arguments: dict[str, Any], message: str) -> None:
    with torch.device("meta"), pytest.raises(OptionError, match=message):
        ATD(**arguments)


def test_images_of_other_channels_are_refused() -> None:
    with pytest.raises(OptionError, match=r"enlarges images \(B, 3, H, W\), got a tensor of shape \(1, 1, 8, 8\)"):
        ATD(**NARROW)(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("arguments", "description"),
    [
        ({"upscale": 3}, "ATD-light at x3 without fke"),
        ({"upscale": 4, "fke": True}, "ATD-light at x4 with fke"),
        ({"upscale": 4, **FULL}, "ATD at x4 without fke"),
        (NARROW | {"upsampler": "nearest+conv", "upscale": 4}, "an ATD at x4 with in_chans 3, embed_dim 12, depths"),
    ],
)
def test_checkpoints_say_which_network_they_belong_to(arguments: dict[str, Any], description: str) -> None:
    with torch.device("meta"):
        assert describe(ATD(**arguments).state_dict()).startswith(description)
