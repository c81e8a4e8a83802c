"""HEIC, AVIF and JPEG 2000 as phones, cameras and scanners write them, and what JPEGs hold behind their image.

HEICs are written by pillow-heif; where that is missing, their tests are left out.
"""

import io
import logging
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, features
from PIL.PngImagePlugin import PngInfo
from restoring_helpers import noise

from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.boxes import box, boxes
from deeprftv2_arch.restoring.heif import describe
from deeprftv2_arch.restoring.image_files import Picture, read_image, write_image

RGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
SLOPE = np.linspace(0, 65535, 64).astype(np.uint16)
AVIF = pytest.mark.skipif(not features.check("avif"), reason="needs Pillow with AVIF")


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Camera"
    return exif.tobytes()


def corner(channels: int = 3) -> np.ndarray:
    """Return an image of which every turned or mirrored version is another one."""
    image = np.full((32, 64, channels), 60, np.uint8)
    image[:8, :, :3] = 220
    image[:, :8, 0] = 200
    return image


def written(tmp_path: Path, name: str, image: np.ndarray, **settings: Any) -> Path:
    kind = "HEIF" if name.endswith("heic") else "AVIF"
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, quality=100, **settings)
    (tmp_path / name).write_bytes(buffer.getvalue())
    return tmp_path / name


def read(path: Path, caplog: pytest.LogCaptureFixture) -> tuple[Picture, str]:
    """Read an image; return it, and what was said."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        picture = read_image(path)
    return picture, "\n".join(message.removeprefix(f"{path}: ") for message in caplog.messages)


# HEIC and AVIF


@pytest.mark.parametrize("name", ["a.heic", pytest.param("a.avif", marks=AVIF)])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_heif_is_upright_with_all_that_it_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, orientation: int
) -> None:
    settings = {"exif": exif_of(orientation), "icc_profile": RGB_PROFILE, "xmp": XMP}
    picture, said = read(written(tmp_path, name, corner(), **settings), caplog)
    source = Image.fromarray(corner())
    source.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(source))
    assert picture.image.shape == upright.shape
    assert picture.image.dtype == np.uint8
    assert np.abs(picture.image.astype(int) - upright).mean() < 2
    assert (picture.metadata.profile, picture.metadata.xmp, said) == (RGB_PROFILE, XMP, "")
    write_image(tmp_path / "b.jpg", *picture)
    with Image.open(tmp_path / "b.jpg") as stored:
        assert {0x0112: 1, **stored.getexif()} == {0x010F: "Camera", 0x0112: 1}


def test_alpha_and_grey_of_a_heic(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = corner(4)
    image[..., 3] = 99
    picture, _ = read(written(tmp_path, "alpha.heic", image), caplog)
    assert np.abs(picture.image.astype(int) - image).mean() < 2
    picture, _ = read(written(tmp_path, "grey.heic", corner()[..., 0]), caplog)
    assert picture.image.shape == (32, 64)


def test_of_many_images_of_a_heic_the_one_that_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    others = {"save_all": True, "append_images": [Image.fromarray(255 - corner())], "primary_index": 1}
    picture, said = read(written(tmp_path, "two.heic", corner(), **others), caplog)
    assert said == "the one of its 2 images that is shown is restored"
    assert np.abs(picture.image.astype(int) - (255 - corner())).mean() < 2


@pytest.mark.parametrize("package", ["pi_heif", "pillow_heif"])
def test_either_package_reads_heic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    path = written(tmp_path, "a.heic", corner())
    pytest.importorskip(package)
    monkeypatch.setitem(sys.modules, ({"pi_heif", "pillow_heif"} - {package}).pop(), None)
    assert np.abs(read_image(path).image.astype(int) - corner()).mean() < 2


def deep(name: str, colours: tuple[int, int]) -> bytes:
    """Return an image of 10 bits in which every column is lighter, of certain primaries and curve."""
    image = np.tile(SLOPE[:, None], (32, 1, 3))
    if name.endswith("avif"):
        settings = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100]
        done, data = cv2.imencode(".avif", image >> 6, settings)
        assert done
        before, after = (b"nclx" + struct.pack(">HH", *tags) for tags in ((2, 2), colours))
        return data.tobytes().replace(before, after)
    packed = pytest.importorskip("pillow_heif").from_bytes(mode="RGB;16", size=(64, 32), data=image.tobytes())
    buffer = io.BytesIO()
    tags = {"color_primaries": colours[0], "transfer_characteristics": colours[1], "matrix_coefficients": 9}
    packed.save(buffer, quality=-1, full_range_flag=1, **tags)
    return buffer.getvalue()


@pytest.mark.skipif(not cv2.haveImageWriter("x.avif"), reason="needs OpenCV with AVIF")
@pytest.mark.parametrize("name", ["a.heic", pytest.param("a.avif", marks=AVIF)])
@pytest.mark.parametrize("curve", [16, 18], ids=["PQ", "HLG"])
def test_ten_bits_and_colours_of_hdr(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, curve: int) -> None:
    (tmp_path / name).write_bytes(deep(name, (9, curve)))
    (image, metadata), said = read(tmp_path / name, caplog)
    assert said == ""
    assert image.dtype == np.uint16
    assert np.abs(image[16].astype(int) - SLOPE[:, None]).max() <= 3 * 64  # of 64 for a step of 10 bits
    assert len(np.unique(image[16])) > 60
    assert metadata.colours == {b"cICP": bytes([9, curve, 0, 1])}
    write_image(tmp_path / "b.png", image, metadata)
    assert b"cICP" + bytes([9, curve, 0, 1]) in (tmp_path / "b.png").read_bytes()
    caplog.clear()
    write_image(tmp_path / "b.tif", image, metadata)
    assert "b.tif: its cICP is left out, which only a PNG can hold" in caplog.text


@AVIF
def test_ten_bits_of_an_avif_that_opencv_does_not_read_are_said_to_be_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.avif").write_bytes(deep("a.avif", (2, 2)))
    monkeypatch.setattr("deeprftv2_arch.restoring.heif.decoded", lambda data: None)
    (image, metadata), said = read(tmp_path / "a.avif", caplog)
    assert image.dtype == np.uint8
    assert said == "of 10 bits 8 are kept"
    assert metadata.colours == {}


def packed(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


@pytest.mark.parametrize(
    ("auxiliary", "said"),
    [
        (b"urn:com:apple:photo:2020:aux:hdrgainmap", ("its gain map, for the brightness of HDR screens, is left out",)),
        (b"urn:mpeg:hevc:2015:auxid:2", ("its depth map is left out",)),
        (b"urn:com:apple:photo:2019:aux:semanticskinmatte", ("its masks and other auxiliary images are left out",)),
        (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", ()),
    ],
)
def test_images_beside_that_of_a_heif_are_said_to_be_lost(auxiliary: bytes, said: tuple[str, ...]) -> None:
    properties = packed(b"ipco", packed(b"auxC", bytes(4) + auxiliary + b"\0"))
    assert describe(packed(b"meta", bytes(4) + packed(b"iprp", properties))).losses == said


def test_gain_map_of_an_avif_is_said_to_be_lost() -> None:
    item = packed(b"infe", bytes([2, 0, 0, 0, 0, 2, 0, 0]) + b"tmap\0")
    data = packed(b"ftyp", b"avif") + packed(b"meta", bytes(4) + packed(b"iinf", bytes(5) + b"\1" + item))
    assert describe(data).losses == ("its gain map, for the brightness of HDR screens, is left out",)


@pytest.mark.parametrize("length", range(0, 400, 40))
def test_damaged_headers_of_a_heif_are_one_line(tmp_path: Path, length: int) -> None:
    data = deep("a.avif", (9, 16)) if cv2.haveImageWriter("x.avif") else b""
    path = tmp_path / "a.avif"
    path.write_bytes(data[:length])
    with pytest.raises(DataError, match=r"a\.avif: "):
        read_image(path)


def test_boxes_that_are_torn_or_long() -> None:
    long = struct.pack(">I4sQ", 1, b"long", 20) + b"4444"
    to_end = struct.pack(">I4s", 0, b"last") + b"rest"
    assert [(kind, bytes(content)) for kind, content in boxes(memoryview(long + to_end))] == [
        (b"long", b"4444"),
        (b"last", b"rest"),
    ]
    assert list(boxes(memoryview(struct.pack(">I4s", 100, b"torn")))) == []
    assert list(boxes(memoryview(struct.pack(">I4s", 3, b"none")))) == []
    assert bytes(box(memoryview(packed(b"a   ", packed(b"b   ", b"x"))), b"a   ", b"b   ")) == b"x"


# JPEG 2000


def jpeg2000(pixels: str, image: np.ndarray) -> bytes:
    """Encode (H, W, 3) of 16 bits without loss as a JPEG 2000 of some kind of pixels, by FFmpeg."""
    encoder = av.CodecContext.create("jpeg2000", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.height, encoder.width, encoder.pix_fmt = *image.shape[:2], pixels
    encoder.framerate, encoder.time_base = Fraction(25), Fraction(1, 25)
    encoder.options = {"format": "jp2", "pred": "dwt53"}
    frame = av.VideoFrame.from_ndarray(image, "rgb48le").reformat(format=pixels)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def test_twelve_bits_of_a_jpeg_2000_fill_the_range(tmp_path: Path) -> None:
    """Scanners and cinemas write them; as they are decoded, 4095 is white, which would be nearly black."""
    image = np.tile(SLOPE[:, None] & 0xFFF0, (48, 1, 3))
    (tmp_path / "a.jp2").write_bytes(jpeg2000("gbrp12le", image))
    found = read_image(tmp_path / "a.jp2").image
    assert found.dtype == np.uint16
    assert (found.min(), found.max()) == (0, 65535)
    assert np.abs(found.astype(int) - image).max() <= 32


def test_grey_with_alpha_of_a_jpeg_2000(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(12, 17, 2)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG2000")
    (tmp_path / "a.jp2").write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(read_image(tmp_path / "a.jp2").image, image)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"grey with alpha, which needs a package more: pip install pillow"):
        read_image(tmp_path / "a.jp2")
    (tmp_path / "b.jp2").write_bytes(jpeg2000("ya16le", np.tile(SLOPE[:, None], (48, 1, 3))))
    with pytest.raises(DataError, match=r"b\.jp2: is a JPEG 2000 of grey with alpha of 16 bits, which is not read"):
        read_image(tmp_path / "b.jp2")


def test_what_a_jpeg_2000_says_of_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    buffer = io.BytesIO()
    Image.fromarray(corner()).save(buffer, "JPEG2000")
    data = buffer.getvalue()
    with_profile = packed(b"colr", b"\2\0\0" + RGB_PROFILE)
    resolution = packed(b"res ", packed(b"resc", struct.pack(">HHHHBB", 15_000, 254, 30_000, 254, 2, 2)))
    header_at = data.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">I", data, header_at)
    header = bytes(data[header_at + 8 : header_at + length])
    start = header.index(b"colr") - 4
    (colour_length,) = struct.unpack_from(">I", header, start)
    header = header[:start] + with_profile + header[start + colour_length :] + resolution
    exif = packed(b"uuid", b"JpgTiffExif->JP2" + exif_of(6))
    xmp = packed(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP)
    place = packed(b"uuid", bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03") + b"II*\0")
    rest = exif + xmp + place + packed(b"xml ", b"<a/>") + data[header_at + length :]
    (tmp_path / "a.jp2").write_bytes(data[:header_at] + packed(b"jp2h", header) + rest)
    (image, metadata), said = read(tmp_path / "a.jp2", caplog)
    assert image.shape == (64, 32, 3)
    np.testing.assert_array_equal(image, np.rot90(corner(), -1))
    assert (metadata.profile, metadata.xmp) == (RGB_PROFILE, XMP)
    assert metadata.density == (5906, 11811, True)  # of 300 dpi across and 150 down, turned
    assert said == "what else it says of itself, such as a place on a map, is left out\nits XML is left out"
    write_image(tmp_path / "b.png", image, metadata)
    with Image.open(tmp_path / "b.png") as stored:
        assert dict(stored.getexif()) == {0x010F: "Camera", 0x0112: 1}


# JPEGs


def jpeg(image: np.ndarray, *segments: tuple[int, bytes]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95)
    data = buffer.getvalue()
    more = b"".join(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in segments)
    return data[:2] + more + data[2:]


def index_of_images(*kinds: int) -> tuple[int, bytes]:
    """Return the segment of a JPEG that says which images it holds (MPF)."""
    entries = b"".join(struct.pack(">IIIHH", kind, 0, 0, 0, 0) for kind in (0x030000, *kinds))
    tags = struct.pack(">HHI4s", 0xB000, 7, 4, b"0100") + struct.pack(">HHII", 0xB001, 4, 1, 1 + len(kinds))
    tags += struct.pack(">HHII", 0xB002, 7, len(entries), 50)
    return 0xE2, b"MPF\0MM\0*" + struct.pack(">IH", 8, 3) + tags + bytes(4) + entries


APPLE = b"http://ns.adobe.com/xap/1.0/\0<a apdi:T='urn:com:apple:photo:2020:aux:hdrgainmap'/>"
ANDROID = b"http://ns.adobe.com/xap/1.0/\0<a hdrgm:Version='1.0' hdrgm:GainMapMax='2'/>"


@pytest.mark.parametrize(
    ("index", "behind", "said"),
    [
        (
            index_of_images(0),
            jpeg(corner(), (0xE1, APPLE)),
            "its gain map, for the brightness of HDR screens, is left out",
        ),
        (
            index_of_images(0),
            jpeg(corner(), (0xE1, ANDROID)),
            "its gain map, for the brightness of HDR screens, is left out",
        ),
        (
            index_of_images(0),
            jpeg(corner(), (0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(8))),
            "its gain map, for the brightness of HDR screens, is left out",
        ),
        (index_of_images(0x020002), jpeg(corner()), "the first of its 2 images is restored"),
        (index_of_images(0x010001, 0x010002), jpeg(corner()), ""),
        (index_of_images(), b"SEFH and more", "13 bytes behind its end are left out"),
        (index_of_images(), bytes(5000) + b"\r\n", ""),
        ((0xEB, b"JP\0\1jumb c2pa"), b"", "what other programs say in it (APP11) is left out"),
        ((0xE4, b"deeprftv2_arch made this"), b"", ""),  # a result that is restored again
        ((0xE1, b"FLIR\0\1"), b"", "what other programs say in it (APP1) is left out"),
        ((0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(8)), b"", ""),
    ],
)
def test_what_is_behind_a_jpeg_is_said_to_be_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, index: tuple[int, bytes], behind: bytes, said: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(corner(), index) + behind)
    picture, words = read(tmp_path / "a.jpg", caplog)
    assert words == said
    assert np.abs(picture.image.astype(int) - corner()).mean() < 3


def test_xmp_promises_neither_film_nor_gain_map_that_are_left_out(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta><a GCamera:MotionPhoto="1" hdrgm:Version=\'1.0\' b="6"/></x:xmpmeta>'
    (tmp_path / "a.jpg").write_bytes(jpeg(corner(), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)))
    assert read_image(tmp_path / "a.jpg").metadata.xmp == b'<x:xmpmeta><a b="6"/></x:xmpmeta>'


def test_chunks_of_other_programs_are_said_to_be_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chunks = PngInfo()
    for name, content in (
        (b"caBX", b"c2pa"),
        (b"npTc", b"patches"),
        (b"drFT", b"an earlier result"),
        (b"sBIT", b"\5\5\5"),
    ):
        chunks.add(name, content)
    chunks.add_text("parameters", "a prompt")
    Image.fromarray(corner()).save(tmp_path / "a.png", pnginfo=chunks)
    picture, said = read(tmp_path / "a.png", caplog)
    assert said == "what other programs say in it (caBX, npTc) is left out"
    assert picture.metadata.words == ((b"tEXt", b"parameters\0a prompt"),)


@pytest.mark.parametrize("packed", [True, False])
def test_xmp_of_a_png_that_is_packed(tmp_path: Path, packed: bool) -> None:
    chunks = PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", XMP.decode(), lang="en", zip=packed)
    Image.fromarray(corner()).save(tmp_path / "a.png", pnginfo=chunks)
    assert read_image(tmp_path / "a.png").metadata.xmp == XMP
