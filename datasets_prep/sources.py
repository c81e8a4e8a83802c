"""Where the images of a data set are, before anything is decoded: files and values of LMDBs, listed by key."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from deeprftv2_arch.common.image_bytes import read_image_bytes
from deeprftv2_arch.common.image_format import EXTENSIONS, PNG_HEADER_BYTES, Header, read_header
from deeprftv2_arch.common.lmdb_io import open_readonly, read_meta_info, read_value
from deeprftv2_arch.common.orientation import LYING, quick_orientation
from deeprftv2_arch.errors import PreparationError


@dataclass(frozen=True)
class SourceImage:
    """One encoded image: the file ``path``, or the value of ``key`` in the LMDB ``path``.

    With ``shrink`` above 1 it stands for an image that is not there and is made from this one, so many times smaller.
    """

    path: Path
    key: str | None = None
    shrink: int = 1

    def __str__(self) -> str:
        return str(self.path) if self.key is None else f"{self.path}: {self.key}"

    def read(self) -> bytes:
        """Read all its bytes."""
        return read_image_bytes(self.path) if self.key is None else read_value(self.path, self.key)

    def read_header(self) -> tuple[Header, int]:
        """Read its header, upright, and its number of bytes, without reading more of a PNG file than that needs."""
        if self.key is None and self.path.suffix.lower() == ".png":
            with self.path.open("rb") as file:
                return read_header(file.read(PNG_HEADER_BYTES)), self.path.stat().st_size
        data = self.read()
        header = read_header(data)
        if header.is_jpeg and quick_orientation(data) in LYING:
            header = replace(header, height=header.width, width=header.height)
        return header, len(data)


@dataclass(frozen=True)
class Side:
    """One side of the pairs, as it was found: its images by key.

    Attributes:
        images: key -> image. Equal keys on two sides make a pair.
        where: The pattern of the paths in words, relative to the root, e.g. ``train/<sequence>/blur``.
        scale: How many times smaller its images are than those of the last side.
        multiple: Only in the last side: height and width are first cut to a multiple of this, at the bottom and right.
        rule: In words, how the images were paired, where that depends on what was found; then the metadata lists
            which image has which key.
        groups: Keys of the images of each group that has an average of its own, e.g. indoor and outdoor.
    """

    images: dict[str, SourceImage]
    where: str
    scale: int = 1
    multiple: int = 1
    rule: str = ""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def made(self) -> int:
        """How many of its images are not there but made from larger ones."""
        return sum(image.shrink > 1 for image in self.images.values())


Sides = dict[str, Side]
"""What a data set's finder returns: side name ("blur", "sharp", ...) -> what was found."""


def list_images(folder: Path) -> list[Path]:
    """List the images directly in a folder (extension in any case, not hidden) by name; none if there is no folder."""
    if not folder.is_dir():
        return []
    found = (entry for entry in folder.iterdir() if entry.suffix.lower() in EXTENSIONS and entry.name[0] != ".")
    return sorted(entry for entry in found if entry.is_file())


def by_key(images: Iterable[tuple[str, SourceImage]]) -> dict[str, SourceImage]:
    """Make a dictionary of (key, image) pairs.

    Raises:
        PreparationError: Two images have the same key; the message names both.
    """
    found: dict[str, SourceImage] = {}
    for key, image in images:
        if key in found:
            raise PreparationError(f"{found[key]} and {image} have the same key {key!r}: take one of them away")
        found[key] = image
    return found


def find_side(path: Path, key_of: Callable[[str], str]) -> dict[str, SourceImage]:
    """Find the images of a flat folder, or of an LMDB if its name ends in .lmdb, by ``key_of(stem)``."""
    if path.suffix == ".lmdb":
        if not path.is_dir():
            return {}
        open_readonly(path).close()  # what is wrong with all of it is said once, not for every image
        return by_key((key_of(key), SourceImage(path, key)) for key in read_meta_info(path))
    return by_key((key_of(image.stem), SourceImage(image)) for image in list_images(path))


def find_side_by_side(
    root: Path, bases: Iterable[str], names: Iterable[tuple[str, str]], key_of: Callable[[str], str]
) -> Sides | None:
    """Find a repack that has one folder or LMDB per side, e.g. ``test/input`` and ``test/target``.

    Take the first place in which at least one of the two sides is there, so that a missing other side is noticed
    rather than passed over.

    Args:
        root: The user's folder.
        bases: Folders below it to look in, "." for itself.
        names: Names of the (blurred, sharp) folders; the same names with ".lmdb" are tried too.
        key_of: Key for a file's stem, or for the key of the LMDB.
    """
    candidates = [(blur + kind, sharp + kind) for kind in ("", ".lmdb") for blur, sharp in names]
    for base in bases:
        for pair in candidates:
            if any((root / base / name).is_dir() for name in pair):
                return {
                    side: Side(find_side(root / base / name, key_of), (Path(base) / name).as_posix())
                    for side, name in zip(("blur", "sharp"), pair, strict=True)
                }
    return None
