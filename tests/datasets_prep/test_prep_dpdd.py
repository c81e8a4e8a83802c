"""`python -m datasets_prep dpdd`: 16 bits, pairs by sorted order, both views, indoor and outdoor."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from prep_trees import (
    DPDD_SCENES,
    DPDD_VIEWS,
    dpdd_images,
    dpdd_target_name,
    hashes,
    make_dpdd,
    make_image,
    read_lmdb,
    save,
)

from datasets_prep.command_line import main
from datasets_prep.dpdd import DPDD
from datasets_prep.pairing import natural
from datasets_prep.views import CropRule, windows

SIDES = ("blur", "sharp")
_PUBLISHED = dict(DPDD.splits)
FOLDERS = {"blur": "inputC", "left": "inputL", "right": "inputR", "sharp": "target"}


def dpdd(root: Path, out: Path, *options: str) -> int:
    crops = ("--crop", "32", "--step", "20")
    return main(["dpdd", "--root", str(root), "--out", str(out), *crops, "--workers", "1", *options])


@pytest.fixture(autouse=True)
def published_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish sets as small as the trees of these tests."""
    for split, scenes in DPDD_SCENES.items():
        monkeypatch.setitem(DPDD.splits, split, replace(DPDD.splits[split], expected=len(scenes)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_dpdd(tmp_path / "dd_dp_dataset_png")


def read_deep(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.dtype == np.uint16
    return image[..., ::-1]


def assert_whole(out: Path, split: str, sides: tuple[str, ...] = SIDES) -> None:
    expected = dpdd_images(split)
    for side in sides:
        stored = read_lmdb(out / split / f"{side}.lmdb")
        assert stored.keys() == expected.keys()
        for key, images in expected.items():
            np.testing.assert_array_equal(read_deep(stored[key]), images[side])


def assert_crops(out: Path, sides: tuple[str, ...] = SIDES) -> None:
    # 60x40 images: the last column and row of crops are aligned to the far edge.
    places = [(top, left) for top in (0, 8) for left in (0, 20, 28)]
    for side in sides:
        stored = read_lmdb(out / "train" / f"{side}.lmdb")
        assert len(stored) == 3 * len(places)
        for key, images in dpdd_images("train").items():
            for number, (top, left) in enumerate(places, 1):
                crop = images[side][top : top + 32, left : left + 32]
                np.testing.assert_array_equal(read_deep(stored[f"{key}_s{number:03d}"]), crop)


def metadata_of(path: Path) -> dict[str, Any]:
    return json.loads((path / "preparation.json").read_text())


def make_repack(root: Path, base: str = "{split}", same_names: bool = True) -> Path:
    for split in DPDD_SCENES:
        for key, images in dpdd_images(split).items():
            for side, folder in FOLDERS.items():
                name = dpdd_target_name(key) if side == "sharp" and not same_names else key
                save(root / base.format(split=split) / folder / f"{name}.png", images[side])
    return root


def test_crop_rule_of_the_field() -> None:
    assert DPDD.crop == CropRule(512, 204)
    places = [(window.top, window.left) for window in windows(1120, 1680, DPDD.crop)]
    assert places == [(y, x) for y in (0, 204, 408, 608) for x in (0, 204, 408, 612, 816, 1020, 1168)]


def test_tree_as_downloaded(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = hashes(root)
    assert dpdd(root, tmp_path / "out") == 0
    assert hashes(root) == before
    assert_crops(tmp_path / "out")
    assert_whole(tmp_path / "out", "val")
    assert_whole(tmp_path / "out", "test")
    # A whole image keeps its bytes.
    stored = read_lmdb(tmp_path / "out/test/sharp.lmdb")["1P0A1697"]
    assert stored == (root / "test_c/target/1P0A1698.png").read_bytes()
    output = capsys.readouterr()
    rule = "blur and sharp paired by sorted order, because the names differ: "
    assert f"  {rule}1P0A0917.png with 1P0A0918.png, ..., 1P0A1000.png with 1P0A1001.png\n" in output.out
    assert "warning" not in output.err


def test_names_of_every_pair_are_recorded(root: Path, tmp_path: Path) -> None:
    assert dpdd(root, tmp_path / "out") == 0
    blur, sharp = (metadata_of(tmp_path / f"out/test/{side}.lmdb") for side in SIDES)
    assert blur["settings"]["images_by_key"] == {
        "1P0A1693": "test_c/source/1P0A1693.png",
        "1P0A1697": "test_c/source/1P0A1697.png",
        "1P0A1701": "test_c/source/1P0A1701.png",
    }
    assert sharp["settings"]["images_by_key"] == {
        "1P0A1693": "test_c/target/1P0A1694.png",
        "1P0A1697": "test_c/target/1P0A1698.png",
        "1P0A1701": "test_c/target/1P0A1702.png",
    }
    assert sharp["settings"]["paired"] == "by sorted order, because the names differ"
    assert blur["bit_depths"] == sharp["bit_depths"] == [16]


def test_views_of_the_sensor_can_be_added_later(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dpdd(root, tmp_path / "out") == 0
    before = hashes(tmp_path / "out")
    assert dpdd(root, tmp_path / "out", "--dual-pixel") == 0
    sides = (*DPDD_VIEWS, "sharp")
    assert_crops(tmp_path / "out", sides)
    assert_whole(tmp_path / "out", "test", sides)
    after = hashes(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert dpdd(root, tmp_path / "at once", "--dual-pixel") == 0
    assert hashes(tmp_path / "at once") == after
    check = ["dpdd", "--out", str(tmp_path / "out"), "--verify", "--workers", "1"]
    assert main(check) == main([*check, "--dual-pixel"]) == 0
    shutil.rmtree(tmp_path / "out/test/left.lmdb")
    capsys.readouterr()
    assert main(check) == 0
    assert main([*check, "--dual-pixel"]) == 2
    assert "test/left.lmdb is not there: run the same without --verify" in capsys.readouterr().err


@pytest.mark.parametrize(("base", "same_names"), [("{split}", True), ("{split}", False), ("{split}/DPDD", True)])
def test_repacks_give_the_same_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], base: str, same_names: bool
) -> None:
    make_repack(tmp_path / "repack", base, same_names)
    assert dpdd(tmp_path / "repack", tmp_path / "out", "--dual-pixel") == 0
    assert_crops(tmp_path / "out", (*DPDD_VIEWS, "sharp"))
    assert_whole(tmp_path / "out", "test", (*DPDD_VIEWS, "sharp"))
    output = capsys.readouterr().out
    rule = "by name: 1P0A0917.png with 1P0A0917.png" if same_names else "by sorted order, because the names differ"
    assert f"blur and sharp paired {rule}" in output
    assert "blur and left paired by name" in output


def test_numbers_sort_as_people_sort_them(tmp_path: Path) -> None:
    """Otherwise 10 would come before 9 on one side and after 09 on the other."""
    assert sorted(["a10b2", "a9", "a10b10", "9", "10", "09"], key=natural) == ["09", "9", "10", "a9", "a10b2", "a10b10"]
    images = {number: [make_image(f"{number} {side}", 8, 9, np.uint16) for side in SIDES] for number in (8, 9, 10)}
    for number, (blur, sharp) in images.items():
        save(tmp_path / f"root/test_c/source/{number}.png", blur)
        save(tmp_path / f"root/test_c/target/t{number:03d}.png", sharp)
    assert dpdd(tmp_path / "root", tmp_path / "out", "--splits", "test") == 0
    for at, side in enumerate(SIDES):
        stored = read_lmdb(tmp_path / f"out/test/{side}.lmdb")
        for number, of_sides in images.items():
            np.testing.assert_array_equal(read_deep(stored[str(number)]), of_sides[at])


def test_unequal_counts_are_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "test_c/target/1P0A1698.png").unlink()
    for options in ((), ("--dry-run",)):
        assert dpdd(root, tmp_path / "out", *options) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: test_c/source and test_c/target have 3 and 2 images: their names differ")
        assert "same name" not in error
    assert not (tmp_path / "out").exists()
    shutil.rmtree(root / "test_c/target")
    assert dpdd(root, tmp_path / "out", "--splits", "test") == 2
    assert "test_c/source and test_c/target have 3 and 0 images" in capsys.readouterr().err


def test_missing_view_is_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(root / "val_l")
    assert dpdd(root, tmp_path / "out", "--dual-pixel") == 2
    assert "val_c/source and val_l/source have 1 and 0 images" in capsys.readouterr().err
    assert dpdd(root, tmp_path / "out") == 0


def test_unequal_counts_of_common_names_name_the_lonely_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_repack(tmp_path / "repack")
    (root / "test/target/1P0A1697.png").unlink()
    assert dpdd(root, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"without an image of the same name: {root / 'test/inputC/1P0A1697.png'}; add what is missing" in error


def test_order_never_pairs_against_the_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One image is missing on each side, so that the counts are equal but the order is shifted."""
    root = make_repack(tmp_path / "repack")
    (root / "test/inputC/1P0A1693.png").unlink()
    (root / "test/target/1P0A1701.png").unlink()
    assert dpdd(root, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"{root / 'test/inputC/1P0A1697.png'} and {root / 'test/target/1P0A1693.png'} (number 1)" in error
    assert "another image of its own name" in error
    assert not (tmp_path / "out").exists()


def test_order_of_a_set_that_is_not_whole_is_warned_of(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One image is missing on each side, of different pairs: by order, every pair between them is wrong."""
    (root / "test_c/source/1P0A1693.png").unlink()
    (root / "test_c/target/1P0A1702.png").unlink()
    assert dpdd(root, tmp_path / "out") == 0
    warnings = capsys.readouterr().err
    assert "warning: the pairs of test follow the sorted order, which is safe for the whole set only: check" in warnings
    assert "warning: the pairs of train" not in warnings


def test_equal_names_pair_however_many_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_repack(tmp_path / "repack")
    for folder in FOLDERS.values():
        (root / "test" / folder / "1P0A1697.png").unlink()
    assert dpdd(root, tmp_path / "out", "--splits", "test", "--dual-pixel") == 0
    # Sources have odd gaps between them, which are no missing images.
    warnings = capsys.readouterr().err
    assert "warning: found 2 of 3 pairs in test: the result is not the published set" in warnings
    assert "sorted order" not in warnings
    for side in ("blur", "left", "right", "sharp"):
        stored = read_lmdb(tmp_path / f"out/test/{side}.lmdb")
        assert sorted(stored) == ["1P0A1693", "1P0A1701"]
        for key, data in stored.items():
            np.testing.assert_array_equal(read_deep(data), dpdd_images("test")[key][side])


def test_published_numbers() -> None:
    assert {name: _PUBLISHED[name].expected for name in DPDD_SCENES} == {"train": 350, "val": 74, "test": 76}


def test_renamed_target_is_noticed_by_a_rerun(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dpdd(root, tmp_path / "out") == 0
    (root / "test_c/target/1P0A1698.png").rename(root / "test_c/target/1P0A1699.png")
    assert dpdd(root, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "test/sharp.lmdb was made with other settings (images_by_key" in error


@pytest.mark.parametrize("place", ["test", "."])
def test_indoor_and_outdoor_images(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str) -> None:
    (root / place).mkdir(exist_ok=True)
    np.save(root / place / "indoor_labels.npy", np.array([3, 1]))
    np.save(root / place / "outdoor_labels.npy", np.array([2]))
    assert dpdd(root, tmp_path / "out") == 0
    assert "  groups: indoor 2, outdoor 1\n" in capsys.readouterr().out
    for side in SIDES:
        groups = metadata_of(tmp_path / f"out/test/{side}.lmdb")["settings"]["groups"]
        assert groups == {"indoor": ["1P0A1693", "1P0A1701"], "outdoor": ["1P0A1697"]}
        assert "groups" not in metadata_of(tmp_path / f"out/val/{side}.lmdb")["settings"]
    assert dpdd(root, tmp_path / "out", "--folders", "--splits", "test") == 0
    metadata = json.loads((tmp_path / "out/test/blur/.preparation.json").read_text())
    assert metadata["settings"]["groups"] == groups


def test_labels_of_the_repack_lie_beside_its_folders(tmp_path: Path) -> None:
    root = make_repack(tmp_path / "repack", "{split}/DPDD")
    np.save(root / "test/DPDD/indoor_labels.npy", np.array([[1], [2], [3]], np.uint8))
    np.save(root / "test/DPDD/outdoor_labels.npy", np.array([], np.int64))
    assert dpdd(root, tmp_path / "out", "--splits", "test") == 0
    groups = metadata_of(tmp_path / "out/test/blur.lmdb")["settings"]["groups"]
    assert groups == {"indoor": ["1P0A1693", "1P0A1697", "1P0A1701"], "outdoor": []}


@pytest.mark.parametrize(
    ("indoor", "outdoor", "reason"),
    [
        ([0, 1], [2], "do not name each of the 3 test images once, by its number from 1 on, but 3 numbers"),
        ([1, 2], [2], "do not name each of the 3 test images once"),
        ([1, 2], [], "but 2 numbers"),
        ([1, 2], [3, 4], "but 4 numbers"),
        ([1.0, 2.0], [3], "indoor_labels.npy holds float64, not whole numbers"),
        (["1", "2"], [3], "indoor_labels.npy holds <U1, not whole numbers"),
        (None, [3], "indoor_labels.npy is missing: add it, or take the list of the other group away"),
        (b"<html>", [3], "indoor_labels.npy cannot be read as an array of NumPy"),
        (b"", [3], "indoor_labels.npy cannot be read as an array of NumPy"),
    ],
)
def test_labels_that_do_not_fit(
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    indoor: bytes | list[Any] | None,
    outdoor: list[Any],
    reason: str,
) -> None:
    if isinstance(indoor, bytes):
        (root / "indoor_labels.npy").write_bytes(indoor)
    elif indoor is not None:
        np.save(root / "indoor_labels.npy", np.array(indoor))
    np.save(root / "outdoor_labels.npy", np.array(outdoor, int))
    assert dpdd(root, tmp_path / "out", "--splits", "test") == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_partial_set_does_not_take_the_labels_of_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_repack(tmp_path / "repack")
    np.save(root / "indoor_labels.npy", np.array([1, 3]))
    np.save(root / "outdoor_labels.npy", np.array([2]))
    for folder in FOLDERS.values():
        (root / "test" / folder / "1P0A1697.png").unlink()
    assert dpdd(root, tmp_path / "out", "--splits", "test") == 2
    assert "do not name each of the 2 test images once" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["lmdb", "disk"])
def test_data_set_reads_16_bits(root: Path, tmp_path: Path, kind: str) -> None:
    from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset

    assert dpdd(root, tmp_path / "out", *(["--folders"] if kind == "disk" else [])) == 0
    suffix = ".lmdb" if kind == "lmdb" else ""
    options = {"name": "DPDD", "phase": "val", "io_backend": {"type": kind}}
    options |= {
        f"dataroot_{name}": str(tmp_path / f"out/test/{side}{suffix}")
        for name, side in (("lq", "blur"), ("gt", "sharp"))
    }
    data_set = DeblurPairDataset(options)
    assert len(data_set) == 3
    for index, (key, images) in enumerate(dpdd_images("test").items()):
        sample = data_set[index]
        assert key in sample["lq_path"]
        for name, side in (("lq", "blur"), ("gt", "sharp")):
            expected = images[side].transpose(2, 0, 1).astype(np.float64) / 65535
            # Half of a step of 16 bits; 8 bits would be off by up to 1/510.
            np.testing.assert_allclose(sample[name].numpy(), expected, atol=0.5 / 65535)


def test_sizes_that_differ_and_damage_are_all_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(root / "test_c/target/1P0A1694.png", make_image("other", 40, 58, np.uint16))
    damaged = root / "test_c/source/1P0A1701.png"
    damaged.write_bytes(damaged.read_bytes()[:-50])
    assert dpdd(root, tmp_path / "out", "--splits", "test") == 2
    error = capsys.readouterr().err
    assert "2 images are not usable" in error
    assert "sizes differ within the pair 1P0A1693" in error
    assert "target/1P0A1694.png 58x40" in error
    assert f"{damaged} is truncated" in error
