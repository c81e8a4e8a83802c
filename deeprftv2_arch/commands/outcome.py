"""How a command ends: a mistake that the user can put right is one line and exit code 2, Ctrl-C one line and 130."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deeprftv2_arch.errors import CheckpointError, DeepRFTv2Error, OptionError
from deeprftv2_arch.launch.arguments import Arguments, parse_arguments

EXIT_CODE = 2
INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended


def run_command(program: str, action: Callable[[Arguments, Path], None]) -> None:
    """Parse the command line and act on it, with the working directory as the folder of experiments and results.

    Args:
        program: What the user typed to start it, for the help.
        action: What to do.
    """
    arguments = parse_arguments(program=program)
    with errors_in_one_line(program):
        action(arguments, Path.cwd())


@contextmanager
def errors_in_one_line(program: str) -> Iterator[None]:
    """Turn an error that the user can put right into one line and exit code 2, and Ctrl-C into one and exit code 130.

    Args:
        program: What the user typed, for the line.
    """
    try:
        yield
    except DeepRFTv2Error as error:
        local_rank = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or "0"
        # All processes of a machine find the same fault in options and checkpoints; one of them says so. A damaged
        # image, or one that fills the GPU's memory, is found by the one that works on it.
        if local_rank == "0" or not isinstance(error, OptionError | CheckpointError):
            sys.stderr.write(f"{program}: error: {one_line(error)}\n")
        raise SystemExit(EXIT_CODE) from None
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{program}: interrupted\n")
        raise SystemExit(INTERRUPTED) from None


def one_line(error: DeepRFTv2Error) -> str:
    """Return an error's message; of one that PyTorch passed on from a loader's worker, without the traceback in it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ")
