"""Blur of which the kernel of every pixel is known: a simulated kernel for the scene, another for a moving object."""

from dataclasses import dataclass

import cv2
import numpy as np

from deeprftv2_arch.data.motion_kernel import MotionKernelSimulator


@dataclass(frozen=True)
class KernelBlur:
    """The blur of one photograph. The kernel of a pixel is ``(1 - mask) * scene + mask * moving``.

    Attributes:
        scene: (k, k) kernel of what stands still but for the camera.
        moving: (k, k) kernel of the object.
        mask: (H, W) float32 0..1, how far a pixel belongs to the object.
    """

    scene: np.ndarray
    moving: np.ndarray
    mask: np.ndarray

    def kernels(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the kernels (N, k, k) of N pixels."""
        share = self.mask[rows, columns, None, None]
        kernels: np.ndarray = (1 - share) * self.scene + share * self.moving
        return kernels


def soft_ellipse(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a mask (H, W) float32: 1 inside a random ellipse, falling smoothly to 0 around it."""
    centre = rng.uniform(0.25, 0.75, size=2) * (width, height)
    radii = rng.uniform(0.12, 0.25, size=2) * min(height, width)
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1])
    ramp = np.clip((1.3 - distance) / 0.6, 0, 1)
    mask: np.ndarray = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return mask


def random_kernel_blur(
    simulator: MotionKernelSimulator, rng: np.random.Generator, height: int, width: int
) -> KernelBlur:
    """Return a random blur of a photograph of that size."""
    scene, moving = simulator.draw(2, rng)
    return KernelBlur(scene, moving, soft_ellipse(rng, height, width))


def blur_by_kernels(photograph: np.ndarray, blur: KernelBlur) -> np.ndarray:
    """Return the blurred photograph: (H, W, 3) uint8 sRGB in and out.

    As UFPNet understands kernels: they are not turned, act on sRGB values, and the border is repeated.
    """
    scene, moving = (
        cv2.filter2D(photograph.astype(np.float32), -1, kernel, borderType=cv2.BORDER_REPLICATE)
        for kernel in (blur.scene, blur.moving)
    )
    mask = blur.mask[:, :, None]
    return np.rint((1 - mask) * scene + mask * moving).clip(0, 255).astype(np.uint8)
