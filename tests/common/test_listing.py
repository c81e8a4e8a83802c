"""Every file below a folder, or an error: nothing that cannot be read is passed over."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from datasets_prep.command_line import main as prepare
from deeprftv2_arch.common.listing import files_below
from deeprftv2_arch.data.image_stores import ImageFolder
from deeprftv2_arch.errors import DataError


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with an image in it, and one in a folder in it that may not be read, whoever the tests run as."""
    for name in ("a.png", "locked/b.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    scan = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return tmp_path / "images"


def test_files_in_their_order(tmp_path: Path) -> None:
    names = ["b", "z", "c/a", "c/d/e"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)] == names


def test_folder_that_cannot_be_read_is_an_error(locked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PermissionError):
        list(files_below(locked))
    with pytest.raises(DataError, match="locked: cannot be read: Permission denied; check who may read it"):
        ImageFolder(locked)
    assert prepare(["pairs", "--blurred", str(locked), "--sharp", str(locked), "--out", str(locked.parent / "a")]) == 2
    assert "locked cannot be read: Permission denied" in capsys.readouterr().err
