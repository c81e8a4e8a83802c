"""NumPy's numbers in checkpoints, such as a best result: read as Python's, without calling what a file names."""

import pickle
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch.serialization import safe_globals

KINDS = "biuf"  # truth values, whole numbers and floats
MODULES = ("numpy._core.multiarray", "numpy.core.multiarray")  # of NumPy 2 and 1


class _Type:
    """Stands for ``numpy.dtype``: the name and the byte order of a type of numbers."""

    def __init__(self, name: object, *_: object) -> None:
        self.name = name
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        self.order = order if order in ("<", ">") else "="


def _number(kind: object, data: object) -> bool | int | float:
    """Stand for ``numpy.core.multiarray.scalar``."""
    if not isinstance(kind, _Type) or not isinstance(kind.name, str) or not isinstance(data, bytes):
        raise pickle.UnpicklingError("Unsupported class numpy.generic")
    try:
        dtype = np.dtype(kind.name).newbyteorder(kind.order)  # type: ignore[arg-type]
    except (TypeError, ValueError, SyntaxError) as error:
        raise pickle.UnpicklingError("Unsupported class numpy.dtype") from error
    if dtype.kind not in KINDS or dtype.itemsize != len(data) or dtype.subdtype is not None:
        raise pickle.UnpicklingError(f"Unsupported class numpy.{dtype.name}")
    number: bool | int | float = np.frombuffer(data, dtype)[0].item()
    return number


def numpy_numbers() -> AbstractContextManager[None]:
    """Let ``torch.load`` read numbers of NumPy's within a with-block, in files that it reads as weights only.

    Older releases of PyTorch than 2.7 refuse them as ever: nothing can stand for them there.
    """
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 7):
        return nullcontext()
    scalars: list[Any] = [(_number, f"{module}.scalar") for module in MODULES]
    context: AbstractContextManager[None] = safe_globals([*scalars, (_Type, "numpy.dtype")])
    return context
