"""HEIC and AVIF: what they say of their image, and its pixels, decoded by other packages than OpenCV where those are.

Pillow decodes AVIFs, of which it keeps 8 bits; those of more come from OpenCV. HEICs are decoded by pi-heif, or by
pillow-heif, which is the same with an encoder.

Sources: ISO/IEC 23008-12 (HEIF), 23000-22 (MIAF), the AV1 Image File Format, ITU-T H.273 (colours).
"""

import importlib
import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import PreparationError
from deeprftv2_arch.restoring.boxes import box, boxes
from deeprftv2_arch.restoring.image_kinds import heif_bits
from deeprftv2_arch.restoring.image_losses import GAIN_MAP
from deeprftv2_arch.restoring.image_metadata import EXIF_NAME, Metadata
from deeprftv2_arch.restoring.opencv_codecs import decoded, scaled, swap_red_and_blue
from deeprftv2_arch.restoring.tiff_pixels import divided_by_alpha

_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_GAIN_MAP = b"urn:com:apple:photo:2020:aux:hdrgainmap"
_DEPTH = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth", b"urn:mpeg:hevc:2015:auxid:2")
_GAIN_MAP_ITEM = b"tmap"
# Primaries and curves of what is shown as sRGB: BT.709, BT.601, sRGB, or what is not said.
_USUAL_PRIMARIES, _USUAL_CURVES = (1, 2), (1, 2, 6, 13)
_HEAD = 2**20  # bytes in which it says what it holds
_HEIF_PACKAGES = ("pi_heif", "pillow_heif")


@dataclass(frozen=True)
class HeifDescription:
    """What a HEIC or an AVIF says of its image.

    Attributes:
        bits: Of a sample.
        colours: What a PNG's cICP says of the same values, if they are other than sRGB.
        losses: What it holds beside the image that is not read; a phrase each.
    """

    bits: int
    colours: dict[bytes, bytes]
    losses: tuple[str, ...]


def describe(data: bytes) -> HeifDescription:
    """Read what a file says of its image; what is damaged is passed over, since that is the decoder's to say."""
    meta = box(memoryview(data), b"meta")[4:]
    properties = list(boxes(box(meta, b"iprp", b"ipco")))
    colours = {}
    losses: dict[str, None] = {}
    for kind, content in properties:
        if kind == b"auxC":
            losses |= dict.fromkeys(_lost_auxiliary(bytes(content[4:]).partition(b"\0")[0]))
    if any(kind == b"infe" and bytes(content[8:12]) == _GAIN_MAP_ITEM for kind, content in _items(meta)):
        losses |= dict.fromkeys(_lost_auxiliary(_GAIN_MAP))
    for number in _of_primary(meta):
        kind, content = properties[number] if number < len(properties) else (b"", meta[:0])
        if kind == b"colr" and bytes(content[:4]) == b"nclx" and len(content) >= 8:
            primaries, curve = struct.unpack_from(">HH", content, 4)
            if (primaries not in _USUAL_PRIMARIES or curve not in _USUAL_CURVES) and max(primaries, curve) < 256:
                colours = {b"cICP": bytes([primaries, curve, 0, 1])}
    return HeifDescription(heif_bits(data[:_HEAD]), colours, tuple(losses))


def _items(meta: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    content = box(meta, b"iinf")
    return boxes(content[6:] if bytes(content[:1]) == b"\0" else content[8:])


def _lost_auxiliary(kind: bytes) -> Iterator[str]:
    if kind == _GAIN_MAP:
        yield GAIN_MAP
    elif kind in _DEPTH:
        yield "its depth map is left out"
    elif kind not in _ALPHA:
        yield "its masks and other auxiliary images are left out"


def _of_primary(meta: memoryview) -> list[int]:
    """Return the indices of the properties of the image that is shown."""
    primary, table = box(meta, b"pitm"), box(meta, b"iprp", b"ipma")
    try:
        shown = int.from_bytes(primary[4:6] if primary[0] == 0 else primary[4:8], "big")
        id_bytes, wide = (2 if table[0] == 0 else 4), table[3] & 1
        (count,) = struct.unpack_from(">I", table, 4)
        position = 8
        for _ in range(count):
            item = int.from_bytes(table[position : position + id_bytes], "big")
            position += id_bytes
            number, position = table[position], position + 1
            size = 1 + wide
            if item == shown:
                found = (table[position + size * one : position + size * (one + 1)] for one in range(number))
                return [(int.from_bytes(one, "big") & (0x7FFF if wide else 0x7F)) - 1 for one in found]
            position += size * number
    except (IndexError, struct.error):
        return []
    return []


def read_heif(data: bytes, kind: str) -> tuple[AnyImage, Metadata, int, list[str]]:
    """Read an AVIF or a HEIC.

    Args:
        data: The file.
        kind: "AVIF" or "HEIC".

    Returns:
        Pixels, uint8 or uint16; what it says of itself; its orientation by Exif, 1 to 8; what is lost, a phrase each.

    Raises:
        PreparationError: Nothing that reads it is installed, or it is damaged; the message lacks its name.
    """
    says = describe(data)
    try:
        with warnings.catch_warnings():  # what they warn of, such as many pixels, was looked at before
            warnings.simplefilter("ignore")
            image, info, orientation, frames = (_of_heic if kind == "HEIC" else _of_avif)(data, says.bits)
    except ImportError as error:
        package = "pi-heif" if kind == "HEIC" else "'pillow>=11.3'"
        raise PreparationError(f"is an image in {kind}, which needs a package more: pip install {package}") from error
    except MemoryError:
        raise
    except Exception as error:  # of whatever kind these packages meet in damaged files
        reason = "" if "<_io" in str(error) else f" ({error})"  # of Pillow, which names the object in the memory
        raise PreparationError(f"is damaged and cannot be decoded{reason}") from error
    losses = [f"the first of {frames} frames is restored"] * (frames > 1 and kind == "AVIF")
    losses += [f"the one of its {frames} images that is shown is restored"] * (frames > 1 and kind == "HEIC")
    if says.bits > 8 and image.dtype == np.uint8:
        losses.append(f"of {says.bits} bits 8 are kept")
    profile = info.get("icc_profile") or None
    exif = (info.get("exif") or b"").removeprefix(EXIF_NAME) or None
    colours = {} if profile else says.colours
    return image, Metadata(profile, exif, info.get("xmp") or None, colours), orientation, [*losses, *says.losses]


def _of_avif(data: bytes, bits: int) -> tuple[AnyImage, dict[str, Any], int, int]:
    from PIL import Image, features

    if not features.check("avif"):
        raise ImportError("Pillow was built without AVIF")
    with Image.open(io.BytesIO(data)) as opened:
        info: dict[str, Any] = {str(key): value for key, value in opened.info.items()}
        frames = int(getattr(opened, "n_frames", 1))
        orientation = int(opened.getexif().get(0x0112, 1))  # also what the file says of turning otherwise
        deep = decoded(data) if bits > 8 else None
        if deep is not None and deep.dtype == np.uint16:
            image = scaled(swap_red_and_blue(deep), bits)
        else:
            image = np.asarray(opened.convert("RGBA" if opened.has_transparency_data else "RGB"))
    return image, info, orientation, frames


def _of_heic(data: bytes, bits: int) -> tuple[AnyImage, dict[str, Any], int, int]:
    opened = _heif_package().open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    image = np.array(opened)  # a copy, since its memory goes with what was opened
    if image.dtype == np.uint16:
        np.right_shift(image, 16 - bits, out=image)
        image = scaled(image, bits)
    if opened.mode.startswith("RGBa"):
        image = divided_by_alpha(image)
    return image, dict(opened.info), 1, len(opened)  # as a decoder has to, it turns images upright


def _heif_package() -> Any:
    """Return the package that is installed.

    Raises:
        ImportError: None is.
    """
    for name in _HEIF_PACKAGES[:-1]:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return importlib.import_module(_HEIF_PACKAGES[-1])
