"""What the quickstarts differ in."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from deeprftv2_arch.options.option_file import read_option_file
from quickstart.restoring import Restored

OPTION_FILES = Path(__file__).resolve().parents[1] / "options"


@dataclass(frozen=True)
class Words:
    """What the table and the images call a photograph.

    Attributes:
        before: As it is without the network.
        after: As the network makes it.
        truth: As it was taken.
    """

    before: str
    after: str
    truth: str


class Task(ABC):
    """Something that a small network learns from photographs. Photographs are (H, W, 3) uint8 RGB.

    Attributes:
        command: What is typed to run it.
        description: What it does, for its help.
        option_file: Network and training; its databases, relative to the output folder, are what is prepared.
        network: Class of the network.
        words: What the photographs are called.
        scale: How many times as high and as wide as the degraded photograph the true one is.
        threads: Threads of PyTorch with which the training is fastest.
        detail_zoom: How much the details of the images are enlarged.
    """

    command: str
    description: str
    option_file: Path
    network: type[nn.Module]
    words: Words
    scale: int
    threads: int
    detail_zoom: int

    @cached_property
    def options(self) -> dict[str, Any]:
        """What the option file says."""
        return read_option_file(self.option_file)

    @abstractmethod
    def versions(self, file_name: str) -> int:
        """Return how many versions of a training photograph the network learns from."""

    @abstractmethod
    def true_version(self, file_name: str, version: int) -> np.ndarray:
        """Return a version of a photograph as the network should restore it; version 0 is the photograph itself."""

    @abstractmethod
    def degrade(self, photograph: np.ndarray, file_name: str, version: int, seed: int) -> np.ndarray:
        """Make what the network gets instead of a version of a photograph: a pure function of the arguments."""

    @abstractmethod
    def without_network(self, degraded: np.ndarray) -> np.ndarray:
        """Return the photograph that the network's is compared with, of the size of the true one."""

    @abstractmethod
    def restore(self, network: nn.Module, degraded: np.ndarray) -> Restored:
        """Restore a degraded photograph with the network."""

    def shipped(self, degraded: np.ndarray) -> np.ndarray | None:
        """Restore a degraded photograph with the network that comes with the package, if that is for such ones."""
        return None

    @abstractmethod
    def psnr(self, photograph: np.ndarray, truth: np.ndarray) -> float:
        """Measure the peak signal-to-noise ratio in dB."""

    @abstractmethod
    def ssim(self, photograph: np.ndarray, truth: np.ndarray) -> float:
        """Measure the structural similarity."""
