"""Weights that come with this package."""

from collections.abc import Mapping
from pathlib import Path

from deeprftv2_arch.errors import CheckpointError

# Files by the names under which people ask for them; none are worth shipping yet (docs/deeprftv2_t.md).
PRETRAINED: Mapping[str, Path] = {}


def pretrained_file(name_or_path: Path | str) -> Path:
    """Return the file of a name, or the path itself.

    Raises:
        CheckpointError: It is neither.
    """
    shipped = PRETRAINED.get(str(name_or_path))
    if shipped is not None:
        return shipped
    path = Path(name_or_path)
    if not path.is_file():
        names = ", ".join(PRETRAINED) or "none"
        raise CheckpointError(
            f"{name_or_path}: there is no such file, and weights that come with this package: {names}"
        )
    return path
