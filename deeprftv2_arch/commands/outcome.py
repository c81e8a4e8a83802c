"""How a command ends.

A mistake that the user can put right is one line and exit code 2, Ctrl-C one line and 130, SIGTERM one line and 143.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deeprftv2_arch.common.stopping import Stopped, signals_stop
from deeprftv2_arch.errors import (
    BusyError,
    CheckpointError,
    DeepRFTv2Error,
    OptionError,
    OptionFileError,
    one_line,
)

EXIT_CODE = 2
INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended


@contextmanager
def errors_in_one_line(program: str) -> Iterator[None]:
    """Turn errors that the user can put right, Ctrl-C and SIGTERM into one line and their exit codes.

    Args:
        program: What the user typed, for the line.
    """
    try:
        with signals_stop():
            yield
    except DeepRFTv2Error as error:
        # All processes of a machine find the same fault in options and checkpoints; one of them says so. A damaged
        # image, or one that fills the GPU's memory, is found by the one that works on it.
        if is_first_on_machine() or not isinstance(error, OptionError | CheckpointError | BusyError):
            faults = map(OptionError, error.faults) if isinstance(error, OptionFileError) else [error]
            for line in map(one_line, faults):
                sys.stderr.write(f"{program}: error: {line}\n")
        raise SystemExit(EXIT_CODE) from None
    except KeyboardInterrupt as stop:
        if is_first_on_machine():
            sys.stderr.write(f"\n{program}: {stop if isinstance(stop, Stopped) else 'interrupted'}\n")
        raise SystemExit(stop.exit_code if isinstance(stop, Stopped) else INTERRUPTED) from None


def is_first_on_machine() -> bool:
    """Tell whether no other process of a launcher on this machine comes before this one."""
    return (os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or "0") == "0"


def working_folder() -> Path:
    """Return the working directory.

    Raises:
        OptionError: It has been deleted.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise OptionError("the working directory is not there any more; change to another one") from error
