"""Folders that get their name when they are complete: who fills one, and what killed runs left in it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prep_trees import make_image

from deeprftv2_arch.common.images import encode_png
from deeprftv2_arch.common.partial_folder import FolderWriter, PartialFolder, read_metadata
from deeprftv2_arch.errors import PreparationError

REPOSITORY = Path(__file__).resolve().parents[2]
KILLED = """
import os, sys
from pathlib import Path
from deeprftv2_arch.common.partial_folder import FolderWriter
writer = FolderWriter(Path(sys.argv[1]), {"crop": 512})
writer.put_encoded("a", b"whole")
os.fsync = lambda descriptor: os.kill(os.getpid(), 9)
writer.put_encoded("b", b"half")
"""


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def killed_while_filling(final: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run([sys.executable, "-c", KILLED, str(final)], env=environment, check=False)
    assert result.returncode == -signal.SIGKILL


def test_next_run_takes_over_and_clears_away(tmp_path: Path) -> None:
    final, partial = tmp_path / "blur", tmp_path / "blur.partial"
    killed_while_filling(final)
    assert names(partial) == {".lock", ".preparation.json", "a.png", ".b.partial.png", ".b.png.lock"}
    (partial / "c.png.tmp").write_bytes(b"half, of version 1")
    writer = FolderWriter(final, {"crop": 512})
    assert names(partial) == {".lock", ".preparation.json", "a.png"}
    assert "a" in writer
    assert "b" not in writer
    writer.put_encoded("b", b"whole")
    writer.finish()
    assert names(tmp_path) == {"blur"}
    assert {entry.name: entry.read_bytes() for entry in final.glob("*.png")} == {"a.png": b"whole", "b.png": b"whole"}
    assert names(final) == {"a.png", "b.png", ".preparation.json"}
    assert read_metadata(final) == {"settings": {"crop": 512}, "entries": 2}


def test_folder_of_version_1_killed_at_its_very_start_is_begun_anew(tmp_path: Path) -> None:
    partial = tmp_path / "x.lmdb.partial"
    partial.mkdir()
    (partial / "preparation.json.tmp").write_bytes(b"{")
    PartialFolder(tmp_path / "x.lmdb", {"crop": 256}).publish({})
    assert names(tmp_path) == {"x.lmdb"}
    assert names(tmp_path / "x.lmdb") == {"preparation.json"}
    assert read_metadata(tmp_path / "x.lmdb") == {"settings": {"crop": 256}}


def test_folder_of_somebody_else_is_refused_and_kept(tmp_path: Path) -> None:
    partial = tmp_path / "blur.partial"
    partial.mkdir()
    (partial / "mine.png").write_bytes(b"precious")
    with pytest.raises(PreparationError, match=r"blur\.partial exists and was not made by this command: delete it"):
        PartialFolder(tmp_path / "blur", {})
    assert names(partial) == {"mine.png"}


def test_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    first = PartialFolder(tmp_path / "blur", {})
    with pytest.raises(
        PreparationError, match=r"another process is preparing .*blur\.partial: wait until it has ended"
    ):
        PartialFolder(tmp_path / "blur", {})
    first.release()
    first.release()
    PartialFolder(tmp_path / "blur", {}).publish({})
    assert names(tmp_path) == {"blur"}


def test_folder_that_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    folder = PartialFolder(tmp_path / "blur", {})
    (tmp_path / "blur").mkdir()
    with pytest.raises(PreparationError, match=r"blur appeared meanwhile: the complete result is in .*blur\.partial"):
        folder.publish({})
    folder.release()
    assert names(tmp_path / "blur.partial") == {".preparation.json"}


def test_full_disk_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = FolderWriter(tmp_path / "blur", {})
    image = encode_png(make_image("a"), 1)

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(
            PreparationError, match=r"cannot write to .*a\.png: No space left on device; make room, then"
        ):
            writer.put_encoded("a", image)
    writer.abandon()
    again = FolderWriter(tmp_path / "blur", {})
    again.put_encoded("a", image)
    again.finish()
    assert (tmp_path / "blur" / "a.png").read_bytes() == image
