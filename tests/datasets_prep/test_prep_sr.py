"""`python -m datasets_prep df2k` and `sr-benchmarks`: every documented tree, what is made, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest
from prep_trees import (
    DF2K_SIZES,
    hashes,
    make_df2k,
    make_image,
    read_lmdb,
    read_png,
    save,
    super_resolution_pair,
)

from datasets_prep.command_line import main
from datasets_prep.pairing import low_key, truth_key
from deeprftv2_arch.common.imresize import imresize

SCALES = (2, 3, 4)


def df2k(root: Path, out: Path, *options: str) -> int:
    arguments = ["df2k", "--root", str(root), "--out", str(out), "--crop", "24", "--step", "24", "--workers", "1"]
    return main([*arguments, *options])


def benchmarks(root: Path, out: Path, *options: str) -> int:
    return main(["sr-benchmarks", "--root", str(root), "--out", str(out), "--workers", "1", *options])


def settings_of(path: Path) -> dict[str, Any]:
    return json.loads((path / "preparation.json").read_text())["settings"]


def made_low(truth: np.ndarray, scale: int, multiple: int) -> np.ndarray:
    """Return the low resolution that belongs to a ground truth of which only a multiple is kept."""
    height, width = truth.shape[0] // multiple * multiple, truth.shape[1] // multiple * multiple
    return imresize(truth[:height, :width], (height // scale, width // scale))


def assert_df2k(
    out: Path,
    made: set[str] | tuple[str, ...] | tuple[()] = (),
    scales: tuple[int, ...] = SCALES,
    parts: tuple[str, ...] = ("DIV2K", "Flickr2K"),
) -> None:
    """Compare every crop with the images; `made`: the sets whose low resolution is made."""
    expected: dict[str, dict[str, np.ndarray]] = {side: {} for side in ("HR", *(f"LRx{scale}" for scale in scales))}
    for key, size in DF2K_SIZES.items():
        if key.split("/")[0] not in parts:
            continue
        images = super_resolution_pair(key, *size)
        # 73x50 leaves 72x48, the other sizes 48x72.
        rows, columns = ((0, 24, 48), (0, 24)) if size == (73, 50) else ((0, 24), (0, 24, 48))
        for number, (top, left) in enumerate([(top, left) for top in rows for left in columns], 1):
            name = f"{key}_s{number:03d}"
            expected["HR"][name] = images[1][top : top + 24, left : left + 24]
            for scale in scales:
                low = made_low(images[1], scale, 12) if key.split("/")[0] in made else images[scale]
                top_low, left_low, side = top // scale, left // scale, 24 // scale
                expected[f"LRx{scale}"][name] = low[top_low : top_low + side, left_low : left_low + side]
    assert {path.stem for path in (out / "train").iterdir()} == expected.keys()
    for folder, crops in expected.items():
        stored = read_lmdb(out / f"train/{folder}.lmdb")
        assert stored.keys() == crops.keys()
        for name, crop in crops.items():
            np.testing.assert_array_equal(read_png(stored[name]), crop, err_msg=f"{folder} {name}")


def test_df2k_as_downloaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_df2k(tmp_path / "root")
    before = hashes(root)
    assert df2k(root, tmp_path / "out") == 0
    assert_df2k(tmp_path / "out")
    assert hashes(root) == before
    output = capsys.readouterr()
    assert "train x3: 4 of 3,450 expected pairs (DIV2K 2 of 800, Flickr2K 2 of 2,650) in " in output.out
    assert "24 pairs of 24x24 crops every 24 pixels (8x8 in LRx3)" in output.out
    assert "warning: found 4 of 3,450 pairs (DIV2K 2 of 800, Flickr2K 2 of 2,650) in train: the" in output.err
    assert output.err.count("warning") == 1
    assert "made from" not in output.out
    settings = {side: settings_of(tmp_path / f"out/train/{side}.lmdb") for side in ("HR", "LRx4")}
    assert settings["HR"]["source_folder"] == "DIV2K/DIV2K_train_HR and Flickr2K/Flickr2K_HR"
    assert settings["LRx4"]["source_folder"] == ("DIV2K/DIV2K_train_LR_bicubic/X4 and Flickr2K/Flickr2K_LR_bicubic/X4")
    assert [settings["HR"][name] for name in ("scale", "cut_to_multiple_of", "made_by_imresize")] == [1, 12, 0]
    assert [settings["LRx4"][name] for name in ("scale", "cut_to_multiple_of", "made_by_imresize")] == [4, 12, 0]
    lines = (tmp_path / "out/train/LRx4.lmdb/meta_info.txt").read_text().splitlines()
    assert lines[0] == "DIV2K/0001_s001.png (6,6,3) 1"


def test_standard_crops_of_df2k(tmp_path: Path) -> None:
    truth = make_image("large", 970, 730)  # 960x720 of it
    save(tmp_path / "root/DIV2K/DIV2K_train_HR/0001.png", truth)
    assert main(["df2k", "--root", str(tmp_path / "root"), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    windows = [(top, left) for top in (0, 240, 480) for left in (0, 240)]
    for scale, name in ((1, "HR"), (2, "LRx2"), (3, "LRx3"), (4, "LRx4")):
        whole = truth if scale == 1 else made_low(truth, scale, 12)
        stored = read_lmdb(tmp_path / f"out/train/{name}.lmdb")
        assert list(stored) == [f"DIV2K/0001_s{number:03d}" for number in range(1, 7)]
        side = 480 // scale
        for (top, left), data in zip(windows, stored.values(), strict=True):
            crop = whole[top // scale :, left // scale :][:side, :side]
            np.testing.assert_array_equal(read_png(data), crop)


@pytest.mark.parametrize("low", [(), ("DIV2K",), ("Flickr2K",)])
def test_low_resolutions_that_are_not_there_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], low: tuple[str, ...]
) -> None:
    root = make_df2k(tmp_path / "root", low)
    made = {"DIV2K", "Flickr2K"} - set(low)
    assert df2k(root, tmp_path / "out") == 0
    assert_df2k(tmp_path / "out", made)
    count = 2 * len(made)
    assert f"{count} of the LRx4 images are made from the ground truth, as MATLAB's imresize" in capsys.readouterr().out
    assert settings_of(tmp_path / "out/train/LRx4.lmdb")["made_by_imresize"] == count
    assert settings_of(tmp_path / "out/train/HR.lmdb")["made_by_imresize"] == 0


def test_a_scale_that_is_added_later_leaves_the_rest_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_df2k(tmp_path / "root", ("DIV2K",))
    save(root / "DIV2K/DIV2K_train_HR/0003.png", make_image("narrow", 20, 90))  # gives no crops
    for scale in (2, 3, 4):
        low = root / f"DIV2K/DIV2K_train_LR_bicubic/X{scale}/0003x{scale}.png"
        save(low, make_image("narrow", 20 // scale, 90 // scale))
    assert df2k(root, tmp_path / "out", "--scales", "4") == 0
    assert {path.stem for path in (tmp_path / "out/train").iterdir()} == {"HR", "LRx4"}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    capsys.readouterr()
    assert df2k(root, tmp_path / "out") == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert_df2k(tmp_path / "out", made=("Flickr2K",))
    output = capsys.readouterr()
    assert "train x4: done before, 24 pairs" in output.out
    # What all scales share is said once.
    assert output.err.count("0003.png is 90x20, smaller than a crop of 24x24; it is left out") == 1
    assert df2k(root, tmp_path / "at once") == 0
    assert hashes(tmp_path / "out") == hashes(tmp_path / "at once")


def test_one_of_the_two_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_df2k(tmp_path / "root")
    shutil.rmtree(root / "Flickr2K")
    assert df2k(root, tmp_path / "out", "--scales", "2") == 0
    assert_df2k(tmp_path / "out", scales=(2,), parts=("DIV2K",))
    assert "found 2 of 3,450 pairs (DIV2K 2 of 800, Flickr2K 0 of 2,650)" in capsys.readouterr().err
    assert settings_of(tmp_path / "out/train/HR.lmdb")["source_folder"] == "DIV2K/DIV2K_train_HR"


def test_whole_images_of_df2k_are_cut_to_a_multiple(tmp_path: Path) -> None:
    root = make_df2k(tmp_path / "root")
    assert df2k(root, tmp_path / "out", "--crop", "0", "--folders") == 0
    images = super_resolution_pair("DIV2K/0001", *DF2K_SIZES["DIV2K/0001"])
    for scale, side in ((1, "HR"), (2, "LRx2"), (3, "LRx3"), (4, "LRx4")):
        stored = read_png((tmp_path / f"out/train/{side}/DIV2K-0001.png").read_bytes())
        np.testing.assert_array_equal(stored, images[scale][: 48 // scale, : 72 // scale])
    # Cut nowhere, so kept byte for byte.
    kept = (tmp_path / "out/train/HR/Flickr2K-000002.png").read_bytes()
    assert kept == (root / "Flickr2K/Flickr2K_HR/000002.png").read_bytes()


@pytest.mark.parametrize("options", [("--crop", "32"), ("--step", "10")])
def test_crops_that_do_not_exist_at_every_scale_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, str]
) -> None:
    assert df2k(make_df2k(tmp_path / "root"), tmp_path / "out", "--scales", "2", *options) == 2
    assert "must be multiples of 12" in capsys.readouterr().err


def test_missing_partners_of_df2k(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_df2k(tmp_path / "root")
    (root / "Flickr2K/Flickr2K_LR_bicubic/X3/000002x3.png").unlink()
    assert df2k(root, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "1 of 4 HR images have no LRx3 image in DIV2K/DIV2K_train_LR_bicubic/X3 and Flickr2K/Fli" in error
    assert str(root / "Flickr2K/Flickr2K_HR/000002.png") in error
    assert df2k(root, tmp_path / "out", "--scales", "2", "4") == 0
    shutil.rmtree(root / "Flickr2K/Flickr2K_HR")
    assert df2k(root, tmp_path / "other", "--scales", "2") == 2
    assert "2 of 4 LRx2 images have no HR image in" in capsys.readouterr().err


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
@pytest.mark.parametrize("size", [(29, 37), (30, 38), (59, 76)])
def test_low_resolution_of_the_wrong_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], size: tuple[int, int]
) -> None:
    root = make_df2k(tmp_path / "root")
    low = root / "DIV2K/DIV2K_train_LR_bicubic/X2/0001x2.png"
    save(low, make_image("wrong", *size))
    assert df2k(root, tmp_path / "out", *options) == 2
    assert (
        f"sizes do not fit x2 within the pair DIV2K/0001: {low} {size[1]}x{size[0]} and "
        f"{root / 'DIV2K/DIV2K_train_HR/0001.png'} 76x59, which asks for 38x29"
    ) in capsys.readouterr().err
    # The other scales are in order, and prepared.
    finished = {path.name for path in (tmp_path / "out/train").glob("*.lmdb")}
    assert finished == (set() if options else {"HR.lmdb", "LRx3.lmdb", "LRx4.lmdb"})


def test_wrong_size_at_a_scale_that_is_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_df2k(tmp_path / "root")
    assert df2k(root, tmp_path / "out", "--scales", "2") == 0
    save(root / "DIV2K/DIV2K_train_LR_bicubic/X3/0001x3.png", make_image("wrong", 5, 5))
    assert df2k(root, tmp_path / "out", "--scales", "3") == 2
    assert "sizes do not fit x3 within the pair DIV2K/0001" in capsys.readouterr().err


def test_truth_of_16_bits_is_not_shrunk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_df2k(tmp_path / "root", ("DIV2K",))
    deep = root / "Flickr2K/Flickr2K_HR/000001.png"
    save(deep, make_image("deep", 50, 83, np.uint16))
    assert df2k(root, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"{deep} has 16 bits: a low resolution is only made of images of 8 bits" in error
    assert "1 image is not usable" in error


def test_damaged_truth_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_df2k(tmp_path / "root", ())
    path = root / "DIV2K/DIV2K_train_HR/0002.png"
    path.write_bytes(path.read_bytes()[:-900])
    assert df2k(root, tmp_path / "out") == 2
    assert capsys.readouterr().err.count(f"{path} is truncated") == 1
    assert not list((tmp_path / "out/train").glob("*.lmdb"))


def test_df2k_rerun_verify_and_other_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = make_df2k(tmp_path / "root"), tmp_path / "out"
    assert df2k(root, out, "--dry-run") == 0
    assert not out.exists()
    assert df2k(root, out) == 0
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert df2k(root, out) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times
    check = ["df2k", "--out", str(out), "--verify", "--workers", "1"]
    assert main(check) == 0
    assert "train x4: checked 24 pairs, 0 problems" in capsys.readouterr().out
    shutil.rmtree(root / "Flickr2K/Flickr2K_LR_bicubic")
    assert df2k(root, out) == 2
    assert "made with other settings (made_by_imresize 0, now 2)" in capsys.readouterr().err
    with lmdb.open(str(out / "train/LRx3.lmdb"), lock=False) as database, database.begin(write=True) as change:
        change.put(b"DIV2K/0001_s002", cv2.imencode(".png", np.zeros((7, 8, 3), np.uint8))[1].tobytes())
    assert main(check) == 2
    error = capsys.readouterr().err
    assert "sizes differ within the pair DIV2K/0001_s002, seen at x3: (21, 24) and (24, 24)" in error
    assert "DIV2K/0001_s002 has the shape (7, 8, 3), meta_info.txt says (8, 8, 3)" in error


# ---- test sets

STEMS = ("baby", "img_001", "a.b")
SIZE = (27, 38)  # a multiple of none of the scales


def sr_images(name: str) -> dict[str, dict[int, np.ndarray]]:
    return {stem: super_resolution_pair(f"{name} {stem}", *SIZE) for stem in STEMS}


def cut(image: np.ndarray, multiple: int) -> np.ndarray:
    return image[: image.shape[0] // multiple * multiple, : image.shape[1] // multiple * multiple]


def make_first_convention(root: Path, name: str) -> None:
    for stem, images in sr_images(name).items():
        for scale in SCALES:
            save(root / f"{name}/GTmod{scale}/{stem}.png", cut(images[1], scale))
            save(root / f"{name}/LRbicx{scale}/{stem}.png", images[scale])


def make_second_convention(root: Path, name: str) -> None:
    for stem, images in sr_images(name).items():
        save(root / f"{name}/HR/{stem}.PNG", images[1])
        for scale in SCALES:
            save(root / f"{name}/LR_bicubic/X{scale}/{stem}x{scale}.png", images[scale])


def make_third_convention(root: Path, name: str) -> None:
    for stem, images in sr_images(name).items():
        for scale in SCALES:
            save(root / f"HR/{name}/x{scale}/{stem}_HR_x{scale}.png", cut(images[1], scale))
            save(root / f"LR/LRBI/{name}/x{scale}/{stem}_LRBI_x{scale}.png", images[scale])


CONVENTIONS = {1: make_first_convention, 2: make_second_convention, 3: make_third_convention}


def assert_set(
    folder: Path, name: str, scales: tuple[int, ...] = SCALES, made: bool = False, multiple: int | None = None
) -> None:
    """Compare whole images; `multiple`: what the ground truth was cut to beforehand."""
    assert {path.stem for path in folder.iterdir()} == {f"{side}x{scale}" for scale in scales for side in ("HR", "LR")}
    for scale in scales:
        truth, low = (read_lmdb(folder / f"{side}x{scale}.lmdb") for side in ("HR", "LR"))
        assert truth.keys() == low.keys() == set(STEMS)
        for stem, images in sr_images(name).items():
            sharp = cut(cut(images[1], multiple or scale), scale)
            np.testing.assert_array_equal(read_png(truth[stem]), sharp)
            small = made_low(sharp, scale, scale) if made else images[scale]
            np.testing.assert_array_equal(read_png(low[stem]), small)


@pytest.mark.parametrize("convention", [1, 2, 3])
def test_three_conventions_give_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str], convention: int) -> None:
    for name in ("Set5", "Urban100"):
        CONVENTIONS[convention](tmp_path / "root", name)
    before = hashes(tmp_path / "root")
    assert benchmarks(tmp_path / "root", tmp_path / "out") == 0
    for name in ("Set5", "Urban100"):
        assert_set(tmp_path / "out" / name, name)
    assert hashes(tmp_path / "root") == before
    output = capsys.readouterr()
    assert f"not in {tmp_path / 'root'}, so not prepared: Set14, B100, Manga109\n" in output.out
    assert "Urban100 x4: 3 of 100 expected pairs in " in output.out
    assert "found 3 of 5 pairs in Set5: the result is not the published set" in output.err
    assert "found 3 of 109" not in output.err


@pytest.mark.parametrize("alias", ["B100", "BSD100", "BSDS100", "bsds100"])
@pytest.mark.parametrize("convention", [1, 2, 3])
def test_the_names_of_b100(tmp_path: Path, alias: str, convention: int) -> None:
    CONVENTIONS[convention](tmp_path / "root", alias)
    assert benchmarks(tmp_path / "root", tmp_path / "out", "--scales", "3") == 0
    assert_set(tmp_path / "out/B100", alias, scales=(3,))


@pytest.mark.parametrize("convention", [1, 2])
def test_root_may_be_one_set(tmp_path: Path, capsys: pytest.CaptureFixture[str], convention: int) -> None:
    CONVENTIONS[convention](tmp_path, "Manga109")
    assert benchmarks(tmp_path / "Manga109", tmp_path / "out", "--scales", "4", "2") == 0
    assert_set(tmp_path / "out/Manga109", "Manga109", scales=(2, 4))
    assert "so not prepared: Set5, Set14, B100, Urban100\n" in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["HR", "GT", "original", ".", "GTmod12"])
def test_only_ground_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str) -> None:
    multiple = 12 if folder == "GTmod12" else None
    for stem, images in sr_images("Set14").items():
        save(tmp_path / f"root/Set14/{folder}/{stem}.png", cut(images[1], multiple or 1))
    assert benchmarks(tmp_path / "root", tmp_path / "out") == 0
    assert_set(tmp_path / "out/Set14", "Set14", made=True, multiple=multiple)
    assert "3 of the LRx2 images are made from the ground truth" in capsys.readouterr().out
    settings = settings_of(tmp_path / "out/Set14/LRx3.lmdb")
    assert [settings[name] for name in ("scale", "cut_to_multiple_of", "made_by_imresize")] == [3, 3, 3]
    assert settings["source_folder"] == (f"Set14/{folder}" if folder != "." else "Set14")
    assert settings_of(tmp_path / "out/Set14/HRx3.lmdb")["made_by_imresize"] == 0


def test_truth_cut_for_every_scale_goes_before_the_original(tmp_path: Path) -> None:
    for stem, images in sr_images("Set5").items():
        save(tmp_path / f"root/Set5/original/{stem}.png", images[1])
        save(tmp_path / f"root/Set5/GTmod12/{stem}.png", cut(images[1], 12))
        for scale in SCALES:
            save(tmp_path / f"root/Set5/LRbicx{scale}/{stem}.png", made_low(images[1], scale, 12))
    assert benchmarks(tmp_path / "root", tmp_path / "out") == 0
    assert_set(tmp_path / "out/Set5", "Set5", made=True, multiple=12)
    assert settings_of(tmp_path / "out/Set5/LRx2.lmdb")["made_by_imresize"] == 0


def test_one_scale_has_low_resolutions_and_the_others_not(tmp_path: Path) -> None:
    make_second_convention(tmp_path / "root", "Set5")
    for scale in (2, 3):
        shutil.rmtree(tmp_path / f"root/Set5/LR_bicubic/X{scale}")
    assert benchmarks(tmp_path / "root", tmp_path / "taken", "--scales", "4") == 0
    assert_set(tmp_path / "taken/Set5", "Set5", scales=(4,))
    assert benchmarks(tmp_path / "root", tmp_path / "made", "--scales", "2", "3") == 0
    assert_set(tmp_path / "made/Set5", "Set5", scales=(2, 3), made=True)


def test_truth_cut_for_another_scale_does_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_first_convention(tmp_path / "root", "Set5")
    for scale in (2, 3):
        shutil.rmtree(tmp_path / f"root/Set5/GTmod{scale}")
        shutil.rmtree(tmp_path / f"root/Set5/LRbicx{scale}")
    assert benchmarks(tmp_path / "root", tmp_path / "out") == 0
    assert_set(tmp_path / "out/Set5", "Set5", scales=(4,))
    assert "so not prepared: Set5 x2, Set5 x3, Set14, B100, Urban100, Manga109\n" in capsys.readouterr().out
    assert benchmarks(tmp_path / "root", tmp_path / "other", "--splits", "Set5") == 2
    error = capsys.readouterr().err
    assert "no images of sr-benchmarks's split Set5 x2 in" in error
    assert "leave it out with --splits or --scales" in error


def test_what_is_asked_for_has_to_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_second_convention(tmp_path / "root", "Set5")
    assert benchmarks(tmp_path / "root", tmp_path / "out", "--splits", "Set5", "Set14") == 2
    assert "no images of sr-benchmarks's split Set14 x2 in" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert benchmarks(tmp_path / "empty", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"no images of sr-benchmarks in {tmp_path / 'empty'}" in error
    assert "python -m datasets_prep sr-benchmarks --help tells which trees are known" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("convention", "lost", "message"),
    [
        (1, "Set5/LRbicx4/baby.png", "1 of 3 HRx4 images have no LRx4 image in Set5/LRbicx4: "),
        (2, "Set5/HR/baby.PNG", "1 of 3 LRx4 images have no HRx4 image in Set5/HR: "),
        (3, "HR/Set5/x4/baby_HR_x4.png", "1 of 3 LRx4 images have no HRx4 image in HR/Set5/x4: "),
        (3, "HR", "3 of 3 LRx4 images have no HRx4 image in HR/Set5/x4: "),
        (1, "Set5/GTmod4", "3 of 3 LRx4 images have no HRx4 image in Set5/GTmod4 or Set5/HR or "),
    ],
)
def test_missing_partners_of_test_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], convention: int, lost: str, message: str
) -> None:
    CONVENTIONS[convention](tmp_path / "root", "Set5")
    path = tmp_path / "root" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert benchmarks(tmp_path / "root", tmp_path / "out", "--scales", "4") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "baby" in error


def test_wrong_size_in_a_test_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_second_convention(tmp_path / "root", "Set5")
    low = tmp_path / "root/Set5/LR_bicubic/X4/img_001x4.png"
    save(low, make_image("wrong", 7, 10))  # MATLAB's result for a ground truth that was not cut
    assert benchmarks(tmp_path / "root", tmp_path / "out") == 2
    assert (
        f"{low} 10x7 and {tmp_path / 'root/Set5/HR/img_001.PNG'} 38x27, which asks for 9x6" in capsys.readouterr().err
    )
    save(tmp_path / "tiny/Set5/HR/dot.png", make_image("dot", 3, 9))
    assert benchmarks(tmp_path / "tiny", tmp_path / "other", "--scales", "4") == 2
    assert "dot.png is 9x3: nothing is left at x4" in capsys.readouterr().err


def test_grey_images_become_three_channels(tmp_path: Path) -> None:
    grey = make_image("grey", 12, 16)[..., 0]
    save(tmp_path / "root/Set14/HR/bridge.png", grey)
    assert benchmarks(tmp_path / "root", tmp_path / "out", "--scales", "2") == 0
    low = read_png(read_lmdb(tmp_path / "out/Set14/LRx2.lmdb")["bridge"])
    np.testing.assert_array_equal(low, np.stack([imresize(grey, (6, 8))] * 3, axis=2))


def test_test_sets_dry_run_rerun_verify_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    make_first_convention(root, "Set5")
    make_third_convention(root, "B100")
    check = ["sr-benchmarks", "--out", str(out), "--verify", "--folders", "--workers", "1"]
    assert main(check) == 2
    assert f"no sr-benchmarks in {out}: run the same without --verify" in capsys.readouterr().err
    assert benchmarks(root, out, "--dry-run") == 0
    assert not out.exists()
    assert benchmarks(root, out, "--folders", "--scales", "4") == 0
    assert {path.name for path in (out / "B100/LRx4").glob("[!.]*")} == {f"{stem}.png" for stem in STEMS}
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    assert benchmarks(root, out, "--folders") == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
    capsys.readouterr()
    assert main(check) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{name} x{scale}: checked 3 pairs, 0 problems" for name in ("Set5", "B100") for scale in SCALES
    ]
    save(out / "Set5/LRx2/baby.png", make_image("wrong", *SIZE))
    (out / "B100/HRx3").rename(out / "B100/elsewhere")
    assert main([*check, "--splits", "Set5"]) == 2
    assert "sizes differ within the pair baby, seen at x2: (26, 38) and (54, 76)" in capsys.readouterr().err
    assert main([*check, "--splits", "B100"]) == 2
    assert "HRx3 is not there: run the same without --verify" in capsys.readouterr().err


def test_keys() -> None:
    assert [truth_key(stem) for stem in ("baby_HR_x4", "baby", "a_HR", "babyx2")] == ["baby", "baby", "a_HR", "babyx2"]
    stems = ("babyx4", "baby_LRBI_x4", "baby", "babyx2", "0001x4", "ax4x4")
    assert [low_key(stem, 4) for stem in stems] == ["baby", "baby", "baby", "babyx2", "0001", "ax4"]


def test_help_says_what_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    for command, text in (("df2k", "Flickr2K_LR_bicubic/X2/000001x2.png"), ("sr-benchmarks", "--scales")):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert text in capsys.readouterr().out


def test_real_set5_is_made_as_it_is_distributed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], real_set5: Path
) -> None:
    shutil.copytree(real_set5 / "HR", tmp_path / "root/Set5/HR")
    assert benchmarks(real_set5.parent, tmp_path / "taken") == 0
    assert "Set5 x3: 5 of 5 expected pairs in Set5/LR_bicubic/X3 and Set5/HR" in capsys.readouterr().out
    assert benchmarks(tmp_path / "root", tmp_path / "made") == 0
    assert "warning" not in capsys.readouterr().err
    for scale in SCALES:
        for side in ("HR", "LR"):
            taken, made = (read_lmdb(tmp_path / f"{name}/Set5/{side}x{scale}.lmdb") for name in ("taken", "made"))
            assert taken.keys() == made.keys() == {"baby", "bird", "butterfly", "head", "woman"}
            for key in taken:
                np.testing.assert_array_equal(read_png(taken[key]), read_png(made[key]))
        original = (real_set5 / f"LR_bicubic/X{scale}/babyx{scale}.png").read_bytes()
        assert read_lmdb(tmp_path / f"taken/Set5/LRx{scale}.lmdb")["baby"] == original


def make_self_ex(root: Path, folder: str, scale: int, size: tuple[int, int]) -> None:
    """Write a folder of SelfExSR: both kinds of images beside results of other methods."""
    for number in (1, 2):
        name, truth = f"img_{number:03d}_SRF_{scale}", make_image(f"{folder} {number} {size}", *size)
        save(root / folder / f"image_SRF_{scale}" / f"{name}_HR.png", truth)
        save(root / folder / f"image_SRF_{scale}" / f"{name}_LR.png", made_low(truth, scale, scale))
        save(root / folder / f"image_SRF_{scale}" / f"{name}_bicubic.png", truth)


def test_selfexsr(tmp_path: Path) -> None:
    make_self_ex(tmp_path / "root", "BSD100", 2, (50, 26))
    make_self_ex(tmp_path / "root", "BSD100", 4, (48, 24))
    assert benchmarks(tmp_path / "root", tmp_path / "out") == 0
    for scale, size in ((2, (50, 26)), (4, (48, 24))):
        truth = make_image(f"BSD100 1 {size}", *size)
        for side, expected in (("HR", truth), ("LR", made_low(truth, scale, scale))):
            stored = read_lmdb(tmp_path / f"out/B100/{side}x{scale}.lmdb")
            assert stored.keys() == {"img_001", "img_002"}
            np.testing.assert_array_equal(read_png(stored["img_001"]), expected)
    assert not (tmp_path / "out/B100/HRx3.lmdb").exists()


def test_urban100_of_selfexsr_is_that_of_the_literature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its ground truth at scale 2 is half as large as the one that published values are of."""
    make_self_ex(tmp_path / "root", "Urban100", 2, (24, 36))
    assert benchmarks(tmp_path / "root", tmp_path / "out") == 2
    assert "image_SRF_4 is missing: the ground truth of Urban100" in capsys.readouterr().err
    make_self_ex(tmp_path / "root", "Urban100", 4, (48, 72))
    assert benchmarks(tmp_path / "root", tmp_path / "out") == 0
    truth = make_image("Urban100 2 (48, 72)", 48, 72)
    for scale in SCALES:
        for side, expected in (("HR", truth), ("LR", made_low(truth, scale, scale))):
            stored = read_lmdb(tmp_path / f"out/Urban100/{side}x{scale}.lmdb")
            np.testing.assert_array_equal(read_png(stored["img_002"]), expected)
