"""Where images lie: in a folder or in an LMDB of BasicSR's format. Both are read by name."""

import os
from functools import cache
from pathlib import Path

import lmdb

from deeprftv2_arch.common.image_bytes import read_image_bytes
from deeprftv2_arch.common.image_format import EXTENSIONS
from deeprftv2_arch.common.listing import files_below
from deeprftv2_arch.common.lmdb_io import open_readonly, read_meta_info
from deeprftv2_arch.data.preparing import preparing_command
from deeprftv2_arch.errors import DataError, PreparationError


class ImageFolder:
    """A folder with PNG and JPEG images at any depth; a name is the path below the folder without extension.

    Args:
        root: The folder.

    Attributes:
        names: All names, sorted.
        sizes: Height and width of the images whose size is known without reading them: none here.

    Raises:
        DataError: The folder is missing or has no images, or two images differ in their extension only.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sizes: dict[str, tuple[int, int]] = {}
        self._paths: dict[str, Path] = {}
        if not root.is_dir():
            raise DataError(f"{root}: there is no such folder; {_advice(root)}")
        try:
            for path in files_below(root, follow_links=True):
                if not path.name.lower().endswith(EXTENSIONS) or path.name.startswith("."):
                    continue  # such as the ._* files that macOS leaves beside images
                name = path.relative_to(root).with_suffix("").as_posix()
                if name in self._paths:
                    raise DataError(f"{path} and {self._paths[name]} have the same name; remove one")
                self._paths[name] = path
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read: {error.strerror}; check who may read it") from error
        if not self._paths:
            raise DataError(f"{root}: holds no images ({', '.join(EXTENSIONS)}); {_advice(root)}")
        self.names = sorted(self._paths)

    def address(self, name: str) -> str:
        """Return the path of an image."""
        return str(self._paths[name])

    def place(self, name: str) -> str:
        """Return what tells a person where an image is."""
        return self.address(name)

    def read(self, name: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            DataError: The file is gone or not readable.
        """
        try:
            return read_image_bytes(self._paths[name])
        except OSError as error:
            raise DataError(f"{self._paths[name]}: cannot be read: {error.strerror}") from error
        except PreparationError as error:
            raise DataError(f"{self._paths[name]}: {error}") from error


class ImageDatabase:
    """An LMDB with its ``meta_info.txt``; a name is a key.

    Args:
        root: The folder of the database.

    Attributes:
        names: All keys, sorted.
        sizes: Height and width of every image in pixels.

    Raises:
        DataError: The database or its metadata is missing, empty or damaged.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise DataError(f"{root}: there is no such LMDB; {_advice(root)}")
        try:
            self.sizes = {key: shape[:2] for key, shape in read_meta_info(root).items()}
        except PreparationError as error:
            raise DataError(f"{error}; prepare the data again, or set io_backend: type: disk for a folder") from error
        if not self.sizes:
            raise DataError(f"{root / 'meta_info.txt'}: lists no images; prepare the data again")
        self.names = sorted(self.sizes)
        _environment(root)

    def address(self, name: str) -> str:
        """Return the key of an image."""
        return name

    def place(self, name: str) -> str:
        """Return what tells a person where an image is."""
        return f"{self.root}: {name}"

    def read(self, name: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            DataError: The metadata lists an image that the database lacks.
        """
        try:
            with _environment(self.root).begin() as transaction:
                data = transaction.get(name.encode())
        except lmdb.Error as error:
            raise DataError(f"{self.root}: {name!r} cannot be read: {error}; prepare the data again") from error
        if data is None:
            raise DataError(f"{self.root}: {name!r} is in meta_info.txt but not in data.mdb; prepare it again")
        return bytes(data)


def _advice(root: Path) -> str:
    return f"correct the path, or make it by {preparing_command(root)}"


@cache
def _environment(path: Path) -> lmdb.Environment:
    """Open a database once per process, as LMDB demands."""
    try:
        return open_readonly(path)
    except PreparationError as error:
        raise DataError(f"{error}; copy or prepare it again") from error


# A forked worker closes what it has inherited, which its parent goes on using, and opens its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_environment.cache_clear)
