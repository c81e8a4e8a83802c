"""``python -m deeprftv2_arch install-basicsr``: BasicSR, where pip alone cannot install it."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deeprftv2_arch.errors import OptionError

DESCRIPTION = """\
Install BasicSR, by which networks are trained and measured, into this Python by pip. Its sources (basicsr 1.4.2) do not
build on Python 3.13 and later by themselves; for the time of that one build this command helps them. On any Python it
saves the second download of PyTorch that pip's own way takes.
"""
PACKAGE = "basicsr==1.4.2"
HELP = Path(__file__).parents[1] / "basicsr_build"  # the interpreter that builds imports the sitecustomize.py in it


def add_install_basicsr(commands: Any) -> None:
    """Add ``install-basicsr`` to the commands of ``python -m deeprftv2_arch``."""
    parser = commands.add_parser(
        "install-basicsr", help="install BasicSR, which trains and measures, on any Python", description=DESCRIPTION
    )
    parser.set_defaults(run=_install)


def _install(args: argparse.Namespace) -> Iterator[str]:
    if find_spec("pip") is None:
        raise OptionError(f"{sys.executable} has no pip, which installs BasicSR: python -m ensurepip")
    for packages in (["setuptools", "wheel"], ["--use-pep517", "--no-build-isolation", PACKAGE]):
        command = [sys.executable, "-m", "pip", "install", *packages]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(HELP)}, check=False)
        if done.returncode:
            raise OptionError(f"pip could not install {packages[-1]}; its output above says why")
    yield f"{PACKAGE} is installed in {sys.prefix}"
