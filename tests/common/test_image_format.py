"""PNG and JPEG as files: headers, parts, wholeness."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from deeprftv2_arch.common.image_format import (
    LONGEST_PROFILE,
    Header,
    is_plain_jpeg,
    is_plain_png,
    jpeg_reaches_its_end,
    jpeg_segments,
    jpeg_with_profile,
    png_announces_alpha,
    png_chunks,
    png_with_chunk,
    read_header,
    require_whole,
)
from deeprftv2_arch.errors import PreparationError


def encoded(mode: str, kind: str, dtype: type = np.uint8, **settings: object) -> bytes:
    """Encode 5x7 pixels by Pillow, or 16 bits of colour by OpenCV."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (7, 5, channels), dtype, endpoint=True)
    if dtype == np.uint16:
        return bytes(cv2.imencode(".png", pixels)[1])
    buffer = io.BytesIO()
    image = Image.fromarray(pixels.squeeze(), "L" if mode in ("P", "1") else mode)
    image.convert(mode).save(buffer, kind, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (encoded("RGB", "PNG"), Header(7, 5, 3, 8)),
        (encoded("RGB", "PNG", np.uint16), Header(7, 5, 3, 16)),
        (encoded("RGBA", "PNG"), Header(7, 5, 4, 8)),
        (encoded("LA", "PNG"), Header(7, 5, 2, 8)),
        (encoded("L", "PNG"), Header(7, 5, 1, 8)),
        (encoded("P", "PNG"), Header(7, 5, 3, 8)),
        (encoded("1", "PNG"), Header(7, 5, 1, 8)),
        (encoded("RGB", "JPEG"), Header(7, 5, 3, 8, is_jpeg=True)),
        (encoded("RGB", "JPEG", progressive=True), Header(7, 5, 3, 8, is_jpeg=True)),
        (encoded("L", "JPEG"), Header(7, 5, 1, 8, is_jpeg=True)),
        (encoded("CMYK", "JPEG"), Header(7, 5, 4, 8, is_jpeg=True)),
    ],
)
def test_header(data: bytes, header: Header) -> None:
    assert read_header(data) == read_header(memoryview(data)) == header
    assert str(header) == "5x7"
    require_whole(data)
    is_plain = header.channels == 3 and data[25:26] != b"\x03"
    assert (is_plain_jpeg(data) if header.is_jpeg else is_plain_png(data)) == is_plain


def test_first_bytes_of_a_png_are_enough_and_fewer_are_refused() -> None:
    data = encoded("RGB", "PNG")
    assert read_header(data[:33]) == Header(7, 5, 3, 8)
    for start, message in (
        (data[:32], "its header is damaged"),
        (b"GIF89a", "neither a PNG nor a JPEG"),
        (b"", "empty"),
    ):
        with pytest.raises(PreparationError, match=message):
            read_header(start)


def test_jpeg_header_stands_behind_other_segments_markers_without_content_and_fill() -> None:
    data = encoded("RGB", "JPEG", exif=b"Exif\0\0" + bytes(300))
    stuffed = data[:2] + b"\xff\x01" + b"\xff\xff\xff" + data[2:]
    assert read_header(stuffed) == read_header(data) == Header(7, 5, 3, 8, is_jpeg=True)
    assert list(jpeg_segments(stuffed)) == list(jpeg_segments(data))
    assert jpeg_reaches_its_end(stuffed)


@pytest.mark.parametrize("length", [2, 20, 158, 163])
def test_jpeg_that_ends_ahead_of_its_frame_is_refused(length: int) -> None:
    data = encoded("RGB", "JPEG")
    assert data.index(b"\xff\xc0") == 158
    with pytest.raises(PreparationError, match="without a frame header, or is truncated"):
        read_header(data[:length])


def test_whole_and_not() -> None:
    png, jpeg = encoded("RGB", "PNG"), encoded("RGB", "JPEG")
    require_whole(jpeg + bytes(16))  # padded
    for cut in (png[:-1], png[:-12], png[:40]):
        with pytest.raises(PreparationError, match=f"is truncated after {len(cut)} bytes"):
            require_whole(cut)
    damaged = bytearray(png)
    damaged[45] ^= 1
    with pytest.raises(PreparationError, match=r"is damaged \(checksum of chunk IDAT at byte 33\)"):
        require_whole(bytes(damaged))
    with pytest.raises(PreparationError, match=r"is truncated \(no end marker\)"):
        require_whole(jpeg[:-1])
    assert jpeg_reaches_its_end(jpeg)
    assert jpeg_reaches_its_end(jpeg + b"a short film")
    assert not jpeg_reaches_its_end(jpeg[:-2])


def test_chunk_is_added_behind_the_header_and_read_by_others() -> None:
    data = png_with_chunk(encoded("RGB", "PNG"), b"gAMA", struct.pack(">I", 45_455))
    require_whole(data)
    kinds = [kind for kind, _ in png_chunks(data)]
    assert kinds[:2] == [b"IHDR", b"gAMA"]
    assert kinds[-1] == b"IEND"
    assert dict(png_chunks(data))[b"gAMA"] == struct.pack(">I", 45_455)
    assert Image.open(io.BytesIO(data)).info["gamma"] == 0.45455


def test_alpha_that_a_png_announces() -> None:
    announced = {mode: png_announces_alpha(encoded(mode, "PNG")) for mode in ("L", "LA", "RGB", "RGBA", "P")}
    assert announced == {"L": False, "LA": True, "RGB": False, "RGBA": True, "P": False}
    assert png_announces_alpha(encoded("RGB", "PNG", transparency=(1, 2, 3)))
    assert not png_announces_alpha(encoded("RGB", "JPEG"))
    assert not png_announces_alpha(png_with_chunk(encoded("RGB", "PNG"), b"zTXt", b"a\0\0" + zlib.compress(b"tRN")))


@pytest.mark.parametrize("size", [1, 65_519, 65_520, 200_000])
def test_profile_of_a_jpeg_is_read_by_others(size: int) -> None:
    profile = np.random.default_rng(size).bytes(size)
    data = jpeg_with_profile(encoded("RGB", "JPEG"), profile)
    assert jpeg_reaches_its_end(data)
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == profile


def test_longest_profile_of_a_jpeg() -> None:
    data = encoded("RGB", "JPEG")
    longest = jpeg_with_profile(data, bytes(LONGEST_PROFILE))
    assert Image.open(io.BytesIO(longest)).info["icc_profile"] == bytes(LONGEST_PROFILE)
    assert jpeg_with_profile(data, bytes(LONGEST_PROFILE + 1)) == data
