"""Images in files: the one door through which any image is read, and the formats that are written.

OpenCV decodes and encodes, since it alone keeps 16 bits of colour and of alpha; what it does not do with metadata, grey
with alpha and damaged files is done here. AVIF and HEIC are read by Pillow, where it is.
"""

import io
import logging
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import cv2
import numpy as np

from deeprftv2_arch.common import tiff_directory
from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.common.image_bytes import require_fitting_size
from deeprftv2_arch.common.image_format import (
    PNG_SIGNATURE,
    jpeg_reaches_its_end,
    jpeg_segments,
    pixels_of_png,
    png_announces_alpha,
    png_chunk,
    png_chunks,
    require_whole,
)
from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError, PreparationError
from deeprftv2_arch.restoring.image_kinds import Announced, announced, frame_count
from deeprftv2_arch.restoring.image_metadata import (
    NOTHING,
    Metadata,
    checked,
    jpeg_with_metadata,
    losses_of,
    lost_outside_of_png,
    png_with_metadata,
    read_metadata,
    tiff_with_metadata,
)
from deeprftv2_arch.restoring.marks import Mark, marked
from deeprftv2_arch.restoring.tiff_pixels import decode_tiff

# Above every camera's; an image of so many pixels takes 3 GB as float32.
MAX_PIXELS = 250_000_000
LONGEST_SIDE = 2**20  # pixels that OpenCV decodes
COMPRESSION = 3  # of 0 to 9, zlib's; higher ones take several times as long for some per cent
QUALITY = 95  # of JPEGs, with colours as fine as the brightness, and of WebPs
MOST_AHEAD = 2**20  # bytes of a file that are searched for alpha
FULL_COLOURS = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
LOSSLESS = 101  # WebP's quality in OpenCV's terms
_DEFLATE = 8  # TIFF's compression
_PROGRESSIVE = (0xC2, 0xCA)  # frames of JPEGs that come in several scans
_END_OF_JPEG = b"\xff\xd9"
_SOME_PIXELS = b"\x5a" * 64  # bytes that mean something to every decoder of JPEGs
_COMMON_TYPES = (np.uint8, np.uint16, np.float32, np.float64)

logger = logging.getLogger(__name__)
_quiet = False


class Picture(NamedTuple):
    """An image from a file.

    Attributes:
        image: uint8 or uint16 as stored, or float32: (H, W) for grey, (H, W, 2) for grey with alpha, (H, W, 3) for RGB,
            (H, W, 4) for RGB with alpha.
        metadata: What :func:`write_image` keeps beside.
    """

    image: AnyImage
    metadata: Metadata


def read_image(
    path: Path, max_pixels: int = MAX_PIXELS, admit: Callable[[Path, Announced, int], None] | None = None
) -> Picture:
    """Read an image of any kind, turned upright as its Exif data say.

    What is not read of the file, such as all frames but the first, a line of the log says.

    Args:
        path: The file.
        max_pixels: The most pixels that its header may announce; otherwise it is refused and not decoded.
        admit: Raises DataError for what its header announces, or its size in bytes, before it is read.

    Raises:
        DataError: The file is missing, no image of a kind that is read, damaged, or announces too many pixels.
    """
    require_file(path)
    try:
        data, says = _read_file(path, max_pixels, admit)
        if says.kind in ("AVIF", "HEIC"):
            return _read_by_pillow(path, data, says.kind)
        if says.kind == "PNG":
            require_whole(data)
        image = _decode(_whole_jpeg(data) if says.kind == "JPEG" else data, says)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except PreparationError as error:
        raise DataError(f"{path}: {error}") from error
    metadata, orientation = read_metadata(data, says.kind, is_grey=image.ndim == 2 or image.shape[2] == 2)
    for loss in (*_losses(data, says), *losses_of(data, says.kind, metadata)):
        logger.warning("%s: %s", path, loss)
    return Picture(_upright(image, orientation), metadata)


def require_file(path: Path) -> None:
    """Refuse what is no file, or none with an end.

    Raises:
        DataError: It is not there, or a folder, a device or a pipe.
    """
    if not path.is_file():
        raise DataError(f"{path}: {'is no regular file' if path.exists() else 'there is no such file'}")


def has_alpha(path: Path) -> bool:
    """Tell whether a file announces alpha ahead of its pixels; one that cannot be read does not."""
    try:
        require_file(path)
        with _mapped(path) as view:
            says = announced(view)
            start = bytes(view[:MOST_AHEAD])
            page = next(tiff_directory.directories(view), None)
            samples = page.number(277, 1) if page else 1
    except (DataError, PreparationError, OSError, ValueError, struct.error):  # an empty file cannot be mapped
        return False
    if says.kind == "PNG":
        return png_announces_alpha(start)
    if says.kind == "WebP":
        flags = {b"VP8X": start[20], b"VP8L": start[24]}.get(start[12:16], 0)
        return bool(flags & 0x10)
    if says.kind == "TIFF":
        return samples in (2, 4) and not says.has_dead_alpha
    return says.kind in ("GIF", "AVIF", "HEIC", "JPEG 2000")  # which may have


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


def silence_image_decoders() -> None:
    """Keep decoders of images from writing to the terminal what the errors here say in a line; for commands.

    What other threads write to the terminal during a decoder's work is lost with it.
    """
    global _quiet
    _quiet = True


@contextmanager
def _in_silence() -> Iterator[None]:
    """Send what a library in C writes to the terminal nowhere, if a command has asked for that."""
    if not _quiet:
        yield
        return
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _read_file(
    path: Path, max_pixels: int, admit: Callable[[Path, Announced, int], None] | None
) -> tuple[bytes, Announced]:
    """Look at a file's size and header, and read it if they are as they may be."""
    size = path.stat().st_size
    if not size:
        raise PreparationError("is empty")
    with _mapped(path) as view:
        says = announced(view)
    require_few_pixels(path, says.height, says.width, max_pixels)
    if not says.height or not says.width:
        raise PreparationError("has a damaged header: it announces no pixels")
    if max(says.height, says.width) > LONGEST_SIDE:
        raise PreparationError(
            f"is {says.width}x{says.height}, and no side of more than {LONGEST_SIDE:,} pixels is decoded; cut it"
        )
    require_fitting_size(size, says.height, says.width)
    if admit is not None:
        admit(path, says, size)
    return path.read_bytes(), says


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """Give a file's bytes without reading them, so that a header may be looked at wherever it lies."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        yield view


def _whole_jpeg(data: bytes) -> bytes:
    """Return a JPEG with its end marker, without which some programs leave those whose pixels are all there.

    Raises:
        PreparationError: Pixels are missing.
    """
    if jpeg_reaches_its_end(data):
        return data
    if not any(marker in _PROGRESSIVE for marker, _ in jpeg_segments(data)):
        # What follows the last pixel is passed over; what follows a missing one is taken for it.
        ended, continued = (
            _decoded(data + more + _END_OF_JPEG) for more in (b"", _SOME_PIXELS * (1 + len(data) // 4096))
        )
        if ended is not None and continued is not None and np.array_equal(ended, continued):
            return data + _END_OF_JPEG
    raise PreparationError("is truncated")


def _decoded(data: bytes) -> AnyImage | None:
    with _in_silence():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return None
    return cast("AnyImage | None", image)


def _decode(data: bytes, says: Announced) -> AnyImage:
    """Decode a whole file as :class:`Picture` says."""
    if says.kind == "TIFF":
        image = decode_tiff(data, _decoded)
    else:
        image = _decoded(pixels_of_png(data) if says.kind == "PNG" else data)
    if image is None:
        raise PreparationError("is damaged and cannot be decoded, or of a variant that is not read; save it as a PNG")
    if image.dtype not in _COMMON_TYPES:
        raise PreparationError(f"has samples of type {image.dtype}; save it with 8 or 16 bits or as floats in 0..1")
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    image = _swap_red_and_blue(image)
    if says.kind == "PNG":
        return _with_grey_alpha(image, data)
    is_alpha_dead = says.has_dead_alpha or (says.kind == "GIF" and image.ndim == 3 and (image[..., 3:] == 255).all())
    if image.ndim == 3 and image.shape[2] == 4 and is_alpha_dead:
        return np.ascontiguousarray(image[:, :, :3])
    return image


def _with_grey_alpha(image: AnyImage, png: bytes) -> AnyImage:
    """Give grey and alpha to what OpenCV has decoded as colours, or without the shade that is transparent."""
    depth, colour = png[24], png[25]
    if colour == 4:
        return np.ascontiguousarray(image[:, :, [0, 3]])
    shade = next((content for kind, content in png_chunks(png) if kind == b"tRNS"), b"")
    if colour != 0 or len(shade) != 2:
        return image
    grey = image if image.ndim == 2 else image[:, :, 0]
    peak = int(np.iinfo(grey.dtype).max)
    transparent = int.from_bytes(shade, "big") * (peak if depth < 8 else 1) // (2**depth - 1 if depth < 8 else 1)
    return np.dstack([grey, np.where(grey == transparent, 0, peak).astype(grey.dtype)])


def _losses(data: bytes, says: Announced) -> Iterator[str]:
    """Say what of a file is not in what is read of it."""
    frames = frame_count(data, says.kind)
    if frames > 1:
        yield f"the first of {frames} {'pages' if says.kind == 'TIFF' else 'frames'} is restored"
    if says.loses_alpha:
        yield "its transparency is lost, which is not read from this kind; save it as a PNG"
    if says.kind == "TIFF":
        page = next(tiff_directory.directories(memoryview(data)))
        if tiff_directory.EXIF in page.entries:
            yield "its Exif data are lost, which are not read from a TIFF"


def _read_by_pillow(path: Path, data: bytes, kind: str) -> Picture:
    """Read an AVIF or a HEIC.

    Raises:
        PreparationError: Nothing that reads it is installed, or it is damaged.
    """
    package = "pi-heif" if kind == "HEIC" else "'pillow>=11.3'"
    try:
        from PIL import Image, ImageOps, features

        if kind == "HEIC":
            import pi_heif

            pi_heif.register_heif_opener()
        elif not features.check("avif"):
            raise ImportError("Pillow was built without AVIF")
    except ImportError as error:
        raise PreparationError(f"is an image in {kind}, which needs a package more: pip install {package}") from error
    try:
        with Image.open(io.BytesIO(data)) as opened:
            frames = getattr(opened, "n_frames", 1)
            info = dict(opened.info)
            image = np.asarray(
                ImageOps.exif_transpose(opened).convert("RGBA" if opened.has_transparency_data else "RGB")
            )
    except (OSError, ValueError, SyntaxError, RuntimeError) as error:
        raise PreparationError(f"is damaged and cannot be decoded ({error})") from error
    if frames > 1:
        logger.warning("%s: the first of %d frames is restored", path, frames)
    exif = (info.get("exif") or b"").removeprefix(b"Exif\0\0")
    metadata = Metadata(info.get("icc_profile") or None, exif or None, info.get("xmp") or None)
    return Picture(image, checked(metadata, is_grey=False))


def _swap_red_and_blue(image: AnyImage) -> AnyImage:
    """RGB(A) to OpenCV's BGR(A) and back; grey stays, be it with alpha."""
    if image.ndim == 2 or image.shape[2] == 2:
        return image
    return cast(AnyImage, cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA))


def _upright(image: AnyImage, stored: int) -> AnyImage:
    """Turn an image that the camera stored in one of the eight orientations of Exif."""
    if stored >= 5:
        image = image.swapaxes(0, 1)
    if stored in (2, 3, 6, 7):
        image = image[:, ::-1]
    if stored in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def write_image(
    path: Path, image: AnyImage, metadata: Metadata = NOTHING, quality: int = QUALITY, mark: Mark | None = None
) -> None:
    """Write an image in the format of its name (see ``WRITTEN``), which appears when it is complete.

    What a format cannot hold of the metadata, a line of the log says.

    Args:
        path: The file; one of this name is replaced.
        image: As :func:`read_image` returns it. In a JPEG or a WebP 16 bits become 8; floats become 16 bits.
        metadata: What it says about itself, as that function returns it.
        quality: Of a JPEG or a WebP, 1 to 100; at 100 a WebP loses nothing.
        mark: Of what and by what it was made, if it is to say so.

    Raises:
        DataError: It cannot be encoded, or is to be a JPEG and has alpha.
        WriteError: It cannot be written.
    """
    write = _WRITERS[path.suffix.lower()]
    try:
        require_writable(path, image.shape[0], image.shape[1], image.ndim == 3 and image.shape[2] in (2, 4))
        if np.issubdtype(image.dtype, np.floating):
            image = (image.clip(0, 1) * 65535).round().astype(np.uint16)
        encoded = write(path, image, metadata, quality)
    except PreparationError as error:
        raise DataError(f"{path}: {error}") from error
    except cv2.error as error:
        raise DataError(f"{path}: cannot be written: {error.err}") from error
    if write is not _png:
        for chunk in lost_outside_of_png(metadata):
            logger.warning("%s: its %s is left out, which only a PNG can hold", path, chunk)
    write_atomically(path, marked(encoded, path.suffix, mark))


def require_writable(path: Path, height: int, width: int, has_alpha: bool) -> None:
    """Refuse an image that the format of a name cannot hold.

    Raises:
        DataError: A side is too long, or there is alpha and the name is a JPEG's.
    """
    if has_alpha and _WRITERS[path.suffix.lower()] is _jpeg:
        raise DataError(f"{path}: a JPEG has no alpha; write a PNG")
    most = _LONGEST_SIDES.get(path.suffix.lower(), LONGEST_SIDE)
    if max(height, width) > most:
        raise DataError(f"{path}: an image of {width}x{height} has a side of more than {most:,} pixels; write a PNG")


def _png(path: Path, image: AnyImage, metadata: Metadata, quality: int) -> bytes:
    if image.ndim == 3 and image.shape[2] == 2:
        encoded = _grey_alpha_png(image)
    else:
        encoded = _encoded(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION])
    return png_with_metadata(encoded, metadata)


def _grey_alpha_png(image: AnyImage) -> bytes:
    """Encode (H, W, 2), which OpenCV has no PNG for; every row is stored as its difference from the one above."""
    height, width = image.shape[:2]
    rows = image.astype(image.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    rows = np.concatenate([rows[:1], rows[1:] - rows[:-1]])
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), rows], axis=1)
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = size + bytes([8 * image.dtype.itemsize, 4, 0, 0, 0])
    pixels = zlib.compress(filtered.tobytes(), COMPRESSION)
    return PNG_SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def _jpeg(path: Path, image: AnyImage, metadata: Metadata, quality: int) -> bytes:
    encoded = _encoded(".jpg", _of_bytes(image), [cv2.IMWRITE_JPEG_QUALITY, quality, *FULL_COLOURS])
    return jpeg_with_metadata(encoded, metadata, path)


def _webp(path: Path, image: AnyImage, metadata: Metadata, quality: int) -> bytes:
    known = {
        cv2.IMAGE_METADATA_ICCP: metadata.profile if image.ndim == 3 and image.shape[2] > 2 else None,
        cv2.IMAGE_METADATA_EXIF: metadata.exif,
        cv2.IMAGE_METADATA_XMP: metadata.xmp,
    }
    if metadata.profile is not None and known[cv2.IMAGE_METADATA_ICCP] is None:
        logger.warning("%s: its colour profile is left out, since a WebP has colours and the profile is of greys", path)
    if metadata.density is not None:
        logger.warning("%s: pixels per inch are left out, which a WebP cannot hold", path)
    blocks = {kind: np.frombuffer(content, np.uint8)[None] for kind, content in known.items() if content is not None}
    settings = [cv2.IMWRITE_WEBP_QUALITY, LOSSLESS if quality == 100 else quality]
    with _in_silence():
        done, data = cv2.imencodeWithMetadata(
            ".webp", _swap_red_and_blue(_coloured(_of_bytes(image))), list(blocks), list(blocks.values()), settings
        )
    return _bytes_of(done, data, image)


def _tiff(path: Path, image: AnyImage, metadata: Metadata, quality: int) -> bytes:
    if image.ndim == 3 and image.shape[2] == 2:
        image = _coloured(image)
    encoded = _encoded(".tiff", image, [cv2.IMWRITE_TIFF_COMPRESSION, _DEFLATE])
    return tiff_with_metadata(encoded, metadata, path, has_alpha=image.ndim == 3 and image.shape[2] == 4)


# The names by which formats are chosen, and what writes them.
_WRITERS: dict[str, Callable[[Path, AnyImage, Metadata, int], bytes]] = {
    ".png": _png,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _webp,
    ".tif": _tiff,
    ".tiff": _tiff,
}
WRITTEN = tuple(_WRITERS)
_LONGEST_SIDES = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}  # pixels


def _of_bytes(image: AnyImage) -> AnyImage:
    return (image / 257).round().astype(np.uint8) if image.dtype == np.uint16 else image


def _coloured(image: AnyImage) -> AnyImage:
    """Return grey, or grey with alpha, as colours."""
    if image.ndim == 2:
        return np.dstack([image] * 3)
    return image[:, :, [0, 0, 0, 1]] if image.shape[2] == 2 else image


def _encoded(suffix: str, image: AnyImage, settings: list[int]) -> bytes:
    with _in_silence():
        done, data = cv2.imencode(suffix, _swap_red_and_blue(image), settings)
    return _bytes_of(done, data, image)


def _bytes_of(done: bool, data: AnyImage, image: AnyImage) -> bytes:
    if not done:
        raise PreparationError(f"an image of {image.shape[1]}x{image.shape[0]} cannot be written in this format")
    return data.tobytes()
