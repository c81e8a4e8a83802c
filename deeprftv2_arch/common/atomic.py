"""Files that appear whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name in the same folder, then renames it.

    Raises:
        OSError: It cannot be written; nothing is left, and an earlier file of the name is still there.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # there may be none; what went wrong before is what counts
            temporary.unlink()
        raise
