"""How a command ends.

A mistake that the user can put right is one line and exit code 2, Ctrl-C one line and 130, SIGTERM one line and 143.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from deeprftv2_arch.common.plain_log import plain_logs
from deeprftv2_arch.common.standard_streams import open_closed_streams
from deeprftv2_arch.common.stopping import Stopped, let_children_end, signals_stop
from deeprftv2_arch.common.system_faults import full_disks_said_once, system_fault
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

    Streams that the caller has closed are opened first.

    Args:
        program: What the user typed, for the line.
    """
    open_closed_streams()
    try:
        with signals_stop(), plain_logs(), full_disks_said_once(lambda line: _say(program, line)):
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
        fault = system_fault(error)
        if fault is None:
            raise
        _say(program, f"error: {cut(escaped(fault), LONGEST_MESSAGE)}")
        raise SystemExit(EXIT_CODE) from None
    except KeyboardInterrupt as stop:
        if is_first_on_machine():
            _say(f"\n{program}", str(stop) if isinstance(stop, Stopped) else "interrupted")
        raise SystemExit(stop.exit_code if isinstance(stop, Stopped) else INTERRUPTED) from None
    finally:
        let_children_end()


def _say(program: str, line: str) -> None:
    with suppress(OSError):  # of a terminal that is gone, or a file on a full disk
        sys.stderr.write(f"{program}: {line}\n")
        sys.stderr.flush()


def is_first_on_machine() -> bool:
    """Tell whether to speak for all; what is left of a launcher that has not started this process does not count."""
    launched = os.environ.get("LOCAL_RANK") if os.environ.get("MASTER_ADDR") else None
    return (launched or os.environ.get("SLURM_LOCALID") or "0") == "0"
