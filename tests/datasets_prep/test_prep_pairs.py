"""`python -m datasets_prep pairs`: folders of any names, paired by names, a pattern or a list, and split."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from prep_trees import hashes, make_image, read_lmdb, read_png, save

from datasets_prep.command_line import main
from deeprftv2_arch.common.imresize import imresize

NAMES = ("street/01", "street/02", "house", "tree", "Zoo")


def pairs(*words: object) -> int:
    return main(["pairs", *map(str, words), "--workers", "1"])


def image(name: str, side: str) -> NDArray[np.uint8]:
    return make_image(f"{name} {side}", 24, 36)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    low, high = tmp_path / "mine/shaky ones", tmp_path / "mine/good"
    for name in NAMES:
        save(low / f"{name}.png", image(name, "blur"))
        save(high / f"{name}.png", image(name, "sharp"))
    return low, high


def stored(database: Path) -> dict[str, NDArray[np.uint8]]:
    return {key: read_png(data) for key, data in read_lmdb(database).items()}


def assert_stored(out: Path, expected: dict[str, tuple[str, str]]) -> None:
    """Compare what is stored; `expected`: key -> names of the blurred and of the sharp image."""
    for number, side in enumerate(("blur", "sharp")):
        found = stored(out / f"{side}.lmdb")
        assert found.keys() == expected.keys()
        for key, names in expected.items():
            np.testing.assert_array_equal(found[key], image(names[number], side))


def test_equal_names_and_the_last_for_validation(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(tmp_path / "mine")
    out = tmp_path / "mine/prepared"  # beside the two, not in them
    words = ("--blurred", folders[0], "--sharp", folders[1], "--out", out, "--val", 2)
    assert pairs(*words, "--dry-run") == 0
    assert not out.exists()
    assert "train: 3 pairs in shaky ones (3 for train) and good (3 for train)" in capsys.readouterr().out
    assert pairs(*words) == 0
    assert_stored(out / "train", {name: (name, name) for name in ("Zoo", "house", "street/01")})
    assert_stored(out / "val", {name: (name, name) for name in ("street/02", "tree")})
    assert {name: digest for name, digest in hashes(tmp_path / "mine").items() if "prepared" not in str(name)} == before
    assert main(["pairs", "--out", str(out), "--verify", "--workers", "1"]) == 0
    assert "train: checked 3 pairs, 0 problems\nval: checked 2 pairs, 0 problems" in capsys.readouterr().out
    assert pairs(*words) == 0
    assert "train: done before, 3 pairs" in capsys.readouterr().out


def test_crops_of_the_training_pairs_alone(folders: tuple[Path, Path], tmp_path: Path) -> None:
    words = ("--blurred", folders[0], "--sharp", folders[1], "--out", tmp_path / "out")
    assert pairs(*words, "--val", 1, "--crop", 24) == 0
    found = stored(tmp_path / "out/train/blur.lmdb")
    assert sorted(found)[:2] == ["Zoo_s001", "Zoo_s002"]
    np.testing.assert_array_equal(found["Zoo_s002"], image("Zoo", "blur")[:, 12:])
    assert_stored(tmp_path / "out/val", {"tree": ("tree", "tree")})


def test_a_pattern_and_the_advice_to_use_it(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted(folders[0].rglob("*.png")):
        path.rename(path.with_name(f"{path.stem}_blur.png"))
    words = ("--blurred", folders[0], "--sharp", folders[1], "--out", tmp_path / "out", "--split", "test")
    assert pairs(*words) == 2
    assert "--pattern '{}_blur' would pair them all" in capsys.readouterr().err
    assert pairs(*words, "--pattern", "{}_blur") == 0
    assert_stored(tmp_path / "out/test", {name: (name, name) for name in NAMES})
    settings = json.loads((tmp_path / "out/test/blur.lmdb/preparation.json").read_text())["settings"]
    assert settings["images_by_key"]["street/01"] == "shaky ones/street/01_blur.png"


def test_a_list_of_pairs(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = tmp_path / "pairs.txt"
    words = ("--lq", folders[0], "--gt", folders[1], "--out", tmp_path / "out", "--pairs", listed)
    listed.write_text("house.png tree.png\nstreet\\01.png\tstreet/02.png\n\n", encoding="utf-8")
    assert pairs(*words) == 0
    assert_stored(tmp_path / "out/train", {"house": ("house", "tree"), "street/01": ("street/01", "street/02")})
    listed.write_text("house.png nothing.png\na b c\n", encoding="utf-8")
    assert pairs(*words) == 2
    error = capsys.readouterr().err
    assert f"line 1: nothing is not in {folders[1]}" in error
    assert "line 2: 'a b c' is not '<degraded> <ground truth>'" in error


def test_a_list_of_basicsr(folders: tuple[Path, Path], tmp_path: Path) -> None:
    listed, chosen = tmp_path / "meta_info.txt", tmp_path / "val.txt"
    listed.write_text("house.png (24,36,3)\nstreet/01.png (24,36,3)\ntree.png (24,36,3)\n", encoding="utf-8")
    chosen.write_text("street/01\n", encoding="utf-8")
    words = ("--lq", folders[0], "--gt", folders[1], "--out", tmp_path / "out", "--pairs", listed)
    assert pairs(*words, "--val-list", chosen) == 0
    assert_stored(tmp_path / "out/train", {name: (name, name) for name in ("house", "tree")})
    assert_stored(tmp_path / "out/val", {"street/01": ("street/01", "street/01")})


def test_a_low_resolution_that_is_made(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert pairs("--gt", folders[1], "--scale", 4, "--out", tmp_path / "out") == 0
    low, high = stored(tmp_path / "out/train/LRx4.lmdb"), stored(tmp_path / "out/train/HRx4.lmdb")
    assert low.keys() == high.keys() == set(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(high[name], image(name, "sharp"))
        np.testing.assert_array_equal(low[name], imresize(image(name, "sharp"), (6, 9)))


def test_low_and_high_resolution(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for name in NAMES:
        save(tmp_path / f"small/{name}x2.png", make_image(name, 12, 18))
    words = ("--lq", tmp_path / "small", "--gt", folders[1], "--out", tmp_path / "out", "--pattern", "{}x2")
    assert pairs(*words, "--scale", 2, "--folders") == 0
    made = cv2.imread(str(tmp_path / "out/train/LRx2/Zoo.png"))
    np.testing.assert_array_equal(made[..., ::-1], make_image("Zoo", 12, 18))


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ("sharp/tree.png", (), "1 of 5 blur images have no sharp image in good"),
        (None, ("--val", "5"), "5 of 5 pairs for validation leaves none"),
        (None, ("--pattern", "blur"), "--pattern 'blur': write {} for the name of the ground truth"),
        (None, ("--scale", "2"), "sizes do not fit x2 within the pair"),
        (None, ("--pairs", "no.txt"), "no.txt cannot be read"),
    ],
)
def test_what_is_refused(
    folders: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: str | None,
    words: tuple[str, ...],
    message: str,
) -> None:
    if change:
        (folders[1] / "tree.png").unlink()
    arguments = ("--blurred", folders[0], "--sharp", folders[1], "--out", tmp_path / "out")
    assert pairs(*arguments, *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_result_may_not_lie_in_what_is_read(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert pairs("--blurred", folders[0], "--sharp", folders[1], "--out", folders[0] / "out") == 2
    assert f"lies in {folders[0]}, which is only read" in capsys.readouterr().err


EXIF_CASE = Path(__file__).resolve().parents[3] / "shared" / "cases" / "exif-of-training-pairs"


def save_jpeg(path: Path, pixels: NDArray[np.uint8], orientation: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, format="JPEG", quality=95, exif=exif)


def test_one_picture_of_a_pair_that_is_turned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Training would compare pictures that do not show the same."""
    save_jpeg(tmp_path / "blur/a.jpg", image("a", "blur"), orientation=3)
    save_jpeg(tmp_path / "sharp/a.jfif", image("a", "sharp"))
    words = ("--blurred", tmp_path / "blur", "--sharp", tmp_path / "sharp", "--out", tmp_path / "out")
    assert pairs(*words) == 2
    error = capsys.readouterr().err
    assert f"turned by its Exif orientation ({tmp_path / 'blur/a.jpg'} 3, {tmp_path / 'sharp/a.jfif'} 1;" in error
    assert not (tmp_path / "out/train/blur.lmdb").exists()


def test_a_pair_that_is_turned_alike_is_stored_upright(tmp_path: Path) -> None:
    for side in ("blur", "sharp"):
        save_jpeg(tmp_path / side / "a.jpe", image("a", side), orientation=6)
    words = ("--blurred", tmp_path / "blur", "--sharp", tmp_path / "sharp", "--out", tmp_path / "out")
    assert pairs(*words) == 0
    assert main(["pairs", "--out", str(tmp_path / "out"), "--verify", "--workers", "1"]) == 0
    for side in ("blur", "sharp"):
        data = read_lmdb(tmp_path / f"out/train/{side}.lmdb")["a"]
        decoded = np.asarray(Image.open(tmp_path / side / "a.jpe")).astype(int)
        assert read_png(data).shape == (36, 24, 3)
        assert np.abs(np.rot90(decoded, -1) - read_png(data)).mean() < 2  # two decoders of JPEG


@pytest.mark.skipif(not EXIF_CASE.is_dir(), reason="no cases beside the checkout")
def test_the_reported_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("blur", "sharp"):
        (tmp_path / side).mkdir()
        for path in EXIF_CASE.glob(f"{side}_*"):
            shutil.copy(path, tmp_path / side / f"a{path.suffix}")
    assert pairs("--blurred", tmp_path / "blur", "--sharp", tmp_path / "sharp", "--out", tmp_path / "out") == 2
    assert "Exif orientation" in capsys.readouterr().err
