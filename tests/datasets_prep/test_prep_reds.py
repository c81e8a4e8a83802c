"""`python -m datasets_prep reds`: JPEGs that stay JPEGs, validation apart from training, and REDS-val-300."""

import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from prep_trees import hashes, make_image, make_reds, read_lmdb, read_png, save, smooth_image

from datasets_prep.command_line import main
from datasets_prep.reds import REDS

FRAMES = (8, 9, 10, 19)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_reds(tmp_path / "REDS", {"train": ("000", "239"), "val": ("000", "029")}, FRAMES)


def reds(root: Path, out: Path, *options: str) -> int:
    return main(["reds", "--root", str(root), "--out", str(out), "--workers", "1", *options])


def test_published_counts() -> None:
    assert {name: (split.expected, len(split.keys)) for name, split in REDS.splits.items()} == {
        "train": (24_000, 24_000),
        "val": (3_000, 3_000),
        "val300": (300, 300),
    }
    assert {"000/00000009", "029/00000099", "013/00000059"} <= REDS.splits["val300"].keys
    assert not {"000/00000000", "000/00000010", "030/00000009"} & REDS.splits["val300"].keys
    assert {"000/00000000", "239/00000099"} <= REDS.splits["train"].keys


def test_tree_as_downloaded(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = hashes(root)
    assert reds(root, tmp_path / "out") == 0
    assert hashes(root) == before
    for split, part, clips, frames in (
        ("train", "train", ("000", "239"), FRAMES),
        ("val", "val", ("000", "029"), FRAMES),
        ("val300", "val", ("000", "029"), (9, 19)),
    ):
        blur, sharp = (read_lmdb(tmp_path / f"out/{split}/{side}.lmdb") for side in ("blur", "sharp"))
        names = [(clip, f"{frame:08d}") for clip in clips for frame in frames]
        assert list(blur) == list(sharp) == [f"{clip}/{frame}" for clip, frame in names]
        for clip, frame in names:
            assert blur[f"{clip}/{frame}"] == (root / f"{part}/{part}_blur_jpeg/{clip}/{frame}.jpg").read_bytes()
            # Of this part: the clips of the other have the same numbers.
            truth = smooth_image(f"{part} {clip} {int(frame)} sharp")
            np.testing.assert_array_equal(read_png(sharp[f"{clip}/{frame}"]), truth)
    error = capsys.readouterr().err
    assert "warning: found 8 of 24,000 pairs in train, missing e.g. 000/00000000, 000/00000001" in error
    assert "warning: found 4 of 300 pairs in val300, missing e.g. 000/00000029, 000/00000039" in error
    metadata = {
        side: json.loads((tmp_path / f"out/val/{side}.lmdb/preparation.json").read_text()) for side in ("blur", "sharp")
    }
    assert (metadata["blur"]["jpegs"], metadata["blur"]["bit_depths"]) == (8, [8])
    assert "jpegs" not in metadata["sharp"]
    lines = (tmp_path / "out/val300/blur.lmdb/meta_info.txt").read_text().splitlines()
    assert lines[0] == "000/00000009.png (72,128,3) 1"


def test_verify_and_rerun(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reds(root, tmp_path / "out") == 0
    before = hashes(tmp_path / "out")
    assert reds(root, tmp_path / "out") == 0
    assert "val300: done before, 4 pairs" in capsys.readouterr().out
    assert hashes(tmp_path / "out") == before
    check = ["reds", "--out", str(tmp_path / "out"), "--verify", "--workers", "1"]
    assert main(check) == 0
    assert "val: checked 8 pairs, 0 problems" in capsys.readouterr().out
    data = bytearray((tmp_path / "out/val/blur.lmdb/data.mdb").read_bytes())
    jpeg = (root / "val/val_blur_jpeg/029/00000010.jpg").read_bytes()
    position = data.find(jpeg)
    data[position + len(jpeg) - 2 : position + len(jpeg)] = b"xx"
    (tmp_path / "out/val/blur.lmdb/data.mdb").write_bytes(data)
    assert main(check) == 2
    assert "val/blur.lmdb: 029/00000010 is truncated (no end marker)" in capsys.readouterr().err


def test_validation_alone(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(root / "train")
    assert reds(root, tmp_path / "out") == 0
    assert f"not in {root}, so not prepared: train" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["val", "val300"]


def test_missing_frames_are_named(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, side, extension in (("val", "blur_jpeg", "jpg"), ("val", "sharp", "png")):
        (root / f"{split}/{split}_{side}/000/00000009.{extension}").unlink()
    assert reds(root, tmp_path / "out", "--splits", "val300", "--dry-run") == 0
    assert "found 3 of 300 pairs in val300, missing e.g. 000/00000009, 000/00000029," in capsys.readouterr().err
    (root / "val/val_sharp/029/00000019.png").unlink()
    assert reds(root, tmp_path / "out", "--splits", "val") == 2
    error = capsys.readouterr().err
    assert "1 of 7 blur images have no sharp image in val/val_sharp/<clip>" in error
    assert str(root / "val/val_blur_jpeg/029/00000019.jpg") in error


def test_extensions_in_any_case_and_stray_files(root: Path, tmp_path: Path) -> None:
    blurred = root / "val/val_blur_jpeg/000"
    (blurred / "00000009.jpg").rename(blurred / "00000009.JPEG")
    (blurred / "._00000010.jpg").write_bytes(b"x")
    (root / "val/val_blur_jpeg/readme.txt").write_text("x")
    assert reds(root, tmp_path / "out", "--splits", "val") == 0
    assert len(read_lmdb(tmp_path / "out/val/blur.lmdb")) == 8


def test_damaged_jpegs_are_all_named(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truncated, other = root / "val/val_blur_jpeg/000/00000009.jpg", root / "val/val_blur_jpeg/029/00000019.jpg"
    truncated.write_bytes(truncated.read_bytes()[:-300])
    other.write_bytes(b"<html>")
    assert reds(root, tmp_path / "out", "--splits", "val") == 2
    error = capsys.readouterr().err
    assert "2 images are not usable" in error
    assert f"{truncated} is truncated (no end marker)" in error
    assert f"{other} is neither a PNG nor a JPEG" in error
    assert not (tmp_path / "out/val/blur.lmdb").exists()


def test_folders_hold_pngs(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reds(root, tmp_path / "out", "--splits", "val", "--folders") == 0
    files = sorted((tmp_path / "out/val/blur").glob("[!.]*"))
    assert [path.name for path in files][:2] == ["000-00000008.png", "000-00000009.png"]
    decoded = cv2.imread(str(root / "val/val_blur_jpeg/000/00000009.jpg"))
    assert files[1].read_bytes().startswith(b"\x89PNG")
    np.testing.assert_array_equal(read_png(files[1].read_bytes()), decoded[..., ::-1])


def test_jpegs_that_readers_decode_differently_become_pngs(tmp_path: Path) -> None:
    """Grey has one channel, and inks are not colours."""
    folder = tmp_path / "REDS/val/val_blur_jpeg/000"
    folder.mkdir(parents=True)
    grey = Image.fromarray(smooth_image("grey")).convert("L")
    grey.save(folder / "00000009.jpg", quality=90)
    Image.fromarray(smooth_image("inks")).convert("CMYK").save(folder / "00000019.jpg", quality=90)
    for frame in (9, 19):
        save(tmp_path / f"REDS/val/val_sharp/000/{frame:08d}.png", make_image(f"{frame}"))
    assert reds(tmp_path / "REDS", tmp_path / "out", "--splits", "val300") == 0
    stored = read_lmdb(tmp_path / "out/val300/blur.lmdb")
    for key, data in stored.items():
        assert data.startswith(b"\x89PNG"), key
    expected = np.asarray(Image.open(folder / "00000009.jpg"))
    np.testing.assert_array_equal(read_png(stored["000/00000009"]), np.stack([expected] * 3, axis=2))


@pytest.mark.parametrize("reader", ["BasicSR's", "ours"])
def test_readers_decode_stored_jpegs(root: Path, tmp_path: Path, reader: str) -> None:
    pytest.importorskip("basicsr_torchvision_repair")
    paired = pytest.importorskip("basicsr.data.paired_image_dataset")
    from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset

    assert reds(root, tmp_path / "out", "--splits", "val300") == 0
    options = {
        "name": "REDS",
        "phase": "val",
        "scale": 1,
        "dataroot_gt": str(tmp_path / "out/val300/sharp.lmdb"),
        "dataroot_lq": str(tmp_path / "out/val300/blur.lmdb"),
        "io_backend": {"type": "lmdb"},
    }
    data_set = paired.PairedImageDataset(options) if reader == "BasicSR's" else DeblurPairDataset(options)
    assert len(data_set) == 4
    for index in range(4):
        sample = data_set[index]
        clip, frame = sample["lq_path"].split("/")
        jpeg = np.asarray(Image.open(root / f"val/val_blur_jpeg/{clip}/{frame}.jpg"))
        # Pillow and OpenCV may round the colours of a JPEG differently.
        np.testing.assert_allclose(sample["lq"].numpy() * 255, jpeg.transpose(2, 0, 1), atol=1.01)
        truth = smooth_image(f"val {clip} {int(frame)} sharp").transpose(2, 0, 1)
        np.testing.assert_allclose(sample["gt"].numpy() * 255, truth, atol=1e-3)


def test_dry_run_knows_what_re_encoding_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "REDS"
    noise = io.BytesIO()
    Image.fromarray(make_image("noise", 100, 200)).save(noise, "JPEG", quality=50)
    for frame in (9, 19):
        blurred = root / f"val/val_blur_jpeg/000/{frame:08d}.jpg"
        blurred.parent.mkdir(parents=True, exist_ok=True)
        blurred.write_bytes(noise.getvalue())
        save(root / f"val/val_sharp/000/{frame:08d}.png", np.zeros((100, 200, 3), np.uint8))
    for options, size in (((), 2 * len(noise.getvalue())), (("--folders",), 2 * 100 * 200 * 3 // 2)):
        assert reds(root, tmp_path / "out", "--splits", "val", "--dry-run", *options) == 0
        sharp = 2 * (root / "val/val_sharp/000/00000009.png").stat().st_size
        assert f"about {(size + sharp) / 1e6:.1f} MB to write" in capsys.readouterr().out
