"""How a run was asked for, on the command line."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arguments:
    """What the user typed.

    Attributes:
        opt: The option file.
        launcher: ``none``, ``pytorch`` or ``slurm``; None lets the environment decide.
        auto_resume: Whether to go on from the newest readable training state.
        debug: Whether to run under the name ``debug_<name>``, logging every step and saving and validating every 8.
        force_yml: Options to change, each as ``section:key=value``.
    """

    opt: Path
    launcher: str | None = None
    auto_resume: bool = False
    debug: bool = False
    force_yml: tuple[str, ...] = ()
