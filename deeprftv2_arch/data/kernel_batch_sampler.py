"""Which kernels every iteration trains on: a pure function of seed and iteration."""

from collections.abc import Iterator

from torch.utils.data import Sampler

from deeprftv2_arch.data.progressive_sampler import shuffled


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
        """Number of iterations from the start to the last."""
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
