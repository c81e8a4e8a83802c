"""A file of gigabytes whose header announces a small image is refused by that, wherever images are read."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets_prep.sources import SourceImage
from deeprftv2_arch.common.image_bytes import read_image_bytes
from deeprftv2_arch.common.image_format import PNG_SIGNATURE, png_chunk
from deeprftv2_arch.data.image_stores import ImageFolder
from deeprftv2_arch.errors import DataError, PreparationError
from deeprftv2_arch.restoring.image_files import read_image


@pytest.mark.parametrize("read", [read_image_bytes, lambda path: ImageFolder(path.parent).read("pipe")])
def test_a_pipe_among_images_is_not_waited_for(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises((DataError, PreparationError), match="is no file that holds an image"):
        read(tmp_path / "pipe.png")


@pytest.fixture
def sparse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a file of 6 GiB that takes no room on the disk, and let nobody read it."""
    path = tmp_path / "a.png"
    path.write_bytes(PNG_SIGNATURE + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 80, 60, 8, 2, 0, 0, 0)))
    with path.open("r+b") as file:
        file.truncate(6 * 2**30)

    def read_bytes(self: Path) -> bytes:
        raise AssertionError("is read")

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    return path


@pytest.mark.parametrize(
    "read",
    [
        read_image,
        read_image_bytes,
        lambda path: SourceImage(path).read(),
        lambda path: ImageFolder(path.parent).read("a"),
    ],
)
def test_sparse_file_with_a_small_header(sparse: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises((DataError, PreparationError), match="is 6,442,450,944 bytes long, far more than 80x60 pixels"):
        read(sparse)


def test_small_files_are_read_whatever_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"none")
    assert read_image_bytes(tmp_path / "a.png") == b"none"
