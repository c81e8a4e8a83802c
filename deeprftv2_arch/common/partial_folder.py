"""Folders that get their final name only when they are complete: of anything, and of PNGs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deeprftv2_arch.common.atomic import flush_folder, is_left_over, write_atomically
from deeprftv2_arch.common.locking import FileLock
from deeprftv2_arch.common.nesting import read_json
from deeprftv2_arch.errors import PreparationError, WriteError

LOCK_NAME = ".lock"  # of the file in a partial folder that is locked while the folder is being filled
_SHOWN = 300  # characters of a setting in a message


def metadata_path(folder: Path) -> Path:
    """Return where the settings of a finished or partial folder are kept.

    The name is hidden among images, because BasicSR takes every visible file of a folder for an image.
    """
    return folder / ("preparation.json" if ".lmdb" in folder.suffixes else ".preparation.json")


def partial_path(final: Path) -> Path:
    """Return where a folder is filled before it gets its final name."""
    return final.with_name(final.name + ".partial")


def read_metadata(folder: Path) -> dict[str, Any]:
    """Read what the metadata file of ``folder`` says; an empty dictionary where there is none."""
    path = metadata_path(folder)
    try:
        metadata = read_json(path.read_text(encoding="utf-8"))
        if not (isinstance(metadata, dict) and isinstance(metadata.get("settings", {}), dict)):
            raise ValueError("no settings by name")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise PreparationError(f"{path} is damaged ({error}): delete {folder}, prepare it again") from error
    return metadata


def is_finished(final: Path, settings: Mapping[str, Any]) -> bool:
    """Tell whether ``final`` was completed earlier with the same settings.

    Raises:
        PreparationError: ``final`` is there, but was made with other settings or by another program.
    """
    if not final.exists():
        return False
    _require_same_settings(final, settings, "choose another --out, or move it away")
    return True


def _require_same_settings(folder: Path, settings: Mapping[str, Any], advice: str) -> None:
    found = read_metadata(folder).get("settings")
    if found is None:
        raise PreparationError(f"{folder} exists and was not made by this command: {advice}")
    # Through JSON, so that tuples and lists compare equal.
    wanted = json.loads(json.dumps(dict(settings)))
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            change = f"{name} {_short(found.get(name))}, now {_short(wanted.get(name))}"
            if name == "fingerprint":  # its digits would tell nobody anything
                change = "the images found differ"
            raise PreparationError(f"{folder} was made with other settings ({change}): {advice}")


def _short(value: object) -> str:
    """Shorten a value for a message; a list of all images would drown the rest of it."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


class PartialFolder:
    """``<final>.partial``: locked while it is being filled, renamed to ``final`` by ``publish``.

    A partial folder that a killed run left behind is taken up again if its settings are the same. Only what this class
    made is ever renamed, and an existing ``final`` is never replaced.

    Args:
        final: The name that the folder shall have when it is complete.
        settings: Whatever decides the content, as JSON values; kept in the metadata file.

    Raises:
        PreparationError: ``final`` exists, another process is filling the folder, the partial folder was made with
            other settings, or the place cannot be written to.
    """

    def __init__(self, final: Path, settings: Mapping[str, Any]) -> None:
        self.final = final
        self.path = partial_path(final)
        self.settings = dict(settings)
        if final.exists():
            raise PreparationError(f"{final} exists already: choose another name, or move it away")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.path / LOCK_NAME)
        except BlockingIOError as error:
            raise PreparationError(f"another process is preparing {self.path}: wait until it has ended") from error
        except OSError as error:
            raise PreparationError(f"cannot write to {self.path}: {error.strerror}") from error
        try:
            self._claim()
        except BaseException:
            self.release()
            raise

    def _claim(self) -> None:
        """Remove what was half written, and go on with the rest or begin."""
        is_begun = False
        for entry in self.path.iterdir():
            if is_left_over(entry.name) or entry.suffix == ".tmp":  # the latter of version 1
                entry.unlink()
            else:
                is_begun |= entry.name != LOCK_NAME
        if is_begun:
            _require_same_settings(self.path, self.settings, "delete it to start anew, or choose another --out")
        else:
            self._write_metadata({})

    def _write_metadata(self, summary: Mapping[str, Any]) -> None:
        text = json.dumps({"settings": self.settings, **summary}, indent=2, sort_keys=True) + "\n"
        try:
            write_atomically(metadata_path(self.path), text.encode())
        except WriteError as error:
            raise PreparationError(f"cannot write to {self.path}: {error.reason}") from error

    def publish(self, summary: Mapping[str, Any]) -> None:
        """Add ``summary`` to the metadata and give the folder its final name."""
        self._write_metadata(summary)
        if self.final.exists():
            raise PreparationError(f"{self.final} appeared meanwhile: the complete result is in {self.path}")
        self.release()  # ahead of the new name, under which nobody looks for left-overs
        self.path.rename(self.final)
        flush_folder(self.final.parent)

    def release(self) -> None:
        """Let go of the lock; the folder stays as it is."""
        self._lock.release()


def file_name(key: str) -> str:
    """Name of the file for ``key``: flat, because BasicSR does not look into sub-folders."""
    return key.replace("/", "-") + ".png"


class FolderWriter:
    """Fills ``<path>.partial`` and gives it its final name in ``finish``; the counterpart of ``LmdbWriter``.

    Args:
        path: The finished folder.
        settings: Whatever decides the content; kept in the hidden ``.preparation.json``.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._folder = PartialFolder(path, settings)
        self._stored = frozenset(entry.name for entry in self._folder.path.glob("*.png"))
        self._count = len(self._stored)

    def __contains__(self, key: str) -> bool:
        """Tell whether an earlier, interrupted run has stored ``key`` for good."""
        return file_name(key) in self._stored

    def put_encoded(self, key: str, data: bytes) -> None:
        """Store the bytes of a PNG (its name says so), unless they are stored already."""
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
        """Write the metadata and give the folder its final name."""
        try:
            self._folder.publish({"entries": self._count})
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Stop without finishing; what is written stays in the partial folder, for the next run."""
        self._folder.release()
