"""What the quickstart learns from: photographs, their blur and their crops."""

import numpy as np
import pytest

from quickstart.databases import crop_corners, crops
from quickstart.deblurring import blurred_version
from quickstart.photographs import HELD_OUT, TRAINING, load_photograph


def test_blur_follows_from_photograph_exposure_and_seed() -> None:
    """A pure function of its arguments that moves nothing: the blurred photograph is near the sharp one."""
    photograph = load_photograph("coins.png")
    first = blurred_version(photograph, "coins.png", 0, seed=1)
    np.testing.assert_array_equal(first, blurred_version(photograph, "coins.png", 0, seed=1))
    for other in (("coins.png", 1, 1), ("coins.png", 0, 2), ("page.png", 0, 1)):
        assert (first != blurred_version(photograph, *other)).any()
    assert first.mean() == pytest.approx(photograph.mean(), abs=2)


def test_training_and_held_out_photographs_have_nothing_in_common() -> None:
    assert not set(TRAINING) & set(HELD_OUT)
    # The motorcycle's twin shows the same scene.
    assert "motorcycle_right.png" not in TRAINING
    images = {name: load_photograph(name) for name in (*TRAINING, *HELD_OUT)}
    for name, image in images.items():
        assert image.shape[2] == 3, name
        assert image.shape[0] % 2 == image.shape[1] % 2 == 0, name
    for held_out in HELD_OUT:
        for name in TRAINING:
            thumbnails = [images[n][::16, ::16][:10, :10].astype(float) for n in (held_out, name)]
            assert np.abs(thumbnails[0] - thumbnails[1]).mean() > 10, (held_out, name)


def test_crops_cover_the_photograph() -> None:
    assert crop_corners(500, 160) == [0, 113, 227, 340]
    assert crop_corners(160, 160) == [0]
    image = np.arange(190 * 384).reshape(190, 384, 1)
    pieces = list(crops(image, 160))
    assert len(pieces) == 2 * 3
    assert all(piece.shape == (160, 160, 1) for _, piece in pieces)
    assert len({key for key, _ in pieces}) == 6
    np.testing.assert_array_equal(np.unique(np.concatenate([piece.ravel() for _, piece in pieces])), image.ravel())
