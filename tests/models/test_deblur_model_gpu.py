"""DeblurModel on a CUDA device."""

from pathlib import Path
from typing import Any

import pytest
import torch
from deblur_model_helpers import TINY_DEEPRFTV2, build, model_options, same, train, weights

from deeprftv2_arch.models.deblur_model import DeblurModel

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("recipe", [{}, {"amp": "bf16"}, {"amp": "fp16", "channels_last": True}], ids=str)
def test_losses_are_those_of_the_cpu(tmp_path: Path, recipe: dict[str, Any]) -> None:
    expected = train(build(tmp_path, network_g=TINY_DEEPRFTV2), [1, 2, 3])
    model = build(tmp_path, recipe, network_g=TINY_DEEPRFTV2, num_gpu=1)
    assert next(model.net_g.parameters()).is_cuda
    for found, wanted in zip(train(model, [1, 2, 3]), expected, strict=True):
        del found["grad_norm"], wanted["grad_norm"]
        assert found == pytest.approx(wanted, rel=0.05 if recipe else 1e-3)


def test_state_read_to_the_gpu_is_resumed(tmp_path: Path) -> None:
    whole = build(tmp_path, num_gpu=1)
    train(whole, [1, 2])
    whole.save(0, 2)
    drawn = torch.rand(3, device="cuda")
    logs = train(whole, [3, 4])
    settings = model_options(tmp_path, num_gpu=1)
    settings["path"]["pretrain_network_g"] = str(tmp_path / "models" / "net_g_2.pth")
    model = DeblurModel(settings)
    model.resume_training(torch.load(tmp_path / "training_states" / "2.state", map_location="cuda", weights_only=True))
    assert torch.equal(torch.rand(3, device="cuda"), drawn)
    assert train(model, [3, 4]) == logs
    assert same(weights(model), weights(whole))
