"""Pairs that a list file states, one line each: "<sharp path> <blurred path>"."""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from datasets_prep.sources import SourceImage
from deeprftv2_arch.errors import PreparationError

KeyOf = Callable[[PurePosixPath, PurePosixPath], str | None]
"""(sharp path, blurred path) -> key of the pair, None if the line cannot be one of this list."""


def _read_lines(path: Path, key_of: KeyOf) -> Iterator[tuple[int, str, str | None, list[PurePosixPath]]]:
    """Number, text, key (None where it is malformed) and paths of every line that is not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PreparationError(f"{path} cannot be read: {error.strerror}; it says which images are pairs") from error
    except UnicodeDecodeError as error:
        raise PreparationError(f"{path} is no text in UTF-8 (byte {error.start}): download it again") from error
    for number, line in enumerate(text.splitlines(), 1):
        # Lists that were made on Windows have backslashes.
        fields = [PurePosixPath(name) for name in line.replace("\\", "/").split()]
        if fields:
            yield number, line.strip(), key_of(*fields) if len(fields) == 2 else None, fields


def read_keys_of_list(path: Path, key_of: KeyOf) -> set[str]:
    """Keys of the lines of a list that are not malformed, whether their images are there or not.

    Raises:
        PreparationError: The list is missing or no text.
    """
    return {key for _, _, key, _ in _read_lines(path, key_of) if key is not None}


def read_pair_list(path: Path, key_of: KeyOf) -> dict[str, tuple[SourceImage, SourceImage]]:
    """Key -> (sharp, blurred) image of every line.

    Args:
        path: The list; its paths are relative to the folder that it lies in. Empty lines are passed over.
        key_of: Says which key the pair of a line has.

    Raises:
        PreparationError: The list is missing, empty or no text, or lines of it are malformed, repeat a key or name
            images that are not there; all of them are named.
    """
    pairs: dict[str, tuple[SourceImage, SourceImage]] = {}
    first_lines: dict[str, int] = {}
    problems = []
    for number, line, key, fields in _read_lines(path, key_of):
        if key is None:
            problems.append(f"line {number}: {line!r} is not '<sharp path> <blurred path>'")
            continue
        if key in first_lines:
            problems.append(f"line {number}: {key} is there already, in line {first_lines[key]}")
            continue
        first_lines[key] = number
        sharp, blurred = (path.parent / name for name in fields)
        problems += [f"line {number}: {file} is missing" for file in (sharp, blurred) if not file.is_file()]
        pairs[key] = SourceImage(sharp), SourceImage(blurred)
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise PreparationError(f"{path}: the list or the tree is incomplete, correct them{listed}")
    if not pairs:
        raise PreparationError(f"{path} is empty, but says which images are pairs: download it again")
    return pairs
