"""Simulated motion-blur kernels: the path of a point during the exposure of a shaken camera.

Random trajectories as of Boracchi and Foi (IEEE Transactions on Image Processing, 2012), which UFPNet's flow prior
learns to model. All kernels of a draw are simulated side by side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.errors import OptionError

Trajectories = NDArray[np.complex128]  # (steps, N), a column for every kernel: x to the right, i * y downwards

SIDE_BY_SIDE = 250  # kernels that are simulated together, which bounds the memory to some 60 MB


@dataclass(frozen=True)
class Shakes:
    """All that is random about N trajectories.

    Attributes:
        centripetal: (N,) in 0..0.7, how strongly the hand pulls back to where it began.
        gaussian: (N,) in 0..10, how strongly it trembles.
        angle: (N,) direction in which the motion begins, in radians.
        tremble: (steps - 1, N) complex normal numbers.
        turn: (steps - 1, N) what a big shake adds to the velocity, as a multiple of it: 0 nearly everywhere.
    """

    centripetal: NDArray[np.float64]
    gaussian: NDArray[np.float64]
    angle: NDArray[np.float64]
    tremble: Trajectories
    turn: Trajectories


@dataclass(frozen=True)
class MotionKernelSimulator:
    """Draws motion kernels; the defaults are those of the flow prior.

    A trajectory has unit speed, so that all are equally long and the kernels differ by how they bend. It begins on a
    whole pixel, and the centre of its bounding box lies 0.5 to 2 pixels to the right of and below the canvas's middle:
    on average at index 10.25 of 19, not 9. Kernels sum to 1.

    A kernel off the middle moves the image that it blurs; ``shift`` -1 leaves a quarter of a pixel of that.

    Attributes:
        kernel_size: Height and width of the canvas.
        length: Length of a trajectory in pixels.
        steps: Points of a trajectory.
        anxiety: How much the motion is shaken; near 0 the trajectories are straight.
        exposure: Which part of the trajectory, from its beginning, makes the kernel.
        shift: Pixels by which kernels are moved right and down: 0, or -1 for kernels about the canvas's middle.

    Raises:
        OptionError: A value is out of range, or a trajectory could leave the canvas.
    """

    kernel_size: int = 19
    length: float = 15.0
    steps: int = 2000
    anxiety: float = 0.001
    exposure: float = 1.0
    shift: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.length <= self.kernel_size - 4:
            raise OptionError(
                f"motion kernels: length must be above 0 and at most kernel_size - 4 = {self.kernel_size - 4}, or "
                f"kernels would leave their canvas, got {self.length}"
            )
        if self.steps < 2:
            raise OptionError(f"motion kernels: steps must be at least 2, got {self.steps}")
        if self.anxiety <= 0:
            raise OptionError(f"motion kernels: anxiety must be above 0, got {self.anxiety}")
        if not 1 <= self.exposure * self.steps <= self.steps:
            raise OptionError(f"motion kernels: exposure must be in 0..1 and hold a step, got {self.exposure}")
        if self.shift not in (-1, 0):
            raise OptionError(f"motion kernels: shift must be 0 or -1, got {self.shift}")

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw kernels.

        Args:
            count: N, how many.
            rng: Decides which.

        Returns:
            (N, kernel_size, kernel_size), not negative, each with the sum 1.
        """
        kernels = [np.empty((0, self.kernel_size, self.kernel_size), np.float32)]
        for start in range(0, count, SIDE_BY_SIDE):
            shakes = self.draw_shakes(min(SIDE_BY_SIDE, count - start), rng)
            kernels.append(self.kernels_of(self.centred(self.trajectories(shakes))))
        return np.concatenate(kernels)

    def draw_shakes(self, count: int, rng: np.random.Generator) -> Shakes:
        """Draw what makes N trajectories."""
        size = self.steps - 1, count
        centripetal, big_shake, gaussian, angle = rng.random((4, count)) * [[0.7], [0.2], [10.0], [2 * np.pi]]
        tremble = rng.standard_normal((*size, 2)).view(np.complex128)[..., 0]
        turn = np.zeros(size, np.complex128)
        shaken = rng.random(size) < big_shake * self.anxiety
        # Back where it came from, and by up to half a radian to either side.
        turn[shaken] = -2 * np.exp(1j * (rng.random(np.count_nonzero(shaken)) - 0.5))
        return Shakes(centripetal, gaussian, angle, tremble, turn)

    def trajectories(self, shakes: Shakes) -> Trajectories:
        """Return the trajectories (steps, N), each beginning at 0 and ``length`` long."""
        stride = self.length / (self.steps - 1)
        tremble = self.anxiety * stride * shakes.gaussian * shakes.tremble
        pull = self.anxiety * stride * shakes.centripetal
        points = np.zeros((self.steps, len(shakes.angle)), np.complex128)
        velocity = self.anxiety * np.exp(1j * shakes.angle)
        for step in range(self.steps - 1):
            velocity = velocity * (1 + shakes.turn[step]) + tremble[step] - pull * points[step]
            velocity *= stride / np.abs(velocity)
            points[step + 1] = points[step] + velocity
        return points

    def centred(self, points: Trajectories) -> Trajectories:
        """Move every trajectory to about the middle of the canvas, with its first point on a whole pixel."""
        centred = _centred(points.real, self.kernel_size) + 1j * _centred(points.imag, self.kernel_size)
        return centred + self.shift * (1 + 1j)

    def kernels_of(self, points: Trajectories) -> NDArray[np.float32]:
        """Spread every point of trajectories on the canvas (steps, N) over the four pixels around it, bilinearly.

        Returns:
            (N, kernel_size, kernel_size): what falls on every pixel, as a part of the whole.
        """
        points = points[: round(self.exposure * self.steps)]
        # One row and column more, for the points on the last pixel, of which nothing falls there.
        side, count = self.kernel_size + 1, points.shape[1]
        column, row = np.floor(points.real).astype(int), np.floor(points.imag).astype(int)
        right, below = points.real - column, points.imag - row
        pixel = (np.arange(count) * side + row) * side + column
        light = np.zeros(count * side * side)
        for offset, share in (
            (0, (1 - below) * (1 - right)),
            (1, (1 - below) * right),
            (side, below * (1 - right)),
            (side + 1, below * right),
        ):
            light += np.bincount((pixel + offset).ravel(), share.ravel(), minlength=light.size)[: light.size]
        kernels = light.reshape(count, side, side)[:, :-1, :-1] / len(points)
        return kernels.astype(np.float32)


def _centred(coordinates: NDArray[np.float64], canvas: int) -> NDArray[np.float64]:
    """Move one coordinate of trajectories (steps, N) as :meth:`MotionKernelSimulator.centred` says."""
    moved: NDArray[np.float64] = coordinates - coordinates.min(axis=0)
    moved = moved - moved[0] % 1 + 1
    moved += np.ceil((canvas - moved.max(axis=0)) / 2)
    return moved
