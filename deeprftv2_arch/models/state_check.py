"""Whether a training state is whole, and of such a training as the one that is to take it up.

A state comes from a file, which may be damaged in ways that its checksums do not show, or be another training's. All of
it is checked before any of it is taken.
"""

import math
import random
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

from deeprftv2_arch.common.nesting import is_bounded
from deeprftv2_arch.errors import CheckpointError, shown
from deeprftv2_arch.options.muon import Muon

GROUP_NUMBERS = ("lr", "initial_lr", "betas", "eps", "weight_decay", "momentum")
MOMENTS = ("exp_avg", "exp_avg_sq")
FLAGS = ("amsgrad", "maximize", "capturable", "differentiable")
AT_LEAST_0 = ("lr", "initial_lr", "eps", "weight_decay")
FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Lists of the options of BasicSR's schedules, and what it makes of them; all those of one schedule are equally long.
LISTS = ("periods", "cumulative_period", "restarts", "restart_weights")
DEEPEST = 20  # dictionaries and lists in each other
LARGEST = 2.0**64  # of a number in a state; PyTorch cannot take much larger whole ones
SCALE = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


def is_whole_number(value: object) -> bool:
    """Tell whether a value is an integer from 0 on, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def require_fitting(
    state: Mapping[str, Any],
    optimizers: Sequence[Optimizer],
    schedulers: Sequence[Any],
    better: Mapping[str, str] | None = None,
    learning: Collection[Tensor] = (),
) -> None:
    """Refuse a training state that is damaged or another training's.

    Args:
        state: What was read from a file.
        optimizers: Those of the training that is to take it up.
        schedulers: Its schedules.
        better: Whether ``higher`` or ``lower`` values are, by the names of its metrics.
        learning: Weights that get a gradient in every step.

    Raises:
        CheckpointError: It is.
    """
    try:
        try:
            _require_fitting(state, optimizers, schedulers, better or {}, set(map(id, learning)))
        except (ArithmeticError, RuntimeError, TypeError, ValueError):  # tensors and arrays where numbers belong
            raise _FaultError("it has values that cannot be compared") from None
    except _FaultError as fault:
        raise CheckpointError(
            f"the training state of iteration {shown(state.get('iter'))} does not fit the network and optimiser of the "
            f"option file ({fault}); resume with the options that it was saved with, or from another state"
        ) from None


class _FaultError(Exception):
    """What is wrong with a state. The first one ends the checks: each stands on those before it."""


def _require_fitting(
    state: Mapping[str, Any],
    optimizers: Sequence[Optimizer],
    schedulers: Sequence[Any],
    better: Mapping[str, str],
    learning: set[int],
) -> None:
    if not _is_plain(state):
        raise _FaultError("it is nested too deeply, or has a tensor that is no array of its own")
    for name in ("iter", "epoch"):
        if not is_whole_number(state.get(name)):
            raise _FaultError(f"{name} is no number")
    iteration, scaler = state["iter"], state.get("grad_scaler", {})
    if state["epoch"] > iteration:
        raise _FaultError(f"it says epoch {shown(state['epoch'])}, and an epoch has at least one iteration")
    for name, count in (("optimizers", len(optimizers)), ("schedulers", len(schedulers))):
        fault = _list_fault(name, state.get(name), count)
        if fault is not None:
            raise _FaultError(fault)
    for found, optimizer in zip(state["optimizers"], optimizers, strict=True):
        _require_optimizer(found, optimizer, iteration, learning, scaler != {})
    for found, schedule in zip(state["schedulers"], schedulers, strict=True):
        _require_schedule(found, schedule, iteration)
    if not isinstance(scaler, dict) or (scaler and not all(_is_number(scaler.get(name)) for name in SCALE)):
        raise _FaultError("grad_scaler is damaged")
    _require_others(state, better)


def _list_fault(name: str, found: Any, count: int) -> str | None:
    if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
        return f"{name} are no list of states"
    return f"has {len(found)} {name}, and this training {count}" if len(found) != count else None


def _is_plain(state: object) -> bool:
    """Tell whether tensors are arrays with all their values in memory, and nothing is nested deeper than states are."""
    return is_bounded(state, DEEPEST) and _has_arrays(state)


def _has_arrays(value: Any) -> bool:
    if isinstance(value, Mapping | list | tuple):
        return all(map(_has_arrays, value.values() if isinstance(value, Mapping) else value))
    return not isinstance(value, Tensor) or _is_array(value)


def _is_array(tensor: Tensor) -> bool:
    if tensor.is_nested or tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided:
        return False
    if any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)):
        return False  # one number seen as many, which no optimiser can write to
    return tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()


def _require_optimizer(
    found: Mapping[str, Any], optimizer: Optimizer, iteration: int, learning: set[int], is_scaled: bool
) -> None:
    groups, own = found.get("param_groups"), optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or len(groups) != len(own):
        raise _FaultError("the optimiser is another one")
    for group, wanted in zip(groups, own, strict=True):
        numbers = group.get("params") if isinstance(group, dict) else None
        if not isinstance(numbers, list) or not all(map(is_whole_number, numbers)) or numbers != wanted["params"]:
            raise _FaultError("the optimiser is another one, or of another network")
        _require_group(group, wanted)
    moments = found.get("state")
    weights = [(weight, group) for group in optimizer.param_groups for weight in group["params"]]
    if not isinstance(moments, dict) or not all(
        is_whole_number(number) and number < len(weights) and isinstance(moment, dict)
        for number, moment in moments.items()
    ):
        raise _FaultError("the optimiser is of another network")
    if isinstance(optimizer, Adam | AdamW | Muon):
        if moments or not is_scaled:  # in float16 the first steps may all have been skipped
            _require_moments(moments, [weight for weight, _ in weights], learning)
        for number, moment in moments.items():
            fault = _moment_fault(moment, *weights[number], iteration)
            if fault is not None:
                raise _FaultError(f"the optimiser is damaged or of another network: weight {number} has {fault}")
    tensors = [value for moment in moments.values() for value in moment.values() if isinstance(value, Tensor)]
    storages = [value.untyped_storage().data_ptr() for value in tensors if value.numel() and value.dim()]
    if len(set(storages)) < len(storages):  # a step of one would change another
        raise _FaultError("the optimiser is damaged: moments of it share their values")


def _require_moments(moments: Mapping[int, Any], weights: Sequence[Tensor], learning: set[int]) -> None:
    if weights and not moments:
        raise _FaultError("the optimiser has no moments")
    for number, weight in enumerate(weights):
        if id(weight) in learning and number not in moments:
            raise _FaultError(
                f"the optimiser has no moments of weight {number}, which gets a gradient with train: losses and "
                "network_g as they are now: they have changed since, or the state is damaged"
            )


def _moment_fault(moment: Mapping[str, Any], weight: Tensor, group: Mapping[str, Any], iteration: int) -> str | None:
    """Name what is wrong with what the optimiser keeps of a weight in a group."""
    is_matrix = "momentum" in group  # of Muon's
    if not is_matrix and not _is_step(moment.get("step"), iteration):
        return f"no number of steps that there can be in {iteration} iterations"
    for name in ("momentum_buffer",) if is_matrix else MOMENTS + ("max_exp_avg_sq",) * bool(group.get("amsgrad")):
        if not _fits(moment.get(name), weight):
            return f"no {name} of its shape"
        if not moment[name].isfinite().all() or (name.endswith("_sq") and (moment[name] < 0).any()):
            return f"values in {name} that it cannot have"
    return None


def _require_group(group: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name, own_value in wanted.items():
        if name in GROUP_NUMBERS and not _is_like(group.get(name), own_value):
            raise _FaultError(f"the optimiser is another one: {name} is missing or no number")
        if name in group and not _is_like(group[name], own_value):
            raise _FaultError(f"the optimiser is another one: {name} is damaged")
    for name in FLAGS:
        if bool(group.get(name)) != bool(wanted.get(name)):
            raise _FaultError(f"the optimiser is another one: {name} is {shown(group.get(name))}")
    if any(_is_number(group.get(name)) and group[name] < 0 for name in AT_LEAST_0):
        raise _FaultError("the optimiser is another one: a number of it is below 0")
    if not all(0 <= beta < 1 for beta in group.get("betas", ())):
        raise _FaultError("the optimiser is another one: betas are not in 0..1")


def _is_step(value: Any, iteration: int) -> bool:
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 else None
    return _is_number(value) and 0 <= value <= iteration


def _fits(value: Any, weight: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == weight.shape and value.dtype in FLOATING


def _require_schedule(found: Mapping[str, Any], schedule: Any, iteration: int) -> None:
    strange = next(
        (name for name in found if not isinstance(name, str) or callable(getattr(schedule, name, None))), None
    )
    if strange is not None:
        raise _FaultError(f"the schedule is another one: it has {shown(strange)}")
    if _is_number(found.get("T_max")) and found["T_max"] <= 0:
        raise _FaultError("the schedule is another one: T_max is not above 0")
    lists = {name: own for name in LISTS if isinstance(own := getattr(schedule, name, None), list | tuple)}
    for name, wanted in schedule.state_dict().items():
        # What begins with a line is PyTorch's own, and differs between its versions.
        if name not in found and not name.startswith("_") and name != "verbose":
            raise _FaultError(f"the schedule is another one: {name} is missing")
        is_fitting = _are_numbers if name in lists else _is_like
        if name in found and not is_fitting(found[name], wanted):
            raise _FaultError(f"the schedule is another one: {name} is damaged")
    if lists:
        _require_lists(found, lists)
    place: Any = found.get("last_epoch")
    if not is_whole_number(place):
        raise _FaultError("the schedule does not say where it is")
    if abs(iteration - 1 - place) > 1:  # BasicSR moves it from the second iteration on
        raise _FaultError(f"the schedule is at {shown(place)}, and not where iteration {iteration} is")


def _require_lists(found: Mapping[str, Any], wanted: Mapping[str, Sequence[float]]) -> None:
    """Refuse lists that do not belong together, or end before the schedule of the options does.

    What else has changed in the options is no fault: the schedule of the state goes on, as with BasicSR.
    """
    if len({len(found[name]) for name in wanted}) > 1:
        raise _FaultError("the schedule is damaged: its lists are not equally long")
    if "periods" in wanted and "cumulative_period" in wanted:
        periods, own = found["periods"], wanted["periods"]
        if list(accumulate(periods)) != list(found["cumulative_period"]) or min(periods, default=1) <= 0:
            raise _FaultError("the schedule is damaged: its periods are none")
        if sum(periods) < sum(own):  # BasicSR would fail in the iteration after the last period
            raise _FaultError(
                f"train: scheduler: periods has changed since: the state has {len(periods)} entries, for "
                f"{sum(periods):,} iterations, and the option file {len(own)}, for {sum(own):,}"
            )


def _require_others(state: Mapping[str, Any], better: Mapping[str, str]) -> None:
    best = state.get("best_metric_results", {})
    if not isinstance(best, dict) or not all(
        isinstance(name, str) and isinstance(found, dict) and _are_best(found, state["iter"], better)
        for name, found in best.items()
    ):
        raise _FaultError("best_metric_results are damaged, or of metrics of which other values are better")
    validated = state.get("validated", [])
    if not isinstance(validated, list) or not all(isinstance(name, str) for name in validated):
        raise _FaultError("validated is damaged")
    numbers = state.get("random_states", [])
    if not isinstance(numbers, list) or not all(map(_is_random_state, numbers)):
        raise _FaultError("random_states are damaged")


def _are_best(results: Mapping[Any, Any], iteration: int, better: Mapping[str, str]) -> bool:
    for metric, best in results.items():
        direction = best.get("better") if isinstance(best, dict) else None
        if direction not in ("higher", "lower") or direction != better.get(metric, direction):
            return False
        value, at = best.get("val"), best.get("iter")
        is_infinite = isinstance(value, float | np.floating) and math.isinf(value)
        if not (_is_number(value) or is_infinite):
            return False
        # Before there is a value, which may be as long as there is no ground truth, the number of the iteration is -1.
        if not (is_whole_number(at) and at <= iteration) and not (is_infinite and isinstance(at, int) and at == -1):
            return False
    return True


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
    """Tell whether a value is a number, of Python or NumPy, that a training may have come to."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return bool(abs(value) <= LARGEST)


def _are_numbers(value: Any, wanted: Any) -> bool:
    """Tell whether a value is a list of numbers, of any length; what is wanted is one."""
    return isinstance(value, list | tuple) and all(map(_is_number, value))


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
