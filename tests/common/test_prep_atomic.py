"""A file that is written whole or not at all."""

import os
from pathlib import Path

import pytest

from deeprftv2_arch.common.atomic import write_atomically


def test_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"earlier")
    write_atomically(path, b"later")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"a": b"later"}


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_nothing_is_left_of_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"earlier")

    def fail(*arguments: object) -> None:
        if step == "write_bytes":
            os.close(os.open(path.with_name("a.tmp"), os.O_CREAT | os.O_WRONLY))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path if step == "write_bytes" else os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"later")
    monkeypatch.undo()
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"a": b"earlier"}


def test_missing_folder_is_what_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "a", b"")
