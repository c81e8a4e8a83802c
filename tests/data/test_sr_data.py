"""SuperResolutionPairDataset: patches that show the same, images of odd sizes, and how bad data is reported."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files import options, position_image, positions, write_folder, write_lmdb

from deeprftv2_arch.data.image_pair_dataset import SuperResolutionPairDataset
from deeprftv2_arch.data.patches import PatchRequest, turned
from deeprftv2_arch.errors import DataError, OptionError

NAMES = ["a", "b/0.5x"]


def write(root: Path, form: str, lq: tuple[int, int], gt: tuple[int, int]) -> tuple[Path, Path]:
    """Write images that say where their pixels are, of the sizes (height, width)."""
    roots = []
    for name, size in (("LR", lq), ("HR", gt)):
        images = {key: position_image(*size) for key in NAMES}
        roots.append(write_lmdb(root / f"{name}.lmdb", images) if form == "lmdb" else write_folder(root / name, images))
    return roots[0], roots[1]


def build(roots: tuple[Path, Path], scale: Any, **more: Any) -> SuperResolutionPairDataset:
    return SuperResolutionPairDataset(options(*roots, scale=scale, **more))


@pytest.fixture(params=["disk", "lmdb"])
def form(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patches_of_both_resolutions_show_the_same(tmp_path: Path, form: str, scale: int) -> None:
    dataset = build(write(tmp_path, form, (18, 22), (18 * scale, 22 * scale)), scale)
    corners, ways = set(), set()
    for seed in range(200):
        item = dataset[PatchRequest(seed % 2, 8, seed)]
        low, high = positions(item["lq"]), positions(item["gt"])
        assert low.shape == (2, 8, 8)
        assert high.shape == (2, 8 * scale, 8 * scale)
        # Pixel (y, x) of the low resolution is the square of pixels (scale y ..., scale x ...) of the high one.
        assert (high // scale == low.repeat(scale, axis=1).repeat(scale, axis=2)).all()
        top, left = low.min(axis=(1, 2))
        window = np.mgrid[scale * top : scale * (top + 8), scale * left : scale * (left + 8)]
        turns = [np.moveaxis(turned(np.moveaxis(window, 0, -1), way), -1, 0) for way in range(8)]
        ways.add(next(way for way, turned in enumerate(turns) if (turned == high).all()))
        corners.add((top, left))
    assert ways == set(range(8))
    assert {top for top, _ in corners} == set(range(18 - 8 + 1))
    assert {left for _, left in corners} == set(range(22 - 8 + 1))


def test_patch_size_of_basicsr_s_own_loop_is_that_of_the_low_resolution(tmp_path: Path, form: str) -> None:
    item = build(write(tmp_path, form, (16, 16), (48, 48)), 3)[0]
    assert item["lq"].shape == (3, 8, 8)
    assert item["gt"].shape == (3, 24, 24)


@pytest.mark.parametrize("spare", [(0, 0), (2, 0), (0, 1), (3, 3)])
def test_pixels_beyond_the_low_resolution_are_cut_off_in_evaluation(
    tmp_path: Path, form: str, spare: tuple[int, int]
) -> None:
    roots = write(tmp_path, form, (5, 7), (20 + spare[0], 28 + spare[1]))
    item = build(roots, 4, phase="test")[1]
    assert (positions(item["gt"]) == np.mgrid[:20, :28]).all()
    assert (positions(item["lq"]) == np.mgrid[:5, :7]).all()


@pytest.mark.parametrize(
    ("gt", "phase"),
    [
        ((24, 28), "val"),  # a whole pixel of the low resolution more
        ((19, 28), "val"),
        ((20, 27), "val"),
        ((28, 20), "val"),  # lying and standing
        ((5, 7), "val"),
        ((20, 29), "train"),  # in training nothing may be missing
    ],
)
def test_sizes_that_do_not_fit_the_scale_are_named(tmp_path: Path, form: str, gt: tuple[int, int], phase: str) -> None:
    roots = write(tmp_path, form, (5, 7), gt)
    stages = [{"iters": 1, "patch_size": 4, "batch_size": 1}]
    with pytest.raises(DataError) as caught:
        build(roots, 4, phase=phase, patch_stages=stages)[PatchRequest(0, 4, 0)]
    lq_place, gt_place = (f"{root}: a" if form == "lmdb" else str(root / "a.png") for root in roots)
    more = ", or up to 3 pixels more, which are cut off at the right and the bottom" if phase == "val" else ""
    others = "; the same holds for 1 more: b/0.5x" if form == "lmdb" else ""  # whose sizes are known beforehand
    assert str(caught.value) == (
        f"datasets: {phase}: images: {lq_place} is 7x5, {gt_place} is {gt[1]}x{gt[0]}; at scale 4 the second must be "
        f"28x20{more}{others}"
    )


def test_sizes_in_a_database_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    roots = write(tmp_path, "lmdb", (5, 7), (20, 32))
    with pytest.raises(DataError, match=r"LR\.lmdb: a is 7x5, .*HR\.lmdb: a is 32x20"):
        build(roots, 4, phase="val")


def test_image_smaller_than_the_patch_is_named(tmp_path: Path, form: str) -> None:
    roots = write(tmp_path, form, (12, 24), (24, 48))
    with pytest.raises(DataError, match=r"a(\.png)? is 24x12, smaller than the patch of 16x16"):
        build(roots, 2)[PatchRequest(0, 8, 0)]  # the second stage has patches of 16


def test_grey_images_become_three_equal_channels(tmp_path: Path) -> None:
    grey = np.arange(8 * 12, dtype=np.uint8).reshape(8, 12)
    high = write_folder(tmp_path / "HR", {"a": grey})
    low = write_folder(tmp_path / "LR", {"a": grey[::2, ::2]})
    item = build((low, high), 2, phase="val")[0]
    expected = torch.from_numpy(grey.astype(np.float32)) / 255
    assert torch.equal(item["gt"], expected.expand(3, 8, 12))
    assert torch.equal(item["lq"], expected[::2, ::2].expand(3, 4, 6))


def test_names_with_a_suffix_need_a_template_and_the_error_names_it(tmp_path: Path, form: str) -> None:
    save = write_lmdb if form == "lmdb" else write_folder
    ending = ".lmdb" if form == "lmdb" else ""
    low = save(tmp_path / f"LR{ending}", {f"{name}x4": position_image(4, 4) for name in ("s/baby", "s/bird")})
    high = save(tmp_path / f"HR{ending}", {name: position_image(16, 16) for name in ("s/baby", "s/bird")})
    with pytest.raises(
        DataError, match=r"lacks 2: s/baby, s/bird; .*; set filename_tmpl: '\{\}x4', which pairs"
    ) as caught:
        build((low, high), 4, phase="val")
    assert "\n" not in str(caught.value)
    assert build((low, high), 4, phase="val", filename_tmpl="{}x4").pairs == [
        ("s/babyx4", "s/baby"),
        ("s/birdx4", "s/bird"),
    ]


def test_template_is_not_suggested_where_it_would_not_pair_all(tmp_path: Path) -> None:
    low = write_folder(tmp_path / "LR", {name: position_image(4, 4) for name in ("ax4", "bx2")})
    high = write_folder(tmp_path / "HR", {name: position_image(16, 16) for name in "ab"})
    with pytest.raises(DataError, match="do not pair") as caught:
        build((low, high), 4, phase="val")
    assert "filename_tmpl" not in str(caught.value)


@pytest.mark.parametrize("scale", [None, 0, -2, 2.0, True, "2"])
def test_scale_must_be_given(tmp_path: Path, scale: Any) -> None:
    with pytest.raises(OptionError, match="images: expected scale, a whole number from 1 on, at the top of the"):
        build(write(tmp_path, "disk", (8, 8), (16, 16)), scale)


@pytest.mark.parametrize(("scale", "woman"), [(2, (172, 114)), (3, (114, 76)), (4, (86, 57))])
def test_real_set5_pairs_by_template(real_set5: Path, scale: int, woman: tuple[int, int]) -> None:
    roots = real_set5 / "LR_bicubic" / f"X{scale}", real_set5 / "HR"
    dataset = build(roots, scale, phase="test", filename_tmpl=f"{{}}x{scale}")
    assert [name for _, name in dataset.pairs] == ["baby", "bird", "butterfly", "head", "woman"]
    for item in (dataset[index] for index in range(len(dataset))):
        # Were the two shifted or turned against each other, averaged squares would not look like the low resolution.
        averaged = torch.nn.functional.avg_pool2d(item["gt"], scale)
        assert averaged.shape == item["lq"].shape
        assert (averaged - item["lq"]).abs().mean() < 0.02
    assert tuple(item["lq"].shape[1:]) == woman
