"""Pictures as people have them: what is read of each kind, written to each format, kept beside, and said to be lost.

Each test makes its pictures itself, by other programs than those that read them here. The tables of
docs/restore_formats.md say the same, a cell for each of these cases.
"""

import io
import logging
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, features
from PIL.PngImagePlugin import PngInfo
from restoring_helpers import noise, run_command, save_identity

from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.batch.plan import plan
from deeprftv2_arch.restoring.image_files import has_alpha, read_image, write_image
from deeprftv2_arch.restoring.image_metadata import Metadata

RGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PNG_START = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(pixels: np.ndarray, depth: int, colour: int, *chunks: bytes) -> bytes:
    """Encode rows of packed bytes as a PNG, with chunks ahead of the pixels."""
    width = pixels.shape[1] * 8 // depth // {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    header = struct.pack(">IIBBBBB", width, pixels.shape[0], depth, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    body = [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    return PNG_START + b"".join(body)


def by_pillow(image: np.ndarray, kind: str, mode: str | None = None, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).convert(mode).save(buffer, kind, **settings)
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def exif_block(order: str = ">", orientation_type: int = 3, orientation: int = 6) -> bytes:
    """Return Exif data with an orientation, as SHORT (3) or LONG (4), and the name of a camera."""
    value = struct.pack(f"{order}{'HH' if orientation_type == 3 else 'I'}", orientation, *[0] * (orientation_type == 3))
    entries = struct.pack(f"{order}HHII", 0x010F, 2, 7, 38)
    entries += struct.pack(f"{order}HHI", 0x0112, orientation_type, 1) + value
    start = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}I", 8)
    return start + struct.pack(f"{order}H", 2) + entries + bytes(4) + b"Camera\0"


# Kinds that are read


def kinds() -> dict[str, tuple[bytes, np.ndarray, int]]:
    """Return files of every kind: their bytes, their pixels, and how far a decoder may be from them."""
    colours, grey = noise(12, 17, 3), noise(12, 17)
    alpha = noise(12, 17, 4)
    kinds: dict[str, tuple[bytes, np.ndarray, int]] = {
        "a.png": (by_pillow(colours, "PNG"), colours, 0),
        "a.bmp": (by_pillow(colours, "BMP"), colours, 0),
        "grey.bmp": (by_pillow(grey, "BMP"), grey, 0),
        "a.webp": (by_pillow(colours, "WEBP", lossless=True), colours, 0),
        "alpha.webp": (by_pillow(alpha, "WEBP", lossless=True, exact=True), alpha, 0),
        "a.jp2": (by_pillow(colours, "JPEG2000"), colours, 0),
        "a.tif": (by_pillow(colours, "TIFF"), colours, 0),
        "packed.tiff": (by_pillow(colours, "TIFF", compression="tiff_lzw"), colours, 0),
        "grey.tif": (by_pillow(grey, "TIFF"), grey, 0),
        "deep grey.tif": (by_pillow(noise(12, 17, dtype=np.uint16), "TIFF"), noise(12, 17, dtype=np.uint16), 0),
        "floats.tif": (by_pillow(noise(12, 17, dtype=np.float32), "TIFF"), noise(12, 17, dtype=np.float32), 0),
        "cmyk.tif": (by_pillow(colours, "TIFF", "CMYK"), colours, 1),
    }
    kinds["alpha.tif"] = by_pillow(alpha, "TIFF"), alpha, 0
    kinds["grey alpha.tif"] = by_pillow(noise(12, 17, 2), "TIFF"), noise(12, 17, 2), 0
    buffer = io.BytesIO()
    Image.fromarray(colours).quantize(200, dither=Image.Dither.NONE).save(buffer, "GIF")
    with Image.open(io.BytesIO(buffer.getvalue())) as stored:
        kinds["a.gif"] = buffer.getvalue(), np.asarray(stored.convert("RGB")), 0
    for suffix in ("jpg", "jpeg", "jpe", "jfif", "jfi", "jif"):
        data = by_pillow(colours, "JPEG", quality=95)
        with Image.open(io.BytesIO(data)) as stored:
            kinds[f"a.{suffix}"] = data, np.asarray(stored), 3
    return kinds


KINDS = kinds()


@pytest.mark.parametrize("name", KINDS)
def test_kinds_that_are_read(tmp_path: Path, name: str) -> None:
    data, pixels, tolerance = KINDS[name]
    found = read_image(write(tmp_path / name, data)).image
    assert (found.shape, found.dtype) == (pixels.shape, pixels.dtype)
    assert np.abs(found.astype(float) - pixels).max() <= tolerance
    assert plan([str(tmp_path)], tmp_path / "out").jobs[0].source.name == name  # folders have them too
    assert not has_alpha(tmp_path / name) or pixels.shape[2:] in ((2,), (4,)) or name in ("a.gif", "a.jp2")
    assert has_alpha(tmp_path / name) or pixels.shape[2:] != (4,)


def test_sixteen_bits_of_a_tiff(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    for channels, kind in ((3, "rgb"), (4, "rgb")):
        image = noise(12, 17, channels, dtype=np.uint16)
        extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
        tifffile.imwrite(tmp_path / "deep.tif", image, photometric=kind, planarconfig="contig", **extra)
        np.testing.assert_array_equal(read_image(tmp_path / "deep.tif").image, image)


TIFFS: dict[str, tuple[int, Any, dict[str, Any]]] = {
    "grey where 0 is white": (1, np.uint16, {"photometric": "miniswhite"}),
    "grey with alpha": (2, np.uint16, {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
    "grey with alpha, packed": (
        2,
        np.uint16,
        {"photometric": "minisblack", "extrasamples": ["unassalpha"], "compression": "zlib", "predictor": 2},
    ),
    "grey with alpha, in tiles": (
        2,
        np.uint16,
        {"photometric": "minisblack", "extrasamples": ["unassalpha"], "planarconfig": "contig", "tile": (16, 16)},
    ),
    "colours stored apart": (3, np.uint16, {"photometric": "rgb", "planarconfig": "separate"}),
    "colours and alpha stored apart": (
        4,
        np.uint16,
        {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["unassalpha"]},
    ),
}


@pytest.mark.parametrize("name", TIFFS)
@pytest.mark.parametrize("order", "<>")
def test_layouts_of_a_tiff(tmp_path: Path, name: str, order: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    channels, dtype, settings = TIFFS[name]
    image = noise(12, 17, channels, dtype=dtype)[..., 0] if channels == 1 else noise(12, 17, channels, dtype=dtype)
    is_apart = settings.get("planarconfig") == "separate"
    stored = np.moveaxis(image, 2, 0) if is_apart else image
    is_white_zero = settings["photometric"] == "miniswhite"
    tifffile.imwrite(tmp_path / "a.tif", 65535 - stored if is_white_zero else stored, byteorder=order, **settings)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").image, image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_of_a_tiff_that_are_multiplied_by_their_alpha(tmp_path: Path, dtype: type) -> None:
    tifffile = pytest.importorskip("tifffile")
    image = noise(12, 17, 4, dtype=dtype)
    peak = np.iinfo(dtype).max
    image[:, :, 3] |= peak // 2 + 1  # where there is little alpha, little is left of colours
    stored = image.copy()
    stored[:, :, :3] = (image[:, :, :3] * (image[:, :, 3:] / peak)).round()
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(read_image(tmp_path / "a.tif").image.astype(int) - image).max() <= 1


@pytest.mark.parametrize(
    ("channels", "settings", "words"),
    [
        (3, {"photometric": "cielab"}, "a TIFF in CIELAB, which is not read"),
        (4, {"photometric": "separated"}, "a TIFF in CMYK of 16 bits"),
        (3, {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 5}, "in an order that is not read"),
    ],
)
def test_tiffs_that_are_not_read_are_named(tmp_path: Path, channels: int, settings: Any, words: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    image = noise(12, 17, channels, dtype=np.uint16)
    stored = np.moveaxis(image, 2, 0) if "planarconfig" in settings else image
    tifffile.imwrite(tmp_path / "a.tif", stored, **settings)
    with pytest.raises(DataError, match=words):
        read_image(tmp_path / "a.tif")


@pytest.mark.skipif(not features.check("avif"), reason="needs Pillow with AVIF")
def test_avif_by_pillow_turned_and_with_its_exif(tmp_path: Path) -> None:
    image = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    image[:8] = 20
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    write(tmp_path / "a.avif", by_pillow(image, "AVIF", quality=100, exif=exif, icc_profile=RGB_PROFILE))
    found, metadata = read_image(tmp_path / "a.avif")
    assert found.shape == (24, 16, 3)
    assert np.abs(np.rot90(image, -1).astype(int) - found).mean() < 3
    assert metadata.profile == RGB_PROFILE
    with pytest.raises(DataError, match="announces 24x16 pixels, and no more than 383"):
        read_image(tmp_path / "a.avif", max_pixels=383)


@pytest.mark.skipif(not features.check("avif"), reason="needs Pillow with AVIF")
def test_avif_with_alpha_exif_and_xmp_and_more_than_one_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = np.full((16, 24, 4), (200, 100, 50, 255), np.uint8)
    image[:8, :, 3] = 40
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    exif = b"Exif\0\0" + exif_block("<", 3, orientation=1)
    write(tmp_path / "a.avif", by_pillow(image, "AVIF", quality=100, exif=exif, xmp=xmp))
    found, metadata = read_image(tmp_path / "a.avif")
    assert found.shape == (16, 24, 4)
    assert np.abs(found[..., 3].astype(int) - image[..., 3]).mean() < 3
    assert metadata.xmp == xmp
    for target in ("b.png", "b.jpg", "b.webp"):
        write_image(tmp_path / target, found[..., :3], metadata)
        with Image.open(tmp_path / target) as stored:
            assert stored.getexif()[0x010F] == "Camera"
    assert not caplog.records
    frames = [Image.fromarray(image[..., :3]), Image.fromarray(255 - image[..., :3])]
    frames[0].save(tmp_path / "two.avif", save_all=True, append_images=frames[1:], quality=100)
    found, _ = read_image(tmp_path / "two.avif")
    assert np.abs(found.astype(int) - image[..., :3]).mean() < 3
    assert "two.avif" in caplog.text
    assert "first" in caplog.text


@pytest.mark.parametrize("channels", [(), (3,)])
def test_sixteen_bits_of_a_jpeg_2000(tmp_path: Path, channels: tuple[int, ...]) -> None:
    image = noise(80, 96, *channels, dtype=np.uint16)
    reversed_colours = image[..., ::-1] if channels else image
    lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    assert cv2.imwrite(str(tmp_path / "deep.jp2"), np.ascontiguousarray(reversed_colours), lossless)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.jp2").image, image)


def heic_header() -> bytes:
    size = struct.pack(">I4sIII", 20, b"ispe", 0, 40, 30)
    return struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1") + size + bytes(40)


def test_heic_without_its_package_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pi_heif", "pillow_heif"):
        monkeypatch.setitem(sys.modules, package, None)
    path = write(tmp_path / "phone.heic", heic_header())
    with pytest.raises(
        DataError, match=r"phone\.heic: is an image in HEIC, which needs a package more: pip install pi-"
    ):
        read_image(path)
    with pytest.raises(DataError, match="announces 40x30 pixels"):
        read_image(path, max_pixels=1199)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x76\x2f\x31\x01" + bytes(60), "is an OpenEXR image, which is not read; convert it to one of PNG, JPEG,"),
        (b"#?RADIANCE\n" + bytes(60), "is a Radiance HDR image"),
        (b"\xff\x0a" + bytes(60), "is a JPEG XL image"),
        (b"8BPS" + bytes(60), "is a Photoshop document"),
        (b"II\x2b\0" + bytes(60), "is a BigTIFF"),
        (b"IIRO" + bytes(60), "is a raw photo of a camera, which is not read"),
        (b"\0\0\0\x18ftypcrx " + bytes(60), "is a raw photo of a camera, which is not read"),
        (b"\xff\xd8\xff\xc3\0\x0b\x08\0\x10\0\x10\1\1\x11\0", "is a lossless JPEG, a kind that cannot be read here"),
        (b"\xff\xd8\xff\xf7\0\x0b\x08\0\x10\0\x10\1\1\x11\0", "is a JPEG-LS, a kind that cannot be read here"),
        (b"\xff\xd8\xff\xc5\0\x0b\x08\0\x10\0\x10\1\1\x11\0", "is a hierarchical JPEG"),
        (b"no image", "is neither a PNG nor a JPEG nor another image that is read"),
        (b"", "is empty"),
        (b"GIF89a", "has a damaged header"),
        (b"BM", "has a damaged header"),
        (b"II*\0\xff\xff\xff\xff", "has a damaged header"),
        (b"RIFF\0\0\0\0WEBPVP8L", "has a damaged header"),
        (png(np.zeros((1, 1), np.uint8), 8, 0)[:60], "is truncated"),
        (KINDS["a.gif"][0][:40], "is damaged and cannot be decoded"),
        (KINDS["a.webp"][0][:60], "is damaged and cannot be decoded"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"^{tmp_path}/a.png: {message}"):
        read_image(write(tmp_path / "a.png", data))


def test_previews_of_raw_photos_are_not_taken_for_the_photos(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    preview = {"photometric": "rgb", "subfiletype": 1, "metadata": None}
    tifffile.imwrite(tmp_path / "a.dng", noise(8, 8, 3), **preview, extratags=[(50706, 1, 4, b"\1\4\0\0", True)])
    with pytest.raises(DataError, match=r"a\.dng: is a raw photo of a camera, which is not read; develop it"):
        read_image(tmp_path / "a.dng")
    with tifffile.TiffWriter(tmp_path / "a.nef") as pages:
        pages.write(noise(8, 8, 3), **preview)
        pages.write(noise(80, 80), photometric="minisblack")
    with pytest.raises(DataError, match=r"a\.nef: begins with a small preview of another image, as raw photos do"):
        read_image(tmp_path / "a.nef")
    tifffile.imwrite(tmp_path / "alone.tif", noise(8, 8, 3), **preview)
    np.testing.assert_array_equal(read_image(tmp_path / "alone.tif").image, noise(8, 8, 3))


@pytest.mark.parametrize("mask", [0, 0xFF000000])
def test_alpha_of_a_bmp(tmp_path: Path, caplog: pytest.LogCaptureFixture, mask: int) -> None:
    image = noise(12, 17, 4)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, mask)
    head = struct.pack("<IiiHHIIiiII", 124, 17, 12, 1, 32, 3, image.nbytes, 0, 0, 0, 0) + masks
    start = struct.pack("<2sIII", b"BM", 138 + image.nbytes, 0, 138)
    path = write(tmp_path / "a.bmp", start + head.ljust(124, b"\0") + image[::-1, :, [2, 1, 0, 3]].tobytes())
    found = read_image(path).image
    np.testing.assert_array_equal(found[..., :3], image[..., :3])
    if mask:  # some versions of OpenCV read it
        assert found.shape == image.shape or "a.bmp: its transparency is lost" in caplog.text
        assert found.shape != image.shape or (np.array_equal(found, image) and caplog.text == "")
    assert has_alpha(path) == bool(mask)


def test_floats_beyond_what_is_restored_are_said_to_be_cut_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = noise(12, 17, dtype=np.float32)
    image[0, 0] = 1.25
    read_image(write(tmp_path / "a.tif", by_pillow(image, "TIFF")))
    assert caplog.messages == [f"{tmp_path}/a.tif: its values beyond 0..1 are cut off"]


def test_size_and_header_are_looked_at_before_anything_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "sparse.png", png(np.zeros((1, 1), np.uint8), 8, 0))
    os.truncate(path, 6 * 2**30)
    with pytest.raises(DataError, match="is 6,442,450,944 bytes long, far more than 1x1 pixels take"):
        read_image(path)
    for data, announced in (
        (struct.pack("<2sIII", b"BM", 0, 0, 54) + struct.pack("<IiiHHI", 40, 30_000, -30_000, 1, 24, 0), "30000x30000"),
        (b"GIF89a" + struct.pack("<HH", 40_000, 40_000) + bytes(9), "40000x40000"),
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\xff\xff\0\xff\xff\0", "65536x65536"),
    ):
        with pytest.raises(DataError, match=f"announces {announced} pixels, and no more than 250,000,000"):
            read_image(write(tmp_path / "bomb", data))
    header = struct.pack(">IIBBBBB", 2_000_000, 1, 8, 0, 0, 0, 0)
    with pytest.raises(DataError, match="is 2000000x1, and no side of more than 1,048,576 pixels is decoded"):
        read_image(write(tmp_path / "wide", PNG_START + png_chunk(b"IHDR", header) + bytes(30)))


# What is kept


@pytest.mark.parametrize(("depth", "shade", "peak"), [(8, 10, 255), (16, 2570, 65535), (4, 2, 255), (1, 1, 255)])
def test_transparent_shade_of_a_grey_png(tmp_path: Path, depth: int, shade: int, peak: int) -> None:
    values = np.full((3, 16), 0, np.uint16)
    values[1] = shade
    packed = {
        8: values.astype(np.uint8),
        16: values.astype(">u2").view(np.uint8),
        4: ((values[:, ::2] << 4) + values[:, 1::2]).astype(np.uint8),
        1: np.packbits(values.astype(np.uint8), axis=1),
    }[depth]
    path = write(tmp_path / "a.png", png(packed, depth, 0, png_chunk(b"tRNS", struct.pack(">H", shade))))
    image, metadata = read_image(path)
    assert image.shape == (3, 16, 2)
    assert np.iinfo(image.dtype).max == peak
    assert (image[:, :, 1] == [[peak], [0], [peak]]).all()
    assert image[1, 0, 0] == (shade if depth >= 8 else shade * 255 // (2**depth - 1))
    write_image(tmp_path / "b.png", image, metadata)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").image, image)
    if peak == 255:
        with Image.open(tmp_path / "b.png") as stored:
            assert stored.mode == "LA"
            np.testing.assert_array_equal(np.asarray(stored), image)


def test_grey_with_alpha_is_restored_as_such(tmp_path: Path) -> None:
    image = noise(20, 30, 2)
    write(tmp_path / "a.png", by_pillow(image, "PNG"))
    words = ("restore", tmp_path / "a.png", "-o", tmp_path / "out", "--compare")
    assert run_command(*words, "--checkpoint", save_identity(tmp_path / "net.pth")) == 0
    with Image.open(tmp_path / "out" / "a.png") as stored:
        assert stored.mode == "LA"
        np.testing.assert_array_equal(np.asarray(stored), image)


COLOURS = {
    b"gAMA": struct.pack(">I", 100_000),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    b"sRGB": b"\1",
    b"cICP": bytes([9, 16, 0, 1]),
    b"pHYs": struct.pack(">IIB", 3937, 7874, 1),
}


@pytest.mark.parametrize("kind", COLOURS)
def test_chunks_of_a_png_that_say_what_colours_mean(tmp_path: Path, kind: bytes) -> None:
    chunk = png_chunk(kind, COLOURS[kind])
    write(tmp_path / "a.png", png(noise(4, 18), 8, 2, chunk))
    write_image(tmp_path / "b.png", *read_image(tmp_path / "a.png"))
    written = (tmp_path / "b.png").read_bytes()
    assert written.count(chunk) == 1
    assert written.index(chunk) < written.index(b"IDAT")
    with Image.open(tmp_path / "b.png") as stored:  # every checksum is right
        stored.verify()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation_type", [3, 4])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_is_kept_upright(tmp_path: Path, suffix: str, order: str, orientation_type: int) -> None:
    image = np.zeros((16, 24, 3), np.uint8)
    image[:8] = 200
    exif = exif_block(order, orientation_type)
    kind = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[suffix]
    path = write(tmp_path / f"a.{suffix}", by_pillow(image, kind, quality=100, exif=b"Exif\0\0" + exif))
    found, metadata = read_image(path)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored)) if orientation_type == 3 else np.rot90(image, -1)
    assert found.shape == (24, 16, 3)
    assert np.abs(found.astype(int) - expected).max() <= 6
    assert metadata.exif == exif_block(order, orientation_type, orientation=1)
    for written in ("b.png", "b.jpg", "b.webp"):
        write_image(tmp_path / written, found, metadata)
        with Image.open(tmp_path / written) as stored:
            assert dict(stored.getexif()) == {0x010F: "Camera", 0x0112: 1}
        assert read_image(tmp_path / written).metadata.exif == metadata.exif
    assert metadata.stripped().exif is None


@pytest.mark.parametrize("order", "<>")
def test_exif_says_the_size_of_the_result_and_has_no_preview_of_the_original(tmp_path: Path, order: str) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[274], exif[271] = 6, "Camera"
    exif.get_ifd(34665).update({40962: 8, 40963: 6})
    block = bytearray(exif.tobytes().removeprefix(b"Exif\0\0"))
    end = 10 + 12 * struct.unpack_from(f"{order}H", block, 8)[0]
    struct.pack_into(f"{order}I", block, end, len(block))  # the preview, in a directory of its own
    block += struct.pack(f"{order}HHHI", 1, 259, 3, 1) + struct.pack(f"{order}HH", 6, 0) + bytes(4)
    data = by_pillow(noise(6, 8, 3), "JPEG", exif=b"Exif\0\0" + bytes(block))
    image, metadata = read_image(write(tmp_path / "a.jpg", data))
    write_image(tmp_path / "b.png", image.repeat(2, axis=0).repeat(2, axis=1), metadata)
    with Image.open(tmp_path / "b.png") as stored:
        found = stored.getexif()
        assert (found.get_ifd(34665)[40962], found.get_ifd(34665)[40963]) == stored.size == (12, 16)
        assert (found[271], found[274]) == ("Camera", 1)
    assert metadata.exif is not None
    assert len(metadata.exif) == len(block)
    assert metadata.exif[end : end + 4] == bytes(4)


@pytest.mark.parametrize("source", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("target", ["png", "jpg", "webp", "tif"])
def test_profile_and_xmp_are_kept_from_every_kind_to_every_format(tmp_path: Path, source: str, target: str) -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    write_image(tmp_path / f"a.{source}", noise(9, 11, 3), Metadata(RGB_PROFILE, xmp=xmp))
    write_image(tmp_path / f"b.{target}", *read_image(tmp_path / f"a.{source}"))
    with Image.open(tmp_path / f"b.{target}") as stored:
        assert stored.info["icc_profile"] == RGB_PROFILE
        held = stored.info.get("xmp") or stored.info.get("XML:com.adobe.xmp") or vars(stored)["tag_v2"][700]
        assert (held.encode() if isinstance(held, str) else held) == xmp


@pytest.mark.parametrize("target", ["png", "jpg", "tif"])
@pytest.mark.parametrize("source", ["png", "jpg", "tif"])
def test_density_is_kept(tmp_path: Path, source: str, target: str) -> None:
    kind = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF"}[source]
    write(tmp_path / f"a.{source}", by_pillow(noise(4, 6, 3), kind, dpi=(300, 150)))
    write_image(tmp_path / f"b.{target}", *read_image(tmp_path / f"a.{source}"))
    with Image.open(tmp_path / f"b.{target}") as stored:
        np.testing.assert_allclose([float(side) for side in stored.info["dpi"]], (300, 150), atol=0.1)


def full_exif(order: str) -> bytes:
    """Return Exif data with times, a place, and an entry of the maker, in one of the byte orders."""
    exif = Image.Exif()
    exif.endian = order
    exif[271], exif[315], exif[33432], exif[274] = "Camera", "Ann Ärmel", "(c) Ann", 6
    exif.get_ifd(34665).update({36867: "2021:02:03 04:05:06", 33434: 0.008, 37500: bytes(range(9)), 34855: 400})
    exif.get_ifd(34665)[40965] = {1: "R98"}
    exif.get_ifd(34853).update({1: "N", 2: (48.0, 8.0, 14.25), 5: b"\1"})
    return exif.tobytes().removeprefix(b"Exif\0\0")


def said_by(exif: Image.Exif) -> dict[str, dict[int, Any]]:
    """Return entries of Exif data by their directories, but those that are elsewhere in a TIFF."""
    inner = {name: dict(exif.get_ifd(tag)) for name, tag in (("Exif", 34665), ("GPS", 34853), ("R98", 40965))}
    inner["Exif"].pop(40965, None)
    return inner | {"": {tag: exif[tag] for tag in (271, 315, 33432)}}


@pytest.mark.parametrize("order", "<>")
def test_exif_is_kept_in_a_tiff_and_out_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture, order: str) -> None:
    write(tmp_path / "a.jpg", by_pillow(noise(8, 6, 3), "JPEG", exif=b"Exif\0\0" + full_exif(order)))
    with Image.open(tmp_path / "a.jpg") as source:
        expected = said_by(source.getexif())
    assert expected["Exif"][36867] == "2021:02:03 04:05:06"
    assert expected["GPS"][2] == (48.0, 8.0, 14.25)
    assert expected["R98"] == {1: "R98"}
    write_image(tmp_path / "b.tif", *read_image(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "b.tif") as stored:
        assert said_by(stored.getexif()) == expected
        assert stored.size == (8, 6)
    for target in ("c.png", "c.jpg", "c.tif"):
        write_image(tmp_path / target, *read_image(tmp_path / "b.tif"))
        with Image.open(tmp_path / target) as stored:
            assert said_by(stored.getexif()) == expected
    write_image(
        tmp_path / "d.tif", read_image(tmp_path / "b.tif").image, read_image(tmp_path / "b.tif").metadata.stripped()
    )
    assert read_image(tmp_path / "d.tif").metadata.exif is None
    assert caplog.messages == []


def test_damaged_exif_of_a_tiff_is_said_to_be_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = by_pillow(noise(8, 6, 3), "TIFF", tiffinfo={315: "Ann Someone"})
    (tmp_path / "a.tif").write_bytes(data.replace(struct.pack("<HHI", 315, 2, 12), struct.pack("<HHI", 315, 2, 2**30)))
    assert read_image(tmp_path / "a.tif").metadata.exif is None
    write_image(tmp_path / "b.tif", noise(8, 6, 3), Metadata(exif=full_exif("<")[:-30]))
    damaged, lost = caplog.messages
    assert damaged == f"{tmp_path}/a.tif: its Exif data are damaged and left out"
    assert lost == f"{tmp_path}/b.tif: its Exif data are left out, since they are damaged"


def test_what_else_a_tiff_says_is_said_to_be_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = {"tiffinfo": {33723: b"iptc", 37724: b"layers", 33550: (1.0, 1.0, 0.0)}}
    read_image(write(tmp_path / "a.tif", by_pillow(noise(8, 6, 3), "TIFF", **settings)))
    assert [message.removeprefix(f"{tmp_path}/a.tif: ") for message in caplog.messages] == [
        "its IPTC data are left out",
        "its layers are left out",
        "its place on a map is left out",
    ]


def test_density_of_a_tiff_that_lies_on_its_side(tmp_path: Path) -> None:
    data = by_pillow(noise(8, 6, 3), "TIFF", tiffinfo={274: 6, 282: 300.0, 283: 150.0, 296: 2})
    picture = read_image(write(tmp_path / "a.tif", data))
    np.testing.assert_array_equal(picture.image, np.rot90(noise(8, 6, 3), -1))
    assert picture.metadata.density == (5906, 11811, True)


# What is whole, and what is lost and said


def test_damage_beside_the_pixels_is_no_damage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pixels = noise(4, 18)
    for kind, content, checksum in (
        (b"tEXt", b"Comment\0words", 1),
        (b"iCCP", b"icc\0\0no profile", None),
        (b"iCCP", b"icc\0\0" + zlib.compress(b"\0" * 16 + b"RGB " + bytes(100)), 1),
        (b"gAMA", b"\0", None),
        (b"eXIf", b"no Exif", None),
        (b"pHYs", b"", 5),
        (b"acTL", bytes(8), 5),
    ):
        path = write(tmp_path / "a.png", png(pixels, 8, 2, png_chunk(kind, content, checksum)))
        image, metadata = read_image(path)
        np.testing.assert_array_equal(image, pixels.reshape(4, 6, 3))
        assert metadata.profile is None
    assert capfd.readouterr().err == ""
    damaged = png(pixels, 8, 2).replace(b"IDAT", b"IDAT\0", 1)
    with pytest.raises(DataError, match=r"is (damaged|truncated)"):
        read_image(write(tmp_path / "b.png", damaged))


def test_jpegs_that_lack_their_end_marker_and_those_that_lack_pixels(tmp_path: Path) -> None:
    data = by_pillow(noise(64, 48, 3), "JPEG", quality=90)
    whole = read_image(write(tmp_path / "whole.jpg", data)).image
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.jpg", data[:-2])).image, whole)
    for missing in (20, 200, 2000):
        with pytest.raises(DataError, match=r"b\.jpg: is truncated$"):
            read_image(write(tmp_path / "b.jpg", data[:-missing]))


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(noise(6, 8, 3) // 2 + 40 * number) for number in range(3)]
    if kind == "TIFF":
        frames = [frame.convert("L") for frame in frames]
    buffer = io.BytesIO()
    lossless = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], **lossless)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_first_frame_is_said_to_be_the_first(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    data = animated(kind)
    with caplog.at_level(logging.WARNING):
        image = read_image(write(tmp_path / "a", data)).image
    assert caplog.messages == [f"{tmp_path}/a: the first of 3 {'pages' if kind == 'TIFF' else 'frames'} is restored"]
    with Image.open(io.BytesIO(data)) as stored:
        np.testing.assert_array_equal(image, np.asarray(stored.convert("L" if kind == "TIFF" else "RGB")))


def test_losses_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def lines() -> str:
        text = "\n".join(caplog.messages)
        caplog.clear()
        return text

    exif = exif_block()
    write_image(tmp_path / "b.tif", noise(4, 6, 3), Metadata(exif=exif, colours={b"gAMA": COLOURS[b"gAMA"]}))
    assert lines() == f"{tmp_path}/b.tif: its gAMA is left out, which only a PNG can hold"
    write_image(tmp_path / "c.jpg", noise(4, 6, 3), Metadata(exif=exif + bytes(70_000)))
    assert "c.jpg: its Exif data are left out, too long for a JPEG" in lines()
    write_image(tmp_path / "d.webp", noise(4, 6, 3), Metadata(density=(3937, 3937, True)))
    assert "d.webp: pixels per inch are left out" in lines()
    write_image(tmp_path / "e.jpg", noise(4, 6, 3), Metadata(colours={b"sRGB": b"\0", b"gAMA": COLOURS[b"gAMA"]}))
    assert lines() == ""  # what is sRGB is taken for sRGB everywhere


def test_texts_of_a_png_are_kept_in_a_png_and_said_to_be_lost_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = PngInfo()
    said.add_text("Title", "Sea")
    said.add_itxt("Description", "Ägäis", zip=True)
    picture = read_image(write(tmp_path / "a.png", by_pillow(noise(4, 6, 3), "PNG", pnginfo=said)))
    write_image(tmp_path / "b.png", *picture)
    with Image.open(tmp_path / "b.png") as kept:
        assert kept.info == {"Title": "Sea", "Description": "Ägäis"}
    write_image(tmp_path / "c.png", picture.image, picture.metadata.stripped())
    with Image.open(tmp_path / "c.png") as kept:
        assert kept.info == {}
    assert caplog.messages == []
    write_image(tmp_path / "d.jpg", *picture)
    assert caplog.messages == [f"{tmp_path}/d.jpg: its text is left out, which only a PNG can hold"]


def test_what_a_jpeg_says_beside_is_said_to_be_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = by_pillow(noise(4, 6, 3), "JPEG", comment=b"by the sea")
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04" + bytes(4) + b"\0\x0a\x1c\x02\x78\0\x05words"
    data = data[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + data[2:]
    read_image(write(tmp_path / "a.jpg", data + b"\0\0\0\x18ftypmp42" + bytes(99) + b"\xff\xd9"))
    losses = "its comment", "its IPTC data", "the film behind it"
    assert caplog.messages == [
        f"{tmp_path}/a.jpg: {loss} {'are' if loss.endswith('data') else 'is'} left out" for loss in losses
    ]
    caplog.clear()
    read_image(write(tmp_path / "b.jpg", by_pillow(noise(4, 6), "JPEG", icc_profile=RGB_PROFILE)))
    assert "b.jpg: its colour profile is left out" in caplog.text


def test_orientation_in_xmp_is_that_of_the_upright_image(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta><a tiff:Orientation="6" b="6"/><tiff:Orientation>8</tiff:Orientation></x:xmpmeta>'
    picture = read_image(write(tmp_path / "a.jpg", by_pillow(noise(4, 6, 3), "JPEG", xmp=xmp)))
    assert picture.metadata.xmp == xmp.replace(b'n="6"', b'n="1"').replace(b">8<", b">1<")


def test_density_of_a_bmp(tmp_path: Path) -> None:
    data = by_pillow(noise(4, 6, 3), "BMP", dpi=(300, 150))
    assert read_image(write(tmp_path / "a.bmp", data)).metadata.density == (11811, 5906, True)


# What is written


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "webp", "jpg"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_formats_that_are_written(tmp_path: Path, suffix: str, dtype: type, channels: tuple[int, ...]) -> None:
    image = noise(12, 17, *channels, dtype=dtype)
    path = tmp_path / f"a.{suffix}"
    if suffix == "jpg" and channels in ((2,), (4,)):
        with pytest.raises(DataError, match=r"a\.jpg: a JPEG has no alpha; write a PNG"):
            write_image(path, image)
        return
    if channels in ((2,), (4,)):
        image[..., -1] = np.maximum(image[..., -1], np.array(200, dtype) if dtype != np.float32 else 0.8)
    write_image(path, image, quality=100)
    found = read_image(path).image
    peak = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    deep = dtype != np.uint8 and suffix not in ("jpg", "webp")
    assert found.dtype == (np.uint16 if deep else np.uint8)
    difference = np.abs(grey_as_colours(found) / np.iinfo(found.dtype).max - grey_as_colours(image) / peak).max()
    assert difference <= (0.08 if suffix == "jpg" else 1e-5 if deep else 0.0021 + 0.004 * (suffix[:3] == "tif"))


def grey_as_colours(image: np.ndarray) -> np.ndarray:
    """Return (H, W, 3), or (H, W, 4) where there is alpha, since not every format has grey."""
    if image.ndim == 2:
        return np.dstack([image] * 3)
    return image[..., [0, 0, 0, 1]] if image.shape[2] == 2 else image


def test_quality_of_a_jpeg(tmp_path: Path) -> None:
    for quality in (30, 95):
        write_image(tmp_path / f"{quality}.jpg", noise(64, 64, 3), quality=quality)
    assert (tmp_path / "30.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size / 2


def test_sides_that_a_format_does_not_hold(tmp_path: Path) -> None:
    for suffix, side in (("jpg", 65_501), ("webp", 16_384)):
        with pytest.raises(DataError, match=f"{side}x1 has a side of more than {side - 1:,} pixels; write a PNG"):
            write_image(tmp_path / f"a.{suffix}", np.zeros((1, side), np.uint8))


CORRUPT = """\
import sys
from deeprftv2_arch.restoring.image_files import read_image, silence_image_decoders
from pathlib import Path
silence_image_decoders()
for name in sys.argv[1:]:
    try:
        read_image(Path(name))
    except Exception as error:
        print(error)
"""


@pytest.mark.slow
def test_no_line_of_a_decoder_beside_ours(tmp_path: Path) -> None:
    jpeg = bytearray(by_pillow(noise(64, 48, 3), "JPEG"))
    jpeg[-200:-150] = bytes(50)
    files = [
        write(tmp_path / "a.jpg", bytes(jpeg)),
        write(tmp_path / "b.jpg", bytes(jpeg[:-300])),
        write(tmp_path / "c.tif", KINDS["packed.tiff"][0][:-400]),
        write(tmp_path / "d.png", png(noise(4, 18)[:2], 8, 2, png_chunk(b"iCCP", b"no profile"))),
        write(tmp_path / "e.webp", KINDS["a.webp"][0][:60]),
    ]
    run = subprocess.run(
        [sys.executable, "-c", CORRUPT, *map(str, files)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    assert all(line.startswith(str(tmp_path)) for line in run.stdout.splitlines())
