"""spandrel opens our checkpoints with the networks that they are of, and everybody else's as before."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle_deeprftv2 import random_state, restore
from oracle_ufpnet import random_state as ufpnet_reference_state
from torch import Tensor, nn
from ufpnet_helpers import NARROW

from deeprftv2_arch.checkpoints.convert import convert
from deeprftv2_arch.checkpoints.reference import under_our_names
from deeprftv2_arch.errors import CheckpointError, OptionError
from deeprftv2_arch.networks.atd import ATD
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.ufpnet import UFPNet
from deeprftv2_arch.spandrel_support import install

spandrel = pytest.importorskip("spandrel")

OURS = {"DeepRFTv2", "ATD+FKE", "UFPNet"}
DEBLURRING: dict[str, Any] = {
    "dim": 4,
    "units": 2,
    "blocks": (1, 4, 1),
    "full_kinds": ("NAF", "NAFEVS", "NAF"),
    "fke_blocks": (1, 1),
}
ENLARGING: dict[str, Any] = {
    "upscale": 2,
    "embed_dim": 16,
    "depths": (2, 2),
    "num_heads": (2, 2),
    "window_size": 8,
    "num_tokens": 8,
    "reducted_dim": 4,
    "img_size": 64,
}


@pytest.fixture(autouse=True)
def _installed() -> None:
    install()


def trained(network: nn.Module) -> nn.Module:
    """With weights of which none is zero, in eval mode."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def opened(path: Path) -> Any:
    return spandrel.ModelLoader().load_from_file(path)


def theirs() -> Any:
    """spandrel's registry as it is without us."""
    registry = spandrel.ArchRegistry()
    registry.add(*(support for support in spandrel.MAIN_REGISTRY if support.architecture.id not in OURS))
    return registry


def detected(registry: Any, state: dict[str, Tensor]) -> str | None:
    supports = registry.architectures("detection")
    return next((support.architecture.id for support in supports if support.detect(state)), None)


@pytest.mark.parametrize("form", ["params", "params_ema", "bare", "module.", "_orig_mod.", "module._orig_mod.", "safe"])
def test_a_deblurring_checkpoint_of_any_form_gives_our_image(tmp_path: Path, form: str) -> None:
    network = trained(DeepRFTv2(**DEBLURRING))
    state, path = network.state_dict(), tmp_path / "net.pth"
    other = {name: torch.ones_like(value) for name, value in state.items()}
    contents = {"bare": state, "params_ema": {"params": other, "params_ema": state}, "params": {"params": state}}
    prefix = form if form.endswith(".") else ""
    torch.save(contents.get(form, {"params": {prefix + name: value for name, value in state.items()}}), path)
    if form == "safe":
        convert(path, path := path.with_suffix(".safetensors"))
    model = opened(path)
    assert (model.architecture.id, model.purpose, model.scale) == ("DeepRFTv2", "Restoration", 1)
    assert (model.input_channels, model.output_channels, model.tags) == (3, 3, ["4dim", "2units"])
    x = torch.rand(1, 3, 21, 30)
    with torch.no_grad():
        expected = network(x).clamp(0, 1)
    assert not torch.equal(expected, x)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=0)


def test_a_file_of_the_authors_reference_gives_the_reference_s_image(tmp_path: Path) -> None:
    state = random_state(dim=4, enc_blocks=(1, 1, 1), kinds=("naf",) * 3)
    torch.save({"params": state}, tmp_path / "reference.pth")
    model = opened(tmp_path / "reference.pth").to(torch.float64)
    x = torch.rand(1, 3, 16, 24, dtype=torch.float64)
    expected = restore({name: value.float().double() for name, value in state.items()}, x)["full"][-1].clamp(0, 1)
    torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("upsampler", "upscale"), [("pixelshuffledirect", 2), ("pixelshuffle", 4), ("nearest+conv", 4)]
)
def test_an_enlarging_checkpoint_gives_our_image(tmp_path: Path, upsampler: str, upscale: int) -> None:
    network = trained(ATD(**ENLARGING | {"upsampler": upsampler, "upscale": upscale}, fke=True))
    torch.save({"params": network.state_dict()}, tmp_path / "net.pth")
    model = opened(tmp_path / "net.pth")
    assert (model.architecture.id, model.purpose, model.scale) == ("ATD+FKE", "SR", upscale)
    assert model.tiling == spandrel.ModelTiling.INTERNAL
    x = torch.rand(1, 3, 13, 27)
    with torch.no_grad():
        expected = network(x).clamp(0, 1)
    assert expected.shape == (1, 3, 13 * upscale, 27 * upscale)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize("theirs_too", [False, True])
def test_a_ufpnet_s_checkpoint_gives_our_image(tmp_path: Path, theirs_too: bool) -> None:
    network = trained(UFPNet(**NARROW, seed=10))
    torch.save({"params": network.state_dict()}, tmp_path / "net.pth")
    if theirs_too:
        state = {name: value.float() for name, value in ufpnet_reference_state(**NARROW).items()}
        torch.save({"params": state}, tmp_path / "net.pth")
        network.load_state_dict(under_our_names(state, "net.pth"))
    model = opened(tmp_path / "net.pth")
    assert (model.architecture.id, model.purpose, model.scale) == ("UFPNet", "Restoration", 1)
    assert (model.input_channels, model.output_channels, model.tags) == (3, 3, ["4w", "3ks"])
    x = torch.rand(1, 3, 21, 30)
    with torch.no_grad():
        expected = network(x).clamp(0, 1)
    assert not torch.equal(expected, x)
    for _ in range(2):
        torch.testing.assert_close(model(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("network", "tags"),
    [
        (DeepRFTv2, ["DeepRFTv2-B", "48dim", "2units"]),
        (lambda: DeepRFTv2(full_kinds=("NAF",) * 3), ["DeepRFTv2-S", "48dim", "2units"]),
        (lambda: ATD(upscale=4, fke=True), ["ATD-light", "48dim", "16w"]),
        (UFPNet, ["UFPNet", "64w", "19ks"]),
    ],
)
def test_published_variants_are_tagged(network: Any, tags: list[str]) -> None:
    with torch.device("meta"):
        state = network().state_dict()
    # Views of one number, so that neither time nor memory is spent on weights.
    state = {name: torch.zeros((), dtype=value.dtype).expand(value.shape) for name, value in state.items()}
    assert spandrel.MAIN_REGISTRY.load(state).tags == tags


def test_an_atd_without_estimators_is_still_spandrel_s_own(tmp_path: Path) -> None:
    network = trained(ATD(**ENLARGING))
    torch.save({"params": network.state_dict()}, tmp_path / "net.pth")
    model = opened(tmp_path / "net.pth")
    assert model.architecture.id == "ATD"
    assert not isinstance(model.model, ATD)


def test_others_networks_are_detected_as_before() -> None:
    """Every network of spandrel that can be built without arguments."""
    before, found = theirs(), set()
    modules = [inspect.getmodule(type(support.architecture)) for support in before]
    for module in modules:
        for network in vars(module).values():
            if inspect.isclass(network) and issubclass(network, nn.Module):
                try:
                    with torch.device("meta"):
                        state = network().state_dict()
                except (TypeError, RuntimeError, NotImplementedError):
                    continue
                expected = detected(before, state)
                assert detected(spandrel.MAIN_REGISTRY, state) == expected
                found.add(expected)
    assert len(found) > 20
    assert {"ATD", "ESRGAN", "KBNet"} <= found


def test_ours_are_none_of_theirs() -> None:
    assert detected(theirs(), DeepRFTv2(**DEBLURRING).state_dict()) is None
    assert detected(theirs(), ATD(**ENLARGING, fke=True).state_dict()) == "ATD"  # hence ours before theirs
    assert detected(spandrel.MAIN_REGISTRY, ATD(**ENLARGING, fke=True).state_dict()) == "ATD+FKE"
    assert detected(theirs(), ufpnet_reference_state(**NARROW)) == "NAFNet"
    assert detected(spandrel.MAIN_REGISTRY, ufpnet_reference_state(**NARROW)) == "UFPNet"


def test_half_precision_is_refused() -> None:
    model = spandrel.MAIN_REGISTRY.load(DeepRFTv2(**DEBLURRING).state_dict())
    for dtype in (torch.float16, torch.bfloat16):
        with pytest.raises(spandrel.UnsupportedDtypeError):
            model.to(dtype)


def test_a_part_of_a_network_is_named() -> None:
    state = DeepRFTv2(**DEBLURRING).state_dict()
    del state["units.1.full_scale.merge.weight"]
    with pytest.raises(CheckpointError, match=r"looks like DeepRFTv2 .* 1 missing, e\.g\. units\.1\.full_scale\.merge"):
        spandrel.MAIN_REGISTRY.load(state)


def test_installing_twice_adds_nothing() -> None:
    before = [support.architecture.id for support in spandrel.MAIN_REGISTRY]
    install()
    after = [support.architecture.id for support in spandrel.MAIN_REGISTRY]
    assert after == before
    assert {name for name in after if name in OURS} == OURS


def test_a_missing_spandrel_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(OptionError, match=r"pip install 'deeprftv2_arch\[spandrel\]'"):
        install()


@pytest.mark.slow
def test_nothing_of_spandrel_is_imported_before_it_is_asked_for() -> None:
    program = (
        "import sys, deeprftv2_arch.spandrel_support, deeprftv2_arch.__main__; sys.exit('spandrel' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
