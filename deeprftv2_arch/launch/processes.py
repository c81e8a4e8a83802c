"""Which process of how many this is, and the process group that joins them."""

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from basicsr.utils import get_time_str, set_random_seed

from deeprftv2_arch.common.atomic import remove_left_overs
from deeprftv2_arch.common.folder_lock import folder_locked
from deeprftv2_arch.errors import DeepRFTv2Error, OptionError, shortened, shown
from deeprftv2_arch.models.processes import from_first_process
from deeprftv2_arch.options.loading import Run

logger = logging.getLogger(__name__)

DEFAULT_PORT = 29500
LEFT_OVER = "unset what is left of another launcher"


@dataclass(frozen=True)
class Process:
    """This process among those of the run.

    Attributes:
        rank: Its number, from 0.
        world_size: Number of processes on all machines.
        local_rank: Its number on its machine.
        init_method: How the processes find each other; None for a process that is alone.
        num_gpu: Number of GPUs that it works on: 1, or 0 for the CPU.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    init_method: str | None = None
    num_gpu: int = 0

    @property
    def distributed(self) -> bool:
        """Whether the process belongs to a group, be it a group of one."""
        return self.init_method is not None

    def for_basicsr(self) -> dict[str, Any]:
        """Return what BasicSR's options say of a process."""
        return {
            "num_gpu": self.num_gpu,
            "dist": self.distributed,
            "rank": self.rank,
            "world_size": self.world_size,
        }


def find_process(
    launcher: str | None = None, port: int | None = None, environment: Mapping[str, str] = os.environ
) -> Process:
    """Tell from the environment which process this is.

    Args:
        launcher: ``none``, ``pytorch`` (torchrun) or ``slurm`` (srun). By default torchrun's variables decide, then
            those that srun sets for a step of several tasks; a batch script alone is one process.
        port: Port of the first machine for Slurm; MASTER_PORT or 29500 by default.
        environment: The environment variables.

    Raises:
        OptionError: The named launcher has not started this process.
    """
    if launcher is None:
        if {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= environment.keys():
            launcher = "pytorch"
        elif _number(environment, "SLURM_STEP_NUM_TASKS", "1") > 1:
            launcher = "slurm"
    try:
        if launcher == "pytorch":
            return _torchrun_process(environment)
        if launcher == "slurm":
            return _slurm_process(port, environment)
    except KeyError as error:
        starter = "torchrun" if launcher == "pytorch" else "srun"
        raise OptionError(f"--launcher {launcher}: {error.args[0]} is not set; start with {starter}") from error
    return Process()


def _torchrun_process(environment: Mapping[str, str]) -> Process:
    rank, world_size, local_rank = (_number(environment, name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if not 0 <= rank < world_size:
        raise OptionError(f"RANK={rank}: expected a number below WORLD_SIZE={world_size}; {LEFT_OVER}")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if not environment.get(name):
            raise OptionError(f"{name}: is not set, though RANK is; start with torchrun, or {LEFT_OVER}")
    _number(environment, "MASTER_PORT")
    return Process(rank, world_size, local_rank, "env://")


def _slurm_process(port: int | None, environment: Mapping[str, str]) -> Process:
    nodes = environment.get("SLURM_STEP_NODELIST") or environment["SLURM_NODELIST"]
    address = environment.get("MASTER_ADDR") or first_host(nodes)
    port = port or _number(environment, "MASTER_PORT", str(DEFAULT_PORT))
    tasks = "SLURM_STEP_NUM_TASKS" if environment.get("SLURM_STEP_NUM_TASKS") else "SLURM_NTASKS"
    return Process(
        _number(environment, "SLURM_PROCID"),
        _number(environment, tasks),
        _number(environment, "SLURM_LOCALID"),
        f"tcp://{address}:{port}",
    )


def _number(environment: Mapping[str, str], name: str, default: str | None = None) -> int:
    """Read a variable that holds a number; one that is empty counts as one that is not set.

    Raises:
        KeyError: It is not set and has no default.
        OptionError: It holds something else.
    """
    text = environment.get(name) or default
    if text is None:
        raise KeyError(name)
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise OptionError(f"{name}={shown(text)}: expected a number; {LEFT_OVER}")
    return int(text)


def first_host(nodes: str) -> str:
    """Return the first name of a Slurm node list: ``gpu001`` for ``gpu[001-004,9],login``."""
    return re.sub(r"\[(\w+)[^]]*]", r"\1", nodes).split(",")[0]


def begin_process(run: Run, launcher: str | None) -> Process:
    """Find out which process of a run this is and whether it works on a GPU, and seed it.

    Args:
        run: The run.
        launcher: What the user says has started it; see :func:`find_process`.

    Raises:
        OptionError: More GPUs are wanted than there are, or the launcher has not started this process.
    """
    meeting = run.options.dist_params
    process = find_process(launcher, meeting and meeting.port)
    gpus = torch.cuda.device_count()
    wanted = gpus if run.options.num_gpu == "auto" else run.options.num_gpu
    if wanted > gpus:
        raise OptionError(f"{run.file}: num_gpu: {wanted}, but this machine has {gpus}; set auto")
    if wanted > 1 and not process.distributed:
        logger.warning("One process works on one GPU; torchrun --nproc_per_node %d starts one for each", wanted)
    set_random_seed(run.options.manual_seed + process.rank)
    return replace(process, num_gpu=min(1, wanted))


@contextmanager
def process_group(process: Process) -> Iterator[None]:
    """Join the processes of a run: by nccl, each with the GPU of its local rank, or by gloo on CPUs.

    Args:
        process: This process.

    Raises:
        OptionError: torchrun has started more processes on this machine than it has GPUs.
    """
    use_gpu = process.num_gpu > 0
    if use_gpu:
        _choose_gpu(process)
    if not process.distributed:
        yield
        return
    try:
        dist.init_process_group(
            "nccl" if use_gpu else "gloo",
            init_method=process.init_method,
            rank=process.rank,
            world_size=process.world_size,
            device_id=torch.device("cuda", torch.cuda.current_device()) if use_gpu else None,
        )
    except (RuntimeError, ValueError) as error:  # of dist: a port that is taken, a machine that does not answer
        raise OptionError(
            f"the processes cannot find each other: {shortened(str(error))}; on one machine start with torchrun "
            "--standalone, on several set another MASTER_PORT"
        ) from error
    yield
    # Not after an error: the other processes may be waiting, and leaving is what lets the launcher stop them.
    dist.destroy_process_group()


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Keep a folder from other runs for the time of a with-block; the first process of the run holds it for all.

    What killed runs have left unfinished in it is removed. To be entered ahead of anything that changes the folder, in
    every process of the group.

    Raises:
        DeepRFTv2Error: Another run writes it, or it cannot be made; in every process.
    """
    with ExitStack() as stack:
        fault: object = None
        if not dist.is_initialized() or dist.get_rank() == 0:
            try:
                stack.enter_context(folder_locked(folder))
                remove_left_overs(folder)  # which a training would put aside together with an earlier run
                _wait_for_new_names(folder)
            except DeepRFTv2Error as error:
                fault = error
        fault = from_first_process(fault)
        if isinstance(fault, DeepRFTv2Error):
            raise fault
        yield


def _wait_for_new_names(folder: Path) -> None:
    """Wait for another second if an earlier start has put folders aside in this one, which is all that names them."""
    logs = folder.parent.parent / "tb_logger" / folder.name
    while any(Path(f"{each}_archived_{get_time_str()}").exists() for each in (folder, logs)):
        time.sleep(0.05)


def _choose_gpu(process: Process) -> None:
    gpus = torch.cuda.device_count()
    local_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if local_processes > gpus:
        raise OptionError(
            f"--nproc_per_node {local_processes}: this machine has {gpus} GPU(s); start no more than these"
        )
    # srun may show each task its own GPU only, which then is number 0 for all of them.
    torch.cuda.set_device(process.local_rank % gpus)
