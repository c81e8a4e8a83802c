"""What the processes of a run tell each other; a process that is alone tells itself."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(value: Any) -> list[Any]:
    """Return the values of all processes in order of rank; every process must call."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def is_first_process() -> bool:
    """Tell whether this process is alone or the first of its group."""
    return not dist.is_initialized() or dist.get_rank() == 0


def from_first_process(value: object) -> object:
    """Return the first process's value in every process; every process must call."""
    if not dist.is_initialized():
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


@torch.no_grad()
def mean_over_processes(values: Tensor) -> Tensor:
    """Return the element-wise mean over all processes; a value that is not finite in one is so in the mean."""
    values = values.detach()
    if dist.is_initialized():
        values = values.clone()
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return values
