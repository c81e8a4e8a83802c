"""The image of a kernel field: the kernels of some pixels, over a darkened photograph."""

from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deeprftv2_arch.common.kernel_images import scaled_to_peak
from quickstart.comparison import INK, LABEL_HEIGHT, MARGIN, PAPER, kernel_tile

PANEL_WIDTH = 640
ZOOM = 3  # pixels that an entry of a kernel is wide
SPACE = 5  # between kernels
DARK = 0.4  # what is left of the photograph's light


def shown_pixels(height: int, width: int, kernel_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the pixels whose kernels are shown: as many as have room, spread evenly."""
    room = (ZOOM * kernel_size + SPACE) * width / PANEL_WIDTH
    sides = [(np.arange(number := int(side // room)) + 0.5) * side / number for side in (height, width)]
    rows, columns = np.meshgrid(*sides, indexing="ij")
    return rows.ravel().astype(int), columns.ravel().astype(int)


def kernel_panel(photograph: np.ndarray, rows: np.ndarray, columns: np.ndarray, kernels: np.ndarray) -> Image.Image:
    """Draw a darkened photograph with kernels over it, each as bright as its own peak allows.

    Args:
        photograph: (H, W, 3) uint8 RGB.
        rows: (N,) of the pixels.
        columns: (N,) of the pixels.
        kernels: (N, k, k) theirs.
    """
    scale = PANEL_WIDTH / photograph.shape[1]
    height = round(photograph.shape[0] * scale)
    panel = DARK * cv2.resize(photograph, (PANEL_WIDTH, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    side = ZOOM * kernels.shape[1]
    for row, column, kernel in zip(rows, columns, kernels, strict=True):
        tile = kernel_tile(scaled_to_peak(kernel), side)
        top, left = round((row + 0.5) * scale - side / 2), round((column + 0.5) * scale - side / 2)
        panel[top : top + side, left : left + side] += tile
    return Image.fromarray(panel.clip(0, 255).astype(np.uint8))


def kernel_field_png(panels: dict[str, Image.Image]) -> bytes:
    """Lay out panels of one size with their labels from left to right, and return the bytes of a PNG."""
    height = next(iter(panels.values())).height
    sheet = Image.new("RGB", (len(panels) * (PANEL_WIDTH + MARGIN) + MARGIN, LABEL_HEIGHT + height + MARGIN), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(19)
    for index, (label, panel) in enumerate(panels.items()):
        x = MARGIN + index * (PANEL_WIDTH + MARGIN)
        draw.text((x + PANEL_WIDTH / 2, LABEL_HEIGHT / 2), label, INK, font, anchor="mm")
        sheet.paste(panel, (x, LABEL_HEIGHT))
    buffer = BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
