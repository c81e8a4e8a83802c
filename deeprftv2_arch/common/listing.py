"""The files of a folder at any depth, none of which is passed over because a folder cannot be read."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn


def files_below(folder: Path, follow_links: bool = False) -> Iterator[Path]:
    """Yield every file below a folder; folder by folder, those of each by name.

    Args:
        folder: The folder.
        follow_links: Whether links to folders are followed.

    Raises:
        OSError: The folder, or one in it, cannot be read.
    """
    for name, subfolders, files in os.walk(folder, onerror=_refuse, followlinks=follow_links):
        subfolders.sort()
        for file in sorted(files):
            yield Path(name, file)


def _refuse(error: OSError) -> NoReturn:
    raise error
