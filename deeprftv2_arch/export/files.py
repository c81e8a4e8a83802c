"""New files, which are there when they are complete."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deeprftv2_arch.common.atomic import written_whole
from deeprftv2_arch.errors import ExportError


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a with-block a temporary file beside ``path``, and that name to it if the block succeeds.

    Raises:
        ExportError: ``path`` exists.
        WriteError: ``path`` cannot be written; also before the block, which may take minutes.
    """
    if path.exists():
        raise ExportError(f"{path}: exists already; choose another name or remove it first")
    with written_whole(path) as temporary:
        yield temporary
