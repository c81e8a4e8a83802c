"""The state of every generator of random numbers of a process, as plain values and tensors."""

import random
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """Return the states of Python's, numpy's and PyTorch's generators; of the GPU's too, where one is in use."""
    version, numbers, next_gauss = random.getstate()
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state = {
        "python": {"version": version, "numbers": list(numbers), "next_gauss": next_gauss},
        "numpy": {
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "gauss": float(gauss),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Set all generators to a state that ``random_state`` returned."""
    python, legacy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["numbers"]), python["next_gauss"]))
    keys = legacy["keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, legacy["position"], legacy["has_gauss"], legacy["gauss"]))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"])
