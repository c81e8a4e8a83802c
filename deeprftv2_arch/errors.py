"""Errors for people: one line that names the file, key or option and says what to do."""

from collections.abc import Sequence

_NAMED = 5


class DeepRFTv2Error(Exception):
    """Base of every error that this package raises on purpose; commands print it as one line and exit with 2."""


class OptionError(DeepRFTv2Error, ValueError):
    """An option file or a network argument is missing, unknown, of a wrong type or out of range."""


class OptionFileError(OptionError):
    """Several faults of one option file.

    Attributes:
        faults: One line for each.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)

    def __reduce__(self) -> tuple[type["OptionFileError"], tuple[tuple[str, ...]]]:
        """Pickle it, as an error of a worker process is, by its faults."""
        return type(self), (self.faults,)


class DataError(DeepRFTv2Error, ValueError):
    """Images or databases are missing, unreadable, too small, or do not pair."""


class CheckpointError(DeepRFTv2Error, ValueError):
    """A checkpoint is missing, torn, unsafe to read, or belongs to another network."""


class MetricUnavailableError(DeepRFTv2Error, RuntimeError):
    """A metric needs a package or weights that cannot be had here."""


class EvaluationError(DeepRFTv2Error, RuntimeError):
    """An evaluation cannot go on, or its folder be made, or it has no average because images could not be measured."""


class ExportError(DeepRFTv2Error, RuntimeError):
    """A network cannot be exported, or not to a file of that name."""


class NonFiniteError(DeepRFTv2Error, ArithmeticError):
    """A loss or a gradient is infinite or not a number, and no more steps may be skipped."""


class PreparationError(DeepRFTv2Error, ValueError):
    """A data set cannot be prepared: its tree is not as expected, or a file is missing, damaged or not writable."""


class WriteError(DeepRFTv2Error, RuntimeError):
    """A file cannot be written; what was there before still is.

    Attributes:
        reason: Why, in the system's words.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def name_some(names: list[str]) -> str:
    """Name the first of many, for a message: ``a, b, c, d, e and 7 more``."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def one_line(error: DeepRFTv2Error) -> str:
    """Return an error's message; of one that PyTorch passed on from a loader's worker, without the traceback in it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ")
