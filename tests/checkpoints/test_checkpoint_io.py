"""Checkpoints: whole or not at all, nothing executed, and errors that say what is wrong."""

import errno
import io
import os
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from file_faults import Payload, disk_with_room_for
from torch import nn

from deeprftv2_arch.checkpoints.io import (
    TORN,
    load_checkpoint,
    load_into,
    load_params,
    pick_params,
    save_atomically,
)
from deeprftv2_arch.checkpoints.pickle_depth import DEEPEST, require_shallow
from deeprftv2_arch.errors import CheckpointError, WriteError
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

TINY: dict[str, Any] = {
    "dim": 8,
    "units": 1,
    "blocks": (1, 1, 1),
    "full_kinds": ("NAF",) * 3,
    "fke_blocks": (1,),
    "fke_kind": "NAF",
}


def saved(obj: Any, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(obj, buffer, **settings)
    return buffer.getvalue()


def test_round_trip(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "params": {"w": torch.rand(3, dtype=torch.float64)},
        "iter": 4,
        "list": [1.5, None, (2, "x")],
    }
    save_atomically(content, tmp_path / "a.pth")
    found = load_checkpoint(tmp_path / "a.pth")
    assert torch.equal(found["params"].pop("w"), content["params"].pop("w"))
    assert found == content
    assert os.listdir(tmp_path) == ["a.pth"]


@pytest.mark.parametrize("room", [200, 20_000])
def test_full_disk_leaves_the_earlier_file(tmp_path: Path, room: int) -> None:
    path = tmp_path / "net_g_5.pth"
    save_atomically({"w": torch.ones(2)}, path)
    before = path.read_bytes()
    with disk_with_room_for(room), pytest.raises(WriteError, match=r"net_g_5\.pth: cannot be written: ") as caught:
        save_atomically({"w": torch.rand(100_000)}, path)
    assert "\n" not in str(caught.value)
    assert os.strerror(errno.EFBIG) in str(caught.value)
    assert "make room" not in str(caught.value)  # a limit of the process: there is room
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net_g_5.pth"]


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (OSError(errno.ENOSPC, "full"), "cannot be written: full; make room there"),
        (OSError(errno.EDQUOT, "quota"), "cannot be written: quota; make room there"),
        (RuntimeError("unexpected pos 64 vs 0"), "cannot be written: unexpected pos 64 vs 0; make room there"),
        (OSError(errno.EIO, "Input/output error"), "cannot be written: Input/output error; check the folder"),
    ],
)
def test_advice_fits_what_hinders_the_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, message: str
) -> None:
    def fail(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(WriteError, match=rf"a\.pth: {message}, nothing else was lost"):
        save_atomically({}, tmp_path / "a.pth")
    assert os.listdir(tmp_path) == []


def test_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, reason in (("gone", "No such file or directory"), ("file", "Not a directory")):
        with pytest.raises(WriteError, match=rf"{folder}.a\.pth: cannot be written: {reason}; check the folder"):
            save_atomically({}, tmp_path / folder / "a.pth")


def test_interrupted_writing_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pth"
    save_atomically({"iter": 1}, path)

    def interrupted(obj: Any, file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_atomically({"iter": 2}, path)
    assert load_checkpoint(path) == {"iter": 1}
    assert os.listdir(tmp_path) == ["a.pth"]


WHOLE = saved({"params": {"w": torch.ones(10_000)}})
LEGACY = saved({"params": {"w": torch.ones(10_000)}}, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(WHOLE[:100], id="begin"),
        pytest.param(WHOLE[: len(WHOLE) // 2], id="half"),
        pytest.param(WHOLE[:-10], id="almost whole"),
        pytest.param(WHOLE[:5000] + bytes([WHOLE[5000] ^ 1]) + WHOLE[5001:], id="one bit of a weight"),
        pytest.param(LEGACY[:30], id="legacy begin"),
        pytest.param(LEGACY[: len(LEGACY) // 2], id="legacy half"),
        pytest.param(b"<html>404 Not Found</html>", id="web page"),
        pytest.param(bytes(range(256)) * 20, id="bytes"),
    ],
)
def test_torn_or_foreign_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "torn.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"torn\.pth: torn or no checkpoint") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path / "pipe.pth", Path("/dev/zero")):
        with pytest.raises(CheckpointError, match="torn or no checkpoint"):
            load_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"a\.pth: there is no such file"):
        load_checkpoint(tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be read: Permission denied"),
        (OSError(errno.EIO, "Input/output error"), "cannot be read: Input/output error"),
        (MemoryError(), "does not fit into the memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "does not fit into the memory"),
    ],
)
def test_what_hinders_the_reading_is_told_from_torn_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, message: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    torch.save({}, tmp_path / "a.pth")
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(CheckpointError, match=rf"a\.pth: {message}") as caught:
        load_checkpoint(tmp_path / "a.pth")
    assert TORN not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_file_is_named(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "a.pth")
    (tmp_path / "a.pth").chmod(0)
    with pytest.raises(CheckpointError, match=r"a\.pth: cannot be read: Permission denied"):
        load_checkpoint(tmp_path / "a.pth")


@pytest.mark.filterwarnings("error")  # the line says it all
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle 0", "pickle 2", "pickle 3", "pickle 4", "pickle 5"])
def test_payload_is_named_and_not_executed(tmp_path: Path, form: str) -> None:
    target, path = tmp_path / "executed", tmp_path / "payload.pth"
    payload = {"params": {"w": torch.ones(2)}, "extra": Payload(target)}
    if form.startswith("pickle"):
        path.write_bytes(pickle.dumps(payload["extra"], protocol=int(form.split()[1])))
    else:
        path.write_bytes(saved(payload, _use_new_zipfile_serialization=form == "zip"))
    found = f"was saved with {form.replace(' ', ' protocol ')}, of which nothing was executed"
    named = r"holds a pickled object \([\w.]+\), which .* not executed" if form[-1] not in "45" else found
    with pytest.raises(CheckpointError, match=rf"payload\.pth: {named}") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    torch.load(io.BytesIO(saved(payload)), weights_only=False)["extra"].close()
    assert target.exists()  # the payload is a live one


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_newer_pickle_protocols_are_named(tmp_path: Path, protocol: int, form: str) -> None:
    path = tmp_path / "newer.pth"
    torch.save({"params": {"w": torch.ones(2)}}, path, pickle, protocol, form == "zip")
    if protocol < 4:
        assert load_checkpoint(path)["params"]["w"].tolist() == [1, 1]
    else:
        with pytest.raises(
            CheckpointError, match=rf"newer\.pth: was saved with pickle protocol {protocol}, .*default$"
        ):
            load_checkpoint(path)


def test_other_content_is_named(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match=r"holds a list, not a dictionary"):
        load_checkpoint(tmp_path / "list.pth")
    torch.save({"epoch": 3, "optimizers": []}, tmp_path / "3.state")
    with pytest.raises(
        CheckpointError, match=r"3\.state: no weights in the checkpoint: its keys are epoch, optimizers"
    ):
        load_params(tmp_path / "3.state")


@pytest.mark.parametrize(
    "hollow",
    [
        torch.zeros(1).expand(9, 9),
        torch.zeros(9).expand(2, 9),
        torch.empty(9, device="meta"),
        torch.zeros(9, 9).to_sparse(),
    ],
)
@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_weights_without_their_values_are_named(tmp_path: Path, hollow: torch.Tensor) -> None:
    torch.save({"whole": torch.zeros(2, 9)[1:], "transposed": torch.zeros(2, 3).t(), "b": hollow}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth: b announces more values than the file holds"):
        load_params(tmp_path / "a.pth")


def test_packed_archives_are_not_unpacked(tmp_path: Path) -> None:
    """What would fill the memory may be small as long as it is packed; PyTorch would unpack it."""
    torch.save({"w": torch.zeros(100_000)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as whole, zipfile.ZipFile(tmp_path / "b.pth", "w") as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "b.pth").stat().st_size < 4_000
    assert torch.load(tmp_path / "b.pth", weights_only=True)["w"].shape == (100_000,)
    with pytest.raises(CheckpointError, match=r"b\.pth: torn or no checkpoint"):
        load_checkpoint(tmp_path / "b.pth")


def test_weights_are_found_under_every_usual_key() -> None:
    one, other = {"w": torch.ones(1)}, {"w": torch.zeros(1)}
    assert pick_params({"params": one, "params_ema": other}, "params_ema") == (other, "params_ema")
    assert pick_params({"params": one, "params_ema": other}) == (one, "params")
    assert pick_params({"params": one}, "params_ema") == (one, "params")
    assert pick_params({"params_ema": other}, "params") == (other, "params_ema")
    assert pick_params({"params": one, "mine": other}, "mine") == (other, "mine")
    assert pick_params({"epoch": 3, "state_dict": one}) == (one, "state_dict")
    assert pick_params(one) == (one, "its top level")
    assert pick_params(one, None) == (one, "its top level")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrappers_are_stripped_from_names(prefix: str) -> None:
    net = nn.Linear(2, 2)
    state, _ = pick_params({"params": {f"{prefix}{name}": value for name, value in net.state_dict().items()}})
    assert list(state) == ["weight", "bias"]


def test_weights_arrive() -> None:
    source, target = DeepRFTv2(**TINY), DeepRFTv2(**TINY)
    load_into(target, source.state_dict(), Path("a.pth"))
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in source.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "phrases"),
    [
        ({"dim": 12}, ["(dim 12 instead of 8)", "of another shape", "(12, 3, 3, 3) instead of (8, 3, 3, 3)"]),
        ({"units": 2}, ["(units 2 instead of 1)", "unexpected, e.g. units.1."]),
        ({"fke_blocks": ()}, ["missing, e.g. units.0.full_scale.fke."]),
        ({"scales": 1}, ["scales 1", "missing, e.g. units.0.half_scale."]),
        ({"blocks": (1, 2, 1)}, ["blocks [1, 2, 1]", "unexpected"]),
        ({"full_kinds": ("NAF", "NAFEVS", "NAF"), "blocks": (1, 4, 1)}, ["NAFEVS", "unexpected"]),
    ],
)
def test_checkpoint_of_another_variant_is_described(
    tmp_path: Path, changes: dict[str, Any], phrases: list[str]
) -> None:
    net, path = DeepRFTv2(**TINY), tmp_path / "other.pth"
    before = {name: value.clone() for name, value in net.state_dict().items()}
    save_atomically({"params": DeepRFTv2(**{**TINY, **changes}).state_dict()}, path)
    with pytest.raises(CheckpointError, match=r"other\.pth: does not fit the network of the option file") as caught:
        load_into(net, load_params(path), path)
    message = str(caught.value)
    assert "\n" not in message
    assert "its weights are those of DeepRFTv2 with" in message
    assert "Name another file or change network_g; a training takes what fits with strict_load_g: false" in message
    for phrase in phrases:
        assert phrase in message
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_checkpoint_of_another_network_is_described(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no network of this package.*weight, bias"):
        load_into(DeepRFTv2(**TINY), nn.Linear(2, 2).state_dict(), tmp_path / "a.pth")


def test_what_fits_may_be_loaded_alone() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    state = {"0.weight": torch.full((2, 2), 7.0), "1.weight": torch.ones(9, 9), "more": torch.ones(1)}
    kept = net[1].weight.clone()
    left_out = load_into(net, state, Path("a.pth"), strict=False)
    assert torch.equal(net[0].weight, state["0.weight"])
    assert torch.equal(net[1].weight, kept)
    assert left_out is not None
    assert "1.weight (9, 9) instead of (3, 2)" in left_out
    assert "unexpected, e.g. more" in left_out
    assert load_into(net, net.state_dict(), Path("a.pth"), strict=False) is None


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.complex64, torch.int16])
def test_types_that_are_no_weights_are_one_line(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "a.pth"
    torch.save({"params": {"w\n": torch.zeros(3).to(dtype)}}, path)
    with pytest.raises(CheckpointError, match=r"weights of type .* are not supported") as caught:
        load_params(path)
    assert str(dtype).removeprefix("torch.") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_integers_in_place_of_weights_are_refused_and_buffers_are_not() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    state = network.state_dict()
    load_into(network, dict(state), Path("a.pth"))
    with pytest.raises(CheckpointError, match=r"weights of type int64 are not supported \('0.bias'\)"):
        load_into(network, state | {"0.bias": torch.ones(1, dtype=torch.int64)}, Path("a.pth"))


def test_weights_that_unfold_one_storage_are_refused() -> None:
    shared = torch.zeros(1000)
    tied = {"a": shared, "b": shared}
    assert pick_params({"params": tied})[0].keys() == tied.keys()
    with pytest.raises(CheckpointError, match=r"announce 1,200,000 bytes and share 4,000"):
        pick_params({"params": {str(number): shared for number in range(300)}})


def test_a_list_that_would_take_long_to_read_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "long.pth", "w") as archive:
        archive.writestr("long/version", "3\n")
        archive.writestr("long/data.pkl", b"\x80\x02]" + b"K\x01a" * 6_000_000 + b".")
    begin = time.process_time()
    with pytest.raises(CheckpointError, match="torn or no checkpoint"):
        load_params(tmp_path / "long.pth")
    assert time.process_time() - begin < 10


@pytest.mark.parametrize("between", [b"", b"q\x02"], ids=["plain", "remembered"])
@pytest.mark.parametrize("form", ["zip", "zip in capitals", "legacy", "legacy with an archive at its end"])
def test_keys_nested_so_deeply_that_python_would_die_are_refused(tmp_path: Path, form: str, between: bytes) -> None:
    """Python's hash of tuples goes down the system's stack without a look at its end."""
    deep = b"\x80\x02}q\x01)" + (b"\x85" + between) * 200_000 + b"K\x01s."
    path = tmp_path / "deep.pth"
    if form.startswith("legacy"):
        path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + deep)
    with zipfile.ZipFile(path, "a" if form.startswith("legacy") else "w") as archive:
        if form != "legacy":
            archive.writestr("deep/version", "3\n")
            archive.writestr(f"deep/{'DATA' if 'capitals' in form else 'data'}.pkl", deep)
    with pytest.raises(CheckpointError, match=r"deep\.pth: torn or no checkpoint"):
        load_params(path)


def test_depth_is_that_of_the_values() -> None:
    weights: dict[Any, Any] = {"params": {str(number): torch.zeros(1) for number in range(3000)}}
    nested: Any = ()
    for _ in range(DEEPEST - 2):
        nested = (nested,)
    for value in (weights, [nested] * 3, {nested: nested}):
        require_shallow(io.BytesIO(pickle.dumps(value, 2)))
    with pytest.raises(ValueError, match="in each other"):
        require_shallow(io.BytesIO(pickle.dumps([[[nested]]], 2)))


def test_a_pickle_with_a_text_of_gigabytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.pth"
    path.write_bytes(b"\x80\x02X\xff\xff\xff\x7f")
    with path.open("r+b") as file:
        file.truncate(3 << 30)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("is read"))
    with pytest.raises(CheckpointError, match="torn or no checkpoint"):
        load_params(path)


def test_a_million_weights_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"holds 1,000,000 weights; no more than 100,000 are read"):
        pick_params({"params": dict.fromkeys(map(str, range(1_000_000)), torch.zeros(1))})


def test_empty_average_does_not_hide_the_weights() -> None:
    assert pick_params({"params": {"w": torch.zeros(1)}, "params_ema": {}}, "params_ema")[1] == "params"
