"""How a command ends.

A mistake that the user can put right is one line and exit code 2, Ctrl-C one line and 130, SIGTERM one line and 143.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deeprftv2_arch.common.full_disk import full_disks_said_once, is_full_disk
from deeprftv2_arch.common.stopping import Stopped, signals_stop
from deeprftv2_arch.errors import (
    LONGEST_MESSAGE,
    BusyError,
    CheckpointError,
    DeepRFTv2Error,
    OptionError,
    OptionFileError,
    cut,
    escaped,
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
        with signals_stop(), full_disks_said_once(lambda line: _say(program, line)):
            yield
    except DeepRFTv2Error as error:
        # All processes of a machine find the same fault in options and checkpoints; one of them says so. A damaged
        # image, or one that fills the GPU's memory, is found by the one that works on it.
        if is_first_on_machine() or not isinstance(error, OptionError | CheckpointError | BusyError):
            faults = map(OptionError, error.faults) if isinstance(error, OptionFileError) else [error]
            for line in map(one_line, faults):
                _say(program, f"error: {line}")
        raise SystemExit(EXIT_CODE) from None
    except OSError as error:  # of what writes beside the files that are written whole: logs, folders, the terminal
        if not is_full_disk(error):
            raise
        _say(program, f"error: {_where_it_is_full(error)}")
        raise SystemExit(EXIT_CODE) from None
    except KeyboardInterrupt as stop:
        if is_first_on_machine():
            _say(f"\n{program}", str(stop) if isinstance(stop, Stopped) else "interrupted")
        raise SystemExit(stop.exit_code if isinstance(stop, Stopped) else INTERRUPTED) from None


def _say(program: str, line: str) -> None:
    with suppress(OSError):  # of a terminal that is gone, or a file on a full disk
        sys.stderr.write(f"{program}: {line}\n")
        sys.stderr.flush()


def _where_it_is_full(error: OSError) -> str:
    place = error.filename2 or error.filename  # of a copy, the new file
    line = f"{place or 'a file'}: {error.strerror}; make room there, what was written whole before is kept"
    return cut(escaped(line), LONGEST_MESSAGE)


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
