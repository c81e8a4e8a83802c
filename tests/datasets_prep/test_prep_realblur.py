"""`python -m datasets_prep realblur`: the misspelt folders, the lists with ground truth first, and the repacks."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from prep_trees import REALBLUR_FOLDERS, hashes, make_realblur, read_lmdb, read_png, realblur_images, save

from datasets_prep.command_line import main
from deeprftv2_arch.common.lmdb_io import LmdbWriter

TEST_LIST = "RealBlur_J_test_list.txt"
TRAIN_LIST = "RealBlur_J_train_list.txt"


def realblur(root: Path, out: Path, *options: str) -> int:
    return main(["realblur", "--root", str(root), "--out", str(out), "--workers", "1", *options])


def assert_prepared(out: Path, subset: str, split: str) -> None:
    expected = realblur_images(subset, split)
    for side in ("blur", "sharp"):
        stored = read_lmdb(out / f"RealBlur_{subset}" / split / f"{side}.lmdb")
        assert stored.keys() == expected.keys()
        for key, sides in expected.items():
            np.testing.assert_array_equal(read_png(stored[key]), sides[side])


def test_tree_as_downloaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_realblur(tmp_path / "RealBlur")
    before = hashes(root)
    assert realblur(root, tmp_path / "out") == 0
    for subset in "JR":
        for split in ("train", "test"):
            assert_prepared(tmp_path / "out", subset, split)
    assert hashes(root) == before
    assert set(read_lmdb(tmp_path / "out/RealBlur_R/train/blur.lmdb")) == {
        "scene001/blur_1",
        "scene001/blur_2",
        "scene003/blur_1",
        "scene003/blur_2",
    }
    # Nothing is encoded anew.
    stored = read_lmdb(tmp_path / "out/RealBlur_J/test/sharp.lmdb")["scene002/blur_1"]
    assert stored == (root / REALBLUR_FOLDERS["J"] / "scene002/gt/gt_1.png").read_bytes()
    output = capsys.readouterr()
    assert "warning: found 4 of 3,758 pairs in RealBlur_R/train" in output.err
    assert "warning: found 2 of 980 pairs in RealBlur_J/test" in output.err
    settings = json.loads((tmp_path / "out/RealBlur_J/test/sharp.lmdb/preparation.json").read_text())["settings"]
    assert settings["source_folder"] == f"{REALBLUR_FOLDERS['J']}/<scene>/gt ({TEST_LIST})"
    assert (settings["split"], settings["pairs_expected"], settings["crop"]) == ("RealBlur_J/test", 980, None)


def test_one_half_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_realblur(tmp_path / "RealBlur", subsets="R")
    assert realblur(root, tmp_path / "out") == 0
    assert_prepared(tmp_path / "out", "R", "test")
    assert f"not in {root}, so not prepared: RealBlur_J/train, RealBlur_J/test" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["RealBlur_R"]
    assert realblur(root, tmp_path / "other", "--splits", "RealBlur_J/test") == 2
    assert "no images of realblur's split RealBlur_J/test" in capsys.readouterr().err


def test_dry_run_verify_rerun_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_realblur(tmp_path / "RealBlur", subsets="J")
    assert realblur(root, tmp_path / "out", "--dry-run") == 0
    assert "RealBlur_J/test: 2 of 980 expected pairs in " in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    for options in ((), ("--folders",)):
        assert realblur(root, tmp_path / "out", *options) == 0
        before = hashes(tmp_path / "out")
        assert realblur(root, tmp_path / "out", *options) == 0
        assert "RealBlur_J/train: done before, 4 pairs" in capsys.readouterr().out
        assert hashes(tmp_path / "out") == before
        assert main(["realblur", "--out", str(tmp_path / "out"), "--verify", "--workers", "1", *options]) == 0
        assert "RealBlur_J/test: checked 2 pairs, 0 problems" in capsys.readouterr().out
    flat = tmp_path / "out/RealBlur_J/test/sharp/scene002-blur_2.png"
    np.testing.assert_array_equal(read_png(flat.read_bytes()), realblur_images("J", "test")["scene002/blur_2"]["sharp"])
    flat.write_bytes(flat.read_bytes()[:-20])
    assert main(["realblur", "--out", str(tmp_path / "out"), "--verify", "--workers", "1", "--folders"]) == 2
    assert f"{flat} is truncated" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["Windows", "backslashes", "marked", "gaps"])
def test_lists_as_editors_leave_them(tmp_path: Path, change: str) -> None:
    root = make_realblur(tmp_path / "RealBlur", subsets="J")
    for path in root.glob("*_list.txt"):
        lines = path.read_text().splitlines()
        texts = {
            "Windows": "\r\n".join(lines),
            "backslashes": "\r\n".join(lines).replace("/", "\\"),
            "marked": "\ufeff" + "\n".join(lines),
            "gaps": "\n\n".join(lines),
        }
        path.write_bytes(texts[change].encode())
    assert realblur(root, tmp_path / "out") == 0
    assert_prepared(tmp_path / "out", "J", "train")
    assert_prepared(tmp_path / "out", "J", "test")


def test_missing_lines_are_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_realblur(tmp_path / "RealBlur", subsets="J")
    line = f"{REALBLUR_FOLDERS['J']}/scene002/gt/gt_3.png {REALBLUR_FOLDERS['J']}/scene002/blur/blur_3.png\n"
    for side in ("blur", "gt"):
        folder = root / REALBLUR_FOLDERS["J"] / "scene002" / side
        shutil.copy(folder / f"{side}_1.png", folder / f"{side}_3.png")
    lines = (root / TEST_LIST).read_text().splitlines(keepends=True)
    (root / TEST_LIST).write_text(lines[0] + line)
    assert realblur(root, tmp_path / "out", "--splits", "RealBlur_J/test") == 0
    assert "found 2 of 980 pairs in RealBlur_J/test, missing e.g. scene002/blur_2:" in capsys.readouterr().err
    assert set(read_lmdb(tmp_path / "out/RealBlur_J/test/blur.lmdb")) == {"scene002/blur_1", "scene002/blur_3"}


def test_all_that_is_wrong_with_a_list_is_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_realblur(tmp_path / "RealBlur", subsets="J")
    folder = REALBLUR_FOLDERS["J"]
    (root / folder / "scene002/gt/gt_1.png").unlink()
    (root / folder / "scene002/blur/blur_2.png").unlink()
    first, second = (line.strip() for line in (root / TEST_LIST).read_text().splitlines())
    swapped = " ".join(reversed(first.split()))
    other_scene = f"{folder}/scene001/gt/gt_1.png {folder}/scene002/blur/blur_1.png"
    lines = [first, second, "only_one.png", f"{first} third.png", swapped, other_scene, second, "gt/a.png blur/a.png"]
    (root / TEST_LIST).write_text("\n".join(lines))
    assert realblur(root, tmp_path / "out", "--splits", "RealBlur_J/test") == 2
    error = capsys.readouterr().err.splitlines()
    assert error[0] == f"error: {root / TEST_LIST}: the list or the tree is incomplete, correct them"
    form = "is not '<sharp path> <blurred path>'"
    assert error[1:] == [
        f"  line 1: {root / folder / 'scene002/gt/gt_1.png'} is missing",
        f"  line 2: {root / folder / 'scene002/blur/blur_2.png'} is missing",
        f"  line 3: 'only_one.png' {form}",
        f"  line 4: {lines[3]!r} {form}",
        f"  line 5: {swapped!r} {form}",
        f"  line 6: {other_scene!r} {form}",
        "  line 7: scene002/blur_2 is there already, in line 2",
        f"  line 8: 'gt/a.png blur/a.png' {form}",
    ]
    assert not (tmp_path / "out").exists()


def test_missing_or_unreadable_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_realblur(tmp_path / "RealBlur", subsets="J")
    (root / TRAIN_LIST).unlink()
    assert realblur(root, tmp_path / "out") == 2
    assert f"{root / TRAIN_LIST} cannot be read: No such file or directory" in capsys.readouterr().err
    (root / TRAIN_LIST).write_bytes(b"\xff\xfe\x00")
    assert realblur(root, tmp_path / "out") == 2
    assert f"{root / TRAIN_LIST} is no text in UTF-8 (byte 0)" in capsys.readouterr().err
    (root / TRAIN_LIST).write_text("\n")
    assert realblur(root, tmp_path / "out", "--splits", "RealBlur_J/train") == 2
    assert f"{root / TRAIN_LIST} is empty, but says which images are pairs: download it" in capsys.readouterr().err
    assert realblur(root, tmp_path / "out") == 2
    assert f"{root / TRAIN_LIST} is empty" in capsys.readouterr().err
    assert realblur(root, tmp_path / "out", "--splits", "RealBlur_J/test") == 0


def test_lists_without_their_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody has corrected the spelling of the folder."""
    root = make_realblur(tmp_path / "RealBlur")
    folder = root / REALBLUR_FOLDERS["J"]
    folder.rename(root / folder.name.replace("itensity", "intensity"))
    assert realblur(root, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"{root / TRAIN_LIST} is there, but its folder {folder} is not: name RealBlur-J_" in error
    assert not (tmp_path / "out").exists()
    shutil.rmtree(root / folder.name.replace("itensity", "intensity"))  # of a half that is not there, lists may be
    assert realblur(root, tmp_path / "out") == 0
    assert_prepared(tmp_path / "out", "R", "test")


def test_pairs_of_both_lists_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_realblur(tmp_path / "RealBlur", subsets="J")
    with (root / TRAIN_LIST).open("a") as train:
        train.write((root / TEST_LIST).read_text())
    for options in ((), ("--splits", "RealBlur_J/train"), ("--splits", "RealBlur_J/test")):
        assert realblur(root, tmp_path / "out", *options) == 2
        error = capsys.readouterr().err
        assert f"{TRAIN_LIST} and {root / TEST_LIST} both list scene002/blur_1, scene002/blur_2: a pair" in error
    assert not (tmp_path / "out").exists()


def make_repack(root: Path, separator: str, subset: str = "J", split: str = "test") -> Path:
    for key, sides in realblur_images(subset, split).items():
        save(root / "input" / f"{key.replace('/', separator)}.png", sides["blur"])
        save(root / "target" / f"{key.replace('/', separator).replace('blur', 'gt')}.png", sides["sharp"])
    return root


@pytest.mark.parametrize(
    ("base", "separator"),
    [("RealBlur_J", "-"), ("RealBlur_J/test", "_"), ("test/RealBlur_J", "-"), (".", "_")],
)
def test_repacks_give_the_same_database(tmp_path: Path, base: str, separator: str) -> None:
    make_repack(tmp_path / "repack" / base, separator)
    assert realblur(tmp_path / "repack", tmp_path / "out", "--splits", "RealBlur_J/test") == 0
    assert_prepared(tmp_path / "out", "J", "test")


def test_repack_of_names_alike_and_of_databases(tmp_path: Path) -> None:
    for number in range(3):
        for side, folder in (("blur", "input"), ("sharp", "target")):
            image = realblur_images("R", "test")["scene002/blur_1"][side]
            save(tmp_path / f"files/RealBlur_R/{folder}/{number}.png", image)
            with LmdbWriter(tmp_path / f"lmdb{number}/RealBlur_R/{folder}.lmdb") as writer:
                writer.put(f"scene002-blur_{number}", image[..., ::-1])
    assert realblur(tmp_path / "files", tmp_path / "a", "--splits", "RealBlur_R/test") == 0
    assert set(read_lmdb(tmp_path / "a/RealBlur_R/test/blur.lmdb")) == {"0", "1", "2"}
    assert realblur(tmp_path / "lmdb1", tmp_path / "b", "--splits", "RealBlur_R/test") == 0
    stored = read_lmdb(tmp_path / "b/RealBlur_R/test/sharp.lmdb")
    expected = realblur_images("R", "test")["scene002/blur_1"]["sharp"]
    np.testing.assert_array_equal(read_png(stored["scene002/blur_1"]), expected)


def test_repack_does_not_say_which_split_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_repack(tmp_path / "repack/RealBlur_J", "-")
    assert realblur(tmp_path / "repack", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert re.search(r"would serve as both RealBlur_J/train and RealBlur_J/test: .*--splits RealBlur_J/test", error)


def test_half_a_pair_of_a_repack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_repack(tmp_path / "repack/RealBlur_J", "-")
    (root / "target/scene002-gt_1.png").unlink()
    assert realblur(tmp_path / "repack", tmp_path / "out", "--splits", "RealBlur_J/test") == 2
    assert "1 of 2 blur images have no sharp image in RealBlur_J/target" in capsys.readouterr().err
