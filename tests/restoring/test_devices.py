"""Which device restores, and what is said of one that cannot."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deeprftv2_arch import Restorer
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.restoring.devices import find_device


class LacksAnOperator(nn.Module):
    """Fails as PyTorch does on a Mac's GPU."""

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("The operator 'aten::_fft_r2c' is not currently implemented for the MPS device. ...")


def test_the_gpu_of_an_apple_processor_is_chosen_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device(None).type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(OptionError, match=r"^device: mps cannot be used here"):  # this machine has none
        find_device(None)
    assert find_device("cpu").type == "cpu"


def test_an_operator_that_a_device_lacks_is_named() -> None:
    restorer = Restorer(LacksAnOperator(), device="cpu")
    with pytest.raises(OptionError, match=r"^device: PyTorch has no aten::_fft_r2c for cpu, which this network needs"):
        restorer(np.zeros((8, 8, 3), np.uint8))
