"""Files that are there when they are complete, and replace none."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deeprftv2_arch.errors import ExportError


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Give a with-block a temporary file in the folder of ``path``, and that name to it if the block succeeds.

    Raises:
        ExportError: ``path`` exists, or cannot be written; also before the block, which may take minutes.
    """
    # A name of its own, so that no file that lies there is lost.
    temporary = path.with_name(f".{secrets.token_hex(8)}.partial{path.suffix}")
    try:
        if path.exists():
            raise ExportError(f"{path}: exists already; choose another name or remove it first")
        temporary.touch(exist_ok=False)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error.strerror}; check the folder and its disk") from error
    finally:
        with suppress(OSError):  # there may be none, nor a folder; what went wrong before is what counts
            temporary.unlink()
