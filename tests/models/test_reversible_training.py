"""The memory modes in a training run: mixed precision and averaged weights included."""

from pathlib import Path

import pytest
import torch
from deblur_model_helpers import TINY_DEEPRFTV2, build, train, weights


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["lean", ["reversible", "lean"]], ids=str)
def test_training_does_not_depend_on_the_memory_mode(tmp_path: Path, memory: str | list[str]) -> None:
    recipe = {"amp": "bf16", "ema_decay": 0.5}
    plain = build(tmp_path, recipe, network_g={**TINY_DEEPRFTV2, "memory": "none"})
    saving = build(tmp_path, recipe, network_g={**TINY_DEEPRFTV2, "memory": memory})
    for found, expected in zip(train(saving, [1, 2]), train(plain, [1, 2]), strict=True):
        assert found == pytest.approx(expected, rel=1e-5)
    for name, value in weights(saving).items():
        torch.testing.assert_close(value, weights(plain)[name], rtol=1e-4, atol=1e-6)
    for (name, average), (_, expected) in zip(
        saving.net_g_ema.state_dict().items(), plain.net_g_ema.state_dict().items(), strict=True
    ):
        torch.testing.assert_close(average, expected, rtol=1e-4, atol=1e-6, msg=name)
