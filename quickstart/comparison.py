"""The comparison picture: blurred, restored and sharp, whole and in detail, and the estimated kernels."""

from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

TILE_WIDTH = 320
DETAIL_HEIGHT = 214
DETAIL_ZOOM = 2
MARGIN = 10
LABEL_HEIGHT = 30
KERNEL_RADIUS = 10
INK, PAPER, MARK = (25, 25, 25), (255, 255, 255), (255, 210, 0)


def strongest_kernels(kernels: np.ndarray, number: int) -> np.ndarray:
    """The kernels that do most, cut to their centres.

    Args:
        kernels: (C, H, W) kernels of all channels, zero lag in the corner as an inverse FFT leaves it.
        number: How many to pick.

    Returns:
        (number, 2r + 1, 2r + 1) with r = KERNEL_RADIUS, those of the highest energy first, each scaled to -1..1.
    """
    centred = np.fft.fftshift(kernels, axes=(1, 2))
    y, x = (side // 2 for side in kernels.shape[1:])
    energy = (kernels**2).sum(axis=(1, 2))
    strongest = centred[np.argsort(-energy, kind="stable")[:number]]
    windows = strongest[:, y - KERNEL_RADIUS : y + KERNEL_RADIUS + 1, x - KERNEL_RADIUS : x + KERNEL_RADIUS + 1]
    return windows / np.abs(windows).max(axis=(1, 2), keepdims=True)


def kernel_tile(kernel: np.ndarray, side: int) -> np.ndarray:
    """A kernel of values -1..1 as (side, side, 3) uint8: black is none, orange adds, blue takes away.

    The square root of the strength is shown, so that faint parts are seen beside the peak.
    """
    strength = np.sqrt(np.abs(kernel))[:, :, None]
    colour = np.where(kernel[:, :, None] > 0, (255.0, 190.0, 90.0), (90.0, 160.0, 255.0))
    pixels = (strength * colour).astype(np.uint8)
    return cv2.resize(pixels, (side, side), interpolation=cv2.INTER_NEAREST)


def busiest_window(sharp: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """Top and left of the window of that size in which the photograph has most edges."""
    grey = cv2.cvtColor(sharp, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    sums = cv2.boxFilter(edges, cv2.CV_32F, (width, height), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    sums = sums[: sharp.shape[0] - height + 1, : sharp.shape[1] - width + 1]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left)


def comparison_png(columns: dict[str, np.ndarray], kernels: np.ndarray) -> bytes:
    """Lays out the comparison.

    Args:
        columns: Label -> photograph, (H, W, 3) uint8 RGB, all of one size, the sharp one last.
        kernels: (C, H, W) kernels, see strongest_kernels.

    Returns:
        The bytes of a PNG.
    """
    height, width = next(iter(columns.values())).shape[:2]
    detail_height, detail_width = DETAIL_HEIGHT // DETAIL_ZOOM, TILE_WIDTH // DETAIL_ZOOM
    top, left = busiest_window(list(columns.values())[-1], detail_height, detail_width)
    tile_height = round(height * TILE_WIDTH / width)
    detail_y = LABEL_HEIGHT + tile_height + MARGIN
    size = (4 * (TILE_WIDTH + MARGIN) + MARGIN, detail_y + DETAIL_HEIGHT + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(19)

    for column, (label, photograph) in enumerate(columns.items()):
        x = MARGIN + column * (TILE_WIDTH + MARGIN)
        draw.text((x + TILE_WIDTH / 2, LABEL_HEIGHT / 2), label, INK, font, anchor="mm")
        whole = Image.fromarray(photograph)
        sheet.paste(whole.resize((TILE_WIDTH, tile_height), Image.Resampling.LANCZOS), (x, LABEL_HEIGHT))
        scale = TILE_WIDTH / width
        corners = [left * scale, top * scale, (left + detail_width) * scale, (top + detail_height) * scale]
        draw.rectangle([a + b for a, b in zip(corners, 2 * (x, LABEL_HEIGHT), strict=True)], outline=MARK, width=2)
        detail = whole.crop((left, top, left + detail_width, top + detail_height))
        sheet.paste(detail.resize((TILE_WIDTH, DETAIL_HEIGHT), Image.Resampling.BICUBIC), (x, detail_y))

    x = MARGIN + 3 * (TILE_WIDTH + MARGIN)
    draw.text((x + TILE_WIDTH / 2, LABEL_HEIGHT / 2), "estimated kernels", INK, font, anchor="mm")
    first, *others = strongest_kernels(kernels, 5)
    side = min(TILE_WIDTH, tile_height)
    sheet.paste(Image.fromarray(kernel_tile(first, side)), (x + (TILE_WIDTH - side) // 2, LABEL_HEIGHT))
    side = (DETAIL_HEIGHT - MARGIN) // 2
    x += (TILE_WIDTH - 2 * side - MARGIN) // 2
    for index, kernel in enumerate(others):
        row, column = divmod(index, 2)
        place = (x + column * (side + MARGIN), detail_y + row * (side + MARGIN))
        sheet.paste(Image.fromarray(kernel_tile(kernel, side)), place)
    buffer = BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
