"""Whether a training state is whole, and of such a training as the one that is to take it up.

A state comes from a file, which may be damaged in ways that its checksums do not show, or be another training's. All of
it is checked before any of it is taken.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

from deeprftv2_arch.errors import shown
from deeprftv2_arch.options.muon import Muon

GROUP_NUMBERS = ("lr", "initial_lr", "betas", "eps", "weight_decay", "momentum")
MOMENTS = ("exp_avg", "exp_avg_sq")
FLAGS = ("amsgrad", "maximize", "capturable", "differentiable")
AT_LEAST_0 = ("lr", "initial_lr", "eps", "weight_decay")
FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DEEPEST = 20  # dictionaries and lists in each other
LARGEST = 2.0**64  # of a number in a state; PyTorch cannot take much larger whole ones
SCALE = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


def is_whole_number(value: object) -> bool:
    """Tell whether a value is an integer from 0 on, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def state_faults(state: Mapping[str, Any], optimizers: Sequence[Optimizer], schedulers: Sequence[Any]) -> Iterator[str]:
    """Name what in a training state is damaged or of another training.

    Args:
        state: What was read from a file.
        optimizers: Those of the training that is to take it up.
        schedulers: Its schedules.
    """
    if not _is_plain(state):
        yield "it is nested too deeply, or has a tensor that is no array of its own"
        return
    for name in ("iter", "epoch"):
        if not is_whole_number(state.get(name)):
            yield f"{name} is no number"
    for name, wanted in (("optimizers", optimizers), ("schedulers", schedulers)):
        found = state.get(name)
        if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
            yield f"{name} are no list of states"
        elif len(found) != len(wanted):
            yield f"has {len(found)} {name}, and this training {len(wanted)}"
        else:
            check: Any = _optimizer_faults if name == "optimizers" else _schedule_faults
            for part, own in zip(found, wanted, strict=True):
                yield from check(part, own)
    yield from _other_faults(state)


def _is_plain(state: object) -> bool:
    """Tell whether tensors are arrays with all their values in memory, and nothing is nested deeper than states are."""
    level: list[Any] = [state]
    for _ in range(DEEPEST):
        if not all(_is_array(value) for value in level if isinstance(value, Tensor)):
            return False
        groups = [value.values() if isinstance(value, Mapping) else value for value in level if _is_nested(value)]
        level = [value for group in groups for value in group]
    return not level


def _is_nested(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _is_array(tensor: Tensor) -> bool:
    if tensor.is_nested or tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided:
        return False
    if any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)):
        return False  # one number seen as many, which no optimiser can write to
    return tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()


def _optimizer_faults(found: Mapping[str, Any], optimizer: Optimizer) -> Iterator[str]:
    groups, own = found.get("param_groups"), optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or len(groups) != len(own):
        yield "the optimiser is another one"
        return
    for group, wanted in zip(groups, own, strict=True):
        if not isinstance(group, dict) or group.get("params") != wanted["params"]:
            yield "the optimiser is another one, or of another network"
            return
        yield from _group_faults(group, wanted)
    if isinstance(optimizer, Adam | AdamW | Muon):
        weights = [(weight, "momentum" in group) for group in optimizer.param_groups for weight in group["params"]]
        yield from _moment_faults(found.get("state"), weights, any(group.get("amsgrad") for group in own))


def _group_faults(group: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for name, own_value in wanted.items():
        if name in GROUP_NUMBERS and not _is_like(group.get(name), own_value):
            yield f"the optimiser is another one: {name} is missing or no number"
        elif name in group and not _is_like(group[name], own_value):
            yield f"the optimiser is another one: {name} is damaged"
    for name in FLAGS:
        if bool(group.get(name)) != bool(wanted.get(name)):
            yield f"the optimiser is another one: {name} is {shown(group.get(name))}"
    if any(_is_number(group.get(name)) and group[name] < 0 for name in AT_LEAST_0):
        yield "the optimiser is another one: a number of it is below 0"
    if not all(0 <= beta < 1 for beta in group.get("betas", ())):
        yield "the optimiser is another one: betas are not in 0..1"


def _moment_faults(moments: Any, weights: Sequence[tuple[Tensor, bool]], is_amsgrad: bool) -> Iterator[str]:
    """Check the moments of weights, each with whether it is one of :class:`Muon`'s matrices."""
    if not isinstance(moments, dict) or (weights and not moments):
        yield "the optimiser has no moments"
        return
    storages: set[int] = set()
    held = 0
    for number, moment in moments.items():
        if not is_whole_number(number) or number >= len(weights) or not isinstance(moment, dict):
            yield "the optimiser is of another network"
            return
        weight, is_matrix = weights[number]
        if not is_matrix and not _is_step(moment.get("step")):
            yield f"the optimiser has no number of steps for weight {number}"
            return
        names = ("momentum_buffer",) if is_matrix else MOMENTS + ("max_exp_avg_sq",) * is_amsgrad
        name = next((name for name in names if not _fits(moment.get(name), weight)), None)
        if name is not None:
            yield f"the optimiser is of another network: {name} of weight {number} is missing or of another shape"
            return
        for name in names:
            storages.add(moment[name].untyped_storage().data_ptr())
            if not moment[name].isfinite().all() or (name.endswith("_sq") and (moment[name] < 0).any()):
                yield f"the optimiser is damaged: {name} of weight {number} has values that it cannot have"
                return
        held += len(names) if weight.numel() else 0
    if len(storages) < held:  # a step of one would change another
        yield "the optimiser is damaged: moments of it share their values"


def _is_step(value: Any) -> bool:
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 else None
    return _is_number(value) and value >= 0


def _fits(value: Any, weight: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == weight.shape and value.dtype in FLOATING


def _schedule_faults(found: Mapping[str, Any], schedule: Any) -> Iterator[str]:
    strange = next(
        (name for name in found if not isinstance(name, str) or callable(getattr(schedule, name, None))), None
    )
    if strange is not None:
        yield f"the schedule is another one: it has {shown(strange)}"
        return
    if _is_number(found.get("T_max")) and found["T_max"] <= 0:
        yield "the schedule is another one: T_max is not above 0"
    for name, wanted in schedule.state_dict().items():
        # What begins with a line is PyTorch's own, and differs between its versions.
        if name not in found and not name.startswith("_") and name != "verbose":
            yield f"the schedule is another one: {name} is missing"
        elif name in found and not _is_like(found[name], wanted):
            yield f"the schedule is another one: {name} is damaged"
    if not is_whole_number(found.get("last_epoch")):
        yield "the schedule does not say where it is"


def _other_faults(state: Mapping[str, Any]) -> Iterator[str]:
    scaler = state.get("grad_scaler", {})
    if not isinstance(scaler, dict) or (scaler and not all(_is_number(scaler.get(name)) for name in SCALE)):
        yield "grad_scaler is damaged"
    best = state.get("best_metric_results", {})
    if not isinstance(best, dict) or not all(isinstance(name, str) and _is_best(best[name]) for name in best):
        yield "best_metric_results are damaged"
    validated = state.get("validated", [])
    if not isinstance(validated, list) or not all(isinstance(name, str) for name in validated):
        yield "validated is damaged"
    numbers = state.get("random_states", [])
    if not isinstance(numbers, list) or not all(map(_is_random_state, numbers)):
        yield "random_states are damaged"


def _is_best(results: Any) -> bool:
    return isinstance(results, dict) and all(
        isinstance(best, dict)
        and best.get("better") in ("higher", "lower")
        and isinstance(best.get("val"), int | float)
        and is_whole_number(best.get("iter"))
        for best in results.values()
    )


def _is_random_state(state: Any) -> bool:
    """Try a state on generators of its own."""
    try:
        python, legacy = state["python"], state["numpy"]
        random.Random().setstate((python["version"], tuple(python["numbers"]), python["next_gauss"]))
        keys = legacy["keys"].numpy().astype(np.uint32)
        np.random.RandomState().set_state(("MT19937", keys, legacy["position"], legacy["has_gauss"], legacy["gauss"]))
        torch.Generator().set_state(state["torch"])
        if not 0 <= legacy["position"] <= len(keys):  # which NumPy does not check, and reads what lies behind
            return False
        gpu = state.get("cuda", state["torch"])
        if gpu.dtype != torch.uint8 or gpu.dim() != 1 or not isinstance(python["next_gauss"], float | None):
            return False
    except Exception:  # whatever a damaged one makes of it
        return False
    return True


def _is_number(value: object) -> bool:
    """Tell whether a value is a number that a training may have come to."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _is_like(value: Any, wanted: Any) -> bool:
    """Tell whether a value is of the kind of another, and as long."""
    if isinstance(wanted, bool) or wanted is None:
        return isinstance(value, bool) or value is None
    if isinstance(wanted, int | float):
        return _is_number(value)
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(_is_number(key) for key in value)
    if isinstance(wanted, list | tuple):
        same = isinstance(value, list | tuple) and len(value) == len(wanted)
        return same and all(_is_like(item, other) for item, other in zip(value, wanted, strict=True))
    return isinstance(value, type(wanted))
