"""Checkpoints of the authors' UFPNet: converted, recognised and restored with, or refused with the tensor's name."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle_ufpnet import random_state, reference_shapes, restore
from ufpnet_helpers import NARROW

from deeprftv2_arch.checkpoints.building import network_of_checkpoint
from deeprftv2_arch.checkpoints.convert import convert_reference
from deeprftv2_arch.checkpoints.recognition import describe, difference
from deeprftv2_arch.checkpoints.reference import translate_all
from deeprftv2_arch.errors import CheckpointError, OptionError
from deeprftv2_arch.networks.ufpnet import UFPNet
from deeprftv2_arch.networks.ufpnet_card import UFPNetCard
from deeprftv2_arch.restoring.restorer import Restorer

CARD = UFPNetCard(UFPNet)
UNUSED = {f"kernel_down.{level}.{kind}" for level in (2, 3) for kind in ("weight", "bias")}


def write(path: Path, state: dict[str, torch.Tensor], key: str | None = "params") -> Path:
    torch.save({key: state} if key else state, path)
    return path


def test_all_852_tensors_of_the_published_network_have_one_place_or_no_effect() -> None:
    constants = {f"flow.{name}" for name in ("kernel_size", "normalization", "base_dist_mean")}
    constants |= {"flow.base_dist_var", *(f"flow.net.{index}.mask" for index in range(0, 10, 2))}
    flow = random_state(torch.float32, width=1, enc_blocks=(1, 1), dec_blocks=(1, 1), kernel_width=1)
    state = {
        key: flow[key] if key in constants else torch.empty(shape, device="meta")
        for key, shape in reference_shapes().items()
    }
    assert len(state) == 852
    found, names = translate_all(state, "reference", UFPNetCard.layout)
    with torch.device("meta"):
        ours = {key: tensor.shape for key, tensor in UFPNet().state_dict().items()}
    assert {key: tensor.shape for key, tensor in found.items()} == ours
    assert set(state) - set(names.values()) == UNUSED | constants
    assert describe(found).startswith("UFPNet with width 64, enc_blocks [1, 1, 1, 28]")


@pytest.mark.slow
def test_the_command_converts_and_names_what_has_no_effect(tmp_path: Path) -> None:
    state = random_state(**NARROW)
    source, target = write(tmp_path / "reference.pth", state), tmp_path / "ours.pth"
    command = [sys.executable, "-m", "deeprftv2_arch", "convert-reference", "--arch", "ufpnet", source, target]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    assert f"{len(state)} tensors, a UFPNet with width 4, enc_blocks [1, 1, 1, 2], middle_blocks 2" in result.stdout
    assert "11 without effect were left out" in result.stdout
    assert all(name in result.stdout for name in UNUSED)
    assert target.is_file()


@pytest.mark.parametrize("key", ["params", None])
@pytest.mark.parametrize("arch", ["ufpnet", None])
def test_both_layouts_are_converted_and_the_network_gives_the_same_image(
    tmp_path: Path, key: str | None, arch: str | None
) -> None:
    state = random_state(**NARROW)
    target = tmp_path / "ours.pth"
    convert_reference(write(tmp_path / "reference.pth", state, key), target, arch)
    network = UFPNet(**NARROW).double().eval()
    network.load_state_dict(torch.load(target, weights_only=True)["params"])
    x, noise = torch.rand(1, 3, 16, 32).double(), torch.randn(1, 9, 16, 32).double()
    torch.testing.assert_close(network(x, noise), restore(state, x, noise)[0], rtol=1e-10, atol=1e-10)


def test_arguments_are_deduced_from_the_weights(tmp_path: Path) -> None:
    network = UFPNet(**NARROW)
    for more in (
        {"kernel_contrast": False, "kernel_unit_sum": False},
        {"kernel_contrast": True, "kernel_unit_sum": False},
        {"kernel_contrast": False, "kernel_unit_sum": True},
    ):
        found = CARD.deduce_arguments(UFPNet(**NARROW, **more).state_dict())
        expected = {**NARROW, **more}
        assert {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()} == expected
    wider = UFPNet(**{**NARROW, "width": 6, "flow_hidden": 7})
    assert difference(wider.state_dict(), network.state_dict()) == "width 6 instead of 4, flow_hidden 7 instead of 5"


def test_missing_left_over_mis_shaped_and_other_constants_are_named(tmp_path: Path) -> None:
    state = random_state(torch.float32, **NARROW)
    target = tmp_path / "ours.pth"
    first, scale, mask = "encoders.1.0.kernel_atttion.conv_2.0.bias", "flow.normalization", "flow.net.2.mask"
    cases = {
        r"missing, e.g. kernel_blocks.1.attention.to_attention.0.bias": {
            key: tensor for key, tensor in state.items() if key != first
        },
        "unexpected, e.g. kernel_extra.foo.bar": {**state, "kernel_extra.foo.bar": torch.zeros(1)},
        rf"{first} \(5,\) instead of \(8,\)": {**state, first: torch.zeros(5)},
        f"broken.pth: '{scale}' of the reference is another constant": {**state, scale: torch.zeros(1)},
        f"broken.pth: '{mask}' of the reference is another constant": {**state, mask: 1 - state[mask]},
        f"1 missing, e.g. {mask}": {key: tensor for key, tensor in state.items() if key != mask},
        "1 missing, e.g. kernel_down.3.bias": {key: state[key] for key in state if key != "kernel_down.3.bias"},
        r"kernel_down.2.weight \(3,\) instead of \(9, 9, 2, 2\)": {**state, "kernel_down.2.weight": torch.zeros(3)},
        "'flow.kernel_size' of the reference does not fit its kernels of 9 entries": {
            **state,
            "flow.kernel_size": torch.full((1,), 5.0),
        },
        "holds weights of no network of this package": {"conv.weight": torch.zeros(1)},
    }
    for message, broken in cases.items():
        with pytest.raises(CheckpointError, match=message):
            convert_reference(write(tmp_path / "broken.pth", broken), target, "ufpnet")
        assert not target.exists()


def test_a_checkpoint_alone_restores_an_image_the_same_way_every_time(tmp_path: Path) -> None:
    state = random_state(torch.float32, **NARROW)
    source, target = write(tmp_path / "reference.pth", state), tmp_path / "ours.pth"
    convert_reference(source, target)
    image = np.random.default_rng(0).integers(0, 256, (21, 30, 3), dtype=np.uint8)
    restorer = Restorer.from_checkpoint(target, device="cpu")
    restored = restorer(image)
    assert restored.std() > 10
    # The reference's own file is read under our names.
    assert np.array_equal(Restorer.from_checkpoint(source, device="cpu")(image), restored)
    network = network_of_checkpoint(target).eval()
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        expected = (network(x)[0].permute(1, 2, 0) * 255).round().byte().numpy()
    assert np.abs(restored.astype(int) - expected).max() <= 1
    with pytest.raises(OptionError, match="no Fourier Kernel Estimators"):
        restorer.kernels(image)


def test_the_published_network_alone_pools_locally_by_its_weights() -> None:
    with torch.device("meta"):
        published, narrow = CARD.build(UFPNet().state_dict()), CARD.build(UFPNet(**NARROW).state_dict())
    assert published.middle[0].channel_attention[0].window == 24  # 1.5 times 256 / 16
    assert isinstance(narrow.middle[0].channel_attention[0], torch.nn.AdaptiveAvgPool2d)
    assert published.samples == narrow.samples == 1
