"""Exported networks against the networks themselves, at sizes that tracing never saw; refusals; the command."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from file_faults import disk_with_room_for
from torch import Tensor, nn

import deeprftv2_arch
from deeprftv2_arch.__main__ import build_parser
from deeprftv2_arch.errors import CheckpointError, DeepRFTv2Error, ExportError, OptionError, WriteError
from deeprftv2_arch.export import export_onnx, export_program, onnx_model, scan
from deeprftv2_arch.export import program as program_file
from deeprftv2_arch.export.folded_blocks import fold_blocks
from deeprftv2_arch.export.fourier import irfft2, rfft2
from deeprftv2_arch.export.program import OLDEST_TORCH, traced
from deeprftv2_arch.export.scan import CHUNKS, POSITIONS, _softplus, selective_scan_in_groups
from deeprftv2_arch.export.windows import replace_windows
from deeprftv2_arch.layers.local_pooling import LocalMeanPool
from deeprftv2_arch.layers.naf_block import NAFBlock
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.identity import Identity
from deeprftv2_arch.networks.ufpnet import UFPNet
from deeprftv2_arch.ops.scan.reference import selective_scan_reference

torch_is_too_old = tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH
needs_export = pytest.mark.skipif(torch_is_too_old, reason=f"export needs PyTorch {OLDEST_TORCH}")

TINY: dict[str, Any] = {
    "dim": 2,
    "units": 1,
    "scales": 1,
    "blocks": (1, 1, 1),
    "full_kinds": ("NAF",) * 3,
    "fke_blocks": (),
}
WINDOWS = {"train_size": 16, "fke_window": 16, "fke_overlap": 8}
TINY_ATD: dict[str, Any] = {
    "embed_dim": 4,
    "depths": (2,),
    "num_heads": (2,),
    "window_size": 4,
    "category_size": 10,
    "num_tokens": 4,
}
TINY_UFPNET: dict[str, Any] = {
    "width": 4,
    "enc_blocks": (1, 1, 1),
    "dec_blocks": (1, 1, 1),
    "kernel_width": 4,
    "kernel_size": 5,
    "flow_blocks": 2,
    "flow_hidden": 4,
}


def with_a_scan() -> DeepRFTv2:
    return DeepRFTv2(**TINY | {"fke_blocks": (1,), "fke_kind": "VS"})


def with_windows(scales: int = 1, units: int = 1) -> DeepRFTv2:
    changes = {"fke_blocks": (1,), "fke_kind": "NAF", "scales": scales, "units": units}
    return DeepRFTv2(**TINY | changes, **WINDOWS)


def trained(network: nn.Module) -> nn.Module:
    """In eval mode, with no parameter at a zero that would silence a branch, and without tiles."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    network.use_tiles(None)
    return network.eval()


# Neither is what is traced, a multiple less one; one needs no padding, the other in both directions.
SIZES = [(24, 40), (33, 19)]


NETWORKS: dict[str, Callable[[], nn.Module]] = {"DeepRFTv2": with_a_scan, "ATD": lambda: ATD(**TINY_ATD)}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Build a network whose tracing, which takes the longest, is done once for all kinds of files."""
    torch.manual_seed(0)
    network = trained(NETWORKS[request.param]())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "CHUNKS", 4)  # shorter loops, which are traced in less time
        patch.setattr(scan, "POSITIONS", 4)
        program = traced(network)
    with pytest.MonkeyPatch.context() as patch:
        for module in (onnx_model, program_file):
            patch.setattr(module, "traced", lambda exported: program if exported is network else traced(exported))
        yield network


def scale(network: nn.Module) -> int:
    return int(getattr(network, "upscale", 1))


def check_metadata(found: dict[str, str], network: nn.Module) -> None:
    assert type(network).__name__ in found["network"]
    assert found["scale"] == str(scale(network))
    assert found["version"] == deeprftv2_arch.__version__
    assert found["licence"] == "Apache-2.0"
    assert found["output"] == "of the same range, not clamped"


@pytest.mark.slow
@needs_export
def test_a_program_runs_without_this_package(tmp_path: Path, network: Any) -> None:
    export_program(network, tmp_path / "network.pt2")
    images = [torch.rand(1, 3, *size) for size in SIZES]
    torch.save(images, tmp_path / "images.pth")
    extra = {"metadata.json": ""}
    loaded = torch.export.load(tmp_path / "network.pt2", extra_files=extra)
    check_metadata(json.loads(extra["metadata.json"]), network)
    assert not any(parameter.requires_grad for parameter in loaded.module().parameters())  # fast without no_grad
    script = (
        "import sys, torch; program = torch.export.load('network.pt2').module();"
        "torch.save([program(x) for x in torch.load('images.pth')], 'restored.pth');"
        "assert not any(name.startswith('deeprftv2') for name in sys.modules)"
    )
    # Isolated, so that neither the folder nor the environment brings the package in.
    subprocess.run([sys.executable, "-I", "-W", "ignore", "-c", script], cwd=tmp_path, check=True)
    for image, restored in zip(images, torch.load(tmp_path / "restored.pth"), strict=True):
        with torch.no_grad():
            torch.testing.assert_close(restored, network(image), rtol=0, atol=1e-5)


@pytest.mark.slow
@needs_export
def test_an_onnx_model_restores_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: Any) -> None:
    if isinstance(network, ATD):  # of equal numbers the first is the first, as in ONNX
        sort = Tensor.sort
        monkeypatch.setattr(Tensor, "sort", lambda x, dim, stable: sort(x, dim=dim, stable=True))
    tolerance = 1e-4 if isinstance(network, ATD) else 1e-5
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export_onnx(network, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    check_metadata(session.get_modelmeta().custom_metadata_map, network)
    assert session.get_inputs()[0].shape == [1, 3, "height", "width"]
    assert session.get_outputs()[0].shape[2:] == (
        ["height", "width"] if scale(network) == 1 else ["2*height", "2*width"]
    )
    for size in SIZES:
        image = torch.rand(1, 3, *size)
        (restored,) = session.run(["restored"], {"picture": image.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(restored, network(image).numpy(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (24, 40), (72, 16), (8, 88), (40, 56)])
def test_windows_for_any_size_are_the_networks_own(size: tuple[int, int]) -> None:
    network = trained(with_windows(scales=2, units=2))
    replaced = copy.deepcopy(network)
    replace_windows(replaced)
    assert not any(isinstance(module, LocalMeanPool) for module in replaced.modules())
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(replaced(image), network(image), rtol=0, atol=1e-6)


def test_folded_blocks_are_the_networks_own() -> None:
    network = trained(with_windows())
    folded = copy.deepcopy(network)
    fold_blocks(folded)
    assert not any(isinstance(module, NAFBlock) for module in folded.modules())
    image = torch.rand(1, 3, 24, 40)
    with torch.no_grad():
        torch.testing.assert_close(folded(image), network(image), rtol=0, atol=1e-6)


@pytest.mark.slow
@needs_export
def test_windows_are_in_an_onnx_model(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network = trained(with_windows())
    export_onnx(network, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    for size in ((9, 10), (24, 40), (33, 19), (60, 61)):
        image = torch.rand(1, 3, *size)
        (restored,) = session.run(["restored"], {"picture": image.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(restored, network(image).numpy(), rtol=0, atol=1e-5)


def test_softplus_has_all_digits() -> None:
    x = torch.linspace(-80, 80, 2001)
    torch.testing.assert_close(_softplus(x), F.softplus(x.double()).float(), rtol=3e-7, atol=0)


@pytest.mark.parametrize("length", [1, CHUNKS * POSITIONS, 2 * CHUNKS * POSITIONS + 3])
def test_the_scan_in_groups_is_the_scan(length: Any) -> None:
    batch, channels, states = 2, 3, 4
    u, delta = torch.randn(2, batch, channels, length, dtype=torch.float64)
    B, C = torch.randn(2, batch, states, length, dtype=torch.float64)
    A = -torch.rand(channels, states, dtype=torch.float64).exp()
    D, bias = torch.randn(2, channels, dtype=torch.float64)
    with torch.no_grad():
        found = selective_scan_in_groups(u, delta, A, B, C, D, bias, True)
    torch.testing.assert_close(found, selective_scan_reference(u, delta, A, B, C, D, bias, True))


@pytest.mark.parametrize(("height", "width"), [(6, 10), (5, 7), (1, 2)])
def test_transforms_by_matrices_are_numpys(height: int, width: int) -> None:
    image = torch.rand(2, height, width, dtype=torch.float64)
    spectrum = np.fft.rfft2(image.numpy())
    np.testing.assert_allclose(rfft2(image).numpy(), spectrum, atol=1e-12)
    found = irfft2(torch.from_numpy(spectrum), (height, width))
    torch.testing.assert_close(found, image, rtol=0, atol=1e-12)


def test_transforms_of_large_images_keep_their_digits() -> None:
    image = torch.rand(1, 1000)
    error = rfft2(image).numpy() - np.fft.rfft2(image.double().numpy())
    assert np.abs(error).max() < 1e-5 * np.abs(np.fft.rfft2(image.numpy()))[0, 0]


@needs_export
@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Identity(), "only DeepRFTv2 and ATD can be exported, not Identity"),
        (DeepRFTv2(**TINY, tile=16), "tiles .*use_tiles"),
        (DeepRFTv2(**TINY, smallest_size=(16, 16)), "smallest_size"),
    ],
)
def test_what_depends_on_the_size_is_refused(tmp_path: Path, network: Any, message: str) -> None:
    for export in (export_program, export_onnx):
        with pytest.raises(ExportError, match=message):
            export(network, tmp_path / "network")
    assert not list(tmp_path.iterdir())


@needs_export
def test_a_checkpoint_of_a_network_that_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    torch.save({"params": UFPNet(**TINY_UFPNET).state_dict()}, tmp_path / "weights.pth")
    files = ["--checkpoint", str(tmp_path / "weights.pth"), "-o", str(tmp_path / "network.pt2")]
    args = build_parser().parse_args(["export", *files, "--format", "pt2"])
    with pytest.raises(ExportError, match="only DeepRFTv2 and ATD can be exported, not UFPNet"):
        list(args.run(args))
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


@needs_export
def test_no_file_is_replaced(tmp_path: Path) -> None:
    for name in ("mine", "network.pt2.tmp"):
        (tmp_path / name).write_text("precious")
    with pytest.raises(ExportError, match="mine: exists already"):
        export_program(DeepRFTv2(**TINY), tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "precious"
    for folder in ("none", "mine"):  # there is none of the first name, and the second one is a file
        with pytest.raises(WriteError, match=r"network\.pt2: cannot be written"):
            # Refused for its tiles as soon as it is traced, which takes a while; so this comes before.
            export_program(DeepRFTv2(**TINY, tile=16), tmp_path / folder / "network.pt2")
    with pytest.raises(ExportError, match="tiles"):
        export_program(DeepRFTv2(**TINY, tile=16), tmp_path / "network.pt2")
    with disk_with_room_for(10_000), pytest.raises(WriteError, match=r"network\.pt2: cannot be written"):
        export_program(DeepRFTv2(**TINY), tmp_path / "network.pt2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "network.pt2.tmp"]
    assert (tmp_path / "network.pt2.tmp").read_text() == "precious"


@pytest.mark.slow
@needs_export
def test_the_command_finds_the_network_of_a_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = trained(DeepRFTv2(**TINY | {"scales": 2}))
    torch.save({"params": network.state_dict()}, tmp_path / "weights.pth")
    files = ["--checkpoint", str(tmp_path / "weights.pth"), "-o", str(tmp_path / "network.pt2")]
    args = build_parser().parse_args(["export", *files])
    (line,) = args.run(args)
    assert line.startswith(f"{tmp_path / 'network.pt2'}: DeepRFTv2 with dim 2")
    assert line.endswith(" s")
    stages = [record.message for record in caplog.records if record.name.startswith("deeprftv2_arch.export")]
    assert stages == ["tracing the network", "replacing operators of this package", "writing the program"]
    image = torch.rand(1, 3, 21, 30)
    with torch.no_grad():
        torch.testing.assert_close(torch.export.load(tmp_path / "network.pt2").module()(image), network(image))
    with pytest.raises(DeepRFTv2Error, match="exists already"):
        list(args.run(args))


def test_the_format_is_that_of_the_name(tmp_path: Path) -> None:
    def run(name: Any, *words: Any) -> None:
        args = build_parser().parse_args(["export", "--checkpoint", "none.pth", "-o", str(tmp_path / name), *words])
        list(args.run(args))

    for name, format_ in (("a.pt2", "onnx"), ("a.onnx", "pt2")):
        with pytest.raises(OptionError, match=rf"{name}: ends in \.{name[2:]}, but --format is {format_}"):
            run(name, "--format", format_)
    with pytest.raises(OptionError, match=r"a: end the name in \.pt2 or \.onnx, or give --format"):
        run("a")
    for words in (("a.pt2",), ("a.onnx", "--format", "onnx"), ("a", "--format", "pt2")):
        with pytest.raises(CheckpointError, match=r"none\.pth: there is no such file"):  # the name is no hindrance
            run(*words)
