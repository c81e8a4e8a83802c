"""Where numba keeps the compiled kernels."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
SOURCES = ("numba_layout.py", "numba_vectors.py", "numba_kernels.py")  # all that is compiled


def cache_folder() -> Path | None:
    """Return a folder for kernels of this source and processor, made if need be, or None where none can be written.

    numba itself compiles anew when the file of a kernel is newer; that another file has changed, or that computers
    with different processors share the folder, it learns from the folder's name.
    """
    for place in _places():
        folder = place / f"numba_{_key()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None


def _places() -> Iterator[Path]:
    """Yield numba's own setting, beside the source, the user's folder of caches."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        yield Path(chosen)
    yield HERE / "__pycache__"
    caches = os.environ.get("XDG_CACHE_HOME")
    try:
        yield (Path(caches) if caches else Path.home() / ".cache") / "deeprftv2_arch"
    except RuntimeError:  # a user without a home
        return


def _key() -> str:
    """Hash the sources, numba's version and the processor."""
    import llvmlite.binding
    import numba

    content = hashlib.sha256()
    for name in SOURCES:
        content.update((HERE / name).read_bytes())
    features = llvmlite.binding.get_host_cpu_features().flatten()
    for text in (numba.__version__, llvmlite.binding.get_host_cpu_name(), features):
        content.update(text.encode())
    return content.hexdigest()[:16]
