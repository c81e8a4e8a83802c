"""`python -m deeprftv2_arch restore`: what is restored, where it goes, what is refused, and the exit code."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from restoring_helpers import TINY_DEBLURRING, noise, run_command, save_atd, save_identity

from deeprftv2_arch.common.kernel_images import RADIUS, strongest_kernels
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.restoring.batch.plan import plan
from deeprftv2_arch.restoring.image_files import write_image
from deeprftv2_arch.restoring.kernels import estimated_kernels


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_identity(tmp_path / "identity.pth")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "holiday" / "day 1").mkdir(parents=True)
    for seed, name in enumerate(["a.png", "holiday/b.png", "holiday/day 1/c.png"], 20):
        write_image(folder / name, noise(seed, 30, 3))
    return folder


def restore(*words: object) -> int:
    return run_command("restore", *words)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def swapped(image: np.ndarray) -> np.ndarray:
    """Return an image with its channels in the other of the orders RGB(A) and BGR(A)."""
    return image if image.ndim == 2 else image[:, :, [2, 1, 0, 3][: image.shape[2]]]


def write_mixed(folder: Path) -> dict[str, np.ndarray]:
    """Write twenty files as people have them; return what shall become of those that are images."""
    folder.mkdir()
    expected = {}
    for name, image in {
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
        assert cv2.imwrite(str(folder / "image.png"), swapped(image))
        (folder / "image.png").rename(folder / name)
        expected[Path(name).with_suffix(".png").name] = image
    flat = np.full((16, 24, 3), 200, np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(flat).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(flat).save(folder / "photo.JPEG")
    Image.fromarray(flat[:, :, 0]).save(folder / "grey.jpg")
    expected |= {"turned.png": flat.swapaxes(0, 1), "photo.png": flat, "grey.jpg.png": flat[:, :, 0]}
    (folder / "text.png").write_text("no image", encoding="utf-8")
    (folder / "empty.jpg").touch()
    (folder / "broken.jpg").write_bytes((folder / "turned.jpg").read_bytes()[:-40])
    (folder / "broken.png").write_bytes((folder / "colour.png").read_bytes()[:900])
    (folder / "notes.txt").write_text("not for restoring", encoding="utf-8")
    return expected


@pytest.mark.slow
def test_folder_of_twenty_mixed_files(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "mixed", tmp_path / "out"
    expected = write_mixed(folder)
    before = contents(folder)
    assert len(before) == 20
    assert restore(folder, "-o", out, "--checkpoint", checkpoint) == 1
    output = capsys.readouterr()
    assert output.out == f"{out}: 15 restored, 4 failed, 1 of other kinds left out (.txt)\n"
    for failure in (
        "text.png: is neither a PNG nor a JPEG",
        "empty.jpg: is empty",
        "broken.jpg: is truncated",
        "broken.png: is truncated",
    ):
        assert f"{folder}/{failure}" in output.err
    assert files(out) == sorted(expected)
    for name, image in expected.items():
        restored = swapped(cv2.imread(str(out / name), cv2.IMREAD_UNCHANGED))
        assert restored.dtype == image.dtype
        np.testing.assert_array_equal(restored, image)
    assert contents(folder) == before

    assert restore(folder, "-o", out, "--checkpoint", checkpoint) == 1
    summary = "0 restored, 15 done before (--overwrite restores them again), 4 failed, 1 of other kinds left out (.txt)"
    assert capsys.readouterr().out == f"{out}: {summary}\n"


def test_folders_keep_their_structure_and_patterns_are_found(tmp_path: Path, photos: Path, checkpoint: Path) -> None:
    out = tmp_path / "out"
    assert restore(photos, "-o", out, "--checkpoint", checkpoint) == 0
    assert files(out) == ["a.png", "holiday/b.png", "holiday/day 1/c.png"]
    some = tmp_path / "some"
    assert restore(photos / "**" / "[bc].png", photos / "a.png", "-o", some, "--checkpoint", checkpoint) == 0
    assert files(some) == ["a.png", "holiday/b.png", "holiday/day 1/c.png"]
    folders = tmp_path / "folders"
    assert restore(photos / "*y", "-o", folders, "--checkpoint", checkpoint) == 0
    assert files(folders) == ["holiday/b.png", "holiday/day 1/c.png"]


def test_pattern_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("a/1.png", "b/1.png", "b/.hidden.png", "b/2.jpg"):
        Path("scans", place).parent.mkdir(parents=True, exist_ok=True)
        Path("scans", place).touch()
    for pattern in (
        "scans/**/*.png",
        "./scans/*/1.png",
        "scans/b/../**/*.png",
        str(tmp_path / "scans" / "?" / "**.png"),
    ):
        assert [str(job.target) for job in plan([pattern], Path("out")).jobs] == ["out/a/1.png", "out/b/1.png"]
    assert plan(
        ["scans/*/../*/1.png", "scans/a"], Path("out")
    ).failures  # nothing leads out of the folder of the results
    # What is in the folder of the results is none of the inputs.
    assert [str(job.source) for job in plan(["scans/**/*.png"], Path("scans/a")).jobs] == ["scans/b/1.png"]


def test_links_in_circles_end(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("up", "again"):
        (folder / name).symlink_to(folder)
    (folder / "itself.png").symlink_to(folder / "itself.png")
    (folder / "z.png").touch()
    (folder / "also z.png").symlink_to(folder / "z.png")
    for words in ([str(folder)], [f"{folder}/**/*.png"], [f"{folder}/*/*.png", f"{folder}/*.png"]):
        jobs = plan(words, tmp_path / "out").jobs
        assert [str(job.target.relative_to(tmp_path / "out")) for job in jobs if "itself" not in job.source.name] == [
            "z.png"
        ]


def test_folders_that_cannot_be_read_are_failures(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("day 1"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = plan([str(photos)], Path("out"))
    assert [job.source.name for job in found.jobs] == ["a.png", "b.png"]
    assert found.failures == [f"{photos}/holiday/day 1: cannot be read: Permission denied"]


def test_inputs_with_mistakes_do_not_stop_the_others(
    tmp_path: Path, photos: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("copy").mkdir()
    write_image(Path("copy/b.png"), noise(4, 4))
    write_image(photos / "a_compare.png", noise(6, 6))
    Path("photos/holiday/out").mkdir()
    write_image(Path("photos/holiday/out/d.png"), noise(6, 6))
    os.mkfifo("pipe")
    inputs = (
        "photos/a.png",
        "nothing.png",
        "*.tif",
        "photos/holiday/b.png",
        "copy/b.png",
        "photos/a_compare.png",
        "pipe",
    )
    own = ("photos/holiday/out", "photos/holiday/out/d.png")
    out = Path("photos/holiday/out")
    assert restore(*inputs, *own, "-o", out, "--checkpoint", checkpoint, "--compare") == 1
    output = capsys.readouterr()
    assert output.out == f"{out}: 2 restored, 7 failed\n"
    for failure in (
        "nothing.png: there is no such file or folder; check the path",
        "*.tif: there is no such file or folder; check the path",
        f"copy/b.png and photos/holiday/b.png would both be written to {out}/b.png; restore one into another folder",
        f"photos/a_compare.png and photos/a.png would both be written to {out}/a_compare.png; restore one into",
        f"{out} is a folder to restore and the one of the results; choose another for these",
        f"{out}/d.png: {out}/d.png is one of the files to restore; choose another folder",
        "pipe: is no regular file",
    ):
        assert f"\n{failure}" in f"\n{output.err}"
    assert files(out) == ["a.png", "a_compare.png", "b.png", "b_compare.png", "d.png"]
    np.testing.assert_array_equal(cv2.imread(str(out / "b.png")), cv2.imread("photos/holiday/b.png"))


def test_no_result_is_taken_for_that_of_another_file(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(folder / "x.jpg")
    assert restore(folder, "-o", out, "--checkpoint", checkpoint) == 0
    write_image(folder / "x.png", noise(9, 9, 3))
    write_image(folder / "x.PNG", noise(7, 9, 3))
    assert restore(folder, "-o", out, "--checkpoint", checkpoint) == 1
    line = f"x.png: {out}/x.png was made of another file, or before this one was changed, and stays as it is; "
    assert f"{line}--overwrite replaces it" in capsys.readouterr().err

    def shapes() -> dict[str, tuple[int, ...]]:
        return {name: cv2.imread(str(out / name)).shape[:2] for name in files(out)}

    assert shapes() == {"x.jpg.png": (8, 8), "x.png": (8, 8), "x.PNG.png": (7, 9)}
    assert restore(folder, "-o", out, "--checkpoint", checkpoint, "--overwrite") == 0
    assert shapes() == {"x.jpg.png": (8, 8), "x.png": (9, 9), "x.PNG.png": (7, 9)}


def test_only_files_are_done(
    tmp_path: Path, photos: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / "a.png").mkdir(parents=True)
    (out / "holiday").mkdir()
    (out / "holiday" / "b.png").symlink_to(tmp_path / "nothing")
    assert restore(photos, "-o", out, "--checkpoint", checkpoint) == 1
    output = capsys.readouterr()
    assert output.out == f"{out}: 2 restored, 1 failed\n"
    assert f"{photos}/a.png: {out}/a.png: is a folder where the result is to be; rename it\n" in output.err
    np.testing.assert_array_equal(cv2.imread(str(out / "holiday" / "b.png")), cv2.imread(str(photos / "holiday/b.png")))
    assert not (tmp_path / "nothing").exists()


def test_summary_tells_tiles_and_other_kinds(
    tmp_path: Path, photos: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b.PSD", "c.psd", "d.exr", "e.hdr", "f.cr2", "g.jxl", "h.txt", ".hidden"):
        (photos / name).touch()
    out = tmp_path / "out"
    assert restore(photos, "-o", out, "--checkpoint", checkpoint, "--tile", 30, 8) == 0
    assert (
        capsys.readouterr().out == f"{out}: 3 restored, 7 of other kinds left out (.cr2, .exr, .hdr, .jxl, .psd, ...)\n"
    )
    assert restore(photos, "-o", out, "--checkpoint", checkpoint, "--tile", 22, 8, "--overwrite") == 0
    assert f"{out}: 3 restored (3 in tiles, the smallest of 22 pixels), 7 of other" in capsys.readouterr().out
    assert restore(photos, "-o", out, "--checkpoint", checkpoint, "--tile", 22, 8) == 0
    assert f"{out}: 0 restored, 3 done before" in capsys.readouterr().out


def test_name_like_a_pattern_is_a_name(tmp_path: Path, checkpoint: Path) -> None:
    write_image(tmp_path / "photo[1].png", noise(8, 8))
    assert restore(tmp_path / "photo[1].png", "-o", tmp_path / "out", "--checkpoint", checkpoint) == 0
    assert files(tmp_path / "out") == ["photo[1].png"]


def test_what_is_done_is_left_alone_unless_asked(
    tmp_path: Path, photos: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"somebody's")
    assert restore(photos, "-o", out, "--checkpoint", checkpoint) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}: 2 restored, 1 done before (--overwrite restores them again)\n"
    assert f"{out}: results that do not say of what they were made, and count as done: 1; " in said.err
    assert (out / "a.png").read_bytes() == b"somebody's"
    assert restore(photos, "-o", out, "--checkpoint", checkpoint, "--overwrite") == 0
    np.testing.assert_array_equal(cv2.imread(str(out / "a.png")), cv2.imread(str(photos / "a.png")))
    assert restore(photos, "-o", out, "--checkpoint", checkpoint) == 0
    assert capsys.readouterr().out.endswith(f"{out}: 0 restored, 3 done before (--overwrite restores them again)\n")


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
    assert restore(photos / "a.png", "-o", out, "--checkpoint", checkpoint) == 0
    written = (out / "a.png").stat().st_mtime_ns
    assert restore(photos / "a.png", "-o", out, "--checkpoint", checkpoint, "--compare") == 0
    assert (out / "a.png").stat().st_mtime_ns == written
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
    assert restore(photos / "a.png", "-o", out, "--checkpoint", checkpoint) == 0  # there is one
    assert restore(photos / "a.png", "-o", out, "--checkpoint", checkpoint, "--overwrite") == 0
    assert precious.read_text(encoding="utf-8") == "precious"
    assert not (out / "a.png").is_symlink()


def test_inputs_named_from_elsewhere_go_to_the_folder_itself(
    photos: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos / "holiday")
    assert restore("../a.png", "../holiday", photos / "a.png", "-o", "out", "--checkpoint", checkpoint) == 0
    assert files(photos / "holiday" / "out") == ["a.png", "b.png", "day 1/c.png"]


def test_images_behind_links_are_restored_to_the_names_of_the_links(
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
        (
            ["photos", "photos/holiday", "photos/holiday/b.png", "-o", "out", "--max-pixels", "0"],
            "max_pixels: expected",
        ),
        (["nothing.png", "photos", "-o", "photos"], "no such file or folder; check the path; photos is a folder to"),
        (["photos", "-o", ""], "-o/--out: expected the name of a folder"),
        (["photos", "-o", "out", "--memory-limit", ""], "'' is no amount of memory"),
        (["photos", "-o", "out", "--device", "meta"], "device: meta cannot be used here (it computes nothing)"),
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
    write_image(Path("copy/a.png"), noise(4, 4))
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


def test_names_that_a_person_expects_and_no_two_alike(tmp_path: Path) -> None:
    for name in ("x.png", "x.jpg", "x.JPG", "y.jpeg", "z.PNG", "w.tif", "w.webp", "v.gif", "v.mov", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails" / "z.png").touch()
    names = {"x.png": "x.png", "x.jpg": "x.jpg.png", "x.JPG": "x.JPG.png", "y.jpeg": "y.png", "z.PNG": "z.png"}
    names |= {"w.tif": "w.tif.png", "w.webp": "w.webp.png", "v.gif": "v.png", "v.mov": "v.mp4"}
    jobs = plan([str(tmp_path)], Path("out"), compare=True).jobs
    assert {job.source.name: job.target.name for job in jobs} == names
    for name, target in names.items():  # whatever else is restored
        assert [job.target for job in plan([str(tmp_path / name)], Path("out")).jobs] == [Path("out", target)]


def test_inputs_of_several_folders_claim_no_name_twice(tmp_path: Path) -> None:
    for name in ("a/x.jpg", "b/x.tif", "c/\u00e9.jpg", "d/e\u0301.jpeg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    jobs = plan([str(path) for path in tmp_path.rglob("*.*")], Path("out")).jobs
    assert {job.target.name for job in jobs} == {"x.jpg.png", "x.tif.png", "\u00e9.jpg.png", "e\u0301.jpeg.png"}


@pytest.mark.parametrize("letter", ["a", "\u00e4"])
def test_names_of_255_bytes_get_names_that_fit(tmp_path: Path, checkpoint: Path, letter: str) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    stem = (letter * 251).encode()[:250].decode()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(folder / f"{stem}.jpg")
    Image.fromarray(np.full((8, 8, 3), 60, np.uint8)).save(folder / f"{stem}.gif")
    assert restore(folder, "-o", out, "--checkpoint", checkpoint, "--compare", "--save-kernels") == 0
    assert len(files(out)) == 6
    for name in files(out):
        assert len(name.encode()) <= 255
        assert name.startswith(letter * 100)
        assert name.endswith((".png", "_compare.png", "_kernels.png"))


def test_name_of_the_result(tmp_path: Path, photos: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = tmp_path / "new" / "photo_sharp.png"
    settings = ("--checkpoint", checkpoint)
    assert restore(photos / "a.png", "-o", one, *settings, "--compare") == 0
    assert files(tmp_path / "new") == ["photo_sharp.png", "photo_sharp_compare.png"]
    np.testing.assert_array_equal(cv2.imread(str(one)), cv2.imread(str(photos / "a.png")))
    for ending, kind in ((".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP"), (".tiff", "TIFF")):
        assert restore(photos / "a.png", "-o", one.with_suffix(ending), *settings) == 0
        with Image.open(one.with_suffix(ending)) as stored:
            assert stored.format == kind
    several = tmp_path / "several.png"
    assert restore(photos / "a.png", photos / "holiday" / "b.png", "-o", several, *settings) == 0
    assert files(several) == ["a.png", "b.png"]
    capsys.readouterr()
    assert restore(photos / "a.png", "-o", tmp_path / "x.png", *settings, "--format", "jpg") == 2
    assert "x.png: ends in .png, but --format is jpg; change one of them" in capsys.readouterr().err
    assert restore(photos / "a.png", "-o", tmp_path / "x.mp4", *settings) == 2
    assert "a.png becomes no such file; end the name in .png, .jpg, .jpeg, .webp" in capsys.readouterr().err
    assert restore(photos / "a.png", "-o", tmp_path / "x.gif", *settings) == 2  # no folder of that name
    assert "a.png becomes no such file" in capsys.readouterr().err
    assert not (tmp_path / "x.gif").exists()
    write_image(photos / "alpha.png", noise(8, 8, 4))
    assert restore(photos / "alpha.png", "-o", tmp_path / "x.jpg", *settings) == 1
    assert "x.jpg: a JPEG has no alpha; write a PNG" in capsys.readouterr().err


def test_exif_is_kept_and_stripped(tmp_path: Path, checkpoint: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6
    Image.fromarray(np.full((16, 24, 3), 90, np.uint8)).save(tmp_path / "a.jfif", "JPEG", exif=exif)
    for words, kept in (((), {0x010F: "a camera", 0x0112: 1}), (("--strip",), {})):
        out = tmp_path / f"out{len(words)}"
        assert restore(tmp_path / "a.jfif", "-o", out, "--checkpoint", checkpoint, *words) == 0
        with Image.open(out / "a.png") as stored:
            assert dict(stored.getexif()) == kept
            assert stored.size == (16, 24)


def test_jpegs_keep_their_names_where_they_stay_jpegs(tmp_path: Path) -> None:
    for name in ("x.png", "x.jpg", "y.jpeg", "z.mp4"):
        (tmp_path / name).touch()
    jobs = plan([str(tmp_path)], Path("out"), compare=True, kernels=True, image_format="jpg").jobs
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
    write_image(folder / "deep.png", sixteen)
    write_image(folder / "alpha.png", noise(8, 8, 4))
    palette = Image.fromarray(noise(8, 8, 3)).quantize(16)
    palette.save(folder / "clear.png", transparency=3)
    palette.save(folder / "palette.png")
    assert restore(folder, "-o", out, "--checkpoint", checkpoint, "--format", "jpg") == 0
    assert files(out) == [*("alpha.png", "clear.png", "deep.jpg", "grey.jpg", "palette.jpg", "photo.jpg")]
    for name in ("alpha.png", "clear.png"):
        restored = cv2.imread(str(out / name), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(restored, cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED))
        assert restored.shape == (8, 8, 4)
    for name, expected in (("photo.jpeg", eight), ("deep.png", eight), ("grey.png", eight[:, :, 0])):
        with Image.open((out / name).with_suffix(".jpg")) as stored:
            assert stored.format == "JPEG"
            assert np.abs(np.asarray(stored).astype(int) - expected).max() <= 6
            assert stored.info.get("icc_profile") == (profile if name == "photo.jpeg" else None)
            assert dict(stored.getexif()) == ({0x010F: "a camera"} if name == "photo.jpeg" else {})


def test_kernels_are_those_that_multiply_the_spectrum() -> None:
    network = DeepRFTv2(**TINY_DEBLURRING).eval()
    head = network.units[-1].full_scale.fke.kernel_head
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


def test_partial_files_are_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Exception, match=r"a\.png: cannot be written: No space left"):
        write_image(tmp_path / "a.png", noise(4, 4))
    assert list(tmp_path.iterdir()) == []
