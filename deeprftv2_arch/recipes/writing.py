"""Option files on the disk: all of them in ``options/`` of the checkout, or one for somebody who wants to change it."""

import difflib
import os
from pathlib import Path

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.recipes import SCHEMA, names, render, schema_beside


def write_all(folder: Path, schema: str) -> None:
    """Write every option file, and the JSON schema that they name, in place of those that are there.

    Args:
        folder: ``options/`` of a checkout.
        schema: The JSON schema.
    """
    for name, text in all_files(schema).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def all_files(schema: str) -> dict[str, str]:
    """Return what is to be in ``options/``: the text of every file by its path there."""
    return {SCHEMA: schema} | {f"{name}.yml": render(name, schema_beside(name)) for name in names()}


def copy(name: str, destination: Path, schema: str) -> Path:
    """Write one option file where there is none, and beside it the JSON schema unless that is there already.

    Args:
        name: The recipe, as :func:`~deeprftv2_arch.recipes.names` has it; also as its path in ``options/``.
        destination: The new file, or a folder, in which the file keeps its name.
        schema: The JSON schema.

    Returns:
        The file.

    Raises:
        OptionError: There is no such recipe, or a file of the name is there already.
        WriteError: The file cannot be written.
    """
    name = known_name(name)
    path = destination / f"{Path(name).name}.yml" if destination.is_dir() else destination
    if os.path.lexists(path):
        raise OptionError(f"{path}: is there already and stays as it is; choose another name")
    write_atomically(path, render(name).encode(), "choose another folder")
    if not (path.parent / SCHEMA).exists():
        write_atomically(path.parent / SCHEMA, schema.encode(), f"{path} was written")
    return path


def known_name(name: str) -> str:
    """Return the name of a recipe, for a name or a path in ``options/``.

    Raises:
        OptionError: There is no such recipe.
    """
    wanted = name.removeprefix("./").removeprefix("options/").removesuffix(".yml")
    if wanted in names():
        return wanted
    close = difflib.get_close_matches(wanted, names(), n=1)
    advice = f"did you mean {close[0]!r}?" if close else "python -m deeprftv2_arch options list shows them"
    raise OptionError(f"there is no recipe {name!r}; {advice}")
