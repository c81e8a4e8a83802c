"""Simulated motion kernels as a data set in memory."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from deeprftv2_arch.data.motion_kernel import MotionKernelSimulator
from deeprftv2_arch.errors import OptionError


class MotionKernelDataset(Dataset[dict[str, Any]]):
    """Motion kernels that are simulated when they are first asked for; nothing is read from disk.

    Kernels are numbered: 0 to ``kernels - 1`` are the pool, the next as many are another pool, and so on without end.
    Each is a function of seed, phase and number alone, and those of training are never those of another phase. One pool
    at a time is kept.

    Args:
        opt: The data set's section of the option file: ``kernels`` (their number), ``seed`` (default 0),
            ``kernel_size`` (default 19), ``simulator`` (further arguments of :class:`MotionKernelSimulator`; default
            none), and in training ``redraw`` (true: every pass takes another pool; default false: all take the first).

    Attributes:
        redraw: Whether training goes on from pool to pool.

    Raises:
        OptionError: The simulator refuses its arguments.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        self.redraw = bool(opt.get("redraw", False))
        try:
            self.simulator = MotionKernelSimulator(opt.get("kernel_size", 19), **(opt.get("simulator") or {}))
        except OptionError as error:
            raise OptionError(f"datasets: {opt['phase']}: {error}") from error
        self._stream = 0 if opt["phase"] == "train" else 1
        self._number: int | None = None

    def __len__(self) -> int:
        """Return the number of kernels of a pool."""
        return int(self.opt["kernels"])

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Return a kernel.

        Returns:
            ``kernel``: (kernel_size**2,) float32, row by row, with the sum 1; ``number``: as asked for.
        """
        pool, index = divmod(number, len(self))
        return {"kernel": self.pool(pool)[index], "number": number}

    def pool(self, number: int) -> Tensor:
        """Return all kernels of a pool (kernels, kernel_size**2), which shares its memory with later calls."""
        if number != self._number:
            sequence = np.random.SeedSequence(self.opt.get("seed", 0), spawn_key=(self._stream, number))
            drawn = self.simulator.draw(len(self), np.random.default_rng(sequence))
            self._kernels = torch.from_numpy(drawn).flatten(1)
            self._number = number
        return self._kernels
