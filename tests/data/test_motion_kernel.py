"""Simulated motion kernels against plain loops and the documented statistics."""

import cmath
import math
from typing import Any

import numpy as np
import pytest

from deeprftv2_arch.data.motion_kernel import MotionKernelSimulator, Shakes
from deeprftv2_arch.data.motion_kernel_dataset import MotionKernelDataset
from deeprftv2_arch.errors import OptionError

DRAWS = 4000


def kernel_by_hand(simulator: MotionKernelSimulator, shakes: Shakes, number: int) -> list[list[float]]:
    """One kernel of a draw, point by point."""
    steps, canvas = simulator.steps, simulator.kernel_size
    stride = simulator.length / (steps - 1)
    x, v = [0j], simulator.anxiety * cmath.exp(1j * shakes.angle[number])
    for t in range(steps - 1):
        jump = v * shakes.turn[t, number]
        shake = shakes.gaussian[number] * shakes.tremble[t, number] - shakes.centripetal[number] * x[t]
        v += jump + simulator.anxiety * shake * stride
        v = v / abs(v) * stride
        x.append(x[t] + v)

    def centred(values: list[float]) -> list[float]:
        values = [value - min(values) for value in values]
        values = [value - (values[0] - math.floor(values[0])) + 1 for value in values]
        return [value + math.ceil((canvas - max(values)) / 2) for value in values]

    kernel = [[0.0] * canvas for _ in range(canvas)]
    exposed = round(simulator.exposure * steps)
    columns, rows = centred([p.real for p in x]), centred([p.imag for p in x])
    for column, row in list(zip(columns, rows, strict=True))[:exposed]:
        for m in range(canvas):
            for n in range(canvas):
                kernel[m][n] += max(0, 1 - abs(row - m)) * max(0, 1 - abs(column - n)) / exposed
    return kernel


@pytest.mark.parametrize(
    "simulator",
    [
        MotionKernelSimulator(kernel_size=9, length=5.0, steps=60, anxiety=0.05),
        MotionKernelSimulator(kernel_size=9, length=4.5, steps=50, anxiety=0.2, exposure=0.5),
    ],
)
def test_equals_a_loop_over_the_points(simulator: MotionKernelSimulator) -> None:
    shakes = simulator.draw_shakes(6, np.random.default_rng(3))
    shakes.turn[10] = -2 * np.exp(0.3j)  # which is too rare to come by itself
    kernels = simulator.kernels_of(simulator.centred(simulator.trajectories(shakes)))
    for number in range(6):
        np.testing.assert_allclose(kernels[number], kernel_by_hand(simulator, shakes, number), rtol=0, atol=1e-6)


def test_parameters_have_the_documented_distributions() -> None:
    simulator = MotionKernelSimulator(anxiety=1.0, steps=11)
    shakes = simulator.draw_shakes(DRAWS, np.random.default_rng(0))
    for values, largest in ((shakes.centripetal, 0.7), (shakes.gaussian, 10), (shakes.angle, 2 * math.pi)):
        assert 0 <= values.min() < 0.01 * largest
        assert 0.99 * largest < values.max() <= largest
        # Four standard errors of the mean of a uniform distribution.
        assert values.mean() == pytest.approx(largest / 2, abs=4 * largest / math.sqrt(12 * DRAWS))
    for part in (shakes.tremble.real, shakes.tremble.imag):
        assert part.mean() == pytest.approx(0, abs=4 / math.sqrt(part.size))
        assert part.std() == pytest.approx(1, abs=4 / math.sqrt(2 * part.size))
    shaken = shakes.turn != 0
    # Probability 0.2 U * anxiety, U the same for all points of a trajectory.
    assert shaken.mean() == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / shaken.size + 0.2**2 / 12 / DRAWS))
    np.testing.assert_allclose(np.abs(shakes.turn[shaken]), 2)
    angles = np.angle(-shakes.turn[shaken])
    assert -0.5 <= angles.min() < -0.49
    assert 0.49 < angles.max() <= 0.5


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Trajectories and kernels of 4,000 draws."""
    simulator = MotionKernelSimulator()
    rng = np.random.default_rng(0)
    points, kernels = [], []
    for _ in range(DRAWS // 250):
        points.append(simulator.centred(simulator.trajectories(simulator.draw_shakes(250, rng))))
        kernels.append(simulator.kernels_of(points[-1]))
        points[-1] = np.stack([points[-1][0], points[-1][-1], *_corners(points[-1])])
    return np.concatenate(points, axis=1), np.concatenate(kernels)


def _corners(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return points.real.min(0) + 1j * points.imag.min(0), points.real.max(0) + 1j * points.imag.max(0)


def quantile_error(values: np.ndarray, fraction: float) -> Any:
    """Four standard errors of the difference between this quantile and that of another such sample, and rounding."""
    spread = np.quantile(values, min(fraction + 0.05, 1)) - np.quantile(values, max(fraction - 0.05, 0))
    density = 0.1 / spread
    return 4 * math.sqrt(2 * fraction * (1 - fraction) / len(values)) / density + 0.05


@pytest.mark.parametrize(
    ("name", "documented"),
    [("length", {0.05: 3.9, 0.5: 12.3, 0.95: 15.0}), ("box", {0.05: 7.4, 0.5: 11.2, 0.95: 14.8})],
)
def test_trajectories_are_as_large_as_documented(
    drawn: tuple[np.ndarray, np.ndarray], name: str, documented: dict[float, Any]
) -> None:
    first, last, lowest, highest = drawn[0]
    box = highest - lowest
    values = {"length": abs(last - first), "box": np.maximum(box.real, box.imag)}[name]
    for fraction, expected in documented.items():
        assert np.quantile(values, fraction) == pytest.approx(expected, abs=quantile_error(values, fraction))


def test_kernels_have_the_documented_statistics(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    kernels = drawn[1]
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), 1, atol=1e-6)
    assert kernels.min() == 0
    assert np.median(kernels.max(axis=(1, 2))) == pytest.approx(0.063, abs=0.0006)
    # Those that are worth mentioning: the faintest corners of the bilinear spread do not count.
    pixels = (kernels > 1e-4).sum(axis=(1, 2))
    assert np.quantile(pixels, [0.05, 0.5, 0.95]) == pytest.approx([30, 37, 41], abs=1)
    along = np.arange(19)
    for centres, expected in ((kernels.sum(1) @ along, 10.23), (kernels.sum(2) @ along, 10.22)):
        assert centres.mean() == pytest.approx(expected, abs=4 * math.sqrt(2 / DRAWS) * centres.std() + 0.005)


def test_trajectories_begin_on_a_whole_pixel_and_stay_on_the_canvas(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    first, _, lowest, highest = drawn[0]
    np.testing.assert_allclose(first, np.round(first.real) + 1j * np.round(first.imag), atol=1e-12)
    assert min(lowest.real.min(), lowest.imag.min()) >= 1
    assert max(highest.real.max(), highest.imag.max()) <= 18


def test_the_generator_alone_decides() -> None:
    simulator = MotionKernelSimulator(steps=20)
    first, again = (simulator.draw(300, np.random.default_rng(5)) for _ in range(2))
    assert first.shape == (300, 19, 19)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first.reshape(300, -1), axis=0)) == 300
    assert simulator.draw(0, np.random.default_rng(5)).shape == (0, 19, 19)


def test_what_has_no_meaning_is_refused() -> None:
    for arguments, message in (
        ({"length": 15.5}, r"at most kernel_size - 4 = 15, .* got 15.5"),
        ({"kernel_size": 4}, "length must be above 0"),
        ({"steps": 1}, "steps must be at least 2, got 1"),
        ({"anxiety": 0.0}, "anxiety must be above 0, got 0.0"),
        ({"exposure": 1.5}, "exposure must be in 0..1 and hold a step, got 1.5"),
        ({"shift": 1}, "shift must be 0 or -1, got 1"),
    ):
        with pytest.raises(OptionError, match=message):
            MotionKernelSimulator(**arguments)
        section = {"phase": "val", "kernels": 1, "simulator": arguments}
        if "kernel_size" not in arguments:  # which is said beside the simulator
            with pytest.raises(OptionError, match=f"datasets: val: motion kernels: .*{message}"):
                MotionKernelDataset(section)


def test_shifted_kernels_lie_about_the_middle_and_move_no_image() -> None:
    settings: dict[str, Any] = {"kernel_size": 11, "length": 7.0, "steps": 100, "anxiety": 0.005}
    kernels = MotionKernelSimulator(**settings, shift=-1).draw(500, np.random.default_rng(0))
    unshifted = MotionKernelSimulator(**settings).draw(500, np.random.default_rng(0))
    np.testing.assert_allclose(kernels[:, :-1, :-1], unshifted[:, 1:, 1:], atol=1e-6)
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), 1, atol=1e-6)
    # The middle of what each kernel covers, between the pixels that its first and last point fall on in part.
    for shares in (kernels.sum(1) > 1e-4, kernels.sum(2) > 1e-4):
        first, last = shares.argmax(axis=1), 10 - shares[:, ::-1].argmax(axis=1)
        assert abs((first + last).mean() / 2 - 5) < 0.5
        assert first.min() >= 0
