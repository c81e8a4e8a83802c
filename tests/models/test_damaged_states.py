"""Training states that are damaged or another training's: one line, and nothing of them is taken."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.models.lr_scheduler import CosineAnnealingRestartLR, MultiStepRestartLR
from deblur_model_helpers import batch, build, train
from launch_helpers import differences

from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.models.state_check import require_fitting

Damage = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("trained")
    model = build(folder, {})
    model.rehearse(batch(0))
    train(model, [1])
    model.save(0, 1)
    return model, torch.load(folder / "training_states" / "1.state", weights_only=True)


def of_weight(state: dict[str, Any]) -> dict[str, Any]:
    return state["optimizers"][0]["state"][0]


def best(state: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = state.setdefault("best_metric_results", {}).setdefault("val", {})
    return value.setdefault("psnr", {"better": "higher", "val": 30.0, "iter": 1})


def unfolding() -> list[Any]:
    """Return what a pickle has in few bytes and a copy unfolds to more than any memory holds."""
    value: list[Any] = [0]
    for _ in range(12):
        value = [value] * 1000
    return value


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda state: state.update(iter="1"), "iter is no number"),
        (lambda state: state.update(iter=True), "iter is no number"),
        (lambda state: state.pop("epoch"), "epoch is no number"),
        (lambda state: state.pop("optimizers"), "optimizers are no list of states"),
        (lambda state: state.update(optimizers=[]), "has 0 optimizers, and this training 1"),
        (lambda state: state["optimizers"].append({}), "has 2 optimizers, and this training 1"),
        (lambda state: state["optimizers"][0].pop("param_groups"), "the optimiser is another one"),
        (lambda state: state["optimizers"][0]["param_groups"][0]["params"].pop(), "or of another network"),
        (
            lambda state: state["optimizers"][0]["param_groups"][0]["params"].insert(0, torch.zeros(0)),
            "or of another network",
        ),
        (lambda state: best(state).update(val=float("-inf"), iter=torch.zeros(0)), "best_metric_results are damaged"),
        (lambda state: state["optimizers"][0]["param_groups"][0].update(lr="a"), "lr is missing or no number"),
        (lambda state: state["optimizers"][0]["param_groups"][0].update(betas=[0.9]), "betas is missing"),
        (lambda state: state["optimizers"][0]["param_groups"][0].update(betas=[0.9, 1.5]), "betas are not in 0..1"),
        (
            lambda state: state["optimizers"][0]["param_groups"][0].update(maximize=torch.zeros(0)),
            "maximize is damaged",
        ),
        (lambda state: state["optimizers"][0]["param_groups"][0].update(eps=10**30), "eps is missing or no number"),
        (lambda state: state["optimizers"][0].update(state={}), "the optimiser has no moments"),
        (lambda state: state["optimizers"][0]["state"].pop(2), "the optimiser has no moments of weight 2"),
        (
            lambda state: of_weight(state).update(step=torch.tensor(7.0)),
            "no number of steps that there can be",
        ),
        (lambda state: state.update(epoch=5), "it says epoch 5"),
        (lambda state: state["optimizers"][0]["state"][0].pop("step"), "weight 0 has no number of steps"),
        (lambda state: state["optimizers"][0]["state"][0].pop("exp_avg"), "weight 0 has no exp_avg of its shape"),
        (
            lambda state: state["optimizers"][0]["state"][0].update(exp_avg_sq=torch.ones(1)),
            "no exp_avg_sq of its shape",
        ),
        (lambda state: state["optimizers"][0]["state"].update({10**6: {}}), "the optimiser is of another network"),
        (lambda state: of_weight(state).update(step=torch.tensor(-1.0)), "weight 0 has no number of steps"),
        (lambda state: of_weight(state).update(step=torch.zeros((), device="meta")), "no array of its own"),
        (lambda state: of_weight(state).update(exp_avg=of_weight(state)["exp_avg"][:1].expand(4, 3, 3, 3)), "no array"),
        (lambda state: of_weight(state).update(exp_avg=of_weight(state)["exp_avg"].to_sparse()), "no array of its own"),
        (lambda state: of_weight(state).update(more=nested(10**5)), "nested too deeply"),
        (lambda state: state.update(iter=nested(10**5)), "nested too deeply"),
        (lambda state: of_weight(state).update(exp_avg=of_weight(state)["exp_avg_sq"]), "share their values"),
        (lambda state: of_weight(state)["exp_avg"].fill_(float("nan")), "values in exp_avg.* that it cannot have"),
        (lambda state: of_weight(state)["exp_avg_sq"].fill_(-1), "values in exp_avg.* that it cannot have"),
        (lambda state: state["optimizers"][0]["param_groups"][0].update(amsgrad=True), "amsgrad is True"),
        (lambda state: state["optimizers"][0]["param_groups"][0].update(lr=-1.0), "below 0"),
        (lambda state: state["schedulers"][0].update(get_lr=3), "it has 'get_lr'"),
        (lambda state: state["schedulers"][0].update(T_max=0), "T_max is not above 0"),
        (lambda state: state["random_states"][0]["numpy"].update(position=10**9), "random_states are damaged"),
        (lambda state: state["random_states"][0]["python"].update(next_gauss="a"), "random_states are damaged"),
        (lambda state: state["schedulers"][0].pop("T_max"), "the schedule is another one: T_max is missing"),
        (lambda state: state["schedulers"][0].update(base_lrs="x"), "base_lrs is damaged"),
        (lambda state: state["schedulers"][0].update(last_epoch=-1), "does not say where it is"),
        (lambda state: state["schedulers"][0].update(last_epoch=77), "is at 77, and not where iteration 1 is"),
        (lambda state: state.update(more=unfolding()), "nested too deeply"),
        (lambda state: state.update(grad_scaler={"scale": 1.0}), "grad_scaler is damaged"),
        (lambda state: state.update(grad_scaler=torch.ones(3)), "grad_scaler is damaged"),
        (lambda state: state.update(best_metric_results={"val": {"psnr": 3}}), "best_metric_results are damaged"),
        (lambda state: best(state).update(val=float("nan")), "best_metric_results are damaged"),
        (lambda state: best(state).update(val=10**400), "best_metric_results are damaged"),
        (lambda state: best(state).update(val=torch.ones(3)), "best_metric_results are damaged"),
        (lambda state: best(state).update(better="lower"), "metrics of which other values are better"),
        (lambda state: best(state).update(better=torch.ones(3)), "best_metric_results are damaged"),
        (lambda state: best(state).update(iter=2), "best_metric_results are damaged"),
        (lambda state: best(state).update(iter=-1), "best_metric_results are damaged"),
        (lambda state: state.update(best_metric_results=[]), "best_metric_results are damaged"),
        (lambda state: state.update(validated=3), "validated is damaged"),
        (lambda state: state.update(random_states=[{}]), "random_states are damaged"),
        (lambda state: state["random_states"][0]["python"].update(numbers=[1]), "random_states are damaged"),
        (lambda state: state["random_states"][0].update(torch=torch.ones(3)), "random_states are damaged"),
    ],
)
def test_damaged_state_is_refused_whole(trained: tuple[Any, dict[str, Any]], damage: Damage, fault: str) -> None:
    model, whole = trained
    state = copy.deepcopy(whole)
    damage(state)
    before = copy.deepcopy(model.optimizer_g.state_dict())
    with pytest.raises(CheckpointError, match=fault) as caught:
        model.resume_training(state)
    assert "\n" not in str(caught.value)
    assert differences(before, model.optimizer_g.state_dict()) == []


def test_whole_state_is_taken(trained: tuple[Any, dict[str, Any]]) -> None:
    model, whole = trained
    model.resume_training(copy.deepcopy(whole))
    assert model.iteration == 1
    assert (Path(model.opt["path"]["training_states"]) / "1.state").is_file()


@pytest.mark.parametrize(
    "value",
    [
        {"val": float("-inf"), "iter": -1},
        {"val": float("inf"), "iter": 1},
        {"val": np.float32(31.5), "iter": 1},
        {"val": np.float32("inf"), "iter": 1},
    ],
)
def test_best_results_before_there_is_any_and_of_equal_images_are_taken(
    trained: tuple[Any, dict[str, Any]], value: dict[str, Any]
) -> None:
    model, whole = trained
    state = copy.deepcopy(whole)
    best(state).update(value)
    model.resume_training(state)
    assert model.best_metric_results["val"]["psnr"]["iter"] == value["iter"]


def cosine(*periods: int) -> Any:
    weights = [1.0] * len(periods)
    return CosineAnnealingRestartLR(torch.optim.Adam([torch.zeros(1)]), list(periods), weights)


def steps(*restarts: int) -> Any:
    optimizer = torch.optim.Adam([torch.zeros(1)])
    return MultiStepRestartLR(optimizer, [5], restarts=list(restarts), restart_weights=[1.0] * len(restarts))


@pytest.mark.parametrize(
    ("saved", "now", "fault"),
    [
        (cosine(5), cosine(5, 9), "train: scheduler: periods has .* has 1 entries, for 5 .* file 2, for 14"),
        (cosine(5, 9), cosine(5, 10), "train: scheduler: periods has .* has 2 entries, for 14 .* file 2, for 15"),
        (cosine(5, 9), cosine(5), None),
        (cosine(15), cosine(5, 9), None),
        (steps(0), steps(0, 7), None),
        (steps(0, 7), steps(0), None),
    ],
)
def test_schedules_of_other_options_go_on_or_the_option_is_named(saved: Any, now: Any, fault: str | None) -> None:
    state = {"iter": 1, "epoch": 0, "optimizers": [], "schedulers": [saved.state_dict()]}
    if fault is not None:
        with pytest.raises(CheckpointError, match=fault):
            require_fitting(state, [], [now])
        return
    require_fitting(state, [], [now])
    now.load_state_dict(state["schedulers"][0])
    for _ in range(13):
        saved.optimizer.step()
        now.optimizer.step()
        saved.step()
        now.step()
        assert now.get_last_lr() == saved.get_last_lr()


@pytest.mark.parametrize("damage", [{"periods": [5, 0]}, {"cumulative_period": [5, 13]}, {"restart_weights": [1.0]}])
def test_damaged_lists_of_a_schedule_are_refused(damage: dict[str, Any]) -> None:
    state = {"iter": 1, "epoch": 0, "optimizers": [], "schedulers": [{**cosine(5, 9).state_dict(), **damage}]}
    with pytest.raises(CheckpointError, match="the schedule is damaged: its"):
        require_fitting(state, [], [cosine(5, 9)])


def test_state_of_muon_is_taken_whole_or_refused(tmp_path: Path) -> None:
    muon = {"optim_g": {"type": "Muon", "lr": 1e-3, "weight_decay": 1e-3}}
    model = build(tmp_path, muon, network_g={"type": "TwoScaleConvolutions", "width": 16})
    train(model, [1])
    model.save(0, 1)
    whole = torch.load(tmp_path / "training_states" / "1.state", weights_only=True)
    for name, value, fault in (
        ("momentum_buffer", None, "no momentum_buffer of its shape"),
        ("momentum_buffer", torch.ones(16), "no momentum_buffer of its shape"),
        ("step", None, "no number of steps"),
    ):
        state = copy.deepcopy(whole)
        next(moments for moments in state["optimizers"][0]["state"].values() if name in moments)[name] = value
        with pytest.raises(CheckpointError, match=fault):
            model.resume_training(state)
    model.resume_training(whole)


def test_flags_that_are_no_flags_are_refused() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    state = {"iter": 1, "epoch": 0, "optimizers": [optimizer.state_dict()], "schedulers": []}
    state["optimizers"][0]["param_groups"][0]["amsgrad"] = torch.zeros(2)
    with pytest.raises(CheckpointError, match=r"iteration 1 does not fit .*it has values that cannot be compared"):
        require_fitting(state, [optimizer], [])
