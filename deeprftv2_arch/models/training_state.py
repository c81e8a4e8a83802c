"""What a training has beside its weights: random numbers, states that any machine reads, and averaged weights."""

import random
from typing import Any

import numpy as np
import torch
from torch import nn


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


def plain(value: Any) -> Any:
    """Return a state of optimisers or schedules in a form that is read without executing anything.

    Nested dictionaries (counters become such), lists and tuples stay; all tensors move to the CPU.
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return value.cpu() if isinstance(value, torch.Tensor) else value


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Move an average towards a network: ``average = decay * average + (1 - decay) * net``.

    Args:
        average: A network of the same architecture; changed in place. Integer buffers are copied.
        net: The network.
        decay: 0 copies the network, values near 1 average over about ``1 / (1 - decay)`` updates.
    """
    current = net.state_dict()
    for name, value in average.state_dict().items():
        if decay == 0 or not value.is_floating_point():
            value.copy_(current[name])
        else:
            value.lerp_(current[name], 1 - decay)
