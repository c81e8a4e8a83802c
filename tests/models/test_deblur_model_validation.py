"""Validation of DeblurModel: the table, the saved images, and the state that it leaves behind."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from deblur_model_helpers import batch, build, same, train, weights
from image_files import options, write_folder, write_lmdb
from torch.utils.data import DataLoader

from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset
from deeprftv2_arch.models.deblur_model import DeblurModel
from deeprftv2_arch.models.validation import image_name

KEYS = ["000001", "scene.1/0.5x", "scene.2/0.5x"]


def noise(seed: int, height: int = 14, width: int = 18) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(params=["disk", "lmdb"])
def loader(request: pytest.FixtureRequest, tmp_path: Path) -> DataLoader[Any]:
    roots = []
    for side in range(2):
        images = {key: noise(10 * side + number) for number, key in enumerate(KEYS)}
        if request.param == "lmdb":
            roots.append(write_lmdb(tmp_path / f"{side}.lmdb", images))
        else:
            roots.append(write_folder(tmp_path / str(side), images))
    return DataLoader(DeblurPairDataset(options(*roots, phase="val", name="toy")), batch_size=1)


def restored_by(net: torch.nn.Module, number: int) -> np.ndarray:
    """Return what a network makes of an image, (H, W, 3) RGB of 8 bits."""
    blurred = torch.from_numpy(noise(number)[..., ::-1].copy()).permute(2, 0, 1)[None] / 255
    net.eval()
    with torch.no_grad():
        restored = net(blurred)[0].permute(1, 2, 0).numpy()
    net.train()
    return np.rint(restored.clip(0, 1) * 255).astype(np.uint8)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return -10 * math.log10(np.mean((one.astype(float) - other.astype(float)) ** 2) / 255**2)


def expected_psnr(net: torch.nn.Module) -> float:
    return float(np.mean([psnr(restored_by(net, number), noise(10 + number)[..., ::-1]) for number in range(3)]))


def test_means_and_best_are_those_of_the_images(tmp_path: Path, loader: DataLoader[Any]) -> None:
    model = build(tmp_path)
    model.validation(loader, 5, None)
    value = expected_psnr(model.net_g)
    assert model.metric_results["psnr"] == pytest.approx(value, abs=1e-9)
    assert model.best_metric_results["toy"]["psnr"] == {
        "better": "higher",
        "val": model.metric_results["psnr"],
        "iter": 5,
    }
    with torch.no_grad():
        model.net_g.second.bias.fill_(5)  # all white
    model.validation(loader, 6, None)
    assert model.metric_results["psnr"] < value - 1
    assert model.best_metric_results["toy"]["psnr"]["iter"] == 5


def test_average_is_what_is_validated(tmp_path: Path, loader: DataLoader[Any]) -> None:
    model = build(tmp_path, {"ema_decay": 0.9})
    with torch.no_grad():
        model.net_g.second.bias.fill_(5)
    model.validation(loader, 5, None)
    assert model.metric_results["psnr"] == pytest.approx(expected_psnr(model.net_g_ema), abs=1e-9)


def test_training_goes_on_as_if_there_had_been_no_validation(tmp_path: Path, loader: DataLoader[Any]) -> None:
    interrupted, whole = build(tmp_path / "a"), build(tmp_path / "b")
    for model in (interrupted, whole):
        train(model, [1, 2])
    state = torch.get_rng_state()
    interrupted.validation(loader, 2, None, save_img=True)
    assert torch.equal(state, torch.get_rng_state())
    assert interrupted.net_g.training
    assert not hasattr(interrupted, "gt")
    for model in (interrupted, whole):
        train(model, [3, 4])
    assert same(weights(interrupted), weights(whole))


def test_network_is_in_training_mode_again_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(tmp_path)

    def fail(x: torch.Tensor) -> torch.Tensor:
        assert not model.net_g.training
        raise MemoryError

    monkeypatch.setattr(model.net_g, "forward", fail)
    model.feed_data(batch(1))
    with pytest.raises(MemoryError):
        model.test()
    assert model.net_g.training


@pytest.mark.parametrize(
    ("is_train", "suffix", "names"),
    [
        (True, None, ["000001/000001_5", "scene.1/0.5x/0.5x_5", "scene.2/0.5x/0.5x_5"]),
        (False, None, ["toy/000001_test", "toy/scene.1/0.5x_test", "toy/scene.2/0.5x_test"]),
        (False, "sharp", ["toy/000001_sharp", "toy/scene.1/0.5x_sharp", "toy/scene.2/0.5x_sharp"]),
    ],
)
def test_saved_images_do_not_collide(
    tmp_path: Path, loader: DataLoader[Any], is_train: bool, suffix: str | None, names: list[str]
) -> None:
    model = build(tmp_path, is_train=is_train, val={"save_img": True, "pbar": False, "suffix": suffix})
    model.validation(loader, 5, None, save_img=True)
    folder = tmp_path / "visualization"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")) == [f"{n}.png" for n in names]
    for number, name in enumerate(names):
        saved = cv2.imread(str(folder / f"{name}.png"))[..., ::-1]
        assert (saved == restored_by(model.net_g, number)).all()


def test_names_of_images() -> None:
    assert image_name("/data/blur/s.1/0001.PNG", "/data/blur") == "s.1/0001"
    assert image_name("scene/0.5", "/data/blur.lmdb") == "scene/0.5"
    assert image_name("/elsewhere/0001.png", "/data/blur") == "0001"
    assert image_name("../../0001", "/data/blur.lmdb") == "0001"


def test_values_go_to_tensorboard(tmp_path: Path, loader: DataLoader[Any]) -> None:
    written: list[tuple[Any, ...]] = []
    pictures: list[tuple[Any, ...]] = []

    class Writer:
        def add_scalar(self, *values: Any) -> None:
            written.append(values)

        def add_image(self, tag: str, image: Any, iteration: int, dataformats: str) -> None:
            pictures.append((tag, image, iteration, dataformats))

    model = build(tmp_path)
    model.validation(loader, 5, Writer())
    assert written == [("metrics/toy/psnr", model.metric_results["psnr"], 5)]
    ((tag, image, iteration, layout),) = pictures
    assert (tag, iteration, layout) == ("images/toy", 5, "HWC")
    truth = loader.dataset[0]["gt"].permute(1, 2, 0).numpy()
    shown = image[:, truth.shape[1] :]  # behind the restored image
    assert np.abs(shown / 255 - truth).max() < 1 / 255


def test_without_metrics_images_are_only_saved(tmp_path: Path, loader: DataLoader[Any]) -> None:
    model: DeblurModel = build(tmp_path, is_train=False, val={"save_img": True, "pbar": False, "metrics": None})
    model.validation(loader, "run", None, save_img=True)
    assert len(list((tmp_path / "visualization" / "toy").rglob("*.png"))) == 3
    assert not hasattr(model, "metric_results")
