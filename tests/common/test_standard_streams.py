"""Programs whose caller has closed their input and outputs."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from launch_helpers import REPOSITORY, write_images

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its shell closes no streams")

PROGRAM = """
import os, sys
from deeprftv2_arch.common.standard_streams import open_closed_streams
open_closed_streams()
with open("opened", "w") as file:
    print(file.fileno(), os.path.samestat(os.fstat(2), os.stat(os.devnull)), os.get_inheritable(2), file=file)
    os.write(2, b"of a library")
    print("said", flush=True)
    sys.stderr.write(f"said {sys.stdin.read()!r}")
    sys.stderr.flush()
"""


def run_closed(folder: Path, closed: str, *words: str) -> tuple[int, str]:
    """Run Python with closed streams; return its exit code, and what it has written to those that are open."""
    run = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout


@pytest.mark.parametrize(
    ("closed", "said"), [("2>&-", "said\n"), ("<&- >&- 2>&-", ""), (">&-", "of a librarysaid ''"), ("2>&- >&-", "")]
)
def test_closed_streams_lead_nowhere_and_files_get_other_numbers(tmp_path: Path, closed: str, said: str) -> None:
    assert run_closed(tmp_path, closed, "-c", PROGRAM) == (0, said)
    number, is_null, is_inherited = (tmp_path / "opened").read_text().split()
    assert int(number) > 2
    assert (is_null, is_inherited) == (str("2>&-" in closed), "True")


@pytest.mark.slow
def test_images_are_restored_with_closed_streams(tmp_path: Path) -> None:
    write_images(tmp_path, 1)
    restore = ["restore", "blur/000.png", "-o", "out", "--tile", "24", "8", "--device", "cpu"]
    assert run_closed(tmp_path, "<&- >&- 2>&-", "-m", "deeprftv2_arch", *restore) == (0, "")
    assert cv2.imread(str(tmp_path / "out" / "000.png")).shape == (48, 48, 3)
    assert run_closed(tmp_path, "2>&-", "-m", "deeprftv2_arch", "restore", "nothing.png", "-o", "out") == (2, "")


@pytest.mark.slow
def test_data_are_prepared_with_closed_streams(tmp_path: Path) -> None:
    write_images(tmp_path, 2)
    pairs = ["pairs", "--blurred", "blur", "--sharp", "sharp", "--val", "1", "--out", "mine"]
    code, _ = run_closed(tmp_path, ">&- 2>&-", "-m", "datasets_prep", *pairs)
    assert (code, (tmp_path / "mine").is_dir()) == (0, True)
