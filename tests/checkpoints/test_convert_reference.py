"""Checkpoints of the authors' reference: converted one to one, or refused with the tensor's name."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle_deeprftv2 import random_state, reference_shapes, restore

from deeprftv2_arch.checkpoints.convert import convert_reference
from deeprftv2_arch.checkpoints.recognition import describe
from deeprftv2_arch.checkpoints.reference import under_our_names
from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2


def write(path: Path, state: dict[str, torch.Tensor], key: str | None = "params") -> Path:
    torch.save({key: state} if key else state, path)
    return path


def test_all_3124_tensors_of_the_published_network_have_one_place_of_the_same_shape() -> None:
    reference = reference_shapes(dim=48)
    with torch.device("meta"):
        ours = {key: tuple(tensor.shape) for key, tensor in DeepRFTv2().state_dict().items()}
        found = under_our_names({key: torch.empty(tuple(shape)) for key, shape in reference.items()}, "reference")
    assert len(reference) == 3124
    assert len(ours) == 3124 + 64  # the first projection of each of the 64 scans is two convolutions
    assert {key: tuple(tensor.shape) for key, tensor in found.items()} == ours


@pytest.mark.slow
@pytest.mark.parametrize("key", ["params", "params_ema", "state_dict", None])
def test_the_command_converts_and_the_network_gives_the_same_image(tmp_path: Path, key: str | None) -> None:
    state = random_state(dim=4, enc_blocks=(1, 1, 1), kinds=("naf",) * 3)
    source, target = write(tmp_path / "reference.pth", state, key), tmp_path / "ours.pth"
    command = [sys.executable, "-m", "deeprftv2_arch", "convert-reference", str(source), str(target)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    assert f"{len(state)} tensors, DeepRFTv2 with dim 4, units 2, scales 2" in result.stdout
    network = DeepRFTv2(dim=4, blocks=(1, 1, 1), full_kinds=("NAF",) * 3).double().eval()
    network.load_state_dict(torch.load(target, weights_only=True)["params"])
    image = torch.rand(1, 3, 8, 16, dtype=torch.float64)
    torch.testing.assert_close(network(image), restore(state, image)["full"][-1], rtol=1e-9, atol=1e-9)


def test_missing_left_over_and_mis_shaped_tensors_are_named(tmp_path: Path) -> None:
    state = random_state(dim=4, enc_blocks=(1, 1, 1), kinds=("naf",) * 3)
    target = tmp_path / "ours.pth"
    first = "global_model.subnets_max.1.level1.blocks.0.conv3.bias"
    cases = {
        "missing, e.g. units.1.full_scale.encoder.levels.1.blocks.0.project.bias": {
            key: tensor for key, tensor in state.items() if key != first
        },
        "unexpected, e.g. global_model.foo.bar": {**state, "global_model.foo.bar": torch.zeros(1)},
        r"global_model.subnets_max.1.level1.blocks.0.conv3.bias \(5,\) instead of \(8,\)": {
            **state,
            first: torch.zeros(5),
        },
    }
    for message, broken in cases.items():
        with pytest.raises(CheckpointError, match=message):
            convert_reference(write(tmp_path / "broken.pth", broken), target)
        assert not target.exists()
    with pytest.raises(CheckpointError, match=r"weights of no network of this package, e\.g\. conv\.weight"):
        convert_reference(write(tmp_path / "other.pth", {"conv.weight": torch.zeros(1)}), target)


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    odd: dict[Any, torch.Tensor] = {"a": torch.zeros(1), 5: torch.zeros(1)}
    with pytest.raises(CheckpointError, match="no weights in the checkpoint"):
        convert_reference(write(tmp_path / "odd.pth", odd), tmp_path / "ours.pth")


@pytest.mark.parametrize(("kinds", "name"), [(("naf", "nafevs", "nafevs"), "B"), (("naf",) * 3, "S")])
def test_the_published_variants_are_recognised(kinds: tuple[str, ...], name: str) -> None:
    shapes = reference_shapes(dim=48, kinds=kinds)
    with torch.device("meta"):
        state = under_our_names({key: torch.empty(tuple(shape)) for key, shape in shapes.items()}, "reference")
    assert describe(state).startswith(f"DeepRFTv2-{name} with dim 48")


def test_an_existing_file_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "ours.pth"
    target.write_text("mine")
    with pytest.raises(CheckpointError, match="exists already"):
        convert_reference(write(tmp_path / "reference.pth", {}), target)
    assert target.read_text() == "mine"


class Payload:
    """A pickle that would make a folder when executed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_payload_is_not_executed(tmp_path: Path) -> None:
    source = tmp_path / "evil.pth"
    torch.save({"params": {"weight": torch.zeros(1)}, "extra": Payload(tmp_path / "made")}, source)
    with pytest.raises(CheckpointError, match="pickled object"):
        convert_reference(source, tmp_path / "ours.pth")
    assert not (tmp_path / "made").exists()
