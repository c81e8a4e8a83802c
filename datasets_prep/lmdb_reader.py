"""Reads LMDBs in BasicSR's format."""

import re
from pathlib import Path

import lmdb

from datasets_prep.errors import PreparationError

# From the last ".png (h,w,c) level" on, because a key may hold dots and spaces.
_META_LINE = re.compile(r"(?P<key>.+)\.png \((?P<height>\d+),(?P<width>\d+),(?P<channels>\d+)\)( \d+)?")


def read_meta_info(path: Path) -> dict[str, tuple[int, int, int]]:
    """Keys of the database at `path` and the (height, width, channels) of each, from its `meta_info.txt`.

    Raises:
        PreparationError: The file is missing, or a line of it is not "<key>.png (h,w,c) level" or repeats a key.
    """
    meta = path / "meta_info.txt"
    try:
        lines = meta.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise PreparationError(f"{meta} is missing: {path} is not a database in BasicSR's format") from error
    shapes: dict[str, tuple[int, int, int]] = {}
    for number, line in enumerate(lines, 1):
        match = _META_LINE.fullmatch(line.strip())
        if match is None:
            raise PreparationError(f"{meta}, line {number}: {line!r} is not '<key>.png (height,width,channels) level'")
        if match["key"] in shapes:
            raise PreparationError(f"{meta}, line {number}: key {match['key']!r} is there twice")
        shapes[match["key"]] = (int(match["height"]), int(match["width"]), int(match["channels"]))
    return shapes


def _open(path: Path) -> lmdb.Environment:
    try:
        return lmdb.open(str(path), readonly=True, lock=False, readahead=False, create=False)
    except lmdb.Error as error:
        raise PreparationError(f"{path} cannot be opened as LMDB ({error})") from error


def read_value(path: Path, key: str) -> bytes:
    """The bytes stored under `key`.

    Raises:
        PreparationError: There is no such key, or no readable database at `path`.
    """
    with _open(path) as database, database.begin() as transaction:
        data = transaction.get(key.encode("ascii"))
    if data is None:
        raise PreparationError("is listed in meta_info.txt but missing in data.mdb")
    return bytes(data)


def read_keys(path: Path) -> set[str]:
    """The keys that `data.mdb` itself holds."""
    with _open(path) as database, database.begin() as transaction:
        return {bytes(key).decode("utf-8", "backslashreplace") for key in transaction.cursor().iternext(values=False)}
