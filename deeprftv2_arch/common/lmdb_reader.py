"""Reads LMDBs in BasicSR's format."""

import re
from pathlib import Path

import lmdb

from deeprftv2_arch.errors import PreparationError

# From the last ".png (h,w,c) level" on, because a key may hold dots and spaces.
_META_LINE = re.compile(r"(?P<key>.+)\.png \((?P<height>\d+),(?P<width>\d+),(?P<channels>\d+)\)( \d+)?")


def read_meta_info(path: Path) -> dict[str, tuple[int, int, int]]:
    """Keys of the database at `path` and the (height, width, channels) of each, from its `meta_info.txt`.

    Raises:
        PreparationError: The file is missing, unreadable or no text, or a line of it is not "<key>.png (h,w,c) level"
            or repeats a key.
    """
    meta = path / "meta_info.txt"
    try:
        lines = meta.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise PreparationError(f"{meta} is missing: {path} is not a database in BasicSR's format") from error
    except OSError as error:
        raise PreparationError(f"{meta}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PreparationError(f"{meta}: is no text in UTF-8 (byte {error.start})") from error
    shapes: dict[str, tuple[int, int, int]] = {}
    for number, line in enumerate(lines, 1):
        match = _META_LINE.fullmatch(line.strip())
        if match is None:
            raise PreparationError(f"{meta}, line {number}: {line!r} is not '<key>.png (height,width,channels) level'")
        if match["key"] in shapes:
            raise PreparationError(f"{meta}, line {number}: key {match['key']!r} is there twice")
        shapes[match["key"]] = (int(match["height"]), int(match["width"]), int(match["channels"]))
    return shapes


def open_readonly(path: Path) -> lmdb.Environment:
    """The database at `path`, without locks.

    Raises:
        PreparationError: There is none, it is damaged at its beginning, or a part of it is missing.
    """
    data = path / "data.mdb"
    if data.is_file() and data.stat().st_size == 0:
        raise PreparationError(f"{path}: data.mdb is damaged (it is empty)")
    try:
        database = lmdb.open(str(path), readonly=True, lock=False, readahead=False, create=False)
    except lmdb.Error as error:
        raise PreparationError(f"{path}: cannot be opened as LMDB ({error})") from error
    needed = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
    found = data.stat().st_size
    if found < needed:  # reading the missing part would kill the process
        database.close()
        raise PreparationError(f"{path}: data.mdb is truncated ({found} of {needed} bytes)")
    return database


def read_value(path: Path, key: str) -> bytes:
    """The bytes stored under `key`.

    Raises:
        PreparationError: There is no such key, or it cannot be read; the message lacks the path and the key. Or there
            is no database at `path`.
    """
    with open_readonly(path) as database:
        try:
            with database.begin() as transaction:
                data = transaction.get(key.encode("ascii"))
        except lmdb.Error as error:
            raise PreparationError(f"cannot be read: data.mdb is damaged ({error})") from error
    if data is None:
        raise PreparationError("is listed in meta_info.txt but missing in data.mdb")
    return bytes(data)


def read_keys(path: Path) -> set[str]:
    """The keys that `data.mdb` itself holds.

    Raises:
        PreparationError: There is no readable database at `path`.
    """
    with open_readonly(path) as database:
        try:
            with database.begin() as transaction:
                keys = transaction.cursor().iternext(values=False)
                return {bytes(key).decode("utf-8", "backslashreplace") for key in keys}
        except lmdb.Error as error:
            raise PreparationError(f"{path}: data.mdb is damaged ({error})") from error
