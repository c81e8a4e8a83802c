"""Directories of TIFF, which also hold Exif: read, and changed or added to where nothing else moves."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

ORIENTATION, PROFILE, XMP, EXIF = 274, 34675, 700, 34665  # tags
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
EXTRA_SAMPLES = 338
PRIVATE = 50740  # of whoever has written the file; DNG has defined it, so that libtiff knows it
PLAIN_ALPHA = 2  # a value of it: colours are not multiplied by their alpha
GPS, _INTEROPERABILITY = 34853, 40965
_PIXEL_WIDTH, _PIXEL_HEIGHT = 40962, 40963  # of Exif
WITHIN = (EXIF, GPS, _INTEROPERABILITY)  # directories that tags point at
# Of a document, of who has taken an image, when, where and with what: titles, makers, names, times, ratings.
DESCRIPTIVE = (269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, EXIF, GPS, *range(40091, 40096))
TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of a value, by its type
_UNITS = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8}  # bytes whose order is that of the file
_LARGEST = 2**24  # bytes of descriptions; more is an attempt to fill the memory
_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 3, 4, 5, 7
_MOST = 10_000  # directories of a file


@dataclass(frozen=True)
class Entry:
    """One tag of a directory: the type of its values, how many, and where the first one is."""

    kind: int
    count: int
    at: int


@dataclass(frozen=True)
class Directory:
    """One image of a TIFF, or a block of Exif data.

    Attributes:
        data: The file.
        order: "<" or ">", its byte order.
        entries: By their tags.
    """

    data: memoryview
    order: str
    entries: Mapping[int, Entry]

    def number(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag of whole numbers.

        Raises:
            struct.error: It points outside of the file.
        """
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in (1, _SHORT, _LONG) or not entry.count:
            return default
        (value,) = struct.unpack_from(self.order + {1: "B", _SHORT: "H", _LONG: "I"}[entry.kind], self.data, entry.at)
        return int(value)

    def content(self, tag: int) -> bytes | None:
        """Return all bytes of a tag; None where there is none, or not all of it."""
        entry = self.entries.get(tag)
        if entry is None:
            return None
        end = entry.at + entry.count * _SIZES[entry.kind]
        return bytes(self.data[entry.at : end]) if end <= len(self.data) else None


def directories(data: memoryview) -> Iterator[Directory]:
    """Yield the directories of a TIFF that follow one another; none where it is no TIFF or has a wrong pointer."""
    order = TIFF_ORDERS.get(bytes(data[:4]))
    if order is None:
        return
    seen: set[int] = set()
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        while at and at not in seen and len(seen) < _MOST:
            seen.add(at)
            yield _directory(data, order, at)
            (count,) = struct.unpack_from(f"{order}H", data, at)
            (at,) = struct.unpack_from(f"{order}I", data, at + 2 + 12 * count)
    except struct.error:
        return


def _directory(data: memoryview, order: str, at: int) -> Directory:
    (count,) = struct.unpack_from(f"{order}H", data, at)
    entries = dict(_entry(data, order, at + 2 + 12 * number) for number in range(count))
    return Directory(data, order, {tag: entry for tag, entry in entries.items() if entry.kind in _SIZES})


def _entry(data: memoryview, order: str, at: int) -> tuple[int, Entry]:
    tag, kind, count = struct.unpack_from(f"{order}HHI", data, at)
    if count * _SIZES.get(kind, 1) <= 4:
        return tag, Entry(kind, count, at + 8)
    (place,) = struct.unpack_from(f"{order}I", data, at + 8)
    return tag, Entry(kind, count, place)


def upright(exif: bytes) -> bytes:
    """Return a block of Exif data that says that its image is upright, and has no preview, which would not be."""
    directory = next(directories(memoryview(exif)), None)
    if directory is None:
        return exif
    changed = bytearray(exif)
    _set_number(changed, directory, ORIENTATION, 1)
    (at,) = struct.unpack_from(f"{directory.order}I", exif, 4)
    (count,) = struct.unpack_from(f"{directory.order}H", exif, at)
    behind = at + 2 + 12 * count  # where the directory of the preview is said to be
    changed[behind : behind + 4] = bytes(len(changed[behind : behind + 4]))
    return bytes(changed)


def sized(exif: bytes, height: int, width: int) -> bytes:
    """Return a block of Exif data that says this size of its image, if it says any."""
    directory = next(directories(memoryview(exif)), None)
    if directory is None or EXIF not in directory.entries:
        return exif
    changed = bytearray(exif)
    try:
        inner = _directory(directory.data, directory.order, directory.number(EXIF))
    except struct.error:
        return exif
    for tag, side in ((_PIXEL_WIDTH, width), (_PIXEL_HEIGHT, height)):
        _set_number(changed, inner, tag, side)
    return bytes(changed)


def _set_number(data: bytearray, directory: Directory, tag: int, value: int) -> None:
    """Change a number where there is one, and room for it."""
    entry = directory.entries.get(tag)
    if (
        entry is None
        or entry.count != 1
        or entry.kind not in (_SHORT, _LONG)
        or (entry.kind == _SHORT and value >= 2**16)
    ):
        return
    with suppress(struct.error):
        struct.pack_into(directory.order + ("H" if entry.kind == _SHORT else "I"), data, entry.at, value)


def exif_of(page: Directory) -> bytes | None:
    """Return what a page of a TIFF says of who took it, when and where, as a block of Exif data; None if nothing."""
    start = next(order for order, sign in TIFF_ORDERS.items() if sign == page.order)
    tags = [tag for tag in DESCRIPTIVE if tag in page.entries]
    if not tags:
        return None
    try:
        records, values = _moved(page, tags, page.order, 8 + 2 + 12 * len(tags) + 4)
    except struct.error:
        return None
    return start + struct.pack(f"{page.order}IH", 8, len(records)) + b"".join(records.values()) + bytes(4) + values


def _moved(source: Directory, tags: Sequence[int], order: str, at: int) -> tuple[dict[int, bytes], bytes]:
    """Return entries of a directory as entries of another file, and their values, which are to be at a certain place.

    Directories within it come with it, but none within these but that of interoperability.

    Raises:
        struct.error: It points outside of its file, or is too large.
    """
    records: dict[int, bytes] = {}
    values = bytearray()
    for tag in sorted(tags):
        entry = source.entries[tag]
        place = at + len(values)
        if tag in WITHIN:
            inner = _directory(source.data, source.order, source.number(tag))
            names = [
                name for name in inner.entries if name not in WITHIN or (tag == EXIF and name == _INTEROPERABILITY)
            ]
            inner_records, inner_values = _moved(inner, names, order, place + 2 + 12 * len(names) + 4)
            records[tag] = struct.pack(f"{order}HHII", tag, _LONG, 1, place)
            content = struct.pack(f"{order}H", len(names)) + b"".join(inner_records.values()) + bytes(4) + inner_values
        else:
            stored = source.content(tag)
            if stored is None or len(values) + len(stored) > _LARGEST:
                raise struct.error("points outside of its file, or is too large")
            unit = _UNITS.get(entry.kind, 1)
            if source.order != order and unit > 1:
                stored = np.frombuffer(stored, f"u{unit}").byteswap().tobytes()
            is_short = len(stored) <= 4
            records[tag] = struct.pack(f"{order}HHI", tag, entry.kind, entry.count) + (
                stored.ljust(4, b"\0") if is_short else struct.pack(f"{order}I", place)
            )
            content = b"" if is_short else stored
        values += content + b"\0" * (len(content) % 2)
    return records, bytes(values)


def with_entries(
    data: bytes, more: Mapping[int, bytes | tuple[int, int] | int | None], exif: bytes | None = None
) -> bytes:
    """Return a TIFF with its first page alone, with more tags or others in place of those that it has.

    Args:
        data: The file.
        more: Bytes, a fraction, or a number, by the tag; None for a tag that is left out.
        exif: A block of Exif data that the page is to have as well.

    Raises:
        struct.error: The Exif data are damaged.
    """
    order = TIFF_ORDERS[data[:4]]
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    packed = {}
    for number in range(count):
        entry = data[at + 2 + 12 * number : at + 14 + 12 * number]
        packed[struct.unpack(f"{order}H", entry[:2])[0]] = entry
    result = bytearray(data)
    for tag, value in more.items():
        result += b"\0" * (len(result) % 2)
        if value is None:
            packed.pop(tag, None)
        elif isinstance(value, int):
            is_short = value < 2**16
            stored = struct.pack(f"{order}HH" if is_short else f"{order}I", *([value, 0] if is_short else [value]))
            packed[tag] = struct.pack(f"{order}HHI", tag, _SHORT if is_short else _LONG, 1) + stored
        elif isinstance(value, tuple):
            packed[tag] = struct.pack(f"{order}HHII", tag, _RATIONAL, 1, len(result))
            result += struct.pack(f"{order}II", *value)
        else:
            packed[tag] = struct.pack(
                f"{order}HHII", tag, _BYTE if tag in (XMP, PRIVATE) else _UNDEFINED, len(value), len(result)
            )
            result += value
    result += b"\0" * (len(result) % 2)
    source = next(directories(memoryview(exif or b"")), None)
    if source is not None:
        records, values = _moved(source, [tag for tag in DESCRIPTIVE if tag in source.entries], order, len(result))
        packed |= records
        result += values
    struct.pack_into(f"{order}I", result, 4, len(result))
    result += struct.pack(f"{order}H", len(packed)) + b"".join(packed[tag] for tag in sorted(packed)) + bytes(4)
    return bytes(result)
