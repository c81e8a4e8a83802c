"""Weights that come with the package, how they are made, and what the commands do where no checkpoint is named."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from restoring_helpers import TINY_DEBLURRING, noise, run_command

from deeprftv2_arch import Restorer
from deeprftv2_arch.checkpoints.building import network_of_checkpoint
from deeprftv2_arch.checkpoints.convert import convert
from deeprftv2_arch.errors import CheckpointError, OptionError
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.restoring import pretrained
from deeprftv2_arch.restoring.image_files import read_image, write_image
from deeprftv2_arch.restoring.pretrained import PRETRAINED, WEIGHTS, Pretrained

LARGEST = 8_000_000  # bytes
WINDOWS = {"train_size": 16, "fke_window": 16, "fke_overlap": 8}
ARGUMENTS: dict[str, Any] = {**TINY_DEBLURRING, "fke_blocks": (1,), "fke_kind": "NAF"}


def trained() -> DeepRFTv2:
    """Build a tiny network with windows, all of whose branches have an effect."""
    torch.manual_seed(0)
    network = DeepRFTv2(**ARGUMENTS, **WINDOWS)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a file of a tiny network as one that is shipped is made, and have it come with the package."""
    network = trained()
    torch.save({"params": DeepRFTv2(**ARGUMENTS).state_dict(), "params_ema": network.state_dict()}, tmp_path / "a.pth")
    arguments = "".join(f"  {name}: {json.dumps(value)}\n" for name, value in {**ARGUMENTS, **WINDOWS}.items())
    (tmp_path / "a.yml").write_text(f"network_g:\n  type: DeepRFTv2\n  memory: none\n{arguments}")
    path = tmp_path / "tiny.safetensors"
    assert run_command("convert", tmp_path / "a.pth", path, "--options", tmp_path / "a.yml", "--half") == 0
    table = {"Tiny": Pretrained(path, hashlib.sha256(path.read_bytes()).hexdigest())}
    monkeypatch.setattr(pretrained, "PRETRAINED", table)
    return path


# What comes with the package


def test_every_file_is_the_one_that_is_meant() -> None:
    for name, entry in PRETRAINED.items():
        content = entry.file.read_bytes()
        assert len(content) <= LARGEST
        assert hashlib.sha256(content).hexdigest() == entry.sha256
        assert Restorer.from_pretrained(name, device="cpu")(noise(40, 56, 3)).shape == (40, 56, 3)


def test_every_file_is_in_the_table() -> None:
    assert sorted(WEIGHTS.glob("*")) == sorted(entry.file for entry in PRETRAINED.values())


def test_default_is_the_network_that_was_trained(shipped: Path) -> None:
    network = trained()
    stored = safetensors.torch.load_file(shipped)
    assert {value.dtype for value in stored.values()} == {torch.float16}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    image = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        expected = network(image)
        without_windows = DeepRFTv2(**ARGUMENTS).eval()
        without_windows.load_state_dict(network.state_dict())
        assert not torch.allclose(without_windows(image), expected, atol=1e-4)
    found, _ = Restorer.from_pretrained(device="cpu").restore_tensor(image)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(Restorer.from_checkpoint(shipped, device="cpu").restore_tensor(image)[0], expected)


def test_convert_keeps_what_is_told(shipped: Path, tmp_path: Path) -> None:
    convert(shipped, tmp_path / "again.safetensors")
    assert network_of_checkpoint(tmp_path / "again.safetensors").units[0].full_scale.fke.window == 16


# Commands without --checkpoint


def test_restoring_without_a_checkpoint(shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "photo.png", noise(40, 56, 3))
    assert run_command("restore", tmp_path / "photo.png", "-o", tmp_path / "out", "--device", "cpu") == 0
    assert "no --checkpoint: taking Tiny, which comes with this package\n" in capsys.readouterr().err
    expected = Restorer.from_checkpoint(shipped, device="cpu")(noise(40, 56, 3))
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "photo.png")[0], expected)


@pytest.mark.parametrize(
    "words",
    [
        ("demo", "--device", "neither"),
        ("export", "-o", "none/there.pt2", "--format", "pt2"),
        ("analyze", "kernels", "none.png", "--device", "cpu"),
    ],
    ids=lambda words: words[0],
)
def test_other_commands_take_it_too(shipped: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    logging.getLogger("deeprftv2_arch.export").setLevel(logging.NOTSET)
    assert run_command(*words) == 2  # since there is no such device, folder or image
    assert capsys.readouterr().err.splitlines()[0] == "no --checkpoint: taking Tiny, which comes with this package"


def test_precision_of_the_command(shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "photo.png", noise(40, 56, 3))
    words = ("restore", tmp_path / "photo.png", "-o", tmp_path / "out", "--device", "cpu", "--precision")
    assert run_command(*words, "bf16") == 0
    expected = Restorer.from_checkpoint(shipped, device="cpu", dtype=torch.bfloat16)(noise(40, 56, 3))
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "photo.png")[0], expected)
    assert run_command(*words, "fp16") == 2
    assert "dtype: torch.float16 cannot be used on cpu; choose one of" in capsys.readouterr().err


def test_option_file_needs_a_checkpoint(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("demo", "--options", "a.yml") == 2
    assert "--options: name the weights as well, with --checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["restore a.png -o out", "demo", "export -o a.onnx", "analyze kernels a.png"])
def test_without_weights_a_checkpoint_is_required(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pretrained, "PRETRAINED", {})
    assert run_command(*command.split()) == 2
    assert "the following arguments are required: --checkpoint" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="no weights come with this package yet"):
        Restorer.from_pretrained()


# What a file tells of its network


def told(path: Path, text: str) -> Path:
    state = DeepRFTv2(**ARGUMENTS).state_dict()
    safetensors.torch.save_file(state, path, {"network": "DeepRFTv2", "arguments": text})
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fke_windows": 16}, "DeepRFTv2 has no argument 'fke_windows'"),
        ({"fke_window": "16"}, "fke_window of DeepRFTv2 cannot be '16'"),
        ({"fke_window": True}, "fke_window of DeepRFTv2 cannot be True"),
        ({"fke_window": 16.0}, r"fke_window of DeepRFTv2 cannot be 16\.0"),
        ({"fke_window": 15}, "DeepRFTv2: fke_window and fke_overlap must be multiples of 8"),
        ({"smallest_size": [8, 8, 8]}, r"smallest_size of DeepRFTv2 cannot be \[8, 8, 8\]"),
        ({"dim": 6}, "its dim is said to be 6, but is 4"),
        ({"self": 1}, "DeepRFTv2 has no argument 'self'"),
    ],
)
def test_arguments_are_read_strictly(tmp_path: Path, arguments: Mapping[str, Any], message: str) -> None:
    path = told(tmp_path / "net.safetensors", json.dumps(arguments))
    with pytest.raises(CheckpointError, match=rf"^{path}: {message}"):
        network_of_checkpoint(path)


@pytest.mark.parametrize(("text", "message"), [("{", "are no JSON"), ("[1]", r"are \[1\] instead of names")])
def test_arguments_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        network_of_checkpoint(told(tmp_path / "net.safetensors", text))


def test_what_is_told_of_another_network_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file(DeepRFTv2(**ARGUMENTS).state_dict(), path, {"network": "UNet", "arguments": "none"})
    assert network_of_checkpoint(path).units[0].full_scale.fke.window is None


def test_conversions_that_are_refused(tmp_path: Path) -> None:
    state = DeepRFTv2(**ARGUMENTS).state_dict()
    torch.save({"params": state}, tmp_path / "a.pth")
    with pytest.raises(OptionError, match=r"b\.pth: only a \.safetensors holds the network's arguments"):
        convert(tmp_path / "a.pth", tmp_path / "b.pth", arguments=WINDOWS)
    with pytest.raises(CheckpointError, match=r"a\.pth: its dim is said to be 8, but is 4"):
        convert(tmp_path / "a.pth", tmp_path / "b.safetensors", arguments={"dim": 8})
    next(iter(state.values())).fill_(1e6)
    torch.save({"params": state}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="values too large for half precision"):
        convert(tmp_path / "a.pth", tmp_path / "b.safetensors", half=True)
