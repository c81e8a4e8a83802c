"""Input and outputs of a program whose caller has closed them, as ``2>&-`` and some schedulers do."""

import os
import sys


def open_closed_streams() -> None:
    """Put the null device in place of standard streams that are closed.

    Python has None for them, which cannot be written to; and the next file that is opened would get their numbers, so
    that what other programs and libraries write to the error output would go into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        descriptor = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
        os.set_inheritable(descriptor, descriptor == number)
        setattr(sys, name, open(descriptor, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: PTH123, SIM115
