"""The page docs/add_a_network.md is run: a user's network beside the package and inside, and a user's model."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from launch_helpers import REPOSITORY, training_options, write_images

BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
BLOCKS = BLOCK.findall((REPOSITORY / "docs" / "add_a_network.md").read_text(encoding="utf-8"))
MODULE = "# my_networks.py\n"
MODEL = "# my_models.py\n"
LINE = "# deeprftv2_arch/networks/cards.py\n"


def blocks(language: str, beginning: str = "") -> list[str]:
    """Return the page's blocks of code in a language that begin with something."""
    return [code for found, code in BLOCKS if found == language and code.startswith(beginning)]


def run(folder: Path, *command: str, path: Path = REPOSITORY, code: int = 0) -> str:
    """Run a command in a folder whose modules, and those of ``path``, Python finds; return errors and output."""
    found = os.pathsep.join([str(folder), str(path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": found}, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr + done.stdout


@pytest.fixture(scope="module")
def users_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with the page's module, its option file completed, and images."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_networks.py").write_text("\n\n".join(blocks("python", MODULE)), encoding="utf-8")
    write_images(folder / "images", 4)
    shutil.copy(folder / "images" / "blur" / "000.png", folder / "blurred.png")
    section, _ = blocks("yaml")
    plugin, network = section.split("\n", 1)
    options: dict[str, Any] = training_options(folder / "images", folder / "images", name="mine")
    options["network_g"] = yaml.safe_load(network)["network_g"]
    (folder / "my_training.yml").write_text(f"{plugin}\n{yaml.safe_dump(options)}", encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_user_s_network_is_trained_restores_and_is_recognised_by_its_weights(users_folder: Path) -> None:
    (commands,) = blocks("sh")
    for command in commands.splitlines():
        run(users_folder, *command.replace("python", sys.executable, 1).split())
    assert (users_folder / "restored" / "blurred.png").is_file()
    for code in blocks("python"):
        if not code.startswith((MODULE, MODEL, LINE)):
            run(users_folder, sys.executable, "-c", code)


@pytest.mark.slow
def test_a_user_s_model_reads_its_own_option(users_folder: Path) -> None:
    (model,) = blocks("python", MODEL)
    (users_folder / "my_models.py").write_text(model, encoding="utf-8")
    _, section = blocks("yaml")
    plugins, changes = section.split("model_type:", 1)
    changed: dict[str, Any] = yaml.safe_load(f"model_type:{changes}")
    text = (users_folder / "my_training.yml").read_text(encoding="utf-8")
    options: dict[str, Any] = yaml.safe_load(text.split("\n", 1)[1])
    options |= {"name": "my_model", "model_type": changed["model_type"]}
    del options["val"], options["datasets"]["val"]
    for steps in (changed["train"]["my_steps"], 0):
        options["train"]["my_steps"] = steps
        (users_folder / "my_model.yml").write_text(f"{plugins}{yaml.safe_dump(options)}", encoding="utf-8")
        command = [sys.executable, "-m", "deeprftv2_arch.train", "-opt", "my_model.yml"]
        if steps:
            printed = run(users_folder, *command)
            lines = [line for line in printed.splitlines() if "l1_full:" in line]
            assert ["frequency_full:" in line for line in lines] == [False] * steps + [True] * (6 - steps)
        else:
            refused = run(users_folder, *command, code=2)
            assert "my_model.yml: train: my_steps: expected a whole number from 1 on, not 0" in refused


@pytest.mark.slow
def test_the_same_network_inside_the_package_is_registered_by_one_line(tmp_path: Path) -> None:
    package = tmp_path / "deeprftv2_arch"
    shutil.copytree(REPOSITORY / "deeprftv2_arch", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "basicsr_torchvision_repair.py", tmp_path)
    network, card = blocks("python", MODULE)
    networks = package / "networks"
    network = network.replace("@ARCH_REGISTRY.register()\n", "").replace(
        "from basicsr.utils.registry import ARCH_REGISTRY\n", ""
    )
    (networks / "kernel_net.py").write_text(network, encoding="utf-8")
    card = card.replace("from deeprftv2_arch.networks.cards import add_card\n", "").split("\n\nadd_card")[0]
    (networks / "kernel_net_card.py").write_text(f"{card}\n", encoding="utf-8")
    (line,) = blocks("python", LINE)
    imports = (
        "from deeprftv2_arch.networks.kernel_net import KernelNet\n"
        "from deeprftv2_arch.networks.kernel_net_card import KernelNetCard\n"
    )
    cards = (networks / "cards.py").read_text(encoding="utf-8")
    cards = cards.replace("CARDS: list[NetworkCard] = [\n", f"CARDS: list[NetworkCard] = [\n{line.removeprefix(LINE)}")
    (networks / "cards.py").write_text(cards.replace("from torch import nn\n", f"from torch import nn\n{imports}", 1))
    code = (
        "import deeprftv2_arch\n"
        "from basicsr.archs import build_network\n"
        "from deeprftv2_arch.checkpoints.building import network_of_weights\n"
        "from deeprftv2_arch.checkpoints.recognition import describe\n"
        "network = build_network({'type': 'KernelNet', 'dim': 4})\n"
        "state = network.state_dict()\n"
        "print(describe(state), type(network_of_weights(state)).__module__)\n"
    )
    printed = run(tmp_path, sys.executable, "-c", code, path=tmp_path).splitlines()[-1]
    assert printed == "a KernelNet with dim 4, estimators 2 deeprftv2_arch.networks.kernel_net"
