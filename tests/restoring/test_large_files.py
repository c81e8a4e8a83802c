"""Files whose size and header are looked at before they are read."""

import os
from pathlib import Path

import cv2
import pytest
from restoring_helpers import noise

from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.image_files import read_image


def test_sparse_file_behind_a_small_header_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), noise(8, 9, 3))
    os.truncate(path, 6 * 2**30)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))
    with pytest.raises(DataError, match=r"a\.png: 6,442,450,944 bytes are too many for 9x8 pixels"):
        read_image(path)
