"""`python -m datasets_prep synthetic-blur`: complete or absent, the same every time, with the true blur."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets_prep import synthetic_blur
from datasets_prep.command_line import main


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(["one.png", "more/two.png"]):
        noise = np.random.default_rng(number).integers(0, 256, (60, 80, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / name), cv2.GaussianBlur(noise, (0, 0), 1.5))
    return folder


def arguments(photographs: Path, out: Path, *more: str) -> list[str]:
    return ["synthetic-blur", "--root", str(photographs), "--out", str(out), "--kernel-size", "21", *more]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_set_is_whole_and_the_same_every_time(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(arguments(photographs, out, "--paths", "2-4", "5-6")) == 0
    keys = [f"{name}_{path}" for name in ("more-two", "one") for path in ("2-4", "5-6")]
    assert sorted(path.stem for path in (out / "blur").iterdir()) == keys
    assert {path.name for path in out.iterdir() if path.name[0] != "."} == {"blur", "sharp", "kernels", "metadata.json"}
    images = json.loads((out / "metadata.json").read_text())["images"]
    assert sorted(images) == keys
    assert 5 <= images["one_5-6"]["path_pixels"] <= 6
    again = tmp_path / "again"
    assert main(arguments(photographs, again, "--paths", "2-4", "5-6")) == 0
    assert contents(out) == contents(again)
    before = contents(out)
    assert main(arguments(photographs, out, "--paths", "2-4", "5-6")) == 0
    assert contents(out) == before
    assert main(arguments(photographs, out, "--seed", "1")) == 2


def test_kernels_blur_the_sharp_image(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In sRGB, where what is averaged is what is saved: the kernel at a point gives the blurred pixel there."""
    settings = synthetic_blur._settings
    monkeypatch.setattr(synthetic_blur, "_settings", lambda path, only: type(settings(path, only))(
        sharp=0, resample=(1, 1), path=path, srgb=1, objects=0, defocus=0, noise=0, jpeg=0
    ))  # fmt: skip
    out = tmp_path / "out"
    # Fields of an odd size, so that their middles are pixels.
    assert main(arguments(photographs, out, "--paths", "5-8", "--grid", "4", "16")) == 0
    blurred, sharp = (cv2.imread(str(out / side / "one_5-8.png")).astype(float) for side in ("blur", "sharp"))
    data = np.load(out / "kernels" / "one_5-8.npz")
    for row, column in ((1, 5), (2, 9)):
        x, y = data["points"][row, column].astype(int)
        assert (data["points"][row, column] == (x, y)).all()
        by_hand = np.tensordot(data["kernels"][row, column], sharp[y - 10 : y + 11, x - 10 : x + 11], 2)
        np.testing.assert_allclose(by_hand, blurred[y, x], atol=1.0)


def test_interrupted_run_goes_on(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(arguments(photographs, whole)) == 0
    kernels, calls = synthetic_blur._kernels, []

    def interrupted(*args: object) -> bytes:
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return kernels(*args)

    monkeypatch.setattr(synthetic_blur, "_kernels", interrupted)
    assert main(arguments(photographs, out)) == 130
    assert not out.exists()
    assert main(arguments(photographs, out)) == 0
    assert len(calls) == 4 + 3  # the three that were done are not made again
    assert contents(out) == contents(whole)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--kernel-size", "20"], "odd number"),
        (["--grid", "0", "3"], "--grid"),
        (["--root", "/nowhere"], "nowhere: cannot be read: No such file"),
    ],
)
def test_mistakes(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert main(arguments(photographs, tmp_path / "out", *more)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_damaged_photograph(photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photographs / "torn.png").write_bytes((photographs / "one.png").read_bytes()[:500])
    assert main(arguments(photographs, tmp_path / "out")) == 2
    assert "torn.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
