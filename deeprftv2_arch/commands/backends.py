"""``python -m deeprftv2_arch backends``: what computes the selective scan here."""

import argparse
from collections.abc import Iterator
from typing import Any


def add_backends(commands: Any) -> None:
    """Add ``backends`` to the commands of ``python -m deeprftv2_arch``."""
    parser = commands.add_parser(
        "backends",
        help="show which backends of the selective scan there are here, and which one is chosen",
        description="Show the backends of the selective scan, what hinders those that cannot run here, and which one "
        "is chosen for every device. To choose another (triton, mamba, numba, torch, reference, or auto), set the "
        "environment variable DEEPRFTV2_SCAN_BACKEND, the key scan_backend of an option file, or, in Python, "
        "deeprftv2_arch.ops.scan_backend(name).",
    )
    parser.set_defaults(run=_backends)


def _backends(args: argparse.Namespace) -> Iterator[str]:
    from deeprftv2_arch.ops.scan.report import backends_report

    yield backends_report()
