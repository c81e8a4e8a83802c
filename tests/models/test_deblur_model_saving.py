"""What DeblurModel writes, and how it takes up a training."""

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.utils import check_resume
from deblur_model_helpers import TINY_DEEPRFTV2, build, logged, model_options, same, train, weights
from file_faults import Payload, disk_with_room_for
from image_files import options, position_image, write_folder
from launch_helpers import differences
from torch.utils.data import DataLoader

from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset
from deeprftv2_arch.errors import CheckpointError, WriteError
from deeprftv2_arch.models.deblur_model import DeblurModel
from deeprftv2_arch.models.training_state import random_state, restore_random_state

RECIPES = {
    "plain": {},
    "average": {"ema_decay": 0.7},
    "fp16": {"amp": "fp16"},
    "steps": {"scheduler": {"type": "MultiStepLR", "milestones": [2, 4], "gamma": 0.5}},
}


def read(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def resumed(root: Path, recipe: dict[str, Any], iteration: int, **more: Any) -> DeblurModel:
    """Build a model and resume it as BasicSR's train.py does."""
    settings = model_options(root, recipe, **more)
    state = read(root / "training_states" / f"{iteration}.state")
    settings["path"]["resume_state"] = "given"
    check_resume(settings, state["iter"])
    torch.manual_seed(99)
    model = DeblurModel(settings)
    model.resume_training(state)
    return model


def test_nothing_is_saved_while_steps_are_being_skipped(tmp_path: Path) -> None:
    model = build(tmp_path, {"max_skipped_steps": 2})
    train(model, [1])
    model.save(0, 1)
    model.guard.skipped = 1
    model.save(0, 2)
    assert os.listdir(tmp_path / "models") == ["net_g_1.pth"]
    assert os.listdir(tmp_path / "training_states") == ["1.state"]


def test_network_file_is_basicsrs(tmp_path: Path) -> None:
    model = build(tmp_path, {"ema_decay": 0.7})
    train(model, [1, 2])
    model.save(0, 2)
    model.save(-1, -1)
    assert sorted(os.listdir(tmp_path / "models")) == ["net_g_2.pth", "net_g_latest.pth"]
    assert os.listdir(tmp_path / "training_states") == ["2.state"]
    saved = read(tmp_path / "models" / "net_g_2.pth")
    assert same(saved["params"], weights(model))
    assert same(saved["params_ema"], dict(model.net_g_ema.state_dict()))
    assert not same(saved["params"], saved["params_ema"])
    state = read(tmp_path / "training_states" / "2.state")
    assert (state["epoch"], state["iter"], len(state["optimizers"]), len(state["schedulers"])) == (0, 2, 1, 1)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_resumed_training_is_the_same_to_the_last_bit(tmp_path: Path, recipe: dict[str, Any]) -> None:
    whole = build(tmp_path, recipe)
    train(whole, [1, 2, 3])
    whole.save(0, 3)
    drawn = random.random(), np.random.rand(), torch.rand(1)
    logs = train(whole, [4, 5, 6])

    model = resumed(tmp_path, recipe, 3)
    assert (random.random(), np.random.rand(), torch.rand(1)) == drawn
    assert train(model, [4, 5, 6]) == logs
    assert same(weights(model), weights(whole))
    if recipe.get("ema_decay"):
        assert same(dict(model.net_g_ema.state_dict()), dict(whole.net_g_ema.state_dict()))
    assert model.precision.scaler.state_dict() == whole.precision.scaler.state_dict()
    states = []
    for number, each in enumerate((whole, model)):
        each.save_training_state(0, number)
        states.append(read(tmp_path / "training_states" / f"{number}.state"))
    assert [place for place in differences(*states) if not place.startswith(("/iter", "/random_states"))] == []


def test_best_results_are_resumed(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images", {"a": position_image(16, 16)})
    loader = DataLoader(DeblurPairDataset(options(root, root, phase="val", name="toy")))
    model = build(tmp_path)
    train(model, [1])
    model.save(0, 1)
    model.validation(loader, 1, None)  # after the saving, as BasicSR's loop does
    again = resumed(tmp_path, {}, 1)
    assert again.best_metric_results == model.best_metric_results
    assert again.best_metric_results["toy"]["psnr"]["val"] == model.metric_results["psnr"]
    metrics = {**again.opt["val"]["metrics"], "ssim": {"type": "calculate_ssim", "crop_border": 0}}
    again = resumed(tmp_path, {}, 1, val={"save_img": False, "pbar": False, "metrics": metrics})
    again.resume_training(read(tmp_path / "training_states" / "1.state"))
    again.validation(loader, 2, None)
    assert again.best_metric_results["toy"]["ssim"]["iter"] == 2


def test_a_state_of_basicsr_is_resumed_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = build(tmp_path)
    train(whole, [1, 2])
    whole.save(0, 2)
    path = tmp_path / "training_states" / "2.state"
    torch.save({key: read(path)[key] for key in ("epoch", "iter", "optimizers", "schedulers")}, path)
    logs = train(whole, [3])
    assert train(resumed(tmp_path, {}, 2), [3]) == logs


def test_a_recipe_that_the_state_overrules_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = build(tmp_path)
    train(model, [1])
    model.save(0, 1)
    again = resumed(tmp_path, {}, 1)
    assert "Resuming with" not in caplog.text
    lr = again.optimizers[0].param_groups[0]["initial_lr"]
    again.optimizers[0].param_groups[0]["initial_lr"] = 7.0
    again.resume_training(read(tmp_path / "training_states" / "1.state"))
    assert f"Resuming with initial_lr {lr}, which the training state was saved with, not 7.0" in caplog.text


def test_state_of_another_network_is_refused(tmp_path: Path) -> None:
    model = build(tmp_path)
    train(model, [1])
    model.save(0, 1)
    other = build(tmp_path, network_g=TINY_DEEPRFTV2)
    with pytest.raises(CheckpointError, match="training state of iteration 1 does not fit"):
        other.resume_training(read(tmp_path / "training_states" / "1.state"))


def test_random_states_of_another_number_of_processes_are_left(tmp_path: Path) -> None:
    model = build(tmp_path)
    train(model, [1])
    state = random_state()
    model.save_training_state(0, 1)
    content = read(tmp_path / "training_states" / "1.state")
    content["random_states"] *= 2
    torch.rand(5)
    moved = torch.get_rng_state()
    with logged() as messages:
        model.resume_training(content)
    assert ["random states of 2 processes and this run 1 processes" in message for message in messages] == [True]
    assert torch.equal(torch.get_rng_state(), moved)
    assert not torch.equal(state["torch"], moved)


@pytest.mark.parametrize("what", ["network", "state"])
def test_full_disk_stops_the_training_and_leaves_everything(tmp_path: Path, what: str) -> None:
    model = build(tmp_path, network_g={"type": "TwoScaleConvolutions", "width": 200})
    train(model, [1])
    model.save(0, 1)
    network, state = tmp_path / "models" / "net_g_1.pth", tmp_path / "training_states" / "1.state"
    before = network.read_bytes(), state.read_bytes()
    room = 5000 if what == "network" else network.stat().st_size + 5000
    expected = "net_g_1.pth" if what == "network" else "1.state"
    train(model, [2])
    with disk_with_room_for(room), pytest.raises(WriteError, match=f"{expected}: cannot be written: ") as caught:
        model.save(0, 1)
    assert "\n" not in str(caught.value)
    assert (network.read_bytes() == before[0]) == (what == "network")
    # A state stays as long as its network does: one beside another network would resume what never was.
    left = {path.name: path.read_bytes() for path in state.parent.iterdir()}
    assert left == ({"1.state": before[1]} if what == "network" else {})
    assert [path.name for path in network.parent.iterdir()] == ["net_g_1.pth"]


def test_weights_to_start_from(tmp_path: Path) -> None:
    model = build(tmp_path, {"ema_decay": 0.7})
    train(model, [1, 2])
    model.save(0, 2)
    settings = model_options(tmp_path, {"ema_decay": 0.7})
    settings["path"]["pretrain_network_g"] = str(tmp_path / "models" / "net_g_2.pth")
    again = DeblurModel(settings)
    assert same(weights(again), weights(model))
    assert same(dict(again.net_g_ema.state_dict()), dict(model.net_g_ema.state_dict()))
    settings["path"]["param_key_g"] = "params_ema"
    assert same(weights(DeblurModel(settings)), dict(model.net_g_ema.state_dict()))


def test_log_says_which_weights_were_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, path = build(tmp_path), tmp_path / "start.pth"
    torch.save({"params": weights(model)}, path)
    caplog.set_level("INFO", logger="basicsr")
    for key, warning in (("params", []), ("params_ema", [f"{path}: there is no params_ema in it; taking params"])):
        with logged() as messages:
            model.load_network(model.net_g, str(path), True, key)
        assert messages == [*warning, f"Loaded TwoScaleConvolutions from {path} (params)"]


def test_average_starts_from_the_network_where_the_file_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "start.pth"
    given = torch.full((4, 3, 3, 3), 0.5)
    torch.save({"params": {"first.weight": given}}, path)
    settings = model_options(tmp_path, {"ema_decay": 0.7})
    settings["path"] |= {"pretrain_network_g": str(path), "strict_load_g": False}
    with logged() as messages:
        model = DeblurModel(settings)
    assert torch.equal(model.net_g.first.weight, given)
    assert same(dict(model.net_g_ema.state_dict()), weights(model))
    partly = [message for message in messages if f"{path}: loaded in part, tensors " in message]
    assert len(partly) == 2  # the network and its average
    assert "missing, e.g. steps" in partly[0]


def test_a_gpu_is_left_alone_by_a_run_that_does_not_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    for name in ("get_rng_state", "set_rng_state"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: pytest.fail("opened a context on the GPU"))
    state = random_state()
    assert "cuda" not in state
    restore_random_state({**state, "cuda": torch.zeros(16, dtype=torch.uint8)})
    assert torch.equal(torch.get_rng_state(), state["torch"])


def test_unfit_and_unsafe_weights_are_refused(tmp_path: Path) -> None:
    path, target = tmp_path / "start.pth", tmp_path / "executed"
    settings = model_options(tmp_path, network_g=TINY_DEEPRFTV2)
    settings["path"]["pretrain_network_g"] = str(path)
    for content, message in (
        ({"params": Payload(target)}, r"start\.pth: holds a pickled object"),
        ({"params": {"w": torch.ones(1)}}, r"start\.pth: does not fit .* dim 8"),
        ({"iter": 1}, r"start\.pth: no weights"),
    ):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=message):
            DeblurModel(settings)
    assert not target.exists()
    path.unlink()
    with pytest.raises(CheckpointError, match=r"start\.pth: there is no such file"):
        DeblurModel(settings)
