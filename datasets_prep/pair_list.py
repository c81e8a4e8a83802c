"""Pairs that a list file states, one line each: "<sharp path> <blurred path>"."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from datasets_prep.errors import PreparationError
from datasets_prep.sources import Picture


def read_pair_list(
    path: Path, key_of: Callable[[PurePosixPath, PurePosixPath], str | None]
) -> dict[str, tuple[Picture, Picture]]:
    """Key -> (sharp, blurred) picture of every line.

    Args:
        path: The list; its paths are relative to the folder that it lies in. Empty lines are passed over.
        key_of: (sharp path, blurred path) -> key of the pair, None if the line cannot be one of this list.

    Raises:
        PreparationError: The list is missing or no text, or lines of it are malformed, repeat a key or name pictures
            that are not there; all of them are named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PreparationError(f"{path} cannot be read: {error.strerror}; it says which pictures are pairs") from error
    except UnicodeDecodeError as error:
        raise PreparationError(f"{path} is no text in UTF-8 (byte {error.start}): download it again") from error
    pairs: dict[str, tuple[Picture, Picture]] = {}
    first_lines: dict[str, int] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = [PurePosixPath(name) for name in line.split()]
        if not fields:
            continue
        key = key_of(*fields) if len(fields) == 2 else None
        if key is None:
            problems.append(f"line {number}: {line.strip()!r} is not '<sharp path> <blurred path>'")
            continue
        if key in first_lines:
            problems.append(f"line {number}: {key} is there already, in line {first_lines[key]}")
            continue
        first_lines[key] = number
        sharp, blurred = (path.parent / name for name in fields)
        problems += [f"line {number}: {file} is missing" for file in (sharp, blurred) if not file.is_file()]
        pairs[key] = Picture(sharp), Picture(blurred)
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise PreparationError(f"{path}: the list or the tree is incomplete, correct them{listed}")
    return pairs
