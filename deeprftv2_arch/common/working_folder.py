"""The folder in which a command was started."""

from pathlib import Path

from deeprftv2_arch.errors import OptionError


def working_folder() -> Path:
    """Return the working directory.

    Raises:
        OptionError: It has been deleted.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise OptionError("the working directory is not there any more; change to another one") from error
