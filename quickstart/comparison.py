"""The comparison image: versions of a photograph side by side, whole and in detail, and estimated kernels."""

from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deeprftv2_arch.common.kernel_images import coloured, strongest_kernels

TILE_WIDTH = 320
DETAIL_HEIGHT = 214
MARGIN = 10
LABEL_HEIGHT = 30
INK, PAPER, MARK = (25, 25, 25), (255, 255, 255), (255, 210, 0)


@dataclass(frozen=True)
class Column:
    """A column of the comparison: a label, and below it an image and its details, both TILE_WIDTH wide.

    Attributes:
        label: What is shown.
        whole: As high as that of the other columns.
        detail: DETAIL_HEIGHT high.
    """

    label: str
    whole: Image.Image
    detail: Image.Image


def kernel_tile(kernel: np.ndarray, side: int) -> np.ndarray:
    """Enlarge a kernel of values -1..1 to (side, side, 3) uint8, see :func:`coloured`."""
    return cv2.resize(coloured(kernel), (side, side), interpolation=cv2.INTER_NEAREST)


def busiest_window(sharp: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """Find top and left of the window of that size in which the photograph has most edges."""
    grey = cv2.cvtColor(sharp, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    sums = cv2.boxFilter(edges, cv2.CV_32F, (width, height), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    sums = sums[: sharp.shape[0] - height + 1, : sharp.shape[1] - width + 1]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left)


def photograph_columns(photographs: dict[str, np.ndarray], zoom: int) -> list[Column]:
    """Make the columns of a photograph's versions, with the same details of each.

    Args:
        photographs: Label -> version, (H, W, 3) uint8 RGB, all of one size, the true one last.
        zoom: How much the details are enlarged.
    """
    height, width = next(iter(photographs.values())).shape[:2]
    detail_height, detail_width = DETAIL_HEIGHT // zoom, TILE_WIDTH // zoom
    top, left = busiest_window(list(photographs.values())[-1], detail_height, detail_width)
    window = (left, top, left + detail_width, top + detail_height)
    scale = TILE_WIDTH / width
    columns = []
    for label, photograph in photographs.items():
        image = Image.fromarray(photograph)
        detail = image.crop(window).resize((TILE_WIDTH, DETAIL_HEIGHT), Image.Resampling.BICUBIC)
        whole = image.resize((TILE_WIDTH, round(height * scale)), Image.Resampling.LANCZOS)
        ImageDraw.Draw(whole).rectangle([scale * side for side in window], outline=MARK, width=2)
        columns.append(Column(label, whole, detail))
    return columns


def kernel_column(kernels: np.ndarray, height: int) -> Column:
    """Make the column of the strongest kernels, one large and four small.

    Args:
        kernels: (C, H, W), see strongest_kernels.
        height: Of the images beside the large one.
    """
    first, *others = strongest_kernels(kernels, 5)
    whole = Image.new("RGB", (TILE_WIDTH, height), PAPER)
    side = min(TILE_WIDTH, height)
    whole.paste(Image.fromarray(kernel_tile(first, side)), ((TILE_WIDTH - side) // 2, 0))
    detail = Image.new("RGB", (TILE_WIDTH, DETAIL_HEIGHT), PAPER)
    side = (DETAIL_HEIGHT - MARGIN) // 2
    left = (TILE_WIDTH - 2 * side - MARGIN) // 2
    for index, kernel in enumerate(others):
        row, column = divmod(index, 2)
        place = (left + column * (side + MARGIN), row * (side + MARGIN))
        detail.paste(Image.fromarray(kernel_tile(kernel, side)), place)
    return Column("estimated kernels", whole, detail)


def comparison_png(columns: list[Column]) -> bytes:
    """Lay out the columns from left to right, and return the bytes of a PNG."""
    detail_y = LABEL_HEIGHT + columns[0].whole.height + MARGIN
    size = (len(columns) * (TILE_WIDTH + MARGIN) + MARGIN, detail_y + DETAIL_HEIGHT + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(19)
    for index, column in enumerate(columns):
        x = MARGIN + index * (TILE_WIDTH + MARGIN)
        draw.text((x + TILE_WIDTH / 2, LABEL_HEIGHT / 2), column.label, INK, font, anchor="mm")
        sheet.paste(column.whole, (x, LABEL_HEIGHT))
        sheet.paste(column.detail, (x, detail_y))
    buffer = BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
