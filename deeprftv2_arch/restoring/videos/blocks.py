"""Where a film is restored block by block, so that a run that was killed goes on, and several processes share it.

A block of ``LENGTH`` frames is a file that appears whole. They lie in a hidden folder beside the result until that is
put together from them. The folder says of what it is: the film, the network and the settings; what was left of another
one is removed.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.common.locking import FileLock
from deeprftv2_arch.common.nesting import read_json
from deeprftv2_arch.errors import WriteError
from deeprftv2_arch.restoring.tiles import Tiles, check_tiles

LENGTH = 48  # frames; so often there is one that needs no other, at which players can begin
WAIT = 60.0  # seconds for others that write what takes a moment
_IDENTITY, _TILES = "film.json", "tiles.json"
_LONGEST_STEM = 200  # bytes


class Blocks:
    """The folder with the blocks of one film that is written.

    Args:
        target: The film.
        identity: What its frames depend on. Blocks of another identity are removed.

    Raises:
        WriteError: It cannot be made.
    """

    def __init__(self, target: Path, identity: str) -> None:
        self.target = target
        self.folder = folder_of(target)
        try:
            with self._held("begin", WAIT):
                if self._said(_IDENTITY) != identity:
                    if self.folder.is_dir():
                        shutil.rmtree(self.folder)
                    self.folder.mkdir()
                    write_atomically(self.folder / _IDENTITY, json.dumps(identity).encode())
        except OSError as error:
            raise WriteError(f"{target}: cannot be written: {error.strerror}; check the folder") from error

    def path(self, number: int) -> Path:
        """Return the file of a block."""
        return self.folder / f"{number:06}.mp4"

    def has(self, number: int) -> bool:
        """Tell whether a block is there; if so, it is whole."""
        return self.path(number).is_file()

    def has_all(self, count: int) -> bool:
        """Tell whether all blocks of a film are there."""
        return all(map(self.has, range(count)))

    def tiles(self) -> Tiles | None:
        """Return the tiles in which the film is restored; None if no frame was yet.

        Raises:
            OptionError: What is said of them is damaged.
        """
        said: Any = self._said(_TILES)
        return None if said is None else check_tiles(said)

    def agreed_tiles(self, proposed: Tiles) -> Tiles:
        """Return the tiles of the film, the first ones that any process proposes."""
        with self._held("tiles", WAIT):
            agreed = self.tiles()
            if agreed is None:
                write_atomically(self.folder / _TILES, json.dumps(proposed).encode())
        return agreed or proposed

    @contextmanager
    def being_put_together(self) -> Iterator[None]:
        """Have one process at a time put the film together; the others wait for it."""
        with self._held("end", math.inf):
            yield

    @contextmanager
    def _held(self, what: str, wait: float) -> Iterator[None]:
        lock = FileLock(self.folder.with_name(f"{self.folder.name}.{what}.lock"), wait)
        try:
            yield
        finally:
            lock.release()

    def _said(self, name: str) -> object:
        with suppress(OSError, ValueError):
            return read_json((self.folder / name).read_text(encoding="utf-8"))
        return None

    def remove(self) -> None:
        """Remove all of them."""
        remove_blocks(self.target)

    def remove_if_empty(self) -> None:
        """Remove the folder if it has no block."""
        if not any(self.folder.glob("*.mp4")):
            self.remove()


def folder_of(target: Path) -> Path:
    """Return where the blocks of a film lie, beside it."""
    stem = target.stem
    if len(os.fsencode(stem)) > _LONGEST_STEM:
        stem = hashlib.sha256(os.fsencode(stem)).hexdigest()
    return target.with_name(f".{stem}.blocks")


def remove_blocks(target: Path) -> None:
    """Remove the blocks of a film that is there, or is given up."""
    shutil.rmtree(folder_of(target), ignore_errors=True)
