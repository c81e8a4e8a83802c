"""The whole quickstart, with a handful of training steps."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from quickstart.deblurring import blurred_version
from quickstart.photographs import HELD_OUT, load_photograph

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]


def quickstart(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quickstart", "--threads", "1", *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("quickstart") / "out"
    return out, quickstart("--out", str(out), "--iterations", "2", "--seed", "5")


def test_it_ends_with_table_and_images(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, process = finished
    assert process.returncode == 0, process.stderr
    table = (out / "results.md").read_text()
    assert table in process.stdout
    figures = json.loads((out / "results.json").read_text())
    for file_name, row in zip(HELD_OUT, figures["photographs"], strict=True):
        name = Path(file_name).stem
        assert row["photograph"] == name
        sharp = load_photograph(file_name)
        blurred = blurred_version(sharp, file_name, 0, seed=5)
        error = np.mean((blurred.astype(float) - sharp) ** 2)
        assert row["blurred_psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-9)
        with Image.open(out / f"{name}.png") as sheet:
            assert sheet.width == 5 * 330 + 10  # with the network of the package
        for kind, photograph in (("blur", blurred), ("sharp", sharp)):
            saved = cv2.imread(str(out / "held_out" / kind / f"{name}.png"))
            np.testing.assert_array_equal(saved[:, :, ::-1], photograph)
    assert not list(out.glob("*.tmp"))


def test_it_ends_with_the_command_that_restores_with_its_network(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, process = finished
    words = shlex.split(process.stdout.splitlines()[-1])
    assert words[1:4] == ["-m", "deeprftv2_arch", "restore"]
    photograph, *others = sorted(Path(words[4]).iterdir())
    assert len(others) == len(HELD_OUT) - 1
    words[4] = str(photograph)  # of these, for time's sake, one
    subprocess.run(words, cwd=REPOSITORY, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, check=True)
    assert [path.name for path in (out / "restored").glob("*.png")] == [photograph.name]


def test_the_last_validation_of_basicsr_saw_the_same_images(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, _ = finished
    figures = json.loads((out / "results.json").read_text())
    for row in figures["photographs"]:
        (saved,) = (out / "experiments").rglob(f"{row['photograph']}_0_2.png")
        restored = cv2.cvtColor(cv2.imread(str(saved)), cv2.COLOR_BGR2RGB).astype(float)
        error = np.mean((restored - load_photograph(f"{row['photograph']}.png")) ** 2)
        # The restored image that the report measured is the one that BasicSR's loop saved, up to rounding.
        assert row["restored_psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)


def test_another_seed_in_the_same_folder_is_refused(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, _ = finished
    before = (out / "results.json").read_bytes()
    process = quickstart("--out", str(out), "--iterations", "2", "--seed", "6")
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1
    assert "seed 5, now 6" in process.stderr
    assert (out / "results.json").read_bytes() == before


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    process = quickstart("--out", str(tmp_path))
    assert process.returncode == 2
    assert process.stderr.splitlines() == [
        f"error: --out {tmp_path}: holds files that are not this quickstart's; name an empty or a new folder"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_wrong_number_is_one_line() -> None:
    process = quickstart("--iterations", "0")
    assert process.returncode == 2
    assert "0 is not at least 1" in process.stderr.splitlines()[-1]
