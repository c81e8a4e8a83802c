"""Weights that come with this package.

A file of them is written by ``python -m deeprftv2_arch convert CHECKPOINT NAME.safetensors --half --options FILE``,
which says in it which network it is of, with all arguments. It goes into the folder ``weights``, and a line with its
SHA-256 into the table below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deeprftv2_arch.errors import CheckpointError

WEIGHTS = Path(__file__).with_name("weights")


@dataclass(frozen=True)
class Pretrained:
    """Weights that come with this package.

    Attributes:
        file: Where they are.
        sha256: Of the file, in hexadecimal.
    """

    file: Path
    sha256: str


# By the names under which people ask for them; the first one is what is taken where nobody asks.
PRETRAINED: Mapping[str, Pretrained] = {
    "DeepRFTv2-T": Pretrained(
        WEIGHTS / "DeepRFTv2_T_photos.safetensors",
        "af335813c001de8ec775c34b7839bba2e3346f564d4c2354105fff5c08d51ad3",
    ),
}


def default_name() -> str | None:
    """Return the name of the weights that are taken where none are named; None if there are none."""
    return next(iter(PRETRAINED), None)


def pretrained_file(name_or_path: Path | str | None = None) -> Path:
    """Return the file of a name, or the path itself; without either the file of the default.

    Raises:
        CheckpointError: It is neither, or there is no default.
    """
    wanted = default_name() if name_or_path is None else name_or_path
    if wanted is None:
        raise CheckpointError("no weights come with this package yet; name a file with trained weights")
    shipped = PRETRAINED.get(str(wanted))
    if shipped is not None:
        return shipped.file
    path = Path(wanted)
    if not path.is_file():
        names = ", ".join(PRETRAINED) or "none"
        raise CheckpointError(f"{wanted}: there is no such file, and weights that come with this package: {names}")
    return path
