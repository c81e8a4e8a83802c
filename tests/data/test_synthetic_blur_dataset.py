"""The data set that blurs sharp photographs while it is asked for them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from deeprftv2_arch.data.batch_samplers import ProgressiveBatchSampler
from deeprftv2_arch.data.patches import PatchRequest
from deeprftv2_arch.data.synthetic_blur_dataset import SyntheticBlurDataset
from deeprftv2_arch.errors import DataError, OptionError

STAGES = [{"iters": 6, "patch_size": 32, "batch_size": 4}, {"iters": 2, "patch_size": 48, "batch_size": 2}]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs of noise, one of which is smaller than a patch with its margin."""
    folder = tmp_path_factory.mktemp("photographs")
    for number, (height, width) in enumerate([(90, 120), (150, 100), (40, 50)]):
        noise = np.random.default_rng(number).integers(0, 256, (height, width, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.GaussianBlur(noise, (0, 0), 1))
    return folder


def dataset(photographs: Path, phase: str = "train", **options: Any) -> SyntheticBlurDataset:
    opt = {"name": "test", "phase": phase, "dataroot_gt": str(photographs), "io_backend": {"type": "disk"}}
    return SyntheticBlurDataset(opt | ({"patch_stages": STAGES} if phase == "train" else {}) | options)


def batches(data: SyntheticBlurDataset, workers: int = 0, **sampler: int) -> list[dict[str, torch.Tensor]]:
    order = ProgressiveBatchSampler(len(data), STAGES, 7, **sampler)
    return list(DataLoader(data, batch_sampler=order, num_workers=workers))


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.equal(first, second)


def test_pairs_do_not_depend_on_workers_ranks_resuming_or_the_cache(photographs: Path) -> None:
    alone = batches(dataset(photographs))
    assert [tuple(batch["lq"].shape) for batch in alone] == [(4, 3, 32, 32)] * 6 + [(2, 3, 48, 48)] * 2
    for other in (
        batches(dataset(photographs), workers=2),
        batches(dataset(photographs, cache_mb=1)),
        batches(dataset(photographs, cache_mb=0.05)),
    ):
        assert all(same(a[key], b[key]) for a, b in zip(alone, other, strict=True) for key in ("lq", "gt"))
    resumed = batches(dataset(photographs), start_iter=5)
    assert all(same(a["lq"], b["lq"]) for a, b in zip(alone[5:], resumed, strict=True))
    ranks = [batches(dataset(photographs), rank=rank, world_size=2) for rank in range(2)]
    for whole, *shares in zip(alone, *ranks, strict=True):
        assert same(whole["gt"], torch.cat([share["gt"] for share in shares]))


def test_pairs_differ_from_number_to_number_and_from_phase_to_phase(photographs: Path) -> None:
    data = dataset(photographs, pairs=50)
    assert len(data) == 50
    assert not same(data[0]["gt"], data[3]["gt"])  # of one photograph
    assert same(data[4]["lq"], dataset(photographs)[4]["lq"])
    assert not same(data[4]["lq"], dataset(photographs, seed=1)[4]["lq"])
    whole = dataset(photographs, "val", blur={"resample": [1, 1]})
    assert tuple(whole[1]["gt"].shape) == (3, 150, 100)
    assert whole[1]["gt_path"] == str(photographs / "1.png")
    assert same(whole[1]["lq"], dataset(photographs, "val", blur={"resample": [1, 1]})[1]["lq"])


def test_sharp_side_is_the_photograph(photographs: Path) -> None:
    """Whole and unshrunk, without objects: the pixels of the file, RGB in 0..1; blurred ones differ."""
    data = dataset(photographs, "val", blur={"resample": [1, 1], "objects": 0, "sharp": 0, "path": [4, 8]})
    for number in range(3):
        item = data[number]
        photograph = cv2.imread(str(photographs / f"{number}.png"))[:, :, ::-1].transpose(2, 0, 1)
        np.testing.assert_array_equal(np.rint(item["gt"].numpy() * 255), photograph)
        assert not same(item["lq"], item["gt"])


def test_sharp_pairs(photographs: Path) -> None:
    data = dataset(photographs, blur={"sharp": 1})
    assert all(same(data[number]["lq"], data[number]["gt"]) for number in range(6))


def test_curriculum_begins_with_short_paths(photographs: Path) -> None:
    data = dataset(photographs, blur={"path": [1, 40]}, curriculum={"longest": 8, "pairs": 1000})
    assert [data.longest_path(number) for number in (0, 500, 1000, 5000)] == [8, 24, 40, 40]
    assert dataset(photographs).longest_path(0) == 40


def test_patches_that_are_no_squares(photographs: Path) -> None:
    item = dataset(photographs)[PatchRequest(0, (24, 40), 5)]
    assert tuple(item["lq"].shape) == tuple(item["gt"].shape) == (3, 24, 40)
    assert item["scheduled"]


def test_crops_have_detail(tmp_path: Path) -> None:
    """A photograph that is flat but for one fifth: most crops are taken from there."""
    image = np.full((200, 500, 3), 90, np.uint8)
    image[:, :100] = np.random.default_rng(0).integers(0, 256, (200, 100, 3))
    cv2.imwrite(str(tmp_path / "half.png"), image)

    def detailed(tries: int) -> float:
        data = dataset(tmp_path, pairs=60, crop_tries=tries, blur={"sharp": 1, "noise": 0, "jpeg": 0})
        return float(np.mean([float(data[number]["gt"].std()) > 0.01 for number in range(60)]))

    assert detailed(8) > 0.75 > 0.5 > detailed(1)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"io_backend": {"type": "zip"}}, OptionError, "io_backend"),
        ({"dataroot_gt": None}, OptionError, "dataroot_gt: missing"),
        ({"dataroot_gt": "/nowhere"}, DataError, "datasets: .*dataroot_gt: there is no such folder as /nowhere"),
        ({"blur": {"shake": 1}}, OptionError, "shake"),
        ({"patch_stages": None}, OptionError, "patch_stages"),
    ],
)
def test_malformed_options(photographs: Path, options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        dataset(photographs, **options)


def test_damaged_photograph(tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"torn\.png"):
        dataset(tmp_path)[0]
