"""What the preparation writes is what BasicSR's own data set, and ours, reads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prep_trees import DF2K_SIZES, gopro_images, make_df2k, make_gopro, super_resolution_pair

from datasets_prep.command_line import main

pytest.importorskip("basicsr_torchvision_repair")
paired_image_dataset = pytest.importorskip("basicsr.data.paired_image_dataset")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    root = make_gopro(folder / "GOPRO_Large")
    for out, options in (("lmdb", []), ("folders", ["--folders"])):
        arguments = ["gopro", "--root", str(root), "--out", str(folder / out), "--crop", "32", "--step", "24"]
        assert main([*arguments, "--workers", "1", *options]) == 0
    return folder


def options(folder: Path, split: str, kind: str) -> dict[str, Any]:
    suffix = ".lmdb" if kind == "lmdb" else ""
    return {
        "name": "GoPro",
        "phase": "val",
        "scale": 1,
        "dataroot_gt": str(folder / ("lmdb" if kind == "lmdb" else "folders") / split / f"sharp{suffix}"),
        "dataroot_lq": str(folder / ("lmdb" if kind == "lmdb" else "folders") / split / f"blur{suffix}"),
        "io_backend": {"type": kind},
    }


def assert_test_images(data_set: Any) -> None:
    expected = {key.replace("/", "-"): sides for key, sides in gopro_images("test").items()}
    seen = set()
    for index in range(len(data_set)):
        sample = data_set[index]
        key = sample["lq_path"].removesuffix(".png").replace("/", "-")[-len("GOPR0384_11_00-000047") :]
        seen.add(key)
        for name, side in (("lq", "blur"), ("gt", "sharp")):
            image = expected[key][side].transpose(2, 0, 1) / 255
            np.testing.assert_allclose(sample[name].numpy(), image, atol=1e-7)
    assert seen == expected.keys()


@pytest.mark.parametrize("kind", ["lmdb", "disk"])
def test_basicsr_reads_whole_images(prepared: Path, kind: str) -> None:
    assert_test_images(paired_image_dataset.PairedImageDataset(options(prepared, "test", kind)))


@pytest.mark.parametrize("kind", ["lmdb", "disk"])
def test_basicsr_reads_all_crops(prepared: Path, kind: str) -> None:
    data_set = paired_image_dataset.PairedImageDataset(options(prepared, "train", kind))
    assert len(data_set) == 90
    # BasicSR does not sort the files of a folder.
    names = [paths["gt_path"].replace("/", "-").removesuffix(".png") for paths in data_set.paths]
    last = next(index for index, name in enumerate(names) if name.endswith("GOPR0374_11_01-000049_s015"))
    sample = data_set[last]
    image = gopro_images("train")["GOPR0374_11_01/000049"]["sharp"][40:72, 96:128]
    np.testing.assert_allclose(sample["gt"].numpy(), image.transpose(2, 0, 1) / 255, atol=1e-7)


@pytest.mark.parametrize("kind", ["lmdb", "disk"])
def test_deblur_pair_dataset_reads_whole_images(prepared: Path, kind: str) -> None:
    from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset

    assert_test_images(DeblurPairDataset(options(prepared, "test", kind)))


def test_metadata_of_both_kinds_agree(prepared: Path) -> None:
    lmdb = json.loads((prepared / "lmdb/train/blur.lmdb/preparation.json").read_text())
    folder = json.loads((prepared / "folders/train/blur/.preparation.json").read_text())
    assert lmdb["settings"] == folder["settings"]
    assert lmdb["entries"] == folder["entries"] == 90


def test_basicsr_reads_the_pairs_of_a_scale(tmp_path: Path) -> None:
    root = make_df2k(tmp_path / "root")
    assert main(["df2k", "--root", str(root), "--out", str(tmp_path / "out"), "--crop", "0", "--workers", "1"]) == 0
    for scale in (2, 3, 4):
        data_set = paired_image_dataset.PairedImageDataset(
            {
                "name": "DF2K",
                "phase": "val",
                "scale": scale,
                "dataroot_gt": str(tmp_path / "out/train/HR.lmdb"),
                "dataroot_lq": str(tmp_path / f"out/train/LRx{scale}.lmdb"),
                "io_backend": {"type": "lmdb"},
            }
        )
        assert len(data_set) == 4
        for index in range(4):
            sample = data_set[index]
            images = super_resolution_pair(sample["lq_path"], *DF2K_SIZES[sample["lq_path"]])
            height, width = (size // 12 * 12 for size in DF2K_SIZES[sample["lq_path"]])
            low = images[scale][: height // scale, : width // scale]
            np.testing.assert_allclose(sample["lq"].numpy(), low.transpose(2, 0, 1) / 255, atol=1e-7)
            truth = images[1][:height, :width]
            np.testing.assert_allclose(sample["gt"].numpy(), truth.transpose(2, 0, 1) / 255, atol=1e-7)
