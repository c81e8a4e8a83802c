"""The command line of ``python -m deeprftv2_arch options``."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deeprftv2_arch.errors import OptionError

DESCRIPTION = """\
Option files: list and copy those that come with this package, and print the JSON schema by which editors complete
their keys.

  python -m deeprftv2_arch options list
  python -m deeprftv2_arch options copy DeepRFTv2_GoPro
  python -m deeprftv2_arch options copy test/DeepRFTv2_GoPro my_test.yml
"""


def add_options(commands: Any) -> None:
    """Add ``options`` to the commands of ``python -m deeprftv2_arch``."""
    parser = commands.add_parser(
        "options",
        help="list and copy option files, and print their JSON schema",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show the names of the option files, and what they are for")
    listing.set_defaults(run=_list)
    copying = actions.add_parser(
        "copy",
        help="write one of them as a new file to change",
        description="Write an option file, complete and commented, and beside it schema.json, which editors read, "
        "unless that is there already. No file is replaced.",
    )
    copying.add_argument("name", metavar="NAME", help="as `options list` shows it")
    copying.add_argument(
        "destination", metavar="DEST", nargs="?", default=".", help="new file, or a folder (default: .)"
    )
    copying.set_defaults(run=_copy)
    schema = actions.add_parser("schema", help="print the JSON schema of option files")
    schema.set_defaults(run=_schema)


def _list(args: argparse.Namespace) -> Iterator[str]:
    # Only now, so that the other commands start as fast as without them.
    from deeprftv2_arch.recipes import names, title

    width = max(map(len, names()))
    for name in names():
        yield f"{name:<{width}}  {title(name)}"


def _copy(args: argparse.Namespace) -> Iterator[str]:
    from deeprftv2_arch.recipes.writing import copy, known_name

    known_name(args.name)  # refused before the schema is made, which takes seconds
    destination = Path(args.destination)
    folder = destination if args.destination.endswith(("/", os.sep)) else destination.parent
    if not folder.is_dir():
        raise OptionError(f"{folder}: there is no such folder; make it first, or choose another")

    from deeprftv2_arch.options.json_schema import schema_text

    yield f"{copy(args.name, destination, schema_text())}: written; change it as you like"


def _schema(args: argparse.Namespace) -> Iterator[str]:
    from deeprftv2_arch.options.json_schema import schema_text

    yield schema_text().rstrip("\n")
