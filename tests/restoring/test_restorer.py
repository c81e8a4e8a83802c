"""The Python interface of restoring: kinds of images, tiles, memory, files."""

import doctest
import logging
import os
import re
import subprocess
import sys
import warnings
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image, ImageCms, ImageOps
from restoring_helpers import TINY_ATD, TINY_DEBLURRING, Enlarging, ShortSighted, noise, save_atd, save_identity
from torch import Tensor, nn

import deeprftv2_arch
from deeprftv2_arch import Restorer
from deeprftv2_arch.errors import CheckpointError, DataError, OptionError
from deeprftv2_arch.layers.tiling import TileGrid
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.identity import Identity
from deeprftv2_arch.networks.kernel_flow import KernelFlow
from deeprftv2_arch.networks.kernel_guided import KernelGuidedNetwork
from deeprftv2_arch.networks.uncertain_kernel_estimator import UncertainKernelEstimator
from deeprftv2_arch.restoring import memory, pretrained
from deeprftv2_arch.restoring import restorer as restorer_module
from deeprftv2_arch.restoring.batch.restore_files import about
from deeprftv2_arch.restoring.image_files import read_image, write_image
from deeprftv2_arch.restoring.memory import budget, is_out_of_memory, parse_bytes, pixels_that_fit, tiles_that_fit
from deeprftv2_arch.restoring.pretrained import Pretrained
from deeprftv2_arch.restoring.tiles import Tiles

ODD = (75, 101)


@pytest.mark.slow
def test_example_of_the_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_identity(Path("net_g_latest.pth"))
    failed, tried = doctest.testmod(restorer_module)
    assert (failed, tried) == (0, 6)


def test_package_has_no_other_lazy_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Restored'"):
        _ = deeprftv2_arch.Restored


# Kinds


@pytest.mark.parametrize("tile", [None, (32, 8), (40, 20), (16, 0)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_identity_returns_the_image(channels: tuple[int, ...], dtype: type, tile: tuple[int, int] | None) -> None:
    image = noise(*ODD, *channels, dtype=dtype)
    before = image.copy()
    restored = Restorer(Identity(), "cpu", tile)(image)
    assert (restored.shape, restored.dtype) == (image.shape, image.dtype)
    np.testing.assert_array_equal(restored, image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 70), (3, 2, 4), (64, 64), (65, 64, 1)])
def test_identity_on_sizes_at_the_edge(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    np.testing.assert_array_equal(Restorer(Identity(), "cpu", (32, 16))(image), image)


@pytest.mark.parametrize("tile", [(32, 16), (31, 13), (16, 1), (16, 0)])
@pytest.mark.parametrize("size", [(1, 100), (33, 17), (64, 81), ODD])
def test_identity_returns_a_tensor_to_the_last_bit(size: tuple[int, int], tile: tuple[int, int]) -> None:
    x = torch.rand(1, 3, *size)
    restored, _ = Restorer(Enlarging(2), "cpu", tile).restore_tensor(x)
    for rows, columns in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert torch.equal(restored[:, :, rows::2, columns::2], x)


def test_identity_of_a_deblurring_checkpoint(tmp_path: Path) -> None:
    image = noise(*ODD, 3)
    restorer = Restorer.from_checkpoint(save_identity(tmp_path / "net.pth"), device="cpu", tile=(48, 16))
    np.testing.assert_array_equal(restorer(image), image)
    assert restorer.restore(image).tiles == (48, 16)


def test_tensors_keep_their_shape_and_type() -> None:
    restorer = Restorer(Enlarging(2), "cpu", (32, 8))
    images = torch.rand(2, 3, 40, 50, dtype=torch.float64)
    restored = restorer(images)
    torch.testing.assert_close(restored[:, :, ::2, 1::2], images, rtol=0, atol=1e-6)
    assert restored.dtype == torch.float64
    torch.testing.assert_close(restorer(images[1]), restored[1], rtol=0, atol=0)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_tensors_of_every_kind_come_back(dtype: torch.dtype, channels: int) -> None:
    images = torch.from_numpy(noise(2, channels, 40, 50))
    images = images if dtype == torch.uint8 else (images / 255).to(dtype).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored = Restorer(Identity(), "cpu", (32, 8))(images)
    assert restored.dtype == dtype
    expected = images.detach()
    # The network works in float32.
    assert torch.equal(restored, expected.float().double() if dtype == torch.float64 else expected)
    assert not restored.requires_grad


def test_alpha_of_a_tensor_is_kept_and_its_grey_stays_grey() -> None:
    class Tinting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert torch.equal(x[:, 0], x[:, 2])
            return x + torch.tensor([0.125, 0.25, 0.375]).view(1, 3, 1, 1)

    restorer = Restorer(Tinting(), "cpu")
    torch.testing.assert_close(restorer(torch.full((1, 2, 3), 0.5)), torch.full((1, 2, 3), 0.75))
    values = torch.tensor([0.625, 0.75, 0.875, 0.5]).view(4, 1, 1).expand(4, 2, 3)
    torch.testing.assert_close(restorer(torch.full((4, 2, 3), 0.5)), values)


def test_doubles_are_restored_as_floats() -> None:
    image = np.random.default_rng(0).random((40, 50, 4))
    restored = Restorer(Identity(), "cpu", (32, 8))(image)
    assert restored.dtype == np.float64
    np.testing.assert_array_equal(restored[:, :, :3], image[:, :, :3].astype(np.float32))
    np.testing.assert_array_equal(restored[:, :, 3], image[:, :, 3])


def test_floats_are_clamped() -> None:
    image = np.array([[-0.2, 0.3, 1.2]], np.float32)
    np.testing.assert_allclose(Restorer(Identity(), "cpu")(image), [[0, 0.3, 1]], atol=1e-6)
    tensor = torch.tensor([-0.2, 0.3, 1.2]).expand(3, 1, 3)
    torch.testing.assert_close(Restorer(Identity(), "cpu")(tensor)[0, 0], torch.tensor([0, 0.3, 1]))


def test_grey_is_restored_as_equal_colours_and_averaged() -> None:
    class Tinting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert torch.equal(x[:, 0], x[:, 2])
            return x + torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)

    restored = Restorer(Tinting(), "cpu")(np.full((2, 3), 51, np.uint8))
    np.testing.assert_array_equal(restored, np.full((2, 3), 51 + 51))


def test_colours_come_in_the_order_rgb() -> None:
    class Reddening(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([torch.ones_like(x[:, :1]), x[:, 1:]], dim=1)

    restored = Restorer(Reddening(), "cpu")(np.zeros((1, 1, 4), np.uint16))
    assert restored.tolist() == [[[65535, 0, 0, 0]]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_alpha_is_enlarged_and_stays_in_range(dtype: type) -> None:
    image: np.ndarray = np.zeros((8, 8, 4), dtype)
    image[:, 4:, 3] = 1
    alpha: Any = Restorer(Enlarging(2), "cpu")(image)[:, :, 3]
    assert (alpha.shape, alpha.dtype) == ((16, 16), dtype)
    assert (alpha[:, :4] == 0).all()
    assert (alpha[:, 12:] == 1).all()
    assert 0 <= alpha.min() <= alpha.max() <= 1


def test_network_of_one_channel_restores_colours_one_by_one() -> None:
    torch.manual_seed(1)
    network = ATD(**TINY_ATD, in_chans=1).eval()
    image = noise(9, 11, 3, dtype=np.float32)
    with torch.no_grad():
        expected = [network(torch.from_numpy(image[None, None, :, :, channel]))[0, 0] for channel in range(3)]
    restored = Restorer(network, "cpu")(image)
    np.testing.assert_allclose(restored, torch.stack(expected, dim=2).clamp(0, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.int32), "uint8, uint16 or floating point, not int32"),
        (np.zeros((4, 4, 5), np.uint8), r"\(H, W, 1 to 4\), not \(4, 4, 5\)"),
        (np.zeros((0, 4), np.uint8), r"not \(0, 4\)"),
        (np.full((4, 4), 128, np.float32), "0..1, not 128 to 128; scale"),
        (np.full((4, 4), np.nan, np.float32), "not nan to nan"),
        (torch.zeros(4, 4), r"\(C, H, W\) or \(B, C, H, W\) with 1 to 4 channels, not \(4, 4\)"),
        (torch.zeros(5, 4, 4), r"channels, not \(5, 4, 4\)"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), "uint8, uint16 or floating point, not int32"),
        (torch.full((3, 4, 4), torch.inf), "not inf to inf"),
        ([[0.0]], "a path, a NumPy array, a tensor or an image of Pillow, not a list"),
    ],
)
def test_what_is_no_image_is_refused(image: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Restorer(Identity(), "cpu")(image)  # type: ignore[call-overload]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "F"])
def test_images_of_pillow_come_back(mode: str) -> None:
    if mode in ("I;16", "F"):
        image = Image.fromarray(noise(9, 11, dtype=np.uint16 if mode == "I;16" else np.float32))
    else:
        image = Image.fromarray(noise(9, 11, 4)).convert(mode)
    restored = Restorer(Enlarging(2), "cpu")(image)
    expected = image.convert({"1": "L", "P": "RGB"}.get(mode, mode))
    assert (restored.mode, restored.size) == (expected.mode, (22, 18))
    colours = slice(0, {"LA": 1, "RGBA": 3}.get(mode))
    found, given = (np.asarray(one).reshape(one.height, one.width, -1)[..., colours] for one in (restored, expected))
    np.testing.assert_array_equal(found[::2, ::2], given)


def test_mode_of_pillow_that_is_not_restored() -> None:
    with pytest.raises(DataError, match="mode CMYK is not restored; convert it to RGB"):
        Restorer(Identity(), "cpu")(Image.new("CMYK", (4, 4)))


def test_batch_in_one_pass_is_what_each_image_becomes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    class Watched(ShortSighted):
        def forward(self, x: Tensor) -> Tensor:
            sizes.append(tuple(x.shape))
            if len(x) > limit:
                raise MemoryError
            return super().forward(x)

    limit = 9
    restorer, images = Restorer(Watched(), "cpu"), torch.rand(3, 1, 40, 50)
    one_by_one = restorer(images)
    assert sizes == [(1, 3, 40, 50)] * 3
    monkeypatch.setattr(restorer, "_takes_batches", lambda: True)  # as on a GPU
    for most, expected in ((9, [3]), (2, [3, 1, 1, 1])):
        limit = most
        sizes.clear()
        torch.testing.assert_close(restorer(images), one_by_one, rtol=0, atol=1e-6)
        assert [size[0] for size in sizes] == expected


def test_time_is_estimated_from_a_small_run_and_then_from_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            clock[0] += 2e-3 * x.shape[2] * x.shape[3]
            return x

    restorer = Restorer(Slow(), "cpu")
    assert restorer.seconds_for(1000, 2000) == pytest.approx(4000)
    assert clock[0] == pytest.approx(2 * 2e-3 * 128**2)
    assert Restorer(Slow(), "cpu", (64, 32)).seconds_for(1000, 2000) == pytest.approx(16_000)
    clock[0] = 0.0
    restorer(noise(10, 20))
    assert restorer.seconds_for(10, 20) == pytest.approx(clock[0])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "less than a second"), (42.4, "about 42 s"), (600, "about 10 min"), (9000, "about 2.5 h")],
)
def test_time_in_words(seconds: float, words: str) -> None:
    assert about(seconds) == words


def test_precision(tmp_path: Path) -> None:
    path = save_identity(tmp_path / "net.pth")
    seen = []
    restorer = Restorer.from_checkpoint(path, device="cpu", dtype=torch.bfloat16)
    convolution = next(part for part in restorer.network.modules() if isinstance(part, nn.Conv2d))
    convolution.register_forward_hook(lambda *called: seen.append(called[2].dtype))
    restored = restorer(noise(16, 24, 3))
    assert seen == [torch.bfloat16]
    assert restored.dtype == np.uint8
    with pytest.raises(
        OptionError, match=r"dtype: torch\.float16 cannot be used on cpu; choose one of torch\.float32,"
    ):
        Restorer(Identity(), "cpu", dtype=torch.float16)


def test_what_a_restorer_says_of_itself(tmp_path: Path) -> None:
    restorer = Restorer.from_pretrained(save_identity(tmp_path / "net.pth"), device="cpu", tile=(64, 8))
    assert re.fullmatch(r"<Restorer: DeepRFTv2.*, on cpu in float32, tiles of 64 that share 8 pixels>", repr(restorer))
    assert repr(Restorer(Identity(), "cpu")) == "<Restorer: Identity, on cpu in float32>"


def test_pretrained_weights_by_name_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_identity(tmp_path / "net.pth")
    monkeypatch.setattr(pretrained, "PRETRAINED", {"small": Pretrained(path, "")})
    image = noise(16, 24, 3)
    for name in ("small", path, str(path)):
        np.testing.assert_array_equal(Restorer.from_pretrained(name, device="cpu")(image), image)
    with pytest.raises(CheckpointError, match=r"^large: there is no such file, .*with this package: small$"):
        Restorer.from_pretrained("large")


def test_kernels_of_every_kind_of_image(tmp_path: Path) -> None:
    restorer = Restorer.from_checkpoint(save_identity(tmp_path / "net.pth"), device="cpu")
    image = noise(16, 24, 3)
    write_image(tmp_path / "a.png", image)
    expected = restorer.kernels(image)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    for same in (tensor, tensor[None], Image.fromarray(image), tmp_path / "a.png"):
        np.testing.assert_array_equal(restorer.kernels(same), expected)
    with pytest.raises(DataError, match="kernels are of one image"):
        restorer.kernels(torch.rand(2, 3, 16, 24))


def test_output_that_is_not_finite_is_refused() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 0

    with pytest.raises(DataError, match="not finite"):
        Restorer(Broken(), "cpu")(np.zeros((4, 4), np.uint8))


# Tiles and memory


@pytest.mark.parametrize(
    ("overlap", "blended"), [(8, [1 / 3, 2 / 3]), (7, [0.25, 0.5, 0.75]), (3, [0.25, 0.5, 0.75]), (2, [1 / 3, 2 / 3])]
)
def test_tiles_are_blended_in_the_middle_of_what_they_share(overlap: int, blended: list[float]) -> None:
    ends = (24 - overlap - len(blended)) // 2
    expected = torch.tensor([0.0] * ends + blended + [1.0] * ends)
    tiles = torch.zeros(1, 1, 12, 12), torch.ones(1, 1, 12, 12)
    across = TileGrid((12, 24 - overlap), 12, overlap).stitch(tiles)
    torch.testing.assert_close(across, expected.expand(1, 1, 12, -1))
    down = TileGrid((24 - overlap, 12), 12, overlap).stitch(tiles)
    torch.testing.assert_close(down, across.mT)


class FarSighted(nn.Module):
    """Convolutions with zero padding whose receptive field has an extent; its ends count as much as they can."""

    def __init__(self, extent: int, upscale: int) -> None:
        super().__init__()
        self.upscale = upscale
        self.radius = extent // 2
        corners = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]) / 4
        self.register_buffer("kernel", corners.expand(3, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.radius):
            x = torch.sin(x)
            x = nn.functional.conv2d(x, self.kernel, padding=1, groups=3)
        return x.repeat_interleave(self.upscale, dim=2).repeat_interleave(self.upscale, dim=3)


@pytest.mark.parametrize("upscale", [1, 2, 3])
@pytest.mark.parametrize("tile", [(32, 16), (48, 16), (41, 18), (25, 12), (24, 4)])
def test_tiles_equal_the_whole_where_the_receptive_field_is_smaller_than_the_overlap(
    tile: tuple[int, int], upscale: int
) -> None:
    overlap = tile[1]
    image = noise(*ODD, 3, dtype=np.float32)

    def difference(extent: int) -> float:
        network = FarSighted(extent, upscale)
        restorer = Restorer(network, "cpu", tile)
        whole = Restorer(network, "cpu", (128, 0))(image)
        restored = restorer.restore(image)
        assert restored.tiles == tile
        return float(np.abs(restored.image - whole).max())

    assert difference(overlap - 1) < 1e-5
    assert difference(overlap + 1) > 1e-4  # no wider one could be: the overlap is made use of to its last pixel


@pytest.mark.parametrize("overlap", [15, 9])
def test_tiles_with_an_odd_overlap_equal_the_whole(overlap: int) -> None:
    image, network = noise(*ODD, 3, dtype=np.float32), FarSighted(overlap - 2, upscale=1)
    whole = Restorer(network, "cpu", (128, 0))(image)
    np.testing.assert_allclose(Restorer(network, "cpu", (40, overlap))(image), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tile", [(32, 16), (48, 12), (40, 20)])
def test_tiles_of_a_short_sighted_network_show_no_seams(tile: tuple[int, int]) -> None:
    network = ShortSighted()
    image = noise(*ODD, 3, dtype=np.float32) * 0.5 + 0.25
    whole = Restorer(network, "cpu", (128, 0))(image)
    restorer = Restorer(network, "cpu", tile)
    restored = restorer.restore(image)
    np.testing.assert_allclose(restored.image, whole, rtol=0, atol=1e-5)
    assert restored.tiles == tile
    # A cut is seen where there is no context, so that the agreement above is not one of a network that sees nothing.
    assert np.abs(Restorer(network, "cpu", (32, 0))(image) - whole).max() > 1e-3


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA out of memory"), MemoryError(), "can't allocate memory"]
)
def test_tile_is_halved_until_it_fits(error: Exception | str, caplog: pytest.LogCaptureFixture) -> None:
    sizes = []

    class Hungry(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            sizes.append(tuple(x.shape[2:]))
            if x.shape[2] * x.shape[3] > 100**2:
                raise RuntimeError(f"DefaultCPUAllocator: {error}") if isinstance(error, str) else error
            return x

    restorer = Restorer(Hungry(), "cpu")
    image = noise(250, 330)
    with caplog.at_level(logging.WARNING):
        restored = restorer.restore(image)
    np.testing.assert_array_equal(restored.image, image)
    assert sizes[:3] == [(250, 330), (160, 160), (80, 80)]
    assert restored.tiles == Tiles(80, 20)
    assert "330x250; trying tiles of 80 that share 20 pixels" in caplog.text
    sizes.clear()
    restorer(image)  # begins with what fitted
    assert set(sizes) == {(80, 80)}
    restorer.tile = Tiles(200, 10)
    restorer(image)
    assert set(sizes) == {(80, 80)}


@pytest.mark.parametrize(("longest", "expected"), [(240, [240, 112, 64]), (65, [65, 64]), (128, [128, 64])])
def test_smallest_tiles_are_tried_before_giving_up(longest: int, expected: list[int]) -> None:
    sizes = []

    class Hungry(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            sizes.append(x.shape[3])
            if x.shape[3] > 64:
                raise MemoryError
            return x

    restorer = Restorer(Hungry(), "cpu")
    image = noise(60, longest)
    restored = restorer.restore(image)
    np.testing.assert_array_equal(restored.image, image)
    assert list(dict.fromkeys(sizes)) == expected
    assert restored.tiles == Tiles(64, 16)


def test_kernels_do_not_depend_on_what_was_restored_before() -> None:
    torch.manual_seed(0)
    restorer, image = Restorer(DeepRFTv2(**TINY_DEBLURRING), "cpu"), noise(80, 96, 3)
    before = restorer.kernels(image)
    assert before.shape[1:] == (80, 96)
    restored = restorer.restore(image, Tiles(32, 8))
    assert restored.tiles == Tiles(32, 8)
    np.testing.assert_array_equal(restorer.kernels(image), before)
    assert restorer.kernels(image, restored.tiles).shape[1:] == (32, 32)
    middle = np.ascontiguousarray(image[24:56, 32:64])
    np.testing.assert_array_equal(restorer.kernels(image, restored.tiles), restorer.kernels(middle))
    assert Restorer(restorer.network, "cpu", (48, 8)).kernels(image).shape[1:] == (48, 48)


def test_image_that_does_not_fit_in_small_tiles_is_refused() -> None:
    class Insatiable(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise MemoryError

    with pytest.raises(DataError, match="330x250 does not fit into the memory"):
        Restorer(Insatiable(), "cpu")(noise(250, 330))


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("can't allocate memory"))


def test_tiles_follow_from_the_memory() -> None:
    network = DeepRFTv2(**TINY_DEBLURRING)
    taken = 4 * 120  # channels times the measured figure
    assert tiles_that_fit(network, 200, 300, 200 * 300 * taken) is None
    assert tiles_that_fit(network, 200, 300, 200 * 300 * taken - 1) == (240, 60)  # 240^2 < 60,000 < 256^2
    assert tiles_that_fit(network, 200, 300, 200 * 300 * taken, largest=100) == (100, 25)
    assert tiles_that_fit(network, 2000, 3000, 1000 * 1000 * taken) == (992, 128)
    assert tiles_that_fit(network, 2000, 3000, 64 * 64 * taken) == (64, 16)
    for free in (64 * 64 * taken - 1, -1):
        with pytest.raises(DataError, match="3000x2000 does not fit into the memory even in tiles of 64"):
            tiles_that_fit(network, 2000, 3000, free)


def test_network_with_tiles_of_its_own_takes_little_around_them() -> None:
    network = ATD(**TINY_ATD, img_size=64, fke=True)
    own = 8 * 120 * 64 * 64
    assert pixels_that_fit(network, own // 2) == 64 * 64 // 2
    assert pixels_that_fit(network, own + 8 * 16 * 10**6) == 10**6


def test_a_kernel_field_takes_memory_however_narrow_its_network_is() -> None:
    estimator, flow = UncertainKernelEstimator(width=4), KernelFlow(blocks=1, hidden=2)

    class Guided(KernelGuidedNetwork):
        def deblur(self, x: Tensor, kernels: Tensor) -> Tensor:
            return x

    assert pixels_that_fit(Guided(estimator, flow, size_multiple=2), 12 * 361 * 1000) == 1000


def test_memory_is_that_of_the_machine_or_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5000 * 1024))
    assert budget(cpu, None) == 4000 * 1024
    taken = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=100 * 4096))
    monkeypatch.setattr(psutil, "Process", lambda: taken)
    assert budget(cpu, 2000 * 1024) == 1960 * 1024 - 100 * 4096  # a fiftieth in reserve
    assert budget(cpu, 10**9) == 5000 * 1024  # no more than there is
    (tmp_path / "memory.current").write_text("1000000\n", encoding="ascii")
    (tmp_path / "memory.max").write_text("max\n", encoding="ascii")
    assert budget(cpu, None) == 4000 * 1024
    (tmp_path / "memory.max").write_text("3000000\n", encoding="ascii")
    assert budget(cpu, None) == 1_600_000


def test_memory_of_this_process_and_machine_is_known() -> None:
    taken = np.ones(50 * 2**20, np.uint8)
    resident = 2**40 - 2**40 * 0.02 - psutil.Process().memory_info().rss
    free = psutil.virtual_memory().available
    assert budget(torch.device("cpu"), 2**40) <= min(free + 2**28, resident + 2**28)
    assert taken.nbytes < psutil.Process().memory_info().rss < psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("words", "number"),
    [(12345, 12345), ("12345", 12345), ("3G", 3 * 2**30), ("1.5 GiB", 3 * 2**29), ("500mb", 500 * 2**20)],
)
def test_amounts_of_memory(words: str | int, number: int) -> None:
    assert parse_bytes(words) == number
    assert Restorer(Identity(), "cpu", memory_limit=words).memory_limit == number


@pytest.mark.parametrize("words", ["", "3 apples", "-1G", "0", "G", "1.2.3G"])
def test_amounts_that_are_none(words: str) -> None:
    with pytest.raises(OptionError, match="is no amount of memory"):
        parse_bytes(words)


# Networks


@pytest.mark.slow
def test_checkpoint_is_enough_without_basicsr(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['basicsr'] = None; import numpy as np; from deeprftv2_arch import Restorer;"
        f"print(Restorer.from_checkpoint({str(save_identity(tmp_path / 'net.pth'))!r})(np.full((2, 3), 7, np.uint8)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[[7 7 7]\n [7 7 7]]\n"


@pytest.mark.parametrize("fke", [False, True])
def test_enlarging_checkpoint(tmp_path: Path, fke: bool) -> None:
    path = save_atd(tmp_path / "net.pth", fke)
    network = ATD(**TINY_ATD, fke=fke).eval()
    network.load_state_dict(torch.load(path, weights_only=True)["params_ema"])
    image = noise(17, 20, 3)
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        expected = network(x)[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    restorer = Restorer.from_checkpoint(path, device="cpu")
    restored = restorer(image)
    assert restored.shape == (34, 40, 3)
    assert np.abs(restored.astype(int) - expected).max() <= 1  # the category attention flips in the last bits
    assert len(restorer.network.fkes) == fke


def test_average_weights_are_preferred(tmp_path: Path) -> None:
    path = save_identity(tmp_path / "net.pth")
    average = torch.load(path, weights_only=True)["params"]
    other = {name: torch.ones_like(value) for name, value in average.items()}
    torch.save({"params": other, "params_ema": average}, path)
    image = noise(9, 9)
    np.testing.assert_array_equal(Restorer.from_checkpoint(path, device="cpu")(image), image)


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"params": {"body.weight": torch.zeros(3)}}, path)
    with pytest.raises(CheckpointError, match=r"net\.pth: holds weights of no network .*, e\.g\. body\.weight"):
        Restorer.from_checkpoint(path)
    state = DeepRFTv2(**TINY_DEBLURRING).state_dict()
    del state["units.0.full_scale.embed.weight"], state["units.0.full_scale.fke.norm.weight"]
    torch.save({"params": state | {"units.0.full_scale.embed.weight": torch.zeros(4, 3, 3, 3)}}, path)
    with pytest.raises(CheckpointError, match=r"1 missing, e\.g\. units\.0\.full_scale\.fke\.norm"):
        Restorer.from_checkpoint(path)


OPTIONS = """\
network_g:
  type: DeepRFTv2
  dim: 4
  units: 1
  blocks: [1, 1, 1]
  full_kinds: [NAF, NAF, NAF]
"""


def test_option_file_tells_tiles_and_what_weights_do_not(tmp_path: Path) -> None:
    checkpoint, options = save_identity(tmp_path / "net.pth"), tmp_path / "options.yml"
    options.write_text(OPTIONS + "  tile: 32\n  tile_overlap: 16\n  train_size: 16\n", encoding="utf-8")
    restorer = Restorer.from_options(options, checkpoint, device="cpu")
    image = noise(*ODD)
    restored = restorer.restore(image)
    np.testing.assert_array_equal(restored.image, image)
    assert restored.tiles == (32, 16)
    assert any(type(part).__name__ == "LocalMeanPool" for part in restorer.network.modules())
    assert Restorer.from_options(options, checkpoint, device="cpu", tile=(64, 8)).tile == (64, 8)
    assert Restorer.from_options(options, checkpoint, device="cpu", memory_limit=2**40).tile is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OPTIONS + "  dims: 4\n", "network_g: unknown key .dims."),
        (OPTIONS.replace("dim: 4", "dim: 5"), "network_g: DeepRFTv2: dim must be an even number"),
        ("name: empty\n", "network_g: type: missing"),
        ("network_g: DeepRFTv2\n", "network_g"),
    ],
)
def test_option_file_that_describes_no_network(tmp_path: Path, text: str, message: str) -> None:
    options = tmp_path / "options.yml"
    options.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError, match=f"options.yml: {message}"):
        Restorer.from_options(options, save_identity(tmp_path / "net.pth"))


def test_weights_that_do_not_fit_the_option_file(tmp_path: Path) -> None:
    options = tmp_path / "options.yml"
    options.write_text(OPTIONS.replace("dim: 4", "dim: 6"), encoding="utf-8")
    with pytest.raises(CheckpointError, match="dim 4 instead of 6"):
        Restorer.from_options(options, save_identity(tmp_path / "net.pth"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile": (32, 17)}, r"at most half of it, got \(32, 17\)"),
        ({"tile": (0, 0)}, "a size above 0"),
        ({"tile": (3.5, 1)}, r"got \(3.5, 1\)"),
        ({"tile": (10,)}, r"got \(10,\)"),
        ({"tile": 10}, "got 10"),
        ({"memory_limit": 0}, "^0 is no amount of memory"),
        ({"memory_limit": -1}, "^-1 is no amount of memory"),
        ({"max_pixels": 0}, "max_pixels: expected a number above 0, got 0"),
        ({"device": "meta"}, r"device: meta cannot be used here \(it computes nothing\); choose cpu, cuda or mps"),
        ({"device": "frog"}, r"^device: frog cannot be used here \(.{,60}\); choose cpu, cuda or mps$"),
        ({"tile": (32, 8), "memory_limit": 2**30}, "give one of them"),
        ({"device": "abacus"}, "device: abacus cannot be used here"),
    ],
)
def test_settings_that_cannot_be_had(settings: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Restorer(Identity(), **settings)


# Files


def test_paths_of_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    for path in (tmp_path, tmp_path / "pipe.png", tmp_path / "device.png"):
        with pytest.raises(DataError, match=f"^{path}: is no regular file$"):
            Restorer(Identity(), "cpu")(path)
    with pytest.raises(DataError, match=r"nothing\.png: there is no such file$"):
        Restorer(Identity(), "cpu")(tmp_path / "nothing.png")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_respected(tmp_path: Path, orientation: int) -> None:
    image = np.zeros((32, 48, 3), np.uint8)
    image[:16, :24] = 255, 0, 0
    image[16:, :24] = 0, 255, 0
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    Image.fromarray(image).save(path, quality=95, exif=exif)
    with Image.open(path) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored)).astype(int)
    restored = Restorer(Identity(), "cpu")(path)
    assert restored.shape == upright.shape
    assert np.abs(restored - upright).max() <= 3  # decoders differ in rounding


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_png_keeps_bits_grey_and_alpha(tmp_path: Path, channels: tuple[int, ...], dtype: type) -> None:
    image, path = noise(5, 7, *channels, dtype=dtype), tmp_path / "an image ü.png"
    write_image(path, image)
    restored = Restorer(Identity(), "cpu")(str(path))
    assert restored.dtype == dtype
    np.testing.assert_array_equal(restored, image)
    if dtype is np.uint8:  # an independent reader; Pillow has no colours of 16 bits
        with Image.open(path) as stored:
            np.testing.assert_array_equal(np.asarray(stored), image)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def jpeg(**more: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(noise(64, 48, 3)).save(buffer, "JPEG", **more)
    return buffer.getvalue()


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"restart_marker_blocks": 1}])
def test_jpeg_is_whole_or_truncated(tmp_path: Path, settings: dict[str, object]) -> None:
    path, data = tmp_path / "photo.jpg", jpeg(**settings)
    for whole in (data + b"a short film behind the end", data[:2] + b"\xff\xff" + data[2:]):
        path.write_bytes(whole)
        assert read_image(path)[0].shape == (64, 48, 3)
    if "progressive" not in settings:  # all pixels are there, whatever is not said of them
        path.write_bytes(data[:-2])
        assert np.abs(read_image(path)[0].astype(int) - np.asarray(Image.open(BytesIO(data)))).max() <= 3
    for length in (len(data) - 2 - ("progressive" not in settings) * 8, len(data) // 2, 700):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"photo\.jpg: is (truncated|a JPEG without)"):
            read_image(path)


def test_damaged_exif_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    for exif in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0XX*\0\x08\0\0\0"):
        path.write_bytes(jpeg(exif=exif))
        assert read_image(path)[0].shape == (64, 48, 3)


def test_orientation_of_a_png_with_alpha(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    image = noise(4, 6, 4)
    Image.fromarray(image).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png")[0], np.rot90(image))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_colour_profile_is_kept(tmp_path: Path, suffix: str) -> None:
    rgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + b"\0" * 70_000  # two segments of a JPEG
    grey = rgb[:16] + b"GRAY" + rgb[20:]
    for name, colours, profile, kept in [("c", (3,), rgb, True), ("g", (), grey, True), ("x", (3,), grey, False)]:
        source, target = tmp_path / f"{name}.{suffix}", tmp_path / "restored.png"
        Image.fromarray(noise(4, 6, *colours)).save(source, icc_profile=profile)
        write_image(target, *read_image(source))
        with Image.open(target) as stored:
            assert stored.info.get("icc_profile") == (profile if kept else None)
            np.testing.assert_array_equal(np.asarray(stored), read_image(source)[0])


def test_header_of_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    write_image(path, np.zeros((50, 40), np.uint8))
    assert read_image(path, max_pixels=2000)[0].shape == (50, 40)
    monkeypatch.setattr("cv2.imdecode", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(DataError, match=r"bomb\.png: announces 40x50 pixels, and no more than 1,999"):
        read_image(path, max_pixels=1999)


def test_images_of_pillow_keep_what_they_say_and_transparent_colours() -> None:
    restorer = Restorer(Enlarging(2), "cpu")
    image = Image.fromarray(noise(4, 6, 3))
    image.info = {"icc_profile": b"profile", "dpi": (300, 150)}
    assert restorer(image).info == image.info
    for mode in ("L", "RGB"):
        stored = Image.new(mode, (6, 4), 7 if mode == "L" else (7, 8, 9))
        stored.putpixel((2, 1), 0)
        stored.info["transparency"] = stored.getpixel((0, 0))
        restored = restorer(stored)
        assert (restored.mode, restored.info) == (f"{mode}A", {})
        alpha = np.asarray(restored.getchannel("A"))
        assert (alpha[0, 0], alpha[2:4, 4:6].max()) == (0, alpha.max())
