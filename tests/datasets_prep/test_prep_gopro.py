"""`python -m datasets_prep gopro` and `hide`: every documented tree, the crops, and what is refused."""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest
from prep_trees import (
    FRAMES,
    HEIGHT,
    SEQUENCES,
    WIDTH,
    damage_page,
    gopro_images,
    hashes,
    make_gopro,
    make_image,
    read_lmdb,
    read_png,
    save,
)

from datasets_prep.command_line import main
from datasets_prep.views import CropRule, Window, offsets, windows
from deeprftv2_arch.common.lmdb_io import LmdbWriter

# Crops of 32 pixels, step 24, of a 128x72 image: the last column (96) and row (40) are aligned to the far edge.
ROWS, COLUMNS = (0, 24, 40), (0, 24, 48, 72, 96)
SMALL_CROPS = ("--crop", "32", "--step", "24", "--workers", "1")


def prepare(root: Path, out: Path, *options: str, command: str = "gopro") -> int:
    return main([command, "--root", str(root), "--out", str(out), *SMALL_CROPS, *options])


def assert_train_crops(out: Path, blur: str = "blur") -> None:
    expected = {
        f"{key}_s{number:03d}": (sides, top, left)
        for key, sides in gopro_images("train").items()
        for number, (top, left) in enumerate([(top, left) for top in ROWS for left in COLUMNS], 1)
    }
    for side, folder in (("blur", blur), ("sharp", "sharp")):
        stored = read_lmdb(out / "train" / f"{side}.lmdb")
        assert stored.keys() == expected.keys()
        for key, (sides, top, left) in expected.items():
            crop = sides[folder][top : top + 32, left : left + 32]
            np.testing.assert_array_equal(read_png(stored[key]), crop)


def assert_test_images(out: Path) -> None:
    for side in ("blur", "sharp"):
        stored = read_lmdb(out / "test" / f"{side}.lmdb")
        expected = gopro_images("test")
        assert stored.keys() == expected.keys()
        for key, sides in expected.items():
            np.testing.assert_array_equal(read_png(stored[key]), sides[side])


def test_crop_rule_of_the_field() -> None:
    assert [(w.top, w.left) for w in windows(720, 1280, CropRule(512, 256))] == [
        (top, left) for top in (0, 208) for left in (0, 256, 512, 768)
    ]
    assert 2103 * len(windows(720, 1280, CropRule(512, 256))) == 16_824
    assert windows(512, 512, CropRule(512, 256)) == [Window(0, 0, 512)]
    assert offsets(513, 512, 256) == [0, 1]
    assert windows(511, 1280, CropRule(512, 256)) == []


def test_tree_as_downloaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    before = hashes(root)
    assert prepare(root, tmp_path / "out") == 0
    assert_train_crops(tmp_path / "out")
    assert_test_images(tmp_path / "out")
    assert hashes(root) == before
    # A whole image that is a PNG already keeps its bytes.
    stored = read_lmdb(tmp_path / "out" / "test" / "blur.lmdb")
    assert stored["GOPR0384_11_00/000047"] == (root / "test/GOPR0384_11_00/blur/000047.png").read_bytes()
    lines = (tmp_path / "out/train/sharp.lmdb/meta_info.txt").read_text().splitlines()
    assert lines[2] == "GOPR0372_07_00/000047_s003.png (32,32,3) 1"
    output = capsys.readouterr()
    assert "warning: found 6 of 2,103 pairs in train: the result is not the published set" in output.err
    assert "train: wrote 90 pairs" in output.out
    settings = json.loads((tmp_path / "out/train/blur.lmdb/preparation.json").read_text())["settings"]
    assert settings["source_folder"] == "train/<sequence>/blur"
    assert (settings["crop"], settings["step"], settings["pairs"], settings["flags"]) == (32, 24, 6, [])


def test_gamma_is_taken_when_asked_for_and_noted(tmp_path: Path) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    assert prepare(root, tmp_path / "out", "--gamma", "--splits", "train") == 0
    assert_train_crops(tmp_path / "out", blur="blur_gamma")
    settings = json.loads((tmp_path / "out/train/blur.lmdb/preparation.json").read_text())["settings"]
    assert (settings["source_folder"], settings["flags"]) == ("train/<sequence>/blur_gamma", ["gamma"])
    assert not (tmp_path / "out/test").exists()


def make_repack(root: Path, base: str, names: tuple[str, str], separator: str, suffix: str = ".png") -> Path:
    """Repack GoPro: base(split) / name / <sequence><separator><frame>.png."""
    for split in SEQUENCES:
        for key, sides in gopro_images(split).items():
            for side, name in zip(("blur", "sharp"), names, strict=True):
                save(root / base.format(split=split) / name / (key.replace("/", separator) + suffix), sides[side])
    return root


@pytest.mark.parametrize(
    ("base", "names", "separator", "suffix"),
    [
        ("{split}", ("input", "target"), "-", ".png"),
        ("{split}", ("blur", "sharp"), "_", ".PNG"),
        ("{split}/GoPro", ("input", "target"), "-", ".png"),
    ],
)
def test_repacks_give_the_same_database(
    tmp_path: Path, base: str, names: tuple[str, str], separator: str, suffix: str
) -> None:
    assert prepare(make_repack(tmp_path / "repack", base, names, separator, suffix), tmp_path / "out") == 0
    assert_train_crops(tmp_path / "out")
    assert_test_images(tmp_path / "out")


@pytest.mark.parametrize("base", ["test", "."])
def test_repack_of_two_databases(tmp_path: Path, base: str) -> None:
    for side, name in (("blur", "input"), ("sharp", "target")):
        with LmdbWriter(tmp_path / "repack" / base / f"{name}.lmdb") as writer:
            for key, sides in gopro_images("test").items():
                writer.put(key.replace("/", "-"), sides[side][..., ::-1])
    before = hashes(tmp_path / "repack")
    assert prepare(tmp_path / "repack", tmp_path / "out", "--splits", "test") == 0
    assert_test_images(tmp_path / "out")
    assert hashes(tmp_path / "repack") == before


def test_one_place_cannot_serve_two_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_repack(tmp_path / "repack", ".", ("input", "target"), "-")
    assert prepare(tmp_path / "repack", tmp_path / "out") == 2
    assert "input and target in" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_folders(tmp_path: Path) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    assert prepare(root, tmp_path / "out", "--folders") == 0
    for side in ("blur", "sharp"):
        names = {f"{key.replace('/', '-')}.png" for key in gopro_images("test")}
        visible = {path.name: path for path in (tmp_path / "out/test" / side).glob("[!.]*")}
        assert visible.keys() == names
        source = root / f"test/GOPR0384_11_00/{side}/000048.png"
        assert visible["GOPR0384_11_00-000048.png"].read_bytes() == source.read_bytes()
        crop = read_png((tmp_path / "out/train" / side / "GOPR0374_11_01-000049_s015.png").read_bytes())
        np.testing.assert_array_equal(crop, gopro_images("train")["GOPR0374_11_01/000049"][side][40:72, 96:128])
    assert main(["gopro", "--out", str(tmp_path / "out"), "--folders", "--verify", "--workers", "1"]) == 0


def test_dry_run_counts_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    before = hashes(tmp_path)
    assert prepare(root, tmp_path / "out", "--dry-run") == 0
    output = capsys.readouterr().out
    assert "train: 6 of 2,103 expected pairs in train/<sequence>/blur and train/<sequence>/sharp" in output
    assert "90 pairs of 32x32 crops every 24 pixels" in output
    assert "3 pairs of whole images" in output
    assert hashes(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_dry_run_estimate_is_near_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    assert prepare(root, tmp_path / "out", "--dry-run") == 0
    estimate = float(re.search(r"about ([\d.]+) MB to write", capsys.readouterr().out)[1])
    assert prepare(root, tmp_path / "out") == 0
    stored = [read_lmdb(path) for path in (tmp_path / "out").glob("*/*.lmdb")]
    written = sum(len(data) for values in stored for data in values.values()) / 1e6
    assert len(stored) == 4
    assert estimate == pytest.approx(written, rel=0.2)


def test_rerun_of_a_finished_preparation_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    assert prepare(root, tmp_path / "out") == 0
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert prepare(root, tmp_path / "out") == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == times
    assert "train: done before, 90 pairs" in capsys.readouterr().out
    assert prepare(root, tmp_path / "out", "--compression", "9") == 2
    assert "was made with other settings (compression 1, now 9)" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == times


def test_workers_do_not_change_the_result(tmp_path: Path) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    assert prepare(root, tmp_path / "one") == 0
    assert prepare(root, tmp_path / "two", "--workers", "2") == 0
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_16_bit_images_are_kept_as_such(tmp_path: Path) -> None:
    deep = {side: make_image(side, dtype=np.uint16) for side in ("blur", "sharp")}
    for side, image in deep.items():
        for split in ("train", "test"):
            save(tmp_path / f"root/{split}/GOPR0372_07_00/{side}/000001.png", image)
    assert prepare(tmp_path / "root", tmp_path / "out") == 0
    for side, image in deep.items():
        whole = read_lmdb(tmp_path / f"out/test/{side}.lmdb")["GOPR0372_07_00/000001"]
        assert whole == (tmp_path / f"root/test/GOPR0372_07_00/{side}/000001.png").read_bytes()
        crop = read_lmdb(tmp_path / f"out/train/{side}.lmdb")["GOPR0372_07_00/000001_s015"]
        decoded = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_UNCHANGED)
        assert decoded.dtype == np.uint16
        np.testing.assert_array_equal(decoded[..., ::-1], image[40:72, 96:128])
        metadata = json.loads((tmp_path / f"out/train/{side}.lmdb/preparation.json").read_text())
        assert metadata["bit_depths"] == [16]


def test_missing_frames_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    for side in ("blur", "blur_gamma", "sharp"):
        (root / f"train/GOPR0372_07_00/{side}/000048.png").unlink()
    assert prepare(root, tmp_path / "out", "--dry-run") == 0
    assert "found 5 of 2,103 pairs in train, missing e.g. GOPR0372_07_00/000048:" in capsys.readouterr().err


@pytest.mark.parametrize(("side", "other"), [("blur", "sharp"), ("sharp", "blur")])
def test_half_a_pair_is_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], side: str, other: str
) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    (root / f"train/GOPR0374_11_01/{other}/000048.png").unlink()
    assert prepare(root, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"1 of 6 {side} images have no {other} image" in error
    assert str(root / f"train/GOPR0374_11_01/{side}/000048.png") in error
    assert not (tmp_path / "out").exists()


def test_one_side_missing_altogether(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    for sequence in SEQUENCES["test"]:
        shutil.rmtree(root / "test" / sequence / "sharp")
    assert prepare(root, tmp_path / "out") == 2
    assert "3 of 3 blur images have no sharp image in test/<sequence>/sharp" in capsys.readouterr().err


def test_two_images_for_one_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    shutil.copy(root / "test/GOPR0384_11_00/blur/000047.png", root / "test/GOPR0384_11_00/blur/000047.PNG")
    assert prepare(root, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "000047.PNG and " in error
    assert "same key 'GOPR0384_11_00/000047'" in error


def test_all_damaged_images_are_named_and_the_repaired_tree_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    reference = tmp_path / "reference"
    assert prepare(root, reference) == 0
    capsys.readouterr()
    damaged = {
        root / "train/GOPR0372_07_00/blur/000048.png": "is truncated",
        root / "train/GOPR0374_11_01/sharp/000049.png": "is damaged (checksum of chunk IDAT",
        root / "test/GOPR0384_11_00/blur/000047.png": "is empty",
        root / "test/GOPR0384_11_00/sharp/000049.png": "is neither a PNG nor a JPEG",
    }
    whole = {path: path.read_bytes() for path in damaged}
    for path, reason in damaged.items():
        data = bytearray(whole[path])
        if "checksum" in reason:
            data[len(data) // 2] ^= 1
        path.write_bytes({"is truncated": data[:-700], "is empty": bytearray()}.get(reason, data))
        if "neither" in reason:
            path.write_bytes(b"<html>404</html>")
    assert prepare(root, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "4 images are not usable" in error
    for path, reason in damaged.items():
        assert f"{path} {reason}" in error
    assert not list((tmp_path / "out").glob("*/*.lmdb"))
    for path, original in whole.items():
        path.write_bytes(original)
    assert prepare(root, tmp_path / "out") == 0
    assert hashes(tmp_path / "out") == hashes(reference)


def test_sizes_that_differ_within_a_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    save(root / "test/GOPR0384_11_00/sharp/000048.png", make_image("other", HEIGHT, WIDTH - 2))
    for options in ((), ("--dry-run",)):
        assert prepare(root, tmp_path / "out", *options) == 2
        error = capsys.readouterr().err
        assert "sizes differ within the pair GOPR0384_11_00/000048" in error
        assert "blur/000048.png 128x72 and " in error
        assert "sharp/000048.png 126x72" in error
    assert not (tmp_path / "out/test/blur.lmdb").exists()


def test_images_smaller_than_a_crop_are_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    for side in ("blur", "blur_gamma", "sharp"):
        save(root / f"train/GOPR0372_07_00/{side}/000047.png", make_image(side, 31, 200))
        save(root / f"train/GOPR0372_07_00/{side}/000048.png", make_image(side, 32, 33))
    assert prepare(root, tmp_path / "out") == 0
    warning = "GOPR0372_07_00/blur/000047.png is 200x31, smaller than a crop of 32x32; it is left out"
    assert warning in capsys.readouterr().err
    keys = [key for key in read_lmdb(tmp_path / "out/train/blur.lmdb") if key.startswith("GOPR0372_07_00/0000")]
    assert [key for key in keys if "/000047" in key] == []
    assert [key for key in keys if "/000048" in key] == [f"GOPR0372_07_00/000048_s00{i}" for i in (1, 2)]
    settings = json.loads((tmp_path / "out/train/blur.lmdb/preparation.json").read_text())["settings"]
    assert settings["images_too_small"] == 1


@pytest.mark.parametrize("options", [(), ("--folders",), ("--dry-run",)], ids=["lmdb", "folders", "dry run"])
def test_crops_larger_than_all_images_leave_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    arguments = ["gopro", "--root", str(root), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert main([*arguments, "--crop", "73", *options]) == 2
    error = capsys.readouterr().err
    assert "error: train: nothing to cut: " in error
    assert "GOPR0372_07_00/blur/000047.png is 128x72, smaller than a crop of 73x73, and so are all" in error
    assert not (tmp_path / "out").exists()
    assert prepare(root, tmp_path / "out") == 0


def test_grey_and_transparent_images_become_three_channels(tmp_path: Path) -> None:
    grey, rgba = make_image("grey")[..., 0], np.concatenate([make_image("c"), make_image("alpha")[..., :1]], axis=2)
    for side in ("blur", "sharp"):
        save(tmp_path / f"root/test/GOPR0372_07_00/{side}/000001.png", grey)
        save(tmp_path / f"root/test/GOPR0372_07_00/{side}/000002.png", rgba)
    assert prepare(tmp_path / "root", tmp_path / "out", "--splits", "test") == 0
    stored = read_lmdb(tmp_path / "out/test/blur.lmdb")
    np.testing.assert_array_equal(read_png(stored["GOPR0372_07_00/000001"]), np.stack([grey] * 3, axis=2))
    np.testing.assert_array_equal(read_png(stored["GOPR0372_07_00/000002"]), rgba[..., :3])


def test_stray_files_are_passed_over(tmp_path: Path) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    for name in ("._000047.png", "Thumbs.db", ".DS_Store", "000047.txt"):
        (root / "train/GOPR0372_07_00/blur" / name).write_bytes(b"x")
    assert prepare(root, tmp_path / "out", "--splits", "train") == 0
    assert_train_crops(tmp_path / "out")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda root: None, "is not a folder"),
        (lambda root: root.mkdir(), "no images of gopro's split train in"),
        (
            lambda root: save(root / "train/else/a.png", make_image("a")),
            "leave it out with --splits, or give another --root; python -m datasets_prep gopro --help tells which",
        ),
        (lambda root: (root / "train/GOPR0372_07_00/sharp").mkdir(parents=True), "no images of gopro's split train"),
    ],
)
def test_wrong_roots(tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[..., Any], reason: str) -> None:
    make(tmp_path / "root")
    assert prepare(tmp_path / "root", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_gamma_of_a_repack_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_repack(tmp_path / "repack", "{split}", ("input", "target"), "-")
    assert prepare(tmp_path / "repack", tmp_path / "out", "--gamma") == 2
    assert "split train with --gamma" in capsys.readouterr().err


@pytest.mark.parametrize("out", [".", "train", "new/folder"])
def test_output_inside_the_root_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    before = hashes(root)
    assert prepare(root, root / out) == 2
    assert "which is only read" in capsys.readouterr().err
    assert hashes(root) == before


def test_folder_of_somebody_else_is_never_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    for name in ("blur.lmdb", "sharp.lmdb.partial"):
        (tmp_path / "out/train" / name).mkdir(parents=True)
        (tmp_path / "out/train" / name / "data.mdb").write_bytes(b"mine")
    before = hashes(tmp_path / "out")
    assert prepare(root, tmp_path / "out", "--splits", "train") == 2
    assert "blur.lmdb exists and was not made by this command" in capsys.readouterr().err
    (tmp_path / "out/train/blur.lmdb").rename(tmp_path / "out/train/elsewhere")
    assert prepare(root, tmp_path / "out", "--splits", "train") == 2
    assert "sharp.lmdb.partial exists and was not made by this command" in capsys.readouterr().err
    assert sorted(before.values()) == sorted(
        value for name, value in hashes(tmp_path / "out").items() if "preparation" not in name
    )


@pytest.mark.parametrize("out", ["out", "out/below"])
def test_output_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    (tmp_path / "out").write_text("a file")
    for options in ((), ("--dry-run",)):
        assert prepare(root, tmp_path / out, *options) == 2
        output = capsys.readouterr()
        reason = f"--out {tmp_path / out} cannot be a folder, {tmp_path / 'out'} is a file: choose another"
        assert output.err == f"error: {reason}\n"
        assert output.out == ""
    assert (tmp_path / "out").read_text() == "a file"


def test_target_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train").write_text("a file")
    assert prepare(root, tmp_path / "out") == 2
    assert f"cannot write to {tmp_path / 'out/train/blur.lmdb.partial'}: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize("options", [(), ("--folders",)], ids=["lmdb", "folders"])
def test_target_that_is_read_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    def refuse(path: Path, *arguments: Any, **named: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    root = make_gopro(tmp_path / "GOPRO_Large")
    monkeypatch.setattr(os, "mkdir", refuse)
    assert prepare(root, tmp_path / "out", *options) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"error: cannot write to {tmp_path / 'out/train/blur'}")
    assert message.endswith(".partial: Read-only file system")


def test_verify_finds_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    check = ["gopro", "--out", str(tmp_path / "out"), "--splits", "test", "--verify", "--workers", "1"]
    assert main(check) == 2
    assert "blur.lmdb is not there: run the same without --verify" in capsys.readouterr().err
    assert prepare(root, tmp_path / "out", "--splits", "test") == 0
    capsys.readouterr()
    assert main(check) == 0
    assert "test: checked 3 pairs, 0 problems" in capsys.readouterr().out
    first, second, third = (f"GOPR0384_11_00/{frame}" for frame in FRAMES)
    stored = read_lmdb(tmp_path / "out/test/blur.lmdb")
    with lmdb.open(str(tmp_path / "out/test/blur.lmdb"), lock=False) as database, database.begin(write=True) as change:
        change.put(first.encode(), stored[first][:-100])
        change.delete(second.encode())
    meta = tmp_path / "out/test/sharp.lmdb/meta_info.txt"
    meta.write_text("".join(f"{line}\n" for line in meta.read_text().splitlines() if third not in line))
    assert main(check) == 2
    error = capsys.readouterr().err
    assert f"blur.lmdb: {first} is truncated" in error
    assert f"blur.lmdb: {second} is listed in meta_info.txt but missing in data.mdb" in error
    assert f"sharp.lmdb: not listed in meta_info.txt: {third}" in error
    assert f"blur.lmdb: missing in {tmp_path / 'out/test/sharp.lmdb'}: {third}" in error
    assert "sharp.lmdb: 2 images, preparation.json says 3" in error


def test_verify_goes_on_after_a_side_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = make_gopro(tmp_path / "GOPRO_Large"), tmp_path / "out"
    assert prepare(root, out) == 0
    damage_page(out / "train/blur.lmdb/data.mdb")
    (out / "train/sharp.lmdb/meta_info.txt").write_text("nonsense")
    (out / "test/sharp.lmdb/preparation.json").write_text("[]")
    blurred = out / "test/blur.lmdb/data.mdb"
    capsys.readouterr()
    check = ["gopro", "--out", str(out), "--verify", "--workers", "1"]
    assert main(check) == 2
    output = capsys.readouterr()
    assert "train: checked 0 pairs, 2 problems\ntest: checked 0 pairs, 1 problems\n" in output.out
    *_, first, second, third, fourth = output.err.splitlines()
    assert first == "error: the result is damaged; move it away and prepare it again"
    assert second.startswith(f"  {out / 'train/blur.lmdb'}: data.mdb is damaged (")
    assert third.startswith(f"  {out / 'train/sharp.lmdb/meta_info.txt'}, line 1: 'nonsense' is not")
    assert fourth.startswith(f"  {out / 'test/sharp.lmdb/preparation.json'} is damaged (")
    blurred.write_bytes(b"")
    assert main(check) == 2
    assert f"  {blurred.parent}: data.mdb is damaged (it is empty)" in capsys.readouterr().err
    assert prepare(root, out) == 2
    assert "preparation.json is damaged (no settings by name): delete" in capsys.readouterr().err


def test_damaged_database_as_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side, name in (("blur", "input"), ("sharp", "target")):
        with LmdbWriter(tmp_path / "repack/test" / f"{name}.lmdb") as writer:
            for key, sides in gopro_images("test").items():
                writer.put(key.replace("/", "-"), sides[side][..., ::-1])
    source = tmp_path / "repack/test/input.lmdb"
    whole = (source / "data.mdb").read_bytes()
    damage_page(source / "data.mdb")
    for options in ((), ("--dry-run",)):
        assert prepare(tmp_path / "repack", tmp_path / "out", "--splits", "test", *options) == 2
        error = capsys.readouterr().err
        assert f"{source}: data.mdb is damaged (page " in error
    # What is wrong with the whole file is said once.
    (source / "data.mdb").write_bytes(whole[:-4096])
    assert prepare(tmp_path / "repack", tmp_path / "out", "--splits", "test") == 2
    error = capsys.readouterr().err
    assert error == f"error: {source}: data.mdb is truncated ({len(whole) - 4096} of {len(whole)} bytes)\n"


def test_verify_finds_folders_without_being_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = make_gopro(tmp_path / "GOPRO_Large"), tmp_path / "out"
    check = ["gopro", "--out", str(out), "--verify", "--workers", "1"]
    assert prepare(root, out, "--folders") == 0
    capsys.readouterr()
    assert main(check) == 0
    assert "train: checked 90 pairs, 0 problems\ntest: checked 3 pairs, 0 problems\n" in capsys.readouterr().out
    damaged = out / "test/blur/GOPR0384_11_00-000048.png"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert main(check) == 2
    assert f"{damaged} is truncated" in capsys.readouterr().err
    # Where both are there, it is the databases unless the folders are asked for.
    assert prepare(root, out) == 0
    assert main(check) == 0
    assert main([*check, "--folders"]) == 2


def test_rerun_with_other_images_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    assert prepare(root, tmp_path / "out", "--splits", "test") == 0
    for side in ("blur", "sharp"):
        (root / f"test/GOPR0384_11_00/{side}/000048.png").unlink()
    assert prepare(root, tmp_path / "out", "--splits", "test") == 2
    error = capsys.readouterr().err
    assert "blur.lmdb was made with other settings (the images found differ): choose another --out" in error


def test_help_says_what_cannot_be_seen_in_a_jpeg(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["reds", "--help"])
    assert "JPEGs do not: only their structure is checked" in " ".join(capsys.readouterr().out.split())


def test_help_names_the_trees(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, text in ((["--help"], "gopro"), (["gopro", "--help"], "GOPR0372_07_00-000047.png")):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        assert text in capsys.readouterr().out


def test_hide_pairs_by_name_in_its_one_gt_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = {
        "test/test-close-ups": ["1fromGOPR0950", "17.fromGOPR1096.MP4"],
        "test/test-long-shot": ["3.fromGOPR1096.MP4"],
        "train": ["2.a.b"],
    }
    for folder, stems in images.items():
        for stem in stems:
            save(tmp_path / f"HIDE_dataset/{folder}/{stem}.png", make_image(f"blur {stem}"))
            save(tmp_path / f"HIDE_dataset/GT/{stem}.png", make_image(f"sharp {stem}"))
    assert prepare(tmp_path / "HIDE_dataset", tmp_path / "out", command="hide") == 0
    assert "found 3 of 2,025 pairs in test" in capsys.readouterr().err
    for side in ("blur", "sharp"):
        stored = read_lmdb(tmp_path / f"out/test/{side}.lmdb")
        assert sorted(stored) == [
            "test-close-ups/17.fromGOPR1096.MP4",
            "test-close-ups/1fromGOPR0950",
            "test-long-shot/3.fromGOPR1096.MP4",
        ]
        for key, data in stored.items():
            np.testing.assert_array_equal(read_png(data), make_image(f"{side} {key.split('/')[1]}"))
    assert not (tmp_path / "out/train").exists()
    (tmp_path / "HIDE_dataset/GT/1fromGOPR0950.png").unlink()
    assert prepare(tmp_path / "HIDE_dataset", tmp_path / "other", command="hide") == 2
    assert "1 of 3 blur images have no sharp image in GT" in capsys.readouterr().err
