"""Writes a flat folder of PNGs with the same guarantees as the LMDB writer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.common.partial_folder import PartialFolder
from deeprftv2_arch.errors import PreparationError, WriteError


def file_name(key: str) -> str:
    """Name of the file for `key`: flat, because BasicSR does not look into sub-folders."""
    return key.replace("/", "-") + ".png"


class FolderWriter:
    """Fills `<path>.partial` and gives it its final name in `finish`; the counterpart of `LmdbWriter`.

    Args:
        path: The finished folder.
        settings: Whatever decides the content; kept in the hidden `.preparation.json`.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._folder = PartialFolder(path, settings)
        self._stored = frozenset(entry.name for entry in self._folder.path.glob("*.png"))
        self._count = len(self._stored)

    def __contains__(self, key: str) -> bool:
        """True if an earlier, interrupted run has stored `key` for good."""
        return file_name(key) in self._stored

    def put_encoded(self, key: str, data: bytes) -> None:
        """Stores the bytes of a PNG (its name says so), unless they are stored already."""
        if key in self:
            return
        target = self._folder.path / file_name(key)
        try:
            write_atomically(target, data)
        except WriteError as error:
            raise PreparationError(
                f"cannot write to {target}: {error.reason}; make room, then run the same again: it continues here"
            ) from error
        self._count += 1

    def finish(self) -> None:
        """Writes the metadata and gives the folder its final name."""
        try:
            self._folder.publish({"entries": self._count})
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Stops without finishing; what is written stays in the partial folder, for the next run."""
        self._folder.release()
