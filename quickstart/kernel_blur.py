"""Blur of which the kernel of every pixel is known: a simulated kernel for the scene, another for a moving object."""

from dataclasses import dataclass

import cv2
import numpy as np

from deeprftv2_arch.data.motion_kernel import MotionKernelSimulator
from quickstart.synthetic_blur import soft_ellipse


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
        return np.asarray((1 - share) * self.scene + share * self.moving)


def random_kernel_blur(
    simulator: MotionKernelSimulator, rng: np.random.Generator, height: int, width: int
) -> KernelBlur:
    """Make a random blur for a photograph of that size."""
    scene, moving = simulator.draw(2, rng)
    return KernelBlur(scene, moving, soft_ellipse(rng, height, width))


def blur_by_kernels(photograph: np.ndarray, blur: KernelBlur) -> np.ndarray:
    """Blur the photograph: (H, W, 3) uint8 sRGB in and out.

    As UFPNet understands kernels: they are not turned, act on sRGB values, and the border is repeated.
    """
    scene, moving = (
        cv2.filter2D(photograph.astype(np.float32), -1, kernel, borderType=cv2.BORDER_REPLICATE)
        for kernel in (blur.scene, blur.moving)
    )
    mask = blur.mask[:, :, None]
    return np.rint((1 - mask) * scene + mask * moving).clip(0, 255).astype(np.uint8)
