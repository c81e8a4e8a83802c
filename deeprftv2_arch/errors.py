"""Errors for people: one line that names the file, key or option and says what to do."""

from collections.abc import Sequence

LONGEST_VALUE = 80  # characters of a value in a message
LONGEST_MESSAGE = 2000  # characters
_NAMED = 5
_FROM_WORKER = "Caught "  # begins what PyTorch makes of an error of a worker


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
    """A metric needs a package or weights that are not available here."""


class EvaluationError(DeepRFTv2Error, RuntimeError):
    """An evaluation cannot go on, or its folder be made, or it has no average because images could not be measured."""


class ExportError(DeepRFTv2Error, RuntimeError):
    """A network cannot be exported, or not to a file of that name."""


class NonFiniteError(DeepRFTv2Error, ArithmeticError):
    """A loss or a gradient is infinite or not a number, and no more steps may be skipped."""


class PreparationError(DeepRFTv2Error, ValueError):
    """A data set cannot be prepared: its tree is not as expected, or a file is missing, damaged or not writable."""


class UnusableImagesError(PreparationError):
    """Several images cannot be prepared, are missing, or what was made of them is damaged.

    Attributes:
        lines: What is wrong altogether, and one line for each.
    """

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        super().__init__("\n  ".join([what, *problems]))
        self.lines = (what, *problems)


class WriteError(DeepRFTv2Error, RuntimeError):
    """A file cannot be written; what was there before still is.

    Attributes:
        reason: Why, in the system's words.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class MissingBasicsrError(DeepRFTv2Error, ModuleNotFoundError):
    """BasicSR is needed, for training or measuring, and is not installed."""


class BusyError(DeepRFTv2Error, RuntimeError):
    """Another process is writing the folder that is to be written."""


def shown(value: object) -> str:
    """Return a value from outside as a message prints it: in one line, escaped, and cut where it is long."""
    try:
        return cut(repr(value), LONGEST_VALUE)
    except ValueError:  # of whole numbers of more digits than Python prints
        return (
            cut(hex(value), LONGEST_VALUE) if isinstance(value, int) else f"a {type(value).__name__} too long to show"
        )
    except RecursionError:
        return f"a {type(value).__name__} nested too deeply to show"


def shortened(text: str, length: int = 200) -> str:
    """Return a text as one line of at most ``length`` characters."""
    return cut(escaped(" ".join(text[: 8 * length].split())), length)


def escaped(text: str) -> str:
    """Return a text in which what a terminal would obey, such as escape sequences and line ends, is written out."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def printable(text: str) -> str:
    """Return a text of one or more lines in which what else a terminal would obey is written out."""
    return "\n".join("\t".join(map(escaped, line.split("\t"))) for line in text.split("\n"))


def cut(text: str, length: int) -> str:
    """Return a text, or its begin and an ellipsis where it is longer."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def name_some(names: list[str]) -> str:
    """Name the first of many, for a message: ``a, b, c, d, e and 7 more``."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def one_line(error: DeepRFTv2Error) -> str:
    """Return an error's message as one line that is safe to print, whatever names from outside are in it.

    Of an error that PyTorch passed on from a loader's worker the traceback in it is left out.
    """
    text = str(error).strip() or type(error).__name__
    if text.startswith(_FROM_WORKER):
        text = text.splitlines()[-1].removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ")
    return cut(escaped(text), LONGEST_MESSAGE)
