"""`python -m deeprftv2_arch restore`: what is restored, where it goes, what is refused, and the exit code."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from restoring_helpers import TINY_DEBLURRING, noise, save_atd, save_identity

from deeprftv2_arch.__main__ import main
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.restoring.kernels import RADIUS, estimated_kernels, kernel_picture, strongest_kernels
from deeprftv2_arch.restoring.picture_files import write_picture
from deeprftv2_arch.restoring.plan import plan


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_identity(tmp_path / "identity.pth")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "holiday" / "day 1").mkdir(parents=True)
    for seed, name in enumerate(["a.png", "holiday/b.png", "holiday/day 1/c.png"], 20):
        write_picture(folder / name, noise(seed, 30, 3))
    return folder


def restore(*words: object) -> int:
    """Run the command in this process; return its exit code."""
    arguments, sys.argv = sys.argv, ["deeprftv2_arch", "restore", *map(str, words)]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = arguments
    return 0


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def swapped(picture: np.ndarray) -> np.ndarray:
    """Return a picture with its channels in the other of the orders RGB(A) and BGR(A)."""
    return picture if picture.ndim == 2 else picture[:, :, [2, 1, 0, 3][: picture.shape[2]]]


def write_mixed(folder: Path) -> dict[str, np.ndarray]:
    """Write twenty files as people have them; return what shall become of those that are pictures."""
    folder.mkdir()
    expected = {}
    for name, picture in {
        "colour.png": noise(20, 30, 3),
        "with spaces.png": noise(21, 30, 3),
        "ünïcödé 画像.png": noise(22, 30, 3),
        "'quotes' & $dollars.png": noise(23, 30, 3),
        "-dash.png": noise(24, 30, 3),
        "deep.png": noise(25, 30, 3, dtype=np.uint16),
        "deep grey.png": noise(26, 30, dtype=np.uint16),
        "deep alpha.png": noise(27, 30, 4, dtype=np.uint16),
        "alpha.png": noise(28, 30, 4),
        "grey.png": noise(29, 30),
        "one pixel.png": noise(1, 1, 3),
        "CAPITALS.PNG": noise(30, 30, 3),
    }.items():
        assert cv2.imwrite(str(folder / "picture.png"), swapped(picture))
        (folder / "picture.png").rename(folder / name)
        expected[Path(name).with_suffix(".png").name] = picture
    flat = np.full((16, 24, 3), 200, np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(flat).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(flat).save(folder / "photo.JPEG")
    Image.fromarray(flat[:, :, 0]).save(folder / "grey.jpg")
    expected |= {"turned.png": flat.swapaxes(0, 1), "photo.png": flat, "grey.jpg.png": flat[:, :, 0]}
    (folder / "text.png").write_text("no picture", encoding="utf-8")
    (folder / "empty.jpg").touch()
    (folder / "broken.jpg").write_bytes((folder / "turned.jpg").read_bytes()[:-40])
    (folder / "broken.png").write_bytes((folder / "colour.png").read_bytes()[:900])
    (folder / "notes.txt").write_text("not for restoring", encoding="utf-8")
    return expected


def test_folder_of_twenty_mixed_files(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "mixed", tmp_path / "out"
    expected = write_mixed(folder)
    before = contents(folder)
    assert len(before) == 20
    assert restore(folder, "-o", out, "--checkpoint", checkpoint) == 1
    output = capsys.readouterr()
    assert output.out == f"{out}: 15 restored, 4 failed\n"
    for failure in (
        "text.png: is neither a PNG nor a JPEG",
        "empty.jpg: is empty",
        "broken.jpg: is truncated",
        "broken.png: is truncated",
    ):
        assert f"{folder}/{failure}" in output.err
    assert files(out) == sorted(expected)
    for name, picture in expected.items():
        restored = swapped(cv2.imread(str(out / name), cv2.IMREAD_UNCHANGED))
        assert restored.dtype == picture.dtype
        np.testing.assert_array_equal(restored, picture)
    assert contents(folder) == before

    assert restore(folder, "-o", out, "--checkpoint", checkpoint) == 1
    assert capsys.readouterr().out == f"{out}: 0 restored, 15 done before (--overwrite restores them again), 4 failed\n"


def test_folders_keep_their_structure_and_patterns_are_found(tmp_path: Path, photos: Path, checkpoint: Path) -> None:
    out = tmp_path / "out"
    assert restore(photos, "-o", out, "--checkpoint", checkpoint) == 0
    assert files(out) == ["a.png", "holiday/b.png", "holiday/day 1/c.png"]
    flat = tmp_path / "flat"
    assert restore(photos / "**" / "[bc].png", photos / "a.png", "-o", flat, "--checkpoint", checkpoint) == 0
    assert files(flat) == ["a.png", "b.png", "c.png"]


def test_name_like_a_pattern_is_a_name(tmp_path: Path, checkpoint: Path) -> None:
    write_picture(tmp_path / "photo[1].png", noise(8, 8))
    assert restore(tmp_path / "photo[1].png", "-o", tmp_path / "out", "--checkpoint", checkpoint) == 0
    assert files(tmp_path / "out") == ["photo[1].png"]


def test_what_is_done_is_left_alone_unless_asked(
    tmp_path: Path, photos: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"somebody's")
    assert restore(photos, "-o", out, "--checkpoint", checkpoint) == 0
    assert capsys.readouterr().out == f"{out}: 2 restored, 1 done before (--overwrite restores them again)\n"
    assert (out / "a.png").read_bytes() == b"somebody's"
    assert restore(photos, "-o", out, "--checkpoint", checkpoint, "--overwrite") == 0
    assert (out / "a.png").read_bytes() == (photos / "a.png").read_bytes()


def test_results_inside_of_the_input_are_not_restored_again(tmp_path: Path, photos: Path, checkpoint: Path) -> None:
    for _ in range(2):
        assert restore(photos, "-o", photos / "restored", "--checkpoint", checkpoint) == 0
    assert files(photos / "restored") == ["a.png", "holiday/b.png", "holiday/day 1/c.png"]


def test_enlarging_with_comparison(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    checkpoint = save_atd(tmp_path / "atd.pth", fke=True)
    assert restore(photos / "a.png", "-o", out, "--checkpoint", checkpoint, "--compare", "--save-kernels") == 0
    assert files(out) == ["a.png", "a_compare.png", "a_kernels.png"]
    before, after, both = (cv2.imread(str(path)) for path in (photos / "a.png", out / "a.png", out / "a_compare.png"))
    assert after.shape == (40, 60, 3)
    np.testing.assert_array_equal(both[:, :60], before.repeat(2, axis=0).repeat(2, axis=1))
    assert (both[:, 60:68] == 255).all()
    np.testing.assert_array_equal(both[:, 68:], after)


def test_missing_comparison_is_added_and_the_rest_left_alone(tmp_path: Path, photos: Path, checkpoint: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"somebody's")
    assert restore(photos / "a.png", "-o", out, "--checkpoint", checkpoint, "--compare") == 0
    assert (out / "a.png").read_bytes() == b"somebody's"
    assert cv2.imread(str(out / "a_compare.png")).shape == (20, 68, 3)


def test_tiles_and_options_are_taken(tmp_path: Path, photos: Path, checkpoint: Path) -> None:
    options = tmp_path / "options.yml"
    options.write_text(
        "network_g: {type: DeepRFTv2, dim: 4, units: 1, blocks: [1, 1, 1], full_kinds: [NAF, NAF, NAF]}\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    settings = ("--checkpoint", checkpoint, "--options", options, "--tile", 16, 8, "--device", "cpu")
    assert restore(photos / "a.png", "-o", out, *settings) == 0
    np.testing.assert_array_equal(cv2.imread(str(out / "a.png")), cv2.imread(str(photos / "a.png")))


def test_bombs_are_refused_and_the_others_restored(
    tmp_path: Path, photos: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert restore(photos, "-o", out, "--checkpoint", checkpoint, "--max-pixels", 21 * 30) == 1
    assert files(out) == ["a.png", "holiday/b.png"]
    assert "c.png: announces 30x22 pixels, and no more than 630 are decoded; raise" in capsys.readouterr().err
    assert restore(photos, "-o", out, "--checkpoint", checkpoint, "--max-pixels", 22 * 30) == 0


# Nothing outside of OUT


def test_links_in_the_output_lead_nowhere(
    tmp_path: Path, photos: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "holiday").symlink_to(elsewhere)
    assert restore(photos, "-o", out, "--checkpoint", checkpoint) == 1
    assert "a link leads out of" in capsys.readouterr().err
    assert files(elsewhere) == []
    assert list(elsewhere.iterdir()) == []
    assert files(out) == ["a.png"]


def test_link_in_place_of_a_result_is_replaced_and_not_followed(tmp_path: Path, photos: Path, checkpoint: Path) -> None:
    out, precious = tmp_path / "out", tmp_path / "precious.txt"
    out.mkdir()
    precious.write_text("precious", encoding="utf-8")
    (out / "a.png").symlink_to(precious)
    assert restore(photos / "a.png", "-o", out, "--checkpoint", checkpoint) == 0  # there is one: done before
    assert restore(photos / "a.png", "-o", out, "--checkpoint", checkpoint, "--overwrite") == 0
    assert precious.read_text(encoding="utf-8") == "precious"
    assert not (out / "a.png").is_symlink()


def test_inputs_named_from_elsewhere_go_to_the_folder_itself(
    photos: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos / "holiday")
    assert restore("../a.png", "../holiday", photos / "a.png", "-o", "out", "--checkpoint", checkpoint) == 0
    assert files(photos / "holiday" / "out") == ["a.png", "b.png", "day 1/c.png"]


def test_pictures_behind_links_are_restored_to_the_names_of_the_links(
    tmp_path: Path, photos: Path, checkpoint: Path
) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "linked.png").symlink_to(photos / "a.png")
    (folder / "broken.png").symlink_to(tmp_path / "nothing")
    (folder / "subfolder").symlink_to(photos / "holiday")  # not followed, so that loops end
    assert restore(folder, "-o", tmp_path / "out", "--checkpoint", checkpoint) == 1
    assert files(tmp_path / "out") == ["linked.png"]


# Mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.png", "-o", "out"], "nothing.png: there is no such file or folder"),
        (["photos/*.tif", "-o", "out"], "there is no such file"),
        (["photos", "-o", "photos"], "photos is a folder to restore and the one of the results"),
        (["photos/a.png", "-o", "photos", "--overwrite"], "a.png is one of the files to restore"),
        (["photos", "photos/holiday", "photos/holiday/b.png", "-o", "out", "--max-pixels", "0"], "--max-pixels"),
        (["photos/a.png", "copy/a.png", "-o", "out"], "copy/a.png and photos/a.png would both be written to out/a.png"),
        (["empty", "-o", "out"], "empty: nothing to restore there"),
        (["photos", "-o", "out", "--tile", "8", "8"], "at most half of it"),
        (["photos", "-o", "out", "--memory-limit", "much"], "'much' is no amount of memory"),
        (["photos", "-o", "out", "--device", "abacus"], "device: abacus"),
        (["photos", "-o", "out", "--options", "no.yml"], "no.yml: cannot read the option file"),
        (["photos", "-o", "out", "--tile", "64", "8", "--memory-limit", "1G"], "not allowed with"),
    ],
)
def test_mistakes_in_the_command_line(
    tmp_path: Path,
    photos: Path,
    checkpoint: Path,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "copy"):
        Path(folder).mkdir()
    write_picture(Path("copy/a.png"), noise(4, 4))
    before = contents(tmp_path)
    assert restore(*words, "--checkpoint", checkpoint) == 2
    assert message in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_checkpoint_that_is_none(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"no weights")
    assert restore(photos, "-o", tmp_path / "out", "--checkpoint", path) == 2
    assert "weights.pth: torn or no checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_network_without_estimators_has_no_kernels(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = save_atd(tmp_path / "atd.pth", fke=False)
    assert restore(photos, "-o", tmp_path / "out", "--checkpoint", checkpoint, "--save-kernels") == 2
    assert "no Fourier Kernel Estimators" in capsys.readouterr().err


def test_folder_that_cannot_be_written(
    tmp_path: Path, photos: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.write_text("a file", encoding="utf-8")
    assert restore(photos, "-o", out, "--checkpoint", checkpoint) == 2
    assert "out: cannot be made: File exists; choose another folder" in capsys.readouterr().err


# Names and kernels


def test_names_of_outputs_are_unique(tmp_path: Path) -> None:
    for name in ("x.png", "x.jpg", "x.JPG", "y.jpeg", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails" / "z.png").touch()
    jobs = plan([str(tmp_path)], Path("out"), compare=True)
    assert {job.source.name: job.target.name for job in jobs} == {
        "x.png": "x.png",
        "x.jpg": "x.jpg.png",
        "x.JPG": "x.JPG.png",
        "y.jpeg": "y.png",
    }
    (tmp_path / "x_compare.png").touch()
    with pytest.raises(OptionError, match=r"would both be written to out/x_compare\.png"):
        plan([str(tmp_path)], Path("out"), compare=True)


def test_jpegs_keep_their_names_where_they_stay_jpegs(tmp_path: Path) -> None:
    for name in ("x.png", "x.jpg", "y.jpeg", "z.mp4"):
        (tmp_path / name).touch()
    jobs = plan([str(tmp_path)], Path("out"), compare=True, kernels=True, picture_format="jpg")
    assert {job.source.name: [path.name for path in job.outputs()] for job in jobs} == {
        "x.jpg": ["x.jpg", "x_compare.jpg", "x_kernels.png"],
        "x.png": ["x.png.jpg", "x.png_compare.jpg", "x.png_kernels.png"],
        "y.jpeg": ["y.jpg", "y_compare.jpg", "y_kernels.png"],
        "z.mp4": ["z.mp4", "z_compare.mp4", "z.mp4_kernels.png"],
    }


def test_jpegs_are_written_where_they_are_asked_for(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    slope = np.linspace(0, 1, 40)[None, :, None] * np.ones((30, 1, 3)) * [1, 0.5, 0.2]
    eight, sixteen = (slope * 255).round().astype(np.uint8), (slope * 65535).round().astype(np.uint16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(range(256)) * 300
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    Image.fromarray(eight).save(folder / "photo.jpeg", quality=100, exif=exif, icc_profile=profile)
    Image.fromarray(eight[:, :, 0]).save(folder / "grey.png")
    write_picture(folder / "deep.png", sixteen)
    write_picture(folder / "alpha.png", noise(8, 8, 4))
    assert restore(folder, "-o", out, "--checkpoint", checkpoint, "--format", "jpg") == 1
    assert "alpha.jpg: a JPEG has no alpha; leave the format at png" in capsys.readouterr().err
    assert files(out) == ["deep.jpg", "grey.jpg", "photo.jpg"]
    for name, expected in (("photo", eight), ("deep", eight), ("grey", eight[:, :, 0])):
        with Image.open(out / f"{name}.jpg") as stored:
            assert stored.format == "JPEG"
            assert np.abs(np.asarray(stored).astype(int) - expected).max() <= 6
            assert stored.info.get("icc_profile") == (profile if name == "photo" else None)
            assert len(stored.getexif()) == 0


def test_kernels_are_those_that_multiply_the_spectrum() -> None:
    network = DeepRFTv2(**TINY_DEBLURRING).eval()
    head = network.units[-1].full_scale.fke.kernel_head  # type: ignore[union-attr, operator]
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0] + [0.0] * 4))  # K is real and constant: impulses
        kernels = estimated_kernels(network, lambda: network(torch.rand(1, 3, 32, 40)))
    expected = np.zeros((4, 32, 40))
    expected[:, 0, 0] = range(4)
    np.testing.assert_allclose(kernels, expected, atol=1e-6)
    strongest = strongest_kernels(kernels, 2)
    impulse = np.zeros((2 * RADIUS + 1, 2 * RADIUS + 1))
    impulse[RADIUS, RADIUS] = 1
    np.testing.assert_allclose(strongest, [impulse, impulse], atol=1e-6)


def test_picture_of_kernels_shows_signs() -> None:
    kernels = np.zeros((2, 64, 64), np.float32)
    kernels[0, 0, 0], kernels[0, 0, 2] = 1, -0.25
    picture = kernel_picture(kernels)
    middle = 8 + 8 * RADIUS
    assert picture[middle, middle].tolist() == [255, 190, 90]
    assert picture[middle, middle + 16].tolist() == [45, 80, 127]  # half the strength: the root of a quarter
    assert picture[middle, middle + 8].tolist() == [0, 0, 0]
    assert picture[0, 0].tolist() == [255, 255, 255]


def test_partial_files_are_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Exception, match=r"a\.png: cannot be written: No space left"):
        write_picture(tmp_path / "a.png", noise(4, 4))
    assert list(tmp_path.iterdir()) == []
