"""Which training state a run goes on from."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from basicsr.utils import check_resume

from deeprftv2_arch.checkpoints.io import load_checkpoint
from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.launch.distributed import from_first_process
from deeprftv2_arch.launch.options import Options

logger = logging.getLogger(__name__)


def load_resume_state(opt: Options) -> dict[str, Any] | None:
    """Read the training state to go on from, and point the options to the network that belongs to it.

    With ``--auto_resume`` that is the newest state of this run that is whole and whose network is whole; others are
    skipped with a warning. Otherwise it is the file ``path: resume_state``, if any. Everything is read to the CPU, and
    nothing in a file is executed.

    Args:
        opt: The options; ``path`` is changed as BasicSR's ``check_resume`` does.

    Returns:
        The state, or None to start from the beginning.

    Raises:
        CheckpointError: The state named in the option file, or its network, is missing or torn.
    """
    path = newest_whole_state(opt) if opt["auto_resume"] else opt["path"].get("resume_state")
    # One process decides for all, so that all agree, and none looks for states while another renames their folder.
    path = from_first_process(path)
    if path is None:
        return None
    state = load_checkpoint(Path(str(path)))
    if "iter" not in state:
        raise CheckpointError(f"{path}: not a training state; these are called <iteration>.state")
    load_checkpoint(network_path(opt, state["iter"]))
    opt["path"]["resume_state"] = str(path)
    check_resume(opt, state["iter"])
    state["epoch"] = 0  # the batch sampler counts iterations and takes them all for one epoch
    return state


def newest_whole_state(opt: Options) -> str | None:
    """Return the path of the newest state of the run that can be read and whose network can be read."""
    for iteration, path in _states_newest_first(Path(opt["path"]["training_states"])):
        try:
            load_checkpoint(path)
            load_checkpoint(network_path(opt, iteration))
        except CheckpointError as error:
            logger.warning("Skipping training state %d: %s", iteration, error)
        else:
            return str(path)
    return None


def network_path(opt: Options, iteration: int) -> Path:
    """Return where the network of an iteration lies."""
    return Path(opt["path"]["models"]) / f"net_g_{iteration}.pth"


def _states_newest_first(folder: Path) -> Iterator[tuple[int, Path]]:
    if folder.is_dir():
        numbers = [int(entry.stem) for entry in folder.glob("*.state") if entry.stem.isdigit()]
        for number in sorted(numbers, reverse=True):
            yield number, folder / f"{number}.state"
