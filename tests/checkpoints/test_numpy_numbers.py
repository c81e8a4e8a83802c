"""NumPy's numbers beside weights: read as Python's, without calling anything of NumPy's that a file names."""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy._core.multiarray import scalar

from deeprftv2_arch.checkpoints.io import load_checkpoint, load_params
from deeprftv2_arch.errors import CheckpointError

WEIGHTS = {"weight": torch.ones(2)}


@pytest.mark.parametrize(
    "number",
    [np.float64(3.25), np.float32(-1.5), np.float16(2), np.int64(-7), np.uint8(200), np.bool_(True), np.float64("inf")],
)
@pytest.mark.parametrize("is_zip", [True, False])
def test_numbers_beside_weights_are_read(tmp_path: Path, number: Any, is_zip: bool) -> None:
    torch.save({"params": WEIGHTS, "best": number}, tmp_path / "a.pth", _use_new_zipfile_serialization=is_zip)
    best = load_checkpoint(tmp_path / "a.pth")["best"]
    assert (best, type(best)) == (number.item(), type(number.item()))
    assert load_params(tmp_path / "a.pth").keys() == WEIGHTS.keys()


def test_other_byte_order(tmp_path: Path) -> None:
    torch.save({"best": Written(np.dtype(">i4"), (258).to_bytes(4, "big"))}, tmp_path / "a.pth")
    assert load_checkpoint(tmp_path / "a.pth")["best"] == 258


class Written:
    """Is pickled as a call of NumPy's that makes a number."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return scalar, self.arguments


class Named:
    """Is pickled as a type of any name."""

    def __init__(self, name: object) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return np.dtype, (self.name, False, True)


@pytest.mark.parametrize(
    "value",
    [
        Written(np.dtype("f8"), b"abc"),
        Written(np.dtype("f8"), b""),
        Written("f8", bytes(8)),
        Written(np.dtype("f8")),
        Written(Named("O"), bytes(8)),
        Written(Named("V8"), bytes(8)),
        Written(Named("M8[s]"), bytes(8)),
        Written(Named("4f8"), bytes(32)),
        Written(Named("f8,f8"), bytes(16)),
        Written(Named("(" * 300), bytes(8)),
        Written(Named(8), bytes(8)),
        Written(Named({"names": []}), bytes(8)),
        np.array([1.0, 2.0]),
        np.str_("a"),
    ],
)
def test_what_is_no_number_is_refused(tmp_path: Path, value: object) -> None:
    torch.save({"params": WEIGHTS, "best": value}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "a.pth")
    assert "\n" not in str(caught.value)


def test_nothing_else_is_let_in(tmp_path: Path) -> None:
    with (tmp_path / "a.pth").open("wb") as file:
        pickle.dump({"params": WEIGHTS, "best": math.sqrt}, file)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "a.pth")
