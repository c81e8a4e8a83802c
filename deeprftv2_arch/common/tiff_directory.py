"""Directories of TIFF, which also hold Exif: read, and changed or added to where nothing else moves."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

ORIENTATION, PROFILE, XMP, EXIF = 274, 34675, 700, 34665  # tags
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
EXTRA_SAMPLES = 338
PLAIN_ALPHA = 2  # a value of it: colours are not multiplied by their alpha
TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of a value, by its type
_SHORT, _LONG, _RATIONAL, _UNDEFINED = 3, 4, 5, 7
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
            (count,) = struct.unpack_from(f"{order}H", data, at)
            entries = dict(_entry(data, order, at + 2 + 12 * number) for number in range(count))
            yield Directory(data, order, {tag: entry for tag, entry in entries.items() if entry.kind in _SIZES})
            (at,) = struct.unpack_from(f"{order}I", data, at + 2 + 12 * count)
    except struct.error:
        return


def _entry(data: memoryview, order: str, at: int) -> tuple[int, Entry]:
    tag, kind, count = struct.unpack_from(f"{order}HHI", data, at)
    if count * _SIZES.get(kind, 1) <= 4:
        return tag, Entry(kind, count, at + 8)
    (place,) = struct.unpack_from(f"{order}I", data, at + 8)
    return tag, Entry(kind, count, place)


def upright(exif: bytes) -> bytes:
    """Return a block of Exif data that says that its image is upright, all else as it was."""
    directory = next(directories(memoryview(exif)), None)
    entry = None if directory is None else directory.entries.get(ORIENTATION)
    if directory is None or entry is None or entry.kind not in (_SHORT, _LONG) or entry.count != 1:
        return exif
    changed = bytearray(exif)
    struct.pack_into(directory.order + ("H" if entry.kind == _SHORT else "I"), changed, entry.at, 1)
    return bytes(changed)


def with_entries(data: bytes, more: Mapping[int, bytes | tuple[int, int] | int | None]) -> bytes:
    """Return a TIFF with its first page alone, with more tags or others in place of those that it has.

    Args:
        data: The file.
        more: Bytes, a fraction, or a number, by the tag; None for a tag that is left out.
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
            packed[tag] = struct.pack(f"{order}HHII", tag, 1 if tag == XMP else _UNDEFINED, len(value), len(result))
            result += value
    result += b"\0" * (len(result) % 2)
    struct.pack_into(f"{order}I", result, 4, len(result))
    result += struct.pack(f"{order}H", len(packed)) + b"".join(packed[tag] for tag in sorted(packed)) + bytes(4)
    return bytes(result)
