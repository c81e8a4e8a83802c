"""Processes that measure while the network restores."""

import logging
import os
from contextlib import AbstractContextManager

import torch
from basicsr.utils import get_root_logger

from deeprftv2_arch.common.parallel import Map, worker_processes
from deeprftv2_arch.errors import EvaluationError

MOST_WORKERS = 16  # by default; each has a copy of PyTorch in memory
WAITING_PER_WORKER = 2  # pairs of images that wait to be measured


def default_workers(tasks: int) -> int:
    """Return a number of processes for so many tasks: this process's share of the CPUs, none for a single task."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), MOST_WORKERS, tasks // 2)


def measuring_processes(number: int) -> AbstractContextManager[Map]:
    """Start processes that measure side by side; with 0 this process does it.

    Returns:
        A context whose value is ``map(function, tasks)``, which yields the results in the order of the tasks. Tasks are
        drawn while others are being worked on, but never more than twice as many as there are processes. If a process
        dies, the context raises an :class:`EvaluationError`.
    """
    died = EvaluationError(
        f"one of {number} processes that measure has died, perhaps for want of memory; choose fewer by --workers"
    )
    return worker_processes(number, WAITING_PER_WORKER, died, _prepare_measuring)


def _prepare_measuring() -> None:
    torch.set_num_threads(1)
    get_root_logger(log_level=logging.ERROR)  # failed alignments are counted, not logged
