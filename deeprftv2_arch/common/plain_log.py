"""Lines of logs in which names from outside can neither begin another line nor steer a terminal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deeprftv2_arch.errors import escaped, printable


class PlainRecord(logging.LogRecord):
    """A line of a log, of whoever it is; a message that begins with a line end, such as a table, has several."""

    def getMessage(self) -> str:  # noqa: N802
        """Return the line, in which whatever is not printable is written out."""
        if isinstance(self.args, tuple) and not str(self.msg).startswith("\n"):
            # BasicSR's own texts of several lines have no arguments.
            self.args = tuple(
                escaped(str(value)) if isinstance(value, str | Path | BaseException) else value for value in self.args
            )
        return printable(super().getMessage())


@contextmanager
def plain_logs() -> Iterator[None]:
    """Write all lines of logs so within a with-block."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(PlainRecord)
    try:
        yield
    finally:
        logging.setLogRecordFactory(before)
