"""``convert`` hands weights over bit by bit, from any file to either kind, or says what hinders it."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from oracle_deeprftv2 import random_state, restore
from torch import Tensor, nn

from deeprftv2_arch import Restorer
from deeprftv2_arch.checkpoints.building import network_of_checkpoint
from deeprftv2_arch.checkpoints.convert import convert, convert_reference
from deeprftv2_arch.checkpoints.io import TORN, load_checkpoint, load_params
from deeprftv2_arch.errors import CheckpointError, OptionError, WriteError
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

TINY: dict[str, Any] = {"dim": 4, "units": 1, "blocks": (1, 1, 1), "full_kinds": ("NAF",) * 3, "fke_blocks": (1,)}
TINY_ATD: dict[str, Any] = {
    "embed_dim": 16,
    "depths": (2,),
    "num_heads": (2,),
    "window_size": 8,
    "num_tokens": 8,
    "reducted_dim": 4,
}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Names, types, shapes and every bit."""
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        assert torch.equal(found[name], value), name


def stored(path: Path) -> dict[str, Tensor]:
    """Read what is in a file, by the libraries alone."""
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    content = torch.load(path, weights_only=True)
    assert list(content) == ["params"]
    return content["params"]


def header(path: Path) -> dict[str, Any]:
    """Read the header of a safetensors file, by its specification: its length in 8 bytes, then JSON."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])


def prefixed(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Any]]:
    return lambda state: {"params": {prefix + name: value for name, value in state.items()}}


FORMS: dict[str, Callable[[dict[str, Tensor]], dict[str, Any]]] = {
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params": {"w": torch.ones(1)}, "params_ema": state, "iter": 4},
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "bare": lambda state: state,
    "module": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "both": prefixed("_orig_mod.module._orig_mod._orig_mod."),
    "a compiled part": lambda state: {name.replace("units.0", "units._orig_mod.0"): v for name, v in state.items()},
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("form", FORMS)
def test_every_bit_arrives(tmp_path: Path, form: str, suffix: str) -> None:
    state = DeepRFTv2(**TINY).state_dict()
    torch.save(FORMS[form](state), tmp_path / "in.pth")
    convert(tmp_path / "in.pth", tmp_path / f"out{suffix}")
    assert_same(stored(tmp_path / f"out{suffix}"), state)
    convert(tmp_path / f"out{suffix}", tmp_path / "back.pth")  # and what was written is read
    assert_same(stored(tmp_path / "back.pth"), state)
    assert sorted(os.listdir(tmp_path)) == sorted(["in.pth", f"out{suffix}", "back.pth"])


def test_all_types_views_and_shared_memory_survive(tmp_path: Path) -> None:
    whole = torch.randn(4, 6)
    state = {
        "first": whole[:2],
        "second": whole[2:],
        "again": whole[:2],
        "transposed": whole.t(),
        "half": torch.randn(3).half(),
        "bfloat16": torch.randn(3).bfloat16(),
        "float64": torch.randn(3, dtype=torch.float64),
        "int64": torch.arange(5),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(0.1),
        "empty": torch.empty(0, 3),
        "special": torch.tensor([torch.nan, torch.inf, -0.0]),
    }
    torch.save(state, tmp_path / "in.pth")
    text = convert(tmp_path / "in.pth", tmp_path / "out.safetensors")
    found = stored(tmp_path / "out.safetensors")
    assert torch.equal(found.pop("special").view(torch.int32), state.pop("special").view(torch.int32))
    assert_same(found, state)
    assert text == "12 tensors, 73 parameters (its top level), no network of this package"


def test_the_metadata_say_what_the_weights_are(tmp_path: Path) -> None:
    network = ATD(**TINY_ATD, upscale=2, fke=True)
    torch.save(network.state_dict(), tmp_path / "in.pth")
    text = convert(tmp_path / "in.pth", tmp_path / "out.safetensors")
    metadata = header(tmp_path / "out.safetensors")["__metadata__"]
    assert (metadata["format"], metadata["network"]) == ("pt", "ATD")
    rebuilt = ATD(**json.loads(metadata["arguments"]))
    rebuilt.load_state_dict(stored(tmp_path / "out.safetensors"))
    assert_same(rebuilt.state_dict(), network.state_dict())
    tensors, parameters = len(network.state_dict()), sum(parameter.numel() for parameter in network.parameters())
    assert text.startswith(f"{tensors:,} tensors, {parameters:,} parameters (its top level), an ATD at x2 with ")


def test_the_wanted_weights_are_taken(tmp_path: Path) -> None:
    now, average = DeepRFTv2(**TINY).state_dict(), DeepRFTv2(**TINY).state_dict()
    torch.save({"params": now, "params_ema": average}, tmp_path / "in.pth")
    assert "(params_ema)" in convert(tmp_path / "in.pth", tmp_path / "average.pth")
    assert "(params)" in convert(tmp_path / "in.pth", tmp_path / "now.pth", "params")
    assert_same(stored(tmp_path / "average.pth"), average)
    assert_same(stored(tmp_path / "now.pth"), now)
    with pytest.raises(CheckpointError, match=r"now\.pth: has no params_ema; its weights are at params"):
        convert(tmp_path / "now.pth", tmp_path / "none.pth", "params_ema")


@pytest.mark.slow
def test_the_command_converts_a_file_of_the_authors_reference(tmp_path: Path) -> None:
    reference = random_state(dim=4, enc_blocks=(1, 1, 1), kinds=("naf",) * 3)
    source, target = tmp_path / "reference.pth", tmp_path / "ours.safetensors"
    torch.save({"params": {f"module.{name}": value for name, value in reference.items()}}, source)
    command = [sys.executable, "-m", "deeprftv2_arch", "convert", str(source), str(target)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    network = DeepRFTv2(dim=4, blocks=(1, 1, 1), full_kinds=("NAF",) * 3).double().eval()
    count = sum(parameter.numel() for parameter in network.parameters())
    assert f"ours.safetensors: {len(network.state_dict()):,} tensors, {count:,} parameters (params)," in result.stdout
    network.load_state_dict(stored(target))
    x = torch.rand(1, 3, 8, 16, dtype=torch.float64)
    torch.testing.assert_close(network(x), restore(reference, x)["full"][-1], rtol=1e-9, atol=1e-9)
    convert_reference(source, tmp_path / "ours.pth")
    assert_same(stored(target), stored(tmp_path / "ours.pth"))
    again = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "exists already" in again.stderr


def test_a_reference_s_file_is_read_as_it_is(tmp_path: Path) -> None:
    reference = random_state(dim=4, enc_blocks=(1, 1, 1), kinds=("naf",) * 3)
    torch.save(reference, tmp_path / "reference.pth")
    network = network_of_checkpoint(tmp_path / "reference.pth").double().eval()
    x = torch.rand(1, 3, 16, 24, dtype=torch.float64)
    expected = restore({name: value.float().double() for name, value in reference.items()}, x)["full"][-1]
    torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


def test_safetensors_are_restored_from_whatever_their_name(tmp_path: Path) -> None:
    network = DeepRFTv2(**TINY).eval()
    safetensors.torch.save_file(network.state_dict(), tmp_path / "net.bin")
    x = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        expected = network(x).clamp(0, 1)
    assert torch.equal(Restorer.from_checkpoint(tmp_path / "net.bin", device="cpu")(x), expected)


def test_nothing_is_replaced_or_written_by_halves(tmp_path: Path) -> None:
    state = DeepRFTv2(**TINY).state_dict()
    source = tmp_path / "in.pth"
    torch.save(state, source)
    (tmp_path / "mine.pth").write_text("mine")
    with pytest.raises(CheckpointError, match=r"mine\.pth: exists already"):
        convert(source, tmp_path / "mine.pth")
    assert (tmp_path / "mine.pth").read_text() == "mine"
    with pytest.raises(CheckpointError, match=r"in\.pth: exists already"):
        convert(source, source)
    with pytest.raises(OptionError, match=r"out\.onnx: the name of the new file must end in \.pth or \.safetensors"):
        convert(source, tmp_path / "out.onnx")
    with pytest.raises(WriteError, match=r"gone.out\.safetensors: cannot be written: No such file or directory"):
        convert(source, tmp_path / "gone" / "out.safetensors")
    state.pop("units.0.full_scale.fke.norm.weight")
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(
        CheckpointError, match=r"part\.pth: .*1 missing, e\.g\. units\.0\.full_scale\.fke\.norm\.weight"
    ):
        convert(tmp_path / "part.pth", tmp_path / "out.pth")
    assert sorted(os.listdir(tmp_path)) == ["in.pth", "mine.pth", "part.pth"]


class Payload:
    """A pickle that would make a folder when executed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize(("suffix", "message"), [(".pth", "pickled object"), (".safetensors", "torn or no checkpoint")])
def test_a_payload_is_not_executed_whatever_its_name(tmp_path: Path, suffix: str, message: str) -> None:
    source = tmp_path / f"evil{suffix}"
    torch.save({"params": {"w": torch.zeros(1)}, "extra": Payload(tmp_path / "made")}, source)
    for read in (load_params, network_of_checkpoint, lambda path: convert(path, tmp_path / "out.pth")):
        with pytest.raises(CheckpointError, match=message):
            read(source)
    assert os.listdir(tmp_path) == [source.name]


def packed(entries: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(**changes: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


WHOLE = packed(entry(), bytes(8))
DAMAGED = {
    "half a header": WHOLE[:20],
    "no data": WHOLE[:-8],
    "half the data": WHOLE[:-3],
    "more data": WHOLE + b"more",
    "length beyond the file": packed(entry(), bytes(8), length=1 << 20),
    "huge length": packed(entry(), bytes(8), length=(1 << 63) - 1),
    "largest length": packed(entry(), bytes(8), length=(1 << 64) - 1),
    "a long header": packed(b"{" + b" " * (1 << 24) + b"}"),
    "no JSON": packed(b"{nothing}"),
    "deep JSON": packed(b'{"w":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "other type": packed(entry(dtype="F99"), bytes(8)),
    "other shape": packed(entry(shape=[3]), bytes(8)),
    "shape that overflows": packed(entry(shape=[1 << 40, 1 << 40]), bytes(8)),
    "negative shape": packed(entry(shape=[-2]), bytes(8)),
    "offsets backwards": packed(entry(data_offsets=[8, 0]), bytes(8)),
    "offsets beyond the file": packed(entry(data_offsets=[1 << 60, (1 << 60) + 8]), bytes(8)),
    "overlap": packed(entry() | {"v": entry()["w"]}, bytes(8)),
    "metadata of other types": packed(entry() | {"__metadata__": {"format": 3}}, bytes(8)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_safetensors_are_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "torn.safetensors"
    path.write_bytes(WHOLE)
    assert torch.equal(load_params(path)["w"], torch.zeros(2))
    path.write_bytes(DAMAGED[name])
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(caught.value) == f"{path}: {TORN}"


def test_empty_tensors_of_huge_shapes_take_no_memory(tmp_path: Path) -> None:
    state = DeepRFTv2(**TINY).state_dict() | {"units.0.full_scale.embed.weight": torch.empty(1 << 40, 0, 3, 3)}
    torch.save(state, tmp_path / "bomb.pth")
    for use in (network_of_checkpoint, lambda path: convert(path, tmp_path / "out.pth")):
        with pytest.raises(CheckpointError, match=r"bomb\.pth: ") as caught:
            use(tmp_path / "bomb.pth")
        assert "\n" not in str(caught.value)


def test_a_small_file_that_announces_a_large_network_takes_no_memory(tmp_path: Path) -> None:
    """492 GiB of weights, all of them views of one number."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in DeepRFTv2(dim=6000).state_dict().items()}
    torch.save({"params": {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}}, tmp_path / "b.pth")
    assert (tmp_path / "b.pth").stat().st_size < 1 << 20
    message = rf"b\.pth: {next(iter(shapes))} announces more values than the file holds"
    for use in (
        network_of_checkpoint,
        *(lambda path, f=f: f(path, tmp_path / "o.pth") for f in (convert, convert_reference)),
    ):
        with pytest.raises(CheckpointError, match=message) as caught:
            use(tmp_path / "b.pth")
        assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["b.pth"]


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, value: float, suffix: str) -> None:
    state = DeepRFTv2(**TINY).state_dict()
    broken = list(state)[5]
    state[broken].view(-1)[-1] = value
    torch.save({"params": state}, tmp_path / "in.pth")
    convert(tmp_path / "in.pth", path := tmp_path / f"out{suffix}")  # hands on whatever there is
    with pytest.raises(CheckpointError, match=rf"out{suffix}: {broken} has values that are not finite") as caught:
        Restorer.from_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_weights_with_and_without_a_wrapper_are_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1), "module.w": torch.ones(1)}, tmp_path / "twice.pth")
    with pytest.raises(CheckpointError, match=r"twice\.pth: has weights twice"):
        load_params(tmp_path / "twice.pth")


@pytest.mark.parametrize(
    "state",
    [
        {"units.0.full_scale.embed.weight": torch.tensor(1.0)},
        {"layers.0.residual_group.td": torch.tensor(1.0)},
        {name: torch.tensor(1.0) for name in ATD(**TINY_ATD).state_dict()},
        {name: torch.tensor(1.0) for name in DeepRFTv2(**TINY).state_dict()},
        {name: torch.empty(0) for name in ATD(**TINY_ATD).state_dict()},
        ATD(**TINY_ATD).state_dict() | {"conv_first.weight": torch.empty(0, 0, 3, 3)},
    ],
)
def test_names_of_ours_with_other_tensors_are_one_line(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"odd\.pth: ") as caught:
        network_of_checkpoint(tmp_path / "odd.pth")
    assert "\n" not in str(caught.value)


def test_weights_of_a_network_that_is_not_ours_are_named(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    torch.save(network.state_dict(), tmp_path / "other.pth")
    with pytest.raises(
        CheckpointError, match=r"other\.pth: holds weights of no network .* 0\.weight, 0\.bias, 1\.weight"
    ):
        network_of_checkpoint(tmp_path / "other.pth")


def test_a_file_beside_the_new_one_stays(tmp_path: Path) -> None:
    source, bystander = tmp_path / "in.pth", tmp_path / "out.pth.tmp"
    torch.save({"params": {"w": torch.ones(2)}}, source)
    bystander.write_bytes(b"mine")
    convert(source, tmp_path / "out.pth")
    assert {path.name for path in tmp_path.iterdir()} == {"in.pth", "out.pth", "out.pth.tmp"}
    assert bystander.read_bytes() == b"mine"
