"""Which training state a run goes on from."""

import logging
from pathlib import Path
from typing import Any

from basicsr.utils import check_resume

from deeprftv2_arch.checkpoints.io import load_checkpoint
from deeprftv2_arch.errors import CheckpointError, shown
from deeprftv2_arch.models.processes import from_first_process
from deeprftv2_arch.models.state_check import is_whole_number
from deeprftv2_arch.options.loading import Options
from deeprftv2_arch.options.model_types import DATA_SET_TYPES

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
        CheckpointError: The state named in the option file, or its network, is missing or torn; or the run has states
            and none is whole.
    """
    path, state = newest_whole_state(opt) if opt["auto_resume"] else (opt["path"].get("resume_state"), None)
    # One process decides for all, so that all agree, and none looks for states while another renames their folder.
    chosen = from_first_process(path)
    if chosen is None:
        return None
    if state is None or chosen != path:
        state = load_whole_state(Path(str(chosen)), opt)
    opt["path"]["resume_state"] = str(chosen)
    check_resume(opt, state["iter"])
    if opt["datasets"]["train"]["type"] in DATA_SET_TYPES:
        state["epoch"] = 0  # the batch sampler counts iterations and takes them all for one epoch
    return state


def newest_whole_state(opt: Options) -> tuple[str, dict[str, Any]] | tuple[None, None]:
    """Return path and content of the newest state of the run that is whole and whose network is whole, if any.

    Raises:
        CheckpointError: There are states and none is whole; a new run would put them aside.
    """
    folder = Path(opt["path"]["training_states"])
    iterations = [int(path.stem) for path in folder.glob("*.state") if path.stem.isdigit()]
    for iteration in sorted(iterations, reverse=True):
        path = folder / f"{iteration}.state"
        try:
            return str(path), load_whole_state(path, opt)
        except CheckpointError as error:
            logger.warning("Skipping training state %d: %s", iteration, error)
    if iterations:
        raise CheckpointError(
            f"{folder}: none of the training states can be read together with its network; "
            "put whole files there, or start again without --auto_resume"
        )
    return None, None


def load_whole_state(path: Path, opt: Options) -> dict[str, Any]:
    """Read a training state, and see that the network that belongs to it can be read.

    Raises:
        CheckpointError: One of them is missing or torn, or the file is no training state.
    """
    state = load_checkpoint(path)
    if "iter" not in state:
        raise CheckpointError(f"{path}: not a training state; these are called <iteration>.state")
    iteration = state["iter"]
    if not is_whole_number(iteration) or (path.stem.isdecimal() and int(path.stem) != iteration):
        raise CheckpointError(f"{path}: is of iteration {shown(iteration)}; take a state under its own name")
    load_checkpoint(Path(opt["path"]["models"]) / f"net_g_{state['iter']}.pth")
    return state


def unvalidated(state: dict[str, Any] | None, opt: Options) -> set[str]:
    """Return the names of the data sets that a run was to validate at the iteration of its state, and had not yet."""
    if state is None or "validated" not in state or not opt.get("val") or state["iter"] % opt["val"]["val_freq"]:
        return set()
    names = {section["name"] for section in opt["datasets"].values() if section["phase"] == "val"}
    return names - set(state["validated"])
