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

from deeprftv2_arch.options.muon import Muon

GROUP_NUMBERS = ("lr", "initial_lr", "betas", "eps", "weight_decay", "momentum")
MOMENTS = ("exp_avg", "exp_avg_sq")
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


def _optimizer_faults(found: Mapping[str, Any], optimizer: Optimizer) -> Iterator[str]:
    groups, own = found.get("param_groups"), optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or len(groups) != len(own):
        yield "the optimiser is another one"
        return
    for group, wanted in zip(groups, own, strict=True):
        if not isinstance(group, dict) or group.get("params") != wanted["params"]:
            yield "the optimiser is another one, or of another network"
            return
        for name, own_value in wanted.items():
            if name in GROUP_NUMBERS and not _is_like(group.get(name), own_value):
                yield f"the optimiser is another one: {name} is missing or no number"
            elif name in group and not _is_like(group[name], own_value):
                yield f"the optimiser is another one: {name} is damaged"
        if not all(0 <= beta < 1 for beta in group.get("betas", ())):
            yield "the optimiser is another one: betas are not in 0..1"
    if isinstance(optimizer, Adam | AdamW | Muon):
        weights = [(weight, "momentum" in group) for group in optimizer.param_groups for weight in group["params"]]
        yield from _moment_faults(found.get("state"), weights)


def _moment_faults(moments: Any, weights: Sequence[tuple[Tensor, bool]]) -> Iterator[str]:
    """Check the moments of weights, each with whether it is one of :class:`Muon`'s matrices."""
    if not isinstance(moments, dict) or (weights and not moments):
        yield "the optimiser has no moments"
        return
    for number, moment in moments.items():
        if not is_whole_number(number) or number >= len(weights) or not isinstance(moment, dict):
            yield "the optimiser is of another network"
            return
        weight, is_matrix = weights[number]
        if not is_matrix and not _is_step(moment.get("step")):
            yield f"the optimiser has no number of steps for weight {number}"
            return
        names = ("momentum_buffer",) if is_matrix else MOMENTS
        name = next((name for name in names if not _fits(moment.get(name), weight)), None)
        if name is not None:
            yield f"the optimiser is of another network: {name} of weight {number} is missing or of another shape"
            return


def _is_step(value: Any) -> bool:
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 else None
    return _is_number(value)


def _fits(value: Any, weight: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == weight.shape and value.is_floating_point()


def _schedule_faults(found: Mapping[str, Any], schedule: Any) -> Iterator[str]:
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
    if not isinstance(best, dict) or not all(_is_best(results) for results in best.values()):
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
    except Exception:  # whatever a damaged one makes of it
        return False
    return isinstance(state.get("cuda", state["torch"]), Tensor)


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
