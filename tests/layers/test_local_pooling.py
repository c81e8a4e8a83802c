"""Train-size local pooling, and kernel estimators that work in windows."""

from typing import Any

import pytest
import torch
from compare_modules import with_all_branches

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.layers.local_pooling import LocalMeanPool
from deeprftv2_arch.layers.naf_block import NAFBlock
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.ops import strips

TINY: dict[str, Any] = {"dim": 4, "blocks": (1, 1, 1), "full_kinds": ("NAF",) * 3, "fke_blocks": (1, 1)}


@pytest.mark.parametrize(("height", "width", "window"), [(7, 9, 4), (7, 9, 3), (5, 12, 6), (12, 5, 6), (6, 6, 1)])
def test_means_of_the_window_around_every_pixel_moved_into_the_map(height: int, width: int, window: int) -> None:
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    rows, columns = min(window, height), min(window, width)
    expected = torch.empty_like(x)
    for i in range(height):
        for j in range(width):
            top = min(max(i - (rows - 1) // 2, 0), height - rows)
            left = min(max(j - (columns - 1) // 2, 0), width - columns)
            expected[:, :, i, j] = x[:, :, top : top + rows, left : left + columns].mean(dim=(2, 3))
    torch.testing.assert_close(LocalMeanPool(window)(x), expected)


def test_a_window_as_large_as_the_map_gives_one_mean() -> None:
    x = torch.randn(1, 2, 4, 6)
    torch.testing.assert_close(LocalMeanPool(6)(x), x.mean(dim=(2, 3), keepdim=True))
    assert LocalMeanPool(6)(torch.randn(1, 2, 4, 7)).shape == (1, 2, 4, 7)


def test_half_precision_is_summed_up_in_float32() -> None:
    x = torch.full((1, 1, 4, 3000), 1.001, dtype=torch.bfloat16)
    assert LocalMeanPool(2900)(x).dtype == torch.bfloat16
    torch.testing.assert_close(LocalMeanPool(2900)(x), x)


def test_blocks_with_local_means_may_be_cut_into_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    block = with_all_branches(NAFBlock(4))
    attention: Any = block.channel_attention
    attention[0] = LocalMeanPool(6)
    x = torch.randn(1, 4, 11, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = block(x)
        monkeypatch.setattr(strips, "SMALLEST_MAPS", 1)
        monkeypatch.setattr(strips, "STRIP_ELEMENTS", 2 * 8 * 12)
        torch.testing.assert_close(block(x), expected)


def test_every_level_pools_over_one_and_a_half_times_its_training_patch() -> None:
    network = DeepRFTv2(**TINY, train_size=32)
    for unit in network.units:
        for scale, first in ((unit.full_scale, 48), (unit.half_scale, 24)):
            windows = [first, first // 2, first // 4]
            for column, wanted in ((scale.encoder, windows), (scale.decoder, windows[::-1])):
                found = [level.blocks[0].channel_attention[0].window for level in column.levels]
                assert found == wanted


def test_local_pooling_changes_larger_images_alone_and_no_weights() -> None:
    whole = with_all_branches(DeepRFTv2(**TINY, units=1)).eval()
    local = DeepRFTv2(**TINY, units=1, train_size=32).double().eval()
    local.load_state_dict(whole.state_dict())
    with torch.no_grad():
        small, large = torch.rand(1, 3, 48, 48).double(), torch.rand(1, 3, 48, 56).double()
        torch.testing.assert_close(local(small), whole(small))
        assert (local(large) - whole(large)).abs().max() > 1e-4


def test_windows_in_training_lie_side_by_side_and_the_last_fills_the_rest() -> None:
    estimator = with_all_branches(FourierKernelEstimator(4, (1, 1), "VS", True, "none"))
    f = torch.randn(2, 4, 8, 20, dtype=torch.float64)
    parts = [estimator.deblur(f[..., left : left + 8], None) for left in (0, 8, 12)]
    estimator.window = 8
    deblurred, features = estimator(f, None)
    torch.testing.assert_close(deblurred, torch.cat([parts[0][0], parts[1][0], parts[2][0][..., 4:]], dim=3))
    for level, feature in enumerate(features):
        torch.testing.assert_close(feature, torch.cat([part[1][level] for part in parts]))


def test_windows_in_evaluation_overlap_and_are_blended_linearly() -> None:
    estimator = with_all_branches(FourierKernelEstimator(4, (1, 1), "VS", True, "none")).eval()
    f = torch.randn(1, 4, 18, 8, dtype=torch.float64)  # windows at 0, 6 and, moved back, 10
    parts = [estimator.deblur(f[:, :, top : top + 8], None)[0] for top in (0, 6, 10)]
    estimator.window, estimator.window_overlap = 8, 2
    ramps = [torch.linspace(0, 1, shared, dtype=torch.float64)[:, None] for shared in (2, 4)]
    expected = torch.cat(
        [
            parts[0][:, :, :6],
            parts[0][:, :, 6:] * (1 - ramps[0]) + parts[1][:, :, :2] * ramps[0],
            parts[1][:, :, 2:4],
            parts[1][:, :, 4:] * (1 - ramps[1]) + parts[2][:, :, :4] * ramps[1],
            parts[2][:, :, 4:],
        ],
        dim=2,
    )
    torch.testing.assert_close(estimator(f, None)[0], expected)


@pytest.mark.parametrize(("training", "starts"), [(True, (0, 8, 12)), (False, (0, 6, 12))])
def test_windows_chain_from_estimator_to_estimator_each_with_its_own(training: bool, starts: tuple[int, ...]) -> None:
    first, second = (with_all_branches(FourierKernelEstimator(4, (1, 1), "VS", f, "none")) for f in (True, False))
    first.train(training)
    second.train(training)
    f, g = torch.randn(2, 1, 4, 8, 20, dtype=torch.float64)
    for estimator in (first, second):
        estimator.window, estimator.window_overlap = 8, 2
    chained = [
        second.deblur(g[..., left : left + 8], first.deblur(f[..., left : left + 8], None)[1])[1] for left in starts
    ]
    features = second(g, first(f, None)[1])[1]
    for level, feature in enumerate(features):
        torch.testing.assert_close(feature, torch.cat([of_window[level] for of_window in chained]))


def test_networks_train_with_windows_of_half_the_size_at_half_resolution() -> None:
    network = with_all_branches(DeepRFTv2(**TINY, fke_window=16))
    network(torch.rand(2, 3, 24, 32, dtype=torch.float64), supervise=True)["full"][-1].square().sum().backward()
    gradients = [parameter.grad for name, parameter in network.named_parameters() if ".fke." in name]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert [unit.half_scale.fke.window for unit in network.units] == [8, 8]


def test_small_images_are_padded_with_zeros_to_the_smallest_size_and_cropped() -> None:
    network = with_all_branches(DeepRFTv2(**TINY, units=1, smallest_size=(24, 32))).eval()
    x = torch.rand(1, 3, 21, 18, dtype=torch.float64)
    padded = torch.zeros(1, 3, 24, 32, dtype=torch.float64)
    padded[:, :, :21, :18] = x
    with torch.no_grad():
        torch.testing.assert_close(network(x), network(padded)[:, :, :21, :18], rtol=0, atol=0)
        assert network(torch.rand(1, 3, 30, 40, dtype=torch.float64)).shape == (1, 3, 30, 40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fke_window": 12}, "fke_window and fke_overlap must be multiples of 8, got 12, 0"),
        ({"fke_window": 16, "fke_overlap": 16}, "fke_overlap must be from 0 on and smaller than fke_window"),
        ({"train_size": 7}, "train_size must be at least 8 or null, got 7"),
        (
            {"smallest_size": (776, 681)},
            r"smallest_size must be a height and a width, multiples of 8, got \[776, 681\]",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DeepRFTv2(**TINY, **arguments)
