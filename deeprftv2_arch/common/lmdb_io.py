"""LMDBs in BasicSR's format: read by key, and written so that one is there either whole or not at all.

    with LmdbWriter("datasets/toy/train/blur.lmdb", compression=1) as writer:
        writer.put("scene_a/0001", image)        # (H, W, 3) or (H, W), BGR, uint8 or uint16
        writer.put_encoded("scene_a/0002", data) # the bytes of a PNG or a JPEG

Everything goes to ``blur.lmdb.partial``; leaving the block without an exception writes ``meta_info.txt`` and renames
the folder. A run that was killed is continued by the same calls in the same order: ``key in writer`` tells what is
stored already, and putting such a key again does nothing. ``settings`` (JSON values) say what decides the content: a
partial database that was made with other settings is refused.

    blur.lmdb/data.mdb            key -> bytes of a PNG or a JPEG
    blur.lmdb/meta_info.txt       "<key>.png (<height>,<width>,<channels>) <compression>", sorted by key
    blur.lmdb/preparation.json    settings, number of entries, bit depths; the number of JPEGs, if there are any

BasicSR cuts ".png" off the lines of meta_info.txt to get the keys; it decodes by content, whatever the name says.
"""

import mmap
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.common.image_format import Header, read_header
from deeprftv2_arch.common.images import Image, encode_png
from deeprftv2_arch.common.lmdb_pages import page_fault
from deeprftv2_arch.common.partial_folder import PartialFolder
from deeprftv2_arch.errors import PreparationError, WriteError, shown

MAX_KEY_BYTES = 511
BATCH_BYTES = 64 << 20
"""A batch is committed as soon as it holds this much."""
INITIAL_MAP_SIZE = 1 << 30
"""First size of the memory map in bytes; it costs address space, not disk space."""

_EMPTY_DATABASE_BYTES = 2 * mmap.PAGESIZE
# From the last ".png (h,w,c) level" on, because a key may hold dots and spaces.
_META_LINE = re.compile(
    r"(?P<key>.+)\.png \((?P<height>[0-9]{1,6}),(?P<width>[0-9]{1,6}),(?P<channels>[0-9]{1,6})\)( [0-9]{1,2})?"
)


def read_meta_info(path: Path) -> dict[str, tuple[int, int, int]]:
    """Read the keys of a database, and the (height, width, channels) of each, from its ``meta_info.txt``.

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
            raise PreparationError(
                f"{meta}, line {number}: {shown(line)} is not '<key>.png (height,width,channels) level'"
            )
        if match["key"] in shapes:
            raise PreparationError(f"{meta}, line {number}: key {shown(match['key'])} is there twice")
        shapes[match["key"]] = (int(match["height"]), int(match["width"]), int(match["channels"]))
    return shapes


def open_readonly(path: Path) -> lmdb.Environment:
    """Open a database without locks.

    Raises:
        PreparationError: There is none, it is damaged at its beginning, or a part of it is missing.
    """
    data = path / "data.mdb"
    if data.is_file() and data.stat().st_size == 0:
        raise PreparationError(f"{path}: data.mdb is damaged (it is empty)")
    try:
        fault = page_fault(data) if data.is_file() else None
    except OSError as error:
        raise PreparationError(f"{path}: data.mdb cannot be read: {error.strerror}") from error
    if fault is not None:  # reading it would kill the process
        raise PreparationError(f"{path}: data.mdb is {fault}")
    try:
        return lmdb.open(str(path), readonly=True, lock=False, readahead=False, create=False)
    except lmdb.Error as error:
        raise PreparationError(f"{path}: cannot be opened as LMDB ({error})") from error


def read_value(path: Path, key: str) -> bytes:
    """Read the bytes stored under ``key``.

    Raises:
        PreparationError: There is no such key, or it cannot be read; the message lacks the path and the key. Or there
            is no database at ``path``.
    """
    with open_readonly(path) as database:
        try:
            with database.begin() as transaction:
                data = transaction.get(key.encode("ascii"))
        except UnicodeEncodeError:
            data = None  # LmdbWriter takes ASCII alone
        except lmdb.Error as error:
            raise PreparationError(f"cannot be read: data.mdb is damaged ({error})") from error
    if data is None:
        raise PreparationError("is listed in meta_info.txt but missing in data.mdb")
    return bytes(data)


def read_keys(path: Path) -> set[str]:
    """Read the keys that ``data.mdb`` itself holds.

    Raises:
        PreparationError: There is no readable database at ``path``.
    """
    with open_readonly(path) as database:
        try:
            with database.begin() as transaction:
                keys = transaction.cursor().iternext(values=False)
                return {bytes(key).decode("utf-8", "backslashreplace") for key in keys}
        except lmdb.Error as error:
            raise PreparationError(f"{path}: data.mdb is damaged ({error})") from error


def require_valid_key(key: str) -> None:
    """Refuse a key that LMDB cannot hold or that BasicSR's reader cannot ask for."""
    if not key.isascii() or not key.isprintable():
        raise PreparationError(
            f"key {key!r} has characters beyond printable ASCII, which BasicSR cannot read: rename it"
        )
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise PreparationError(f"key {key!r} has {len(key)} characters, not 1 to {MAX_KEY_BYTES}: shorten it")


class LmdbWriter:
    """Context manager that fills one LMDB; see the module's docstring.

    Images are committed in batches. Each batch is one transaction in a freshly opened database, so that the bytes of
    ``data.mdb`` depend on the sequence of images alone: a run that was killed and continued gives the same file as one
    that was not. The memory map doubles whenever it is full.

    Args:
        path: Folder of the finished database; its name must end in ``.lmdb``, or BasicSR refuses it.
        compression: zlib level 0 to 9 of the PNGs that ``put`` encodes.
        settings: Whatever decides the content; kept in ``preparation.json``.

    Raises:
        PreparationError: The database exists, is being written by another process, was begun with other settings or is
            damaged, or the disk is full or not writable.
    """

    def __init__(self, path: str | Path, compression: int = 1, settings: Mapping[str, Any] | None = None) -> None:
        path = Path(path)
        if path.suffix != ".lmdb":
            raise PreparationError(f"{path} must end in .lmdb, or BasicSR does not take it for a database")
        if not 0 <= compression <= 9:
            raise PreparationError(f"PNG compression {compression} is not one of 0 to 9")
        self.compression = compression
        self._batch: dict[str, bytes] = {}
        self._batch_size = 0
        self._new: set[str] = set()
        self._folder = PartialFolder(path, settings or {})
        try:
            self._stored = frozenset(key for key, _ in self._entries())
        except BaseException:
            self._folder.release()
            raise

    def __enter__(self) -> "LmdbWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abandon()

    def __contains__(self, key: str) -> bool:
        """Tell whether an earlier, interrupted run has stored ``key`` for good."""
        return key in self._stored

    def put(self, key: str, image: Image) -> None:
        """Store an image, (H, W, 3) BGR or (H, W), uint8 or uint16, under ``key`` as PNG."""
        if key not in self._stored:
            self.put_encoded(key, encode_png(image, self.compression))

    def put_encoded(self, key: str, data: bytes) -> None:
        """Store the bytes of a PNG or a JPEG under ``key``.

        Raises:
            PreparationError: ``key`` was put before in this run or is not valid, or the disk is full.
        """
        if key in self._stored:
            return
        require_valid_key(key)
        if key in self._new:
            raise PreparationError(f"two images have the key {key!r} in {self._folder.final}: rename one")
        self._new.add(key)
        self._batch[key] = data
        self._batch_size += len(data)
        if self._batch_size >= BATCH_BYTES:
            self._commit()

    def finish(self) -> None:
        """Commit the rest, write the metadata and give the database its final name."""
        try:
            if self._batch:
                self._commit()
            if not self._stored and not self._new:
                raise PreparationError(f"no image for {self._folder.final}: it is not made")
            lines, depths, jpegs = [], set(), 0
            for key, header in self._entries():
                lines.append(f"{key}.png ({header.height},{header.width},{header.channels}) {self.compression}\n")
                depths.add(header.bit_depth)
                jpegs += header.is_jpeg
            self._write("meta_info.txt", "".join(lines))
            summary = {"entries": len(lines), "bit_depths": sorted(depths)}
            self._folder.publish(summary | ({"jpegs": jpegs} if jpegs else {}))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Stop without finishing; what is committed stays in the partial database, for the next run."""
        self._folder.release()

    def _write(self, name: str, text: str) -> None:
        try:
            write_atomically(self._folder.path / name, text.encode())
        except WriteError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> PreparationError:
        reason = error.strerror if isinstance(error, OSError) else getattr(error, "reason", str(error))
        # LMDB calls a write that was cut short by a full disk an input/output error.
        if shutil.disk_usage(self._folder.path).free < self._batch_size:
            reason = "no space left on the disk"
        return PreparationError(
            f"cannot write to {self._folder.path}: {reason}; make room, then run the same again: it continues here"
        )

    def _open(self, map_size: int) -> lmdb.Environment:
        # Without LMDB's own lock file: the partial folder is locked as a whole.
        return lmdb.open(str(self._folder.path), map_size=map_size, lock=False)

    def _data_bytes(self) -> int:
        try:
            return (self._folder.path / "data.mdb").stat().st_size
        except FileNotFoundError:
            return 0

    def _entries(self) -> Iterator[tuple[str, Header]]:
        """Yield keys and headers of what is committed, in the order of the keys."""
        if self._data_bytes() <= _EMPTY_DATABASE_BYTES:
            # A run killed while LMDB wrote its first two pages may have left half of them.
            (self._folder.path / "data.mdb").unlink(missing_ok=True)
            return
        try:
            with open_readonly(self._folder.path) as database, database.begin(buffers=True) as transaction:
                for key, data in transaction.cursor():
                    yield bytes(key).decode("ascii"), read_header(data)
        except (lmdb.Error, PreparationError) as error:
            raise PreparationError(
                f"{self._folder.path} is damaged ({error}): delete it, then run the same again"
            ) from error

    def _commit(self) -> None:
        # A map size of 0 stands for the one that the database itself records.
        map_size = 0 if self._data_bytes() else INITIAL_MAP_SIZE
        try:
            while (needed := self._try_commit(map_size)) is not None:
                map_size = needed
        except (lmdb.Error, OSError) as error:
            raise self._unwritable(error) from error
        self._batch.clear()
        self._batch_size = 0

    def _try_commit(self, map_size: int) -> int | None:
        """Store the whole batch in one transaction; if the map is too small, store nothing and return a larger size."""
        with self._open(map_size) as database:
            try:
                with database.begin(write=True) as transaction:
                    for key, data in self._batch.items():
                        transaction.put(key.encode("ascii"), data)
            except lmdb.MapFullError:
                return 2 * int(database.info()["map_size"])
        return None
