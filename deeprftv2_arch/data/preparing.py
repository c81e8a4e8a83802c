"""Which command prepares the data that a path names, for messages about what is missing."""

from pathlib import Path

# Beginnings of the folders that the commands' results are in, in small letters.
COMMANDS = {
    "gopro": "gopro",
    "hide": "hide",
    "realblur": "realblur",
    "reds": "reds",
    "dpdd": "dpdd",
    "df2k": "df2k",
    "div2k": "df2k",
    "set5": "sr-benchmarks",
    "set14": "sr-benchmarks",
    "b100": "sr-benchmarks",
    "bsd100": "sr-benchmarks",
    "urban100": "sr-benchmarks",
    "manga109": "sr-benchmarks",
}


def preparing_command(root: Path) -> str:
    """Return the command line that makes a prepared folder or LMDB, as far as its path tells.

    >>> preparing_command(Path("datasets/GoPro/train/blur.lmdb"))
    'python -m datasets_prep gopro --root DOWNLOADED --out datasets/GoPro'
    """
    for number, part in enumerate(root.parts):
        command = next((command for name, command in COMMANDS.items() if part.lower().startswith(name)), None)
        if command is not None:
            end = number if command == "sr-benchmarks" else number + 1
            out = Path(*root.parts[:end]) if end else Path()
            return f"python -m datasets_prep {command} --root DOWNLOADED --out {out}"
    return "python -m datasets_prep pairs --blurred DIR --sharp DIR --out DIR"
