"""Every layer against its formula, its published parameter count, or an independent implementation."""

import math
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.layers.block_stack import block_stack
from deeprftv2_arch.layers.kernel_estimator import FourierKernelEstimator
from deeprftv2_arch.layers.layer_norm import LayerNorm2d
from deeprftv2_arch.layers.naf_block import NAFBlock, simple_gate
from deeprftv2_arch.layers.nafevs_block import NAFEVSBlock
from deeprftv2_arch.layers.pyramid import image_pyramid
from deeprftv2_arch.layers.reversible_column import sub_decoder, sub_encoder
from deeprftv2_arch.layers.tiling import TileGrid, run_in_tiles, tile_starts
from deeprftv2_arch.layers.vs_block import SelectiveScan2d, VSBlock


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_layer_norm_is_its_formula() -> None:
    norm = LayerNorm2d(6).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    mean = x.mean(1, keepdim=True)
    variance = ((x - mean) ** 2).mean(1, keepdim=True)
    expected = (x - mean) / torch.sqrt(variance + 1e-6) * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(x), expected, rtol=1e-12, atol=1e-12)


def test_simple_gate_multiplies_the_halves() -> None:
    x = torch.tensor([2.0, 3.0, 5.0, 7.0]).reshape(1, 4, 1, 1)
    assert simple_gate(x).flatten().tolist() == [10.0, 21.0]


def test_image_pyramid_is_binomial_blur_and_average() -> None:
    image = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    taps = np.array([1, 4, 6, 4, 1]) / 16
    blurred = ndimage.convolve1d(image.numpy(), taps, axis=2, mode="mirror")
    blurred = ndimage.convolve1d(blurred, taps, axis=3, mode="mirror")
    expected = blurred.reshape(2, 3, 8, 2, 12, 2).mean((3, 5))
    full, half, quarter = image_pyramid(image, 3)
    assert full is image
    torch.testing.assert_close(half, torch.from_numpy(expected), rtol=1e-12, atol=1e-12)
    assert quarter.shape == (2, 3, 4, 6)


def test_image_pyramid_is_not_rounded_by_autocast() -> None:
    image = torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = image_pyramid(image, 2)[1]
    assert torch.equal(found, image_pyramid(image, 2)[1])


@pytest.mark.parametrize(
    ("width", "naf", "scan", "vs", "nafevs"),
    [
        (48, 17_712, 18_200, 18_296, 36_152),
        (96, 67_680, 65_072, 65_264, 133_232),
        (192, 264_384, 245_216, 245_600, 510_560),
    ],
)
def test_blocks_have_the_published_number_of_parameters(width: int, naf: int, scan: int, vs: int, nafevs: int) -> None:
    assert count(NAFBlock(width)) == naf
    assert count(SelectiveScan2d(width)) == scan
    assert count(VSBlock(width)) == vs
    assert count(NAFEVSBlock(width, 0)) == nafevs


def test_kernel_estimator_and_columns_have_the_published_number_of_parameters() -> None:
    rgb_head = 1299
    assert count(FourierKernelEstimator(48, (1, 1, 1, 1), "VS", True, "none")) == 93_299 - rgb_head
    assert count(FourierKernelEstimator(48, (1, 1, 1, 1), "VS", False, "none")) == 107_267 - rgb_head
    nafevs, naf, blocks = ("NAF", "NAFEVS", "NAFEVS"), ("NAF",) * 3, (1, 4, 8)
    assert count(sub_encoder(48, blocks, nafevs, False, "none")) == 4_727_616
    assert count(sub_decoder(48, blocks, nafevs, "none")) == 4_727_472
    assert count(sub_encoder(48, blocks, naf, True, "none")) == 2_593_104
    assert count(sub_decoder(48, blocks, naf, "none")) == 2_495_856


def test_naf_block_starts_as_the_identity() -> None:
    x = torch.randn(1, 4, 5, 6)
    assert torch.equal(NAFBlock(4)(x), x)


def test_nafevs_blocks_turn_the_map_and_four_bring_it_back() -> None:
    """With their branches at zero they hand on the re-oriented map itself."""
    x = torch.randn(1, 4, 5, 6)
    assert torch.equal(NAFEVSBlock(4, 0)(x), x.transpose(2, 3))
    assert torch.equal(NAFEVSBlock(4, 1)(x), x.flip(2, 3))
    assert torch.equal(block_stack("NAFEVS", 4, 4)(x), x)


def test_the_scan_starts_with_steps_in_the_documented_range() -> None:
    scan = SelectiveScan2d(64)
    steps = nn.functional.softplus(scan.dt_proj_bias)
    assert 0.99e-3 <= steps.min() < 2e-3
    assert 5e-2 < steps.max() <= 1.01e-1
    torch.testing.assert_close(scan.A_log.exp(), torch.arange(1.0, 9.0).expand(128, 8))
    assert scan.dt_proj_weight.abs().max() <= 4**-0.5


def test_unknown_blocks_and_nafevs_levels_that_stay_turned_are_refused() -> None:
    with pytest.raises(OptionError, match="'NAFX' is unknown; choose from NAF"):
        block_stack("NAFX", 8, 1)
    with pytest.raises(OptionError, match="multiple of 4 blocks, got 3"):
        block_stack("NAFEVS", 8, 3)


def test_kernel_estimator_convolves_with_the_kernel_it_estimates() -> None:
    """With a kernel head that ignores its input, each channel is multiplied by one complex number in Fourier space."""
    estimator = FourierKernelEstimator(2, (1,), "NAF", True, "none").double()
    with torch.no_grad():
        estimator.to_blurred.weight.copy_(torch.eye(2)[..., None, None])
        estimator.kernel_head.weight.zero_()
        estimator.kernel_head.bias.copy_(torch.tensor([2.0, -1.0, 0.0, 0.0]))  # real parts, then imaginary parts
        estimator.merge.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 1]])[..., None, None])
    f = torch.randn(1, 2, 6, 8, dtype=torch.float64)
    out, columns = estimator(f, None)
    torch.testing.assert_close(out[:, 0], 2 * f[:, 0])
    torch.testing.assert_close(out[:, 1], -f[:, 1] + f[:, 1])
    assert columns[0].shape == (1, 2, 6, 5)


def test_kernel_estimator_stays_out_of_half_precision_in_fourier_space() -> None:
    estimator = FourierKernelEstimator(4, (1, 1), "VS", True, "none")
    dtypes = []
    for module in (estimator.stem, estimator.kernel_head):
        module.register_forward_hook(lambda _, inputs, output: dtypes.extend([inputs[0].dtype, output.dtype]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        estimator(torch.randn(1, 4, 8, 8), None)
    assert dtypes == [torch.float32] * 4


@pytest.mark.parametrize(("height", "width"), [(5, 6), (6, 7), (5, 7)])
def test_kernel_estimator_reflects_odd_maps_to_even_size_and_crops_back(height: int, width: int) -> None:
    estimator = FourierKernelEstimator(4, (1,), "VS", True, "none").double()
    f = torch.randn(1, 4, height, width, dtype=torch.float64)
    rows, columns = [*range(height), *[height - 2] * (height % 2)], [*range(width), *[width - 2] * (width % 2)]
    wanted, features = estimator(f[:, :, rows][:, :, :, columns], None)
    out, found = estimator(f, None)
    torch.testing.assert_close(out, wanted[:, :, :height, :width])
    torch.testing.assert_close(found, features)
    assert found[0].shape == (1, 4, 6, len(columns) // 2 + 1)


def test_tiles_lie_where_the_published_evaluation_puts_them() -> None:
    assert tile_starts(720, 512, 128) == [0, 208]
    assert tile_starts(1280, 512, 128) == [0, 384, 768]
    assert tile_starts(512, 512, 128) == [0]
    assert tile_starts(100, 512, 128) == [0]
    for length in range(513, 1500):
        starts = tile_starts(length, 512, 128)
        assert len(starts) == (length - 128 - 1) // 384 + 1
        assert starts[-1] + 512 == length


@pytest.mark.parametrize("size", [(40, 72), (24, 24), (56, 88), (16, 200)])
def test_tiles_blend_to_the_whole_image(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    result = run_in_tiles(lambda tiles: tiles[0], image_pyramid(image, 2), 32, 8)
    torch.testing.assert_close(result, image, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("way", [TileGrid.join, TileGrid.stitch])
def test_tiles_that_share_one_pixel_have_equal_parts_in_it(way: Callable[..., Any]) -> None:
    joined = way(TileGrid((1, 7), tile=4, overlap=1), [torch.full((1, 1, 1, 4), value) for value in (1.0, 3.0)])
    assert joined.flatten().tolist() == [1, 1, 1, 2, 3, 3, 3]


@pytest.mark.parametrize("blend", [False, True])
@pytest.mark.parametrize("size", [(17, 23), (40, 9)])
def test_joined_tiles_are_the_sum_of_the_weighted_ones_over_that_of_their_weights(
    size: tuple[int, int], blend: bool
) -> None:
    """Of tiles that do not agree, in float64 and pixel by pixel; up to three overlap along an axis."""
    tile, overlap = 8, 4
    grid = TileGrid(size, tile, overlap)
    tiles = torch.rand(len(list(grid.places())), 1, 1, *grid.tile_size, dtype=torch.float64)

    def weight(starts: Any, index: Any, pixel: Any) -> Any:
        value = 1.0
        for before, after in pairwise(range(len(starts))):
            shared = starts[before] + tile - starts[after]
            position = pixel - starts[after]
            if index in (before, after) and 0 <= position < shared:
                rise = position / (shared - 1) if blend else 0
                value *= rise if index == after else 1 - rise
        return value

    total, weights = torch.zeros(size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
    places = product(enumerate(grid.starts[0]), enumerate(grid.starts[1]))
    for part, ((row, top), (column, left)) in zip(tiles, places, strict=True):
        for y, x in product(*map(range, grid.tile_size)):
            each = weight(grid.starts[0], row, top + y) * weight(grid.starts[1], column, left + x)
            total[top + y, left + x] += each * part[0, 0, y, x]
            weights[top + y, left + x] += each
    torch.testing.assert_close(grid.join(list(tiles), blend=blend)[0, 0], total / weights)


def test_tiles_are_weighted_linearly_where_two_meet() -> None:
    """Two tiles of values 0 and 1 that share 8 pixels: 0, then 0, 1/7, ..., 1, then 1."""
    values = iter([0.0, 1.0])
    image = torch.zeros(1, 3, 16, 24, dtype=torch.float64)
    result = run_in_tiles(lambda tiles: torch.full_like(tiles[0], next(values)), [image], 16, 8)
    expected = torch.tensor([0.0] * 8 + [k / 7 for k in range(8)] + [1.0] * 8, dtype=torch.float64)
    torch.testing.assert_close(result[0, 0, 3], expected)
    assert math.isclose(result.mean().item(), 0.5)
