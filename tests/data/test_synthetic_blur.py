"""The physics of synthetic blur, against formulas written by hand."""

import cv2
import numpy as np
import pytest
import torch

from deeprftv2_arch.data.camera_path import CameraPath, length_of, smooth_path, splat, straight_path
from deeprftv2_arch.data.light import linear_of_levels, linear_to_srgb, srgb_to_linear
from deeprftv2_arch.data.synthetic_blur import (
    Blob,
    BlurSettings,
    Depth,
    Exposure,
    MovingObject,
    draw_exposure,
    expose,
    soft_disc,
)
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.ops.reblur import reblur

NOWHERE = np.zeros(2)


def along_x(length: float, moments: int = 200) -> CameraPath:
    """Return a straight shift to the right at constant speed."""
    shift = np.zeros((moments, 2))
    shift[:, 0] = ((np.arange(moments) + 0.5) / moments - 0.5) * length
    return CameraPath(shift, np.zeros(moments), np.zeros(moments), NOWHERE)


def exposure_of(height: int, width: int, **what: object) -> Exposure:
    """Return an exposure to which nothing happens but what is said."""
    nothing: dict[str, object] = {
        "sharp": False,
        "camera": CameraPath.still(),
        "objects": (),
        "linear": True,
        "brightness": 1.0,
        "radius": 0.0,
        "depth": None,
        "photons": 0.0,
        "reading": 0.0,
        "noise_seed": None,
        "quality": None,
        "grid": (0, 0),
    }
    return Exposure(height=height, width=width, **(nothing | what))


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth random colours."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.5)


def framed(image: np.ndarray, exposure: Exposure) -> np.ndarray:
    margin = exposure.margin
    return cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)


def test_srgb_curve() -> None:
    values = np.array([0, 0.04045, 0.2, 0.5, 1], np.float32)
    np.testing.assert_allclose(srgb_to_linear(values), [0, 0.0031308, 0.0331048, 0.2140411, 1], atol=2e-7)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-6)
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    np.testing.assert_allclose(linear_of_levels(levels), srgb_to_linear(levels / np.float32(255)), atol=1e-7)


def test_constant_motion_is_a_line_kernel() -> None:
    """Five pixels to the right at constant speed are a box of five pixels: (H, W) values by hand."""
    scene = np.random.default_rng(0).random((20, 40, 3)).astype(np.float32)
    path = along_x(5.0, moments=5)  # moments at -2, -1, 0, 1, 2 pixels
    margin = path.reach(8, 8)
    blurred = path.blur(scene, margin)
    by_hand = sum(scene[margin:-margin, margin + x : 40 - margin + x] for x in range(-2, 3)) / 5
    np.testing.assert_allclose(blurred, by_hand, atol=1e-6)


def test_warped_frames_are_the_convolution_for_a_shift() -> None:
    """The way through warps and the way through a kernel give the same blur."""
    scene = cv2.GaussianBlur(np.random.default_rng(1).random((60, 60, 3)).astype(np.float32), (0, 0), 2)
    shift = 4 * smooth_path(np.random.default_rng(2), 2, 40, 1.5)
    path = CameraPath(shift, np.zeros(40), np.zeros(40), NOWHERE)
    turning = CameraPath(shift, np.full(40, 1e-12), np.zeros(40), NOWHERE)
    margin = path.reach(10, 10)
    assert path.is_shift
    assert not turning.is_shift
    # OpenCV's warps know 32 positions between two pixels.
    np.testing.assert_allclose(path.blur(scene, margin), turning.blur(scene, margin), atol=2e-3)


def test_rotation_moves_points_on_circles() -> None:
    path = CameraPath(np.zeros((2, 2)), np.array([0.0, np.pi / 2]), np.array([0.0, 1.0]), np.array([10.0, 20.0]))
    np.testing.assert_allclose(path.displacement(np.array([13.0, 20.0])), [[0, 0], [-3, 6]], atol=1e-12)
    np.testing.assert_allclose(path.seen_from(5, 5).displacement(np.array([8.0, 15.0])), [[0, 0], [-3, 6]], atol=1e-12)


def test_true_kernel_blurs_as_the_camera_does() -> None:
    """The kernel at a point, applied as reblur applies it, gives the blurred pixel there, rotation and all."""
    rng = np.random.default_rng(3)
    scene = cv2.GaussianBlur(rng.random((90, 90, 1)).astype(np.float32), (0, 0), 2)[:, :, None]
    turn = 0.05 * smooth_path(rng, 1, 50, 1.5)[:, 0]
    path = CameraPath(3 * smooth_path(rng, 2, 50, 1.5), turn, 0.5 * turn, np.array([30.0, 10.0]))
    margin = path.reach(30, 30)
    blurred = path.blur(scene, margin)
    size = 2 * margin + 1
    for x, y in ((3, 4), (20, 11)):
        kernel = path.kernel(np.array([x, y], float), size)
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        around = scene[y : y + size, x : x + size, 0]
        assert (kernel * around).sum() == pytest.approx(float(blurred[y, x, 0]), abs=1e-3)
        field = torch.from_numpy(kernel).flatten()[None, :, None, None].expand(1, -1, size, size)
        again = reblur(torch.from_numpy(around.copy())[None, None], field)
        assert float(again[0, 0, margin, margin]) == pytest.approx(float(blurred[y, x, 0]), abs=1e-3)


def test_light_is_averaged_linearly_or_in_srgb() -> None:
    """The middle of an edge between black and white that moves by 4 pixels has half of the light, or half of sRGB."""
    scene = np.zeros((40, 40, 3), np.uint8)
    scene[:, 20:] = 255
    for linear, middle in ((True, 188), (False, 128)):
        exposure = exposure_of(20, 20, camera=along_x(4.0), linear=linear)
        cut = 10 - exposure.margin
        blurred, sharp = expose(exposure, scene[cut:-cut, cut:-cut], [])
        # The edge lies between the columns 9 and 10: what they show lies symmetrically around the middle.
        light = srgb_to_linear(blurred[10, :, 0] / np.float32(255)) if linear else blurred[10, :, 0] / 255
        assert light[9] + light[10] == pytest.approx(1, abs=0.02)
        assert abs(int(blurred[10, 8, 0]) - int(blurred[10, 11, 0])) > 20
        np.testing.assert_array_equal(sharp, scene[10:30, 10:30])
        exactly = linear_to_srgb(np.float32([0.5]))[0] * 255 if linear else 127.5
        assert round(float(exactly)) == middle


def test_highlights_clip_after_blurring() -> None:
    """A white point of 8 times the brightness leaves a white line; of brightness 1 a grey one."""
    scene = np.zeros((60, 60, 3), np.uint8)
    scene[28:32, 29:31] = 255
    peaks = []
    for brightness in (1.0, 8.0):
        exposure = exposure_of(20, 20, camera=along_x(8.0), brightness=brightness)
        cut = 20 - exposure.margin
        blurred, _ = expose(exposure, scene[cut:-cut, cut:-cut], [])
        peaks.append(int(blurred[10, 10, 0]))
    assert peaks[0] == pytest.approx(float(linear_to_srgb(np.float32([0.25]))[0] * 255), abs=3)
    assert peaks[1] == 255


def test_moving_object_covers_the_scene_by_its_blurred_mask() -> None:
    """A white object before black is as bright as its blurred mask is opaque."""
    shape = Blob(np.array([15.0, 15.0]), 6.0, np.zeros((5, 2)))
    one = MovingObject(shape, along_x(6.0))
    exposure = exposure_of(30, 30, objects=(one,), linear=False)
    side = 30 + 2 * exposure.margin
    black, white = np.zeros((side, side, 3), np.uint8), np.full((side, side, 3), 255, np.uint8)
    blurred, sharp = expose(exposure, black, [white])
    mask = shape.mask(30, 30, exposure.margin)
    np.testing.assert_allclose(
        sharp[:, :, 0], mask[exposure.margin : -exposure.margin][:, exposure.margin : -exposure.margin] * 255, atol=0.51
    )
    kernel = splat(one.path.shift, 11)
    by_hand = cv2.filter2D(mask, -1, kernel)[exposure.margin : -exposure.margin, exposure.margin : -exposure.margin]
    np.testing.assert_allclose(blurred[:, :, 0], np.clip(by_hand, 0, 1) * 255, atol=0.51)
    # Before a scene of the object's own colour nothing shows, whatever moves.
    blurred, _ = expose(exposure, white, [white])
    assert blurred.min() == 255


def test_defocus_is_a_disc_and_has_two_depths() -> None:
    disc = soft_disc(3.0)
    assert disc.shape == (7, 7)
    assert disc.sum() == pytest.approx(1, abs=1e-6)
    assert disc[3, 0] == pytest.approx(disc[3, 3] / 2, rel=1e-6)
    scene = photograph(60, 60)
    far = Depth(Blob(np.array([100.0, 100.0]), 1.0, np.zeros((5, 2))), 1.0)  # covers nothing
    one, two = exposure_of(40, 40, radius=3.0), exposure_of(40, 40, radius=3.0, depth=far)
    assert one.margin == two.margin == 3
    image = scene[7:-7, 7:-7]
    np.testing.assert_array_equal(expose(one, image, [])[0], expose(two, image, [])[0])
    near = Depth(Blob(np.array([20.0, 20.0]), 100.0, np.zeros((5, 2))), 0.2)  # covers all
    sharp_again = expose(exposure_of(40, 40, radius=3.0, depth=near), image, [])
    np.testing.assert_allclose(sharp_again[0].astype(int), sharp_again[1], atol=1)


def test_noise_has_the_variance_of_photons_and_reading() -> None:
    grey = np.full((200, 200, 3), 188, np.uint8)  # linear light 0.503
    exposure = exposure_of(200, 200, photons=1e-4, reading=3e-3, noise_seed=1)
    noisy, sharp = expose(exposure, grey, [])
    light = srgb_to_linear(noisy / np.float32(255))
    by_hand = 1e-4 * float(srgb_to_linear(np.float32([188 / 255]))[0]) + 3e-3**2
    assert light.var() == pytest.approx(by_hand, rel=0.05)
    np.testing.assert_array_equal(sharp, grey)


def test_jpeg_blocks_begin_before_the_image() -> None:
    scene = photograph(64, 64)
    aligned, _ = expose(exposure_of(64, 64, quality=30), scene, [])
    shifted, _ = expose(exposure_of(64, 64, quality=30, grid=(4, 4)), scene, [])
    _, data = cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, 30])
    np.testing.assert_array_equal(aligned, cv2.imdecode(data, cv2.IMREAD_COLOR))
    assert (aligned != shifted).any()


def test_sharp_pairs_are_the_same_image_with_their_noise() -> None:
    scene = photograph(64, 64)
    exposure = exposure_of(64, 64, sharp=True, photons=1e-3, noise_seed=3, quality=90)
    blurred, sharp = expose(exposure, scene, [])
    np.testing.assert_array_equal(blurred, sharp)
    assert (sharp != scene).any()


def test_paths_have_their_length_and_mean_zero() -> None:
    rng = np.random.default_rng(0)
    line = straight_path(rng, 64)
    assert length_of(line) == pytest.approx(1)
    np.testing.assert_allclose(line.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(smooth_path(rng, 2, 64, 1.0).mean(axis=0), 0, atol=1e-12)


def test_statistics_of_2000_draws() -> None:
    """Every quantity has the documented distribution, within four standard errors."""
    settings = BlurSettings()
    rng = np.random.default_rng(5)
    draws = [draw_exposure(settings, rng, 96, 96, (400.0, -200.0, 800.0)) for _ in range(2000)]

    def share(values: list[bool], expected: float) -> None:
        error = np.sqrt(expected * (1 - expected) / len(values))
        assert np.mean(values) == pytest.approx(expected, abs=4 * error)

    def uniform(values: list[float], lowest: float, highest: float) -> None:
        assert min(values) >= lowest - 1e-9
        assert max(values) <= highest + 1e-9
        spread = (highest - lowest) / np.sqrt(12)
        assert np.mean(values) == pytest.approx((lowest + highest) / 2, abs=4 * spread / np.sqrt(len(values)))
        assert np.std(values) == pytest.approx(spread, rel=0.1)

    share([one.sharp for one in draws], settings.sharp)
    blurred = [one for one in draws if not one.sharp]
    assert all(one.camera.is_still and one.radius == 0 and not one.objects for one in draws if one.sharp)
    share([bool(one.objects) for one in blurred], settings.objects)
    crowds = [len(one.objects) for one in blurred if one.objects]
    for count in (1, 2, 3):
        share([crowd == count for crowd in crowds], 1 / 3)
    share([one.camera.is_still for one in blurred if one.objects], settings.still)
    lengths = [length_of(one.camera.shift) for one in blurred if not one.camera.is_still]
    uniform(list(np.log(lengths)), *np.log(settings.path))
    moving = [one.camera for one in blurred if not one.camera.is_still]
    share([not camera.is_shift for camera in moving], settings.turning)
    straight = [np.linalg.matrix_rank(camera.shift, tol=1e-9) == 1 for camera in moving]
    share(straight, settings.straight)
    turned = [800 * length_of(c.angle[:, None]) / length_of(c.shift) for c in moving if not c.is_shift]
    uniform(turned, 0, settings.rotation)
    zoomed = [800 * length_of(c.zoom[:, None]) / length_of(c.shift) for c in moving if not c.is_shift]
    uniform(zoomed, 0, settings.zoom)
    share([not one.linear for one in blurred], settings.srgb)
    share([one.brightness > 1 for one in blurred if one.linear], settings.highlights)
    uniform([np.log(one.brightness) for one in blurred if one.brightness > 1], *np.log(settings.brightness))
    share([one.radius > 0 for one in blurred], settings.defocus)
    uniform([np.log(one.radius) for one in blurred if one.radius > 0], *np.log(settings.radius))
    share([one.depth is not None for one in blurred if one.radius > 0], settings.second_depth)
    share([one.noise_seed is not None for one in draws], settings.noise)
    uniform([np.log(one.photons) for one in draws if one.photons > 0], *np.log(settings.photons))
    uniform([np.log(one.reading) for one in draws if one.reading > 0], *np.log(settings.reading))
    share([one.quality is not None for one in draws], settings.jpeg)
    uniform([one.quality for one in draws if one.quality is not None], 74.5, 98.5)
    sizes = [shape.radius / 96 for one in blurred for shape in (thing.shape for thing in one.objects)]
    uniform(sizes, *settings.object_size)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sharp": 1.5}, "sharp must be in 0..1"),
        ({"path": [5, 2]}, "path must be two numbers"),
        ({"resample": [0.5, 2]}, "resample must be two numbers"),
        ({"quality": [0, 50]}, "quality must be two numbers"),
    ],
)
def test_settings_out_of_range(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        BlurSettings(**options)
