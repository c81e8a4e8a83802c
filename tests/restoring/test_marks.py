"""Results say of what and by what they were made, and what is not the result of a file is not taken for it."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from films import moving_image, write_film
from PIL import Image
from restoring_helpers import noise, run_command, save_identity
from torch import nn

from deeprftv2_arch.restoring.image_files import WRITTEN, read_image, write_image
from deeprftv2_arch.restoring.image_metadata import Metadata
from deeprftv2_arch.restoring.marks import Mark, Marker, doubt_of, mark_of

MARK = Mark("0" * 32, "123456789abcdef" * 2 + "01")


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("shape", [(5, 7, 3), (90, 110, 3)])
def test_mark_is_found_and_changes_nothing_else(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    said = Metadata(xmp=b"<x:xmpmeta/>" + b" " * 50_000)
    plain, marked = tmp_path / f"plain{suffix}", tmp_path / f"marked{suffix}"
    write_image(plain, noise(*shape), said)
    write_image(marked, noise(*shape), said, mark=MARK)
    assert (mark_of(plain), mark_of(marked)) == (None, MARK)
    expected, found = read_image(plain), read_image(marked)
    np.testing.assert_array_equal(found.image, expected.image)
    assert found.metadata == expected.metadata
    with Image.open(plain) as one, Image.open(marked) as other:
        np.testing.assert_array_equal(np.asarray(other), np.asarray(one))
    write_image(tmp_path / f"again{suffix}", found.image, found.metadata)
    assert mark_of(tmp_path / f"again{suffix}") is None


def test_no_decoder_complains_of_a_mark(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for suffix in WRITTEN:
        write_image(tmp_path / f"marked{suffix}", noise(5, 7, 3), mark=MARK)
        assert cv2.imread(str(tmp_path / f"marked{suffix}"), cv2.IMREAD_UNCHANGED) is not None
    assert capfd.readouterr() == ("", "")


def test_file_is_looked_at_before_all_of_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, checkpoint = tmp_path / "out", save_identity(tmp_path / "net.pth")
    photo, film = tmp_path / "photo.png", tmp_path / "film.mp4"
    write_image(photo, noise(8, 8, 3))
    with photo.open("r+b") as file:
        file.truncate(2**33)  # sparse
    film.write_bytes(b"no film")
    monkeypatch.setattr(Marker, "mark", lambda *_: pytest.fail("was read"))
    assert run_command("restore", photo, film, "-o", out, "--checkpoint", checkpoint) == 1
    said = capsys.readouterr().err
    assert f"{photo}: " in said
    assert f"{film}: is no film of a known kind" in said
    assert "was read" not in said
    # Nor is anything read to compare it with a result that has no mark.
    write_image(photo, noise(8, 8, 3))
    out.mkdir(exist_ok=True)
    write_image(out / "photo.png", noise(8, 8, 3))
    assert run_command("restore", photo, "-o", out, "--checkpoint", checkpoint) == 0


def test_mark_depends_on_the_bytes_of_the_file_and_on_the_weights(tmp_path: Path) -> None:
    network = nn.Conv2d(3, 3, 1)
    one, copy, other = (tmp_path / name for name in ("one", "copy", "other"))
    one.write_bytes(bytes(3_000_000))
    shutil.copy(one, copy)
    other.write_bytes(bytes(2_999_999) + b"\1")
    marks = [Marker(network).mark(path) for path in (one, copy, other)]
    assert marks[0] == marks[1]
    assert (marks[2].source != marks[0].source, marks[2].network) == (True, marks[0].network)
    with torch.no_grad():
        network.weight[0, 0] += 1
    again = Marker(network).mark(one)
    assert (again.source, again.network != marks[0].network) == (marks[0].source, True)
    assert Marker(nn.ReLU()).network != Marker(nn.Sigmoid()).network
    assert Marker(nn.Softmax(1)).network != Marker(nn.Softmax(2)).network == Marker(nn.Softmax(2)).network


def test_what_is_doubted(tmp_path: Path) -> None:
    result = tmp_path / "a.png"
    assert doubt_of(result, MARK, MARK) is None
    assert doubt_of(result, MARK, MARK._replace(network="f" * 32)) == f"{result} was made by another network"
    other = MARK._replace(source="f" * 32)
    assert doubt_of(result, MARK, other) == f"{result} was made of another file, or before this one was changed"


def test_image_of_the_same_name_is_not_taken_for_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, checkpoint = tmp_path / "out", save_identity(tmp_path / "net.pth")
    photos = [tmp_path / folder / "photo.png" for folder in "abc"]
    for photo, side in zip(photos, (8, 9, 8), strict=True):
        photo.parent.mkdir()
        write_image(photo, noise(side, side, 3))
    assert photos[0].read_bytes() == photos[2].read_bytes()
    words = ("-o", out, "--checkpoint", checkpoint)
    assert run_command("restore", photos[0], *words) == 0
    before = (out / "photo.png").read_bytes()

    assert run_command("restore", photos[1], *words, "--compare") == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == f"{out}: 0 restored, 1 failed"
    line = (
        f"{photos[1]}: {out}/photo.png was made of another file, or before this one was changed, and stays as it is; "
    )
    assert f"{line}--overwrite replaces it" in said.err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"photo.png": before}

    assert run_command("restore", photos[2], *words) == 0
    assert capsys.readouterr().out == f"{out}: 0 restored, 1 done before (--overwrite restores them again)\n"

    state = torch.load(checkpoint)
    torch.save({"params": {name: value + 0.5 for name, value in state["params"].items()}}, tmp_path / "other.pth")
    assert run_command("restore", photos[0], "-o", out, "--checkpoint", tmp_path / "other.pth") == 1
    assert f"{out}/photo.png was made by another network" in capsys.readouterr().err

    cv2.imwrite(str(out / "photo.png"), noise(3, 3, 3))
    assert run_command("restore", photos[0], *words) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}: 0 restored, 1 done before (--overwrite restores them again)\n"
    line = (
        f"{out}: results that do not say of what they were made, and count as done: 1; --overwrite restores them anew"
    )
    assert said.err.endswith(f"\n{line}\n")
    assert run_command("restore", photos[0], *words, "--compare") == 0
    assert capsys.readouterr().out == f"{out}: 1 restored\n"
    assert cv2.imread(str(out / "photo.png")).shape == (3, 3, 3)
    assert run_command("restore", photos[1], *words, "--overwrite") == 0
    assert run_command("restore", photos[1], *words) == 0
    assert cv2.imread(str(out / "photo.png")).shape == (9, 9, 3)


def test_film_of_the_same_name_is_not_taken_for_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, checkpoint = tmp_path / "out", save_identity(tmp_path / "net.pth")
    films = [tmp_path / folder / "film.mkv" for folder in "ab"]
    for number, film in enumerate(films):
        film.parent.mkdir()
        write_film(film, times=[(0, 1), (1, 1)], images=[moving_image(number + index, 16, 16) for index in range(2)])
    words = ("-o", out, "--checkpoint", checkpoint)
    assert run_command("restore", films[0], *words) == 0
    found = mark_of(out / "film.mp4")
    assert found is not None
    assert run_command("restore", films[0], *words) == 0
    assert capsys.readouterr().out.endswith(f"{out}: 0 restored, 1 done before (--overwrite restores them again)\n")
    assert run_command("restore", films[1], *words) == 1
    assert f"{out}/film.mp4 was made of another file" in capsys.readouterr().err
    assert run_command("restore", out / "film.mp4", "-o", tmp_path / "again", "--checkpoint", checkpoint) == 0
    again = mark_of(tmp_path / "again" / "film.mp4")
    assert again is not None
    assert (again.source != found.source, again.network) == (True, found.network)
