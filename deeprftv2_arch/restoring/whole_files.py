"""Results that are there when they are complete."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deeprftv2_arch.errors import DataError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a with-block an empty file in the folder of ``path``, and that name to it if the block succeeds.

    Args:
        path: The result; a file of this name is replaced.

    Yields:
        The file to write to, of the same suffix; it is removed if the block fails.

    Raises:
        DataError: It cannot be written.
    """
    # A name of its own that is made anew, so that nothing that lies there can lead the writing elsewhere.
    temporary = path.absolute().with_name(f".{secrets.token_hex(8)}.partial{path.suffix}")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
