"""The weights that the package brings along: the file that was measured, whole, small, and those of its recipe."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import deeprftv2_arch
from deeprftv2_arch.checkpoints.safetensors_file import read_safetensors
from deeprftv2_arch.checkpoints.weights import sha256
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.options.option_file import read_option_file

WEIGHTS = Path(deeprftv2_arch.__file__).parent / "weights" / "deeprftv2_t.safetensors"
RECIPE = Path(__file__).resolve().parents[2] / "options" / "DeepRFTv2_T_photos.yml"
SHA256 = "aa8058b13934b728379b6ddfff289db9c57bb2d30c6cd14013e7c87446f1d540"
LARGEST = 8 * 10**6  # bytes


@pytest.fixture(scope="module")
def network() -> DeepRFTv2:
    section = read_option_file(RECIPE)["network_g"]
    assert section.pop("type") == "DeepRFTv2"
    built = DeepRFTv2(**section)
    built.load_state_dict(read_safetensors(WEIGHTS))
    return built.eval()


def test_file_is_the_one_that_was_measured() -> None:
    assert sha256(WEIGHTS) == SHA256
    assert WEIGHTS.stat().st_size <= LARGEST


def test_network_is_small(network: DeepRFTv2) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) <= 3_000_000
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_metadata_build_the_network_of_the_recipe() -> None:
    section = read_option_file(RECIPE)["network_g"]
    with safe_open(WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["network"] == section.pop("type")
    assert json.loads(metadata["arguments"]) == {key: value for key, value in section.items() if key != "memory"}


def test_flat_image_comes_back(network: DeepRFTv2) -> None:
    """Nothing is there to be sharpened: every colour stays within half a level, in every window."""
    image = torch.tensor([0.8, 0.35, 0.1])[None, :, None, None].expand(1, 3, 136, 200)
    with torch.no_grad():
        restored = network(image)
    assert float((restored - image).abs().mean()) < 0.5 / 255
