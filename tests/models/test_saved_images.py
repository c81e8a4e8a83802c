"""Images of a validation are whole, or not there."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from file_faults import disk_with_room_for

from deeprftv2_arch.errors import WriteError
from deeprftv2_arch.models.saved_images import save_image

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def test_image_is_saved_in_folders_that_are_made(tmp_path: Path) -> None:
    save_image(tmp_path / "a" / "b.png", IMAGE)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a" / "b.png")), IMAGE)


def test_full_disk_leaves_no_half_image(tmp_path: Path) -> None:
    with disk_with_room_for(3000), pytest.raises(WriteError, match=r"b\.png: cannot be written: File too large"):
        save_image(tmp_path / "b.png", IMAGE)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("in the way")
    with pytest.raises(WriteError, match="a: cannot be made: File exists"):
        save_image(tmp_path / "a" / "b.png", IMAGE)
