"""The error of the preparation commands: one line that names the file and says what to do."""


class PreparationError(ValueError):
    """Pictures are missing, unreadable or do not pair, or the output cannot be written; commands exit with 2."""
