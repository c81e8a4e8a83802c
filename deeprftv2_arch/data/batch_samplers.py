"""What every iteration trains on: a pure function of seed and iteration, also in a run that is resumed."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from deeprftv2_arch.data.patches import PatchRequest, PatchSize, PatchStage, read_stages
from deeprftv2_arch.errors import OptionError

# First entries of numpy's spawn keys, which tell the two streams of random numbers of one seed apart.
_ORDER, _PATCH = 0, 1


class ProgressiveBatchSampler(Sampler[list[PatchRequest]]):
    """Batch sampler of the progressive training: small patches in large batches first, large ones in small ones later.

    Source: the paper's implementation details, with patches of 256 and then 512 pixels.

    The samples of all iterations form one sequence, which walks through a freshly shuffled order of the data set again
    and again; an iteration takes the next ``batch_size`` of them and every process the same share, so that two
    processes train on the same global batch as one. A resumed run starts at its iteration, and only the patches that an
    iteration needs are cut.

    Args:
        dataset_size: Number of image pairs.
        stages: The option ``patch_stages``.
        seed: Decides order, positions and turns.
        rank: Number of this process.
        world_size: Number of processes.
        start_iter: Number of iterations done before.
        total_iter: Last iteration; by default that of the last stage.

    Raises:
        OptionError: The stages are malformed, end before ``total_iter``, or have batches that the processes cannot
            share equally.
    """

    def __init__(
        self,
        dataset_size: int,
        stages: Sequence[Mapping[str, Any]],
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        start_iter: int = 0,
        total_iter: int | None = None,
    ) -> None:
        self.dataset_size = dataset_size
        self.stages = read_stages(stages)
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.start_iter = start_iter
        planned = sum(stage.iters for stage in self.stages)
        self.total_iter = planned if total_iter is None else total_iter
        if self.total_iter > planned:
            raise OptionError(
                f"datasets: train: patch_stages: they end after {planned} iterations, train: total_iter is "
                f"{self.total_iter}; extend the last stage"
            )
        for stage in self.stages:
            if stage.batch_size % world_size:
                raise OptionError(
                    f"datasets: train: patch_stages: a batch_size of {stage.batch_size} cannot be shared equally by "
                    f"{world_size} processes; choose a multiple of {world_size}"
                )

    def __len__(self) -> int:
        """Return the number of iterations from the start to the last."""
        return max(0, self.total_iter - self.start_iter)

    def __iter__(self) -> Iterator[list[PatchRequest]]:
        """Yield this process's share of every batch."""
        for iteration in range(self.start_iter + 1, self.total_iter + 1):
            batch = self.global_batch(iteration)
            share = len(batch) // self.world_size
            yield batch[self.rank * share : (self.rank + 1) * share]

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: BasicSR's loop announces epochs, and here iterations decide."""

    def global_batch(self, iteration: int) -> list[PatchRequest]:
        """Return what all processes together train on in an iteration, counted from 1."""
        stage, first = self._locate(iteration)
        return [self._request(number, stage.patch_size) for number in range(first, first + stage.batch_size)]

    def _locate(self, iteration: int) -> tuple[PatchStage, int]:
        """Return the stage of an iteration and the number of its first sample, both counted over the whole training."""
        samples, done = 0, iteration - 1
        for stage in self.stages:
            if done < stage.iters:
                return stage, samples + done * stage.batch_size
            samples += stage.iters * stage.batch_size
            done -= stage.iters
        raise IndexError(f"iteration {iteration} lies beyond the last stage")

    def _request(self, number: int, patch_size: PatchSize) -> PatchRequest:
        turn, position = divmod(number, self.dataset_size)
        sequence = np.random.SeedSequence(self.seed, spawn_key=(_PATCH, number))
        index = shuffled(self.dataset_size, self.seed, turn)[position]
        return PatchRequest(int(index), patch_size, int(sequence.generate_state(1, np.uint64)[0]), number)


class KernelBatchSampler(Sampler[list[int]]):
    """Batch sampler of a :class:`MotionKernelDataset`; a resumed run starts at its iteration.

    Args:
        dataset_size: Number of kernels of a pool.
        redraw: Whether every pass takes the next pool, in order; else it takes the first one, freshly shuffled.
        batch_size: Kernels per iteration and process.
        seed: Decides the order.
        rank: Number of this process.
        world_size: Number of processes.
        start_iter: Number of iterations done before.
        total_iter: Last iteration.
    """

    def __init__(
        self,
        dataset_size: int,
        redraw: bool,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        *,
        start_iter: int = 0,
        total_iter: int,
    ) -> None:
        self.dataset_size = dataset_size
        self.redraw = redraw
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.start_iter = start_iter
        self.total_iter = total_iter

    def __len__(self) -> int:
        """Return the number of iterations from the start to the last."""
        return max(0, self.total_iter - self.start_iter)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the numbers of this process's kernels of every batch."""
        for iteration in range(self.start_iter, self.total_iter):
            first = (iteration * self.world_size + self.rank) * self.batch_size
            yield [self._number(count) for count in range(first, first + self.batch_size)]

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: BasicSR's loop announces epochs, and here iterations decide."""

    def _number(self, count: int) -> int:
        """Return the number of the kernel that comes after ``count`` others."""
        if self.redraw:
            return count
        turn, position = divmod(count, self.dataset_size)
        return int(shuffled(self.dataset_size, self.seed, turn)[position])


@lru_cache(maxsize=2)
def shuffled(size: int, seed: int, turn: int) -> NDArray[np.int64]:
    """Return the order of one walk through the data set."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ORDER, turn))).permutation(size)
