"""SIGTERM to all processes of a command, as Slurm and ``timeout`` send it, is the parent's to handle."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from deeprftv2_arch.common.parallel import worker_processes
from deeprftv2_arch.launch.stoppable import StoppableBatches


def end_itself(number: int) -> int:
    os.kill(os.getpid(), signal.SIGTERM)
    return number


class Ended(torch.utils.data.Dataset[int]):
    """Sends its worker SIGTERM for every item."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, item: int) -> int:
        return end_itself(item)


def test_loader_workers_go_on_and_end_with_the_parent() -> None:
    loader: DataLoader[Any] = DataLoader(Ended(), batch_size=1, num_workers=2)
    batches: Iterator[Any] = iter(StoppableBatches(loader, lambda: None, torch.device("cpu")))
    assert [int(batch) for batch in batches] == [0, 1, 2, 3]


@pytest.mark.slow
def test_processes_of_a_map_go_on_and_end_with_the_parent() -> None:
    with worker_processes(1, ahead=2, died=RuntimeError()) as map_:
        assert list(map_(end_itself, range(3))) == [0, 1, 2]
