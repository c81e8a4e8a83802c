"""Images in files: OpenCV reads and writes them, since it alone keeps 16 bits of colour and of alpha."""

import zlib
from pathlib import Path

import cv2
import numpy as np

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.common.image_format import (
    LONGEST_PROFILE,
    Header,
    jpeg_reaches_its_end,
    jpeg_with_profile,
    png_announces_alpha,
    png_with_chunk,
    read_header,
    require_whole,
)
from deeprftv2_arch.common.image_metadata import PNG_PROFILE, colour_profile, orientation, unpacked_profile
from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError, PreparationError

# Above every camera's; an image of so many pixels takes 3 GB as float32.
MAX_PIXELS = 250_000_000
COMPRESSION = 3  # of 0 to 9, zlib's; higher ones take several times as long for some per cent
QUALITY = 95  # of JPEGs, with colours as fine as the brightness
MOST_AHEAD = 2**20  # bytes of a PNG that are searched for a transparent colour
FULL_COLOURS = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[AnyImage, bytes | None]:
    """Read a PNG or a JPEG, turned upright as its Exif data say.

    Args:
        path: The file.
        max_pixels: The most pixels that its header may announce; otherwise it is refused and not decoded.

    Returns:
        The image, uint8 or uint16 as stored: (H, W) for grey, (H, W, 3) for RGB, (H, W, 4) with alpha. And its colour
        profile for :func:`write_image`, None where it has none.

    Raises:
        DataError: The file is missing, no PNG or JPEG, damaged, or announces too many pixels.
    """
    require_file(path)
    try:
        data = path.read_bytes()
        header = read_header(data)
        require_few_pixels(path, header.height, header.width, max_pixels)
        _require_whole(data, header)
        stored = _decode(data)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except PreparationError as error:
        raise DataError(f"{path}: {error}") from error
    image = _upright(_swap_red_and_blue(stored), orientation(data, header.is_jpeg))
    return image, colour_profile(data, header.is_jpeg, is_grey=image.ndim == 2)


def require_file(path: Path) -> None:
    """Refuse what is no file, or none with an end.

    Raises:
        DataError: It is not there, or a folder, a device or a pipe.
    """
    if not path.is_file():
        raise DataError(f"{path}: {'is no regular file' if path.exists() else 'there is no such file'}")


def has_alpha(path: Path) -> bool:
    """Tell whether a file is a PNG that announces alpha ahead of its pixels; one that cannot be read does not."""
    try:
        require_file(path)
        with path.open("rb") as file:
            start = file.read(MOST_AHEAD)
    except (DataError, OSError):
        return False
    return png_announces_alpha(start)


def require_few_pixels(path: Path, height: int, width: int, max_pixels: int) -> None:
    """Refuse an image, or a frame, that announces too many pixels.

    Raises:
        DataError: It does.
    """
    if height * width > max_pixels:
        raise DataError(
            f"{path}: announces {width}x{height} pixels, and no more than {max_pixels:,} are decoded; raise that "
            "number (--max-pixels) if the file is to be trusted"
        )


def _require_whole(data: bytes, header: Header) -> None:
    if not header.is_jpeg:
        require_whole(data)
    elif not jpeg_reaches_its_end(data):
        raise PreparationError("is truncated")


def _decode(data: bytes) -> AnyImage:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise PreparationError("is damaged and cannot be decoded")
    return image


def _swap_red_and_blue(image: AnyImage) -> AnyImage:
    """RGB(A) to OpenCV's BGR(A) and back."""
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)


def _upright(image: AnyImage, stored: int) -> AnyImage:
    """Turn an image that the camera stored in one of the eight orientations of Exif."""
    if stored >= 5:
        image = image.swapaxes(0, 1)
    if stored in (2, 3, 6, 7):
        image = image[:, ::-1]
    if stored in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def write_image(path: Path, image: AnyImage, profile: bytes | None = None) -> None:
    """Write an image as PNG, or as JPEG (``.jpg``), which appears under its name when it is complete.

    Args:
        path: The file; one of this name is replaced.
        image: As :func:`read_image` returns it. In a JPEG 16 bits become 8.
        profile: Its colour profile, as that function returns it.

    Raises:
        DataError: It cannot be encoded, or is to be a JPEG and has alpha.
        WriteError: It cannot be written.
    """
    try:
        encoded = _jpeg(image, profile) if path.suffix == ".jpg" else _png(image, profile)
    except PreparationError as error:
        raise DataError(f"{path}: {error}") from error
    except cv2.error as error:
        raise DataError(f"{path}: cannot be written: {error.err}") from error
    write_atomically(path, encoded)


def _png(image: AnyImage, profile: bytes | None) -> bytes:
    encoded = _encoded(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION])
    return encoded if profile is None else png_with_chunk(encoded, PNG_PROFILE, profile)


def _jpeg(image: AnyImage, profile: bytes | None) -> bytes:
    if image.ndim == 3 and image.shape[2] == 4:
        raise PreparationError("a JPEG has no alpha; write a PNG")
    if image.dtype == np.uint16:
        image = (image / 257).round().astype(np.uint8)
    encoded = _encoded(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY, *FULL_COLOURS])
    if profile is None:
        return encoded
    try:
        return jpeg_with_profile(encoded, unpacked_profile(profile, LONGEST_PROFILE + 1))
    except zlib.error:
        return encoded


def _encoded(suffix: str, image: AnyImage, settings: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, _swap_red_and_blue(image), settings)
    if not done:
        raise PreparationError(f"an image of {image.shape[1]}x{image.shape[0]} cannot be written in this format")
    return data.tobytes()
