"""The plugin in an unmodified BasicSR: its own train.py and test.py, run as scripts, with the project installed."""

import importlib.util
from pathlib import Path

import pytest
from launch_helpers import (
    build_wheel,
    evaluation_options,
    install,
    load,
    run,
    training_options,
    write_images,
    write_options,
)

pytestmark = pytest.mark.slow

pytest.importorskip("setuptools", minversion="77", reason="building the project takes setuptools 77 or later")


@pytest.fixture(scope="module")
def python_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installation")
    return install(build_wheel("wheel", folder), folder)


def stock_script(name: str, root: Path) -> Path:
    """Return a link to basicsr's installed script, which takes the folder of the link for the root of its runs."""
    specification = importlib.util.find_spec("basicsr")
    assert specification is not None
    assert specification.origin is not None
    link = root / "basicsr" / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(Path(specification.origin).with_name(name))
    return link


def test_stock_scripts_train_and_test(tmp_path: Path, python_path: Path) -> None:
    for name, count in (("train", 6), ("val", 2)):
        write_images(tmp_path / name, count)
    # Four times 6 images make six whole batches of 4: BasicSR's loop counts broken batches, but leaves them out.
    settings = training_options(tmp_path / "train", tmp_path / "val", datasets__train__dataset_enlarge_ratio=4)
    options = write_options(tmp_path / "run.yml", settings)
    code, output = run(
        stock_script("train.py", tmp_path), "-opt", options, cwd=python_path, python_path=python_path, TQDM_DISABLE="1"
    )
    assert code == 0, output
    folder = tmp_path / "experiments" / "tiny"
    assert load(folder / "training_states" / "6.state")["iter"] == 6
    assert output.count("frequency_half: ") == 6
    # The progressive stages need our launcher, and the log says so once.
    assert output.count("deeprftv2_arch.train") == 1

    weights = folder / "models" / "net_g_6.pth"
    settings = evaluation_options(tmp_path / "val", weights)
    settings["published"] = {"name": "paper", "val": {"psnr": 30.0}}  # for the report of our launcher
    options = write_options(tmp_path / "test.yml", settings)
    code, output = run(
        stock_script("test.py", tmp_path), "-opt", options, cwd=python_path, python_path=python_path, TQDM_DISABLE="1"
    )
    assert code == 0, output
    assert output.count("# psnr: ") == 1
    assert len(list((tmp_path / "results" / "tiny_test").rglob("*.png"))) == 2
    assert not list((tmp_path / "results").rglob("report.*"))


def test_without_the_plugin_line_nothing_is_registered(tmp_path: Path, python_path: Path) -> None:
    options = write_options(tmp_path / "run.yml", training_options(tmp_path, tmp_path))
    options.write_text(options.read_text(encoding="utf-8").split("\n", 1)[1], encoding="utf-8")
    code, output = run(stock_script("train.py", tmp_path), "-opt", options, cwd=python_path, python_path=python_path)
    assert code == 1
    assert "No object named 'DeblurPairDataset' found in 'dataset' registry" in output
