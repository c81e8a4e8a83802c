"""How a command ends: a mistake that the user can put right is one line and exit code 2, Ctrl-C one line and 130."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from deeprftv2_arch.errors import CheckpointError, DeepRFTv2Error, OptionError, OptionFileError, one_line

EXIT_CODE = 2
INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended


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
            for line in error.faults if isinstance(error, OptionFileError) else [one_line(error)]:
                sys.stderr.write(f"{program}: error: {line}\n")
        raise SystemExit(EXIT_CODE) from None
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{program}: interrupted\n")
        raise SystemExit(INTERRUPTED) from None
