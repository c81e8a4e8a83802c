"""LPIPS with untrained weights against its formula, and what happens where it is not to be had."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from deblur_model_helpers import build, logged
from image_files import options, write_folder
from launch_helpers import TINY_NETWORK, evaluation_options, write_images, write_options
from torch.utils.data import DataLoader

from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset
from deeprftv2_arch.errors import MetricUnavailableError
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.measuring.testing import run_testing
from deeprftv2_arch.metrics import lpips_distance
from deeprftv2_arch.metrics.lpips_distance import PATIENCE, calculate_lpips, lpips_network
from deeprftv2_arch.metrics.metric_values import unavailable_metrics
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

pytestmark = pytest.mark.filterwarnings("ignore:The parameter 'pretrained'", "ignore:Arguments other than")

ASKED = {"psnr": {"type": "calculate_psnr", "crop_border": 0}, "lpips": {"type": "calculate_lpips", "better": "lower"}}
NO_PACKAGE = "LPIPS needs the package lpips, which cannot be imported (.*); pip install lpips"


@pytest.fixture(autouse=True)
def _loaded_anew() -> Iterator[None]:
    lpips_distance._load_once.cache_clear()
    yield
    lpips_distance._load_once.cache_clear()


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    lpips = pytest.importorskip("lpips", reason="the package lpips is not installed")
    network = lpips.LPIPS(pretrained=False, pnet_rand=True, net="alex", verbose=False)
    monkeypatch.setattr(lpips_distance, "lpips_network", lambda: network)
    return network


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which torch.hub keeps weights, with none in it."""
    pytest.importorskip("lpips", reason="the package lpips is not installed")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


@torch.no_grad()
def distance_by_formula(network: Any, one: np.ndarray, other: np.ndarray) -> float:
    """Return the distance of RGB images (H, W, 3) in 0..1 (Zhang et al., 2018, equation 1), in AlexNet's layers."""
    convolutions = {name: module for name, module in network.net.named_modules() if hasattr(module, "weight")}
    layers = [
        ("slice1.0", {"stride": 4, "padding": 2}, False),
        ("slice2.3", {"padding": 2}, True),
        ("slice3.6", {"padding": 1}, True),
        ("slice4.8", {"padding": 1}, False),
        ("slice5.10", {"padding": 1}, False),
    ]
    mean, deviation = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    images = [torch.from_numpy(((2 * image - 1) - mean) / deviation).permute(2, 0, 1)[None] for image in (one, other)]
    total = 0.0
    for number, (name, geometry, pooled) in enumerate(layers):
        convolution = convolutions[name]
        units = []
        for index, image in enumerate(images):
            features = F.max_pool2d(image, 3, 2) if pooled else image
            images[index] = F.conv2d(
                features, convolution.weight.double(), convolution.bias.double(), **geometry
            ).relu()
            units.append(images[index] / images[index].square().sum(1, keepdim=True).sqrt())
        difference = (units[0] - units[1]).square()
        weights = network.lins[number].model[1].weight.double()
        total += float((weights * difference).sum(1).mean())
    return total


def noise(seed: int, height: int = 48, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3))


def test_value_is_that_of_the_formula_on_rgb(untrained: torch.nn.Module) -> None:
    restored, sharp = noise(1), noise(2)
    as_rgb, reordered = (
        distance_by_formula(untrained, restored[..., order], sharp[..., order]) for order in ([2, 1, 0], [0, 1, 2])
    )
    value = calculate_lpips(restored, sharp)
    assert value == pytest.approx(as_rgb, rel=1e-4)
    assert abs(as_rgb - reordered) > 1e-2 * abs(as_rgb)
    cropped = distance_by_formula(untrained, restored[4:-4, 4:-4, ::-1], sharp[4:-4, 4:-4, ::-1])
    assert calculate_lpips(restored, sharp, crop_border=4) == pytest.approx(cropped, rel=1e-4)


def test_equal_images_of_the_smallest_size_have_no_distance(untrained: torch.nn.Module) -> None:
    image = noise(1, 31, 31)
    assert calculate_lpips(image, image) == 0
    assert calculate_lpips(image, noise(2, 31, 31)) != 0


def test_without_the_package(no_package: None) -> None:
    image = noise(1)
    with pytest.raises(MetricUnavailableError, match=f"^{NO_PACKAGE}$"):
        calculate_lpips(image, image)
    (name,) = unavailable_metrics(ASKED)
    assert name == "lpips"


def test_without_a_network_it_is_tried_once_and_for_a_while(
    hub: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = []

    def refused(url: str, *_: Any, **__: Any) -> None:
        attempts.append((url, socket.getdefaulttimeout()))
        raise URLError("no route\nto host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    for _ in range(3):
        with pytest.raises(MetricUnavailableError) as caught:
            lpips_network()
        assert str(caught.value) == (
            "LPIPS needs torchvision's weights of AlexNet, which cannot be loaded (<urlopen error no route to host>); "
            f"put the file alexnet-owt-7be5be79.pth from https://download.pytorch.org/models into {hub}"
        )
    assert attempts == [("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", PATIENCE)]
    assert socket.getdefaulttimeout() is None
    assert capsys.readouterr().out == ""  # where commands write their results


def test_torn_weights(hub: Path) -> None:
    hub.mkdir(parents=True)
    (hub / "alexnet-owt-7be5be79.pth").write_bytes(b"half a download")
    with pytest.raises(MetricUnavailableError, match=f"which cannot be loaded .* into {hub}$"):
        lpips_network()


def test_weights_at_hand_are_loaded(hub: Path) -> None:
    from torchvision.models import alexnet

    hub.mkdir(parents=True)
    # The classifier is not used; a view of one zero makes the file small.
    state = {
        name: torch.zeros(()).expand(value.shape) if name.startswith("classifier") else value
        for name, value in alexnet().state_dict().items()
    }
    torch.save(state, hub / "alexnet-owt-7be5be79.pth")
    assert unavailable_metrics(ASKED) == {}
    network: Any = lpips_network()
    assert lpips_network() is network
    assert not network.training
    restored, sharp = noise(1), noise(2)
    expected = distance_by_formula(network, restored[..., ::-1], sharp[..., ::-1])
    assert expected > 0  # the weights of the layers, which come with the package, are not negative
    assert calculate_lpips(restored, sharp) == pytest.approx(expected, rel=1e-4)


def test_model_leaves_out_what_it_cannot_measure_and_says_so_at_once(tmp_path: Path, no_package: None) -> None:
    sharp, blurred = ((noise(seed, 16, 16) * 255).astype(np.uint8) for seed in (1, 2))
    roots = [write_folder(tmp_path / side, {"a": image}) for side, image in (("gt", sharp), ("lq", blurred))]
    loader = DataLoader(DeblurPairDataset(options(*roots, phase="val", name="toy")), batch_size=1)
    with logged() as messages:
        model = build(tmp_path, val={"save_img": False, "pbar": False, "metrics": ASKED})
    assert [message for message in messages if "lpips" in message] == [
        f"val: metrics: lpips is left out: {model.unavailable['lpips']}"
    ]
    model.validation(loader, 5, None)
    assert list(model.metric_results) == ["psnr"]
    assert model.best_metric_results["toy"]["psnr"]["val"] == model.metric_results["psnr"]


def test_report_of_a_test_has_a_gap_and_says_why(tmp_path: Path, no_package: None) -> None:
    write_images(tmp_path / "images", count=2, size=32)
    arguments = {name: value for name, value in TINY_NETWORK.items() if name != "type"}
    torch.save({"params": DeepRFTv2(**arguments).state_dict()}, tmp_path / "weights.pth")
    opt = evaluation_options(tmp_path / "images", tmp_path / "weights.pth", val__metrics=ASKED)
    run_testing(Arguments(write_options(tmp_path / "test.yml", opt)), tmp_path)
    table = (tmp_path / "results" / "tiny_test" / "report.md").read_text().splitlines()
    assert table[2].startswith("| psnr / lpips |")
    row = table[4]  # after the title, the columns and their rule
    figure, gap = row.strip("| ").split("|")[1].split(" / ")
    assert float(figure) > 0
    assert gap == "n/a"
    (note,) = (line for line in table if line.startswith("* lpips: not measured: "))
    assert note.endswith("; pip install lpips")
