"""What an installation puts where, and the repair of basicsr's missing torchvision module."""

import email
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import cv2
import pytest
import torch
from launch_helpers import REPOSITORY, TINY_NETWORK, build_wheel, install, run, write_images
from packaging.requirements import Requirement

from datasets_prep.command_line import main as prepare
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.restoring.pretrained import PRETRAINED

pytestmark = pytest.mark.slow

HOOK = "deeprftv2_arch_torchvision_repair.pth"

pytest.importorskip("setuptools", minversion="77", reason="building the project takes setuptools 77 or later")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def python_path(wheel: Path, tmp_path: Path) -> Path:
    return install(wheel, tmp_path)


def python(code: str, python_path: Path) -> str:
    """Run code in a fresh interpreter; return what it wrote."""
    exit_code, output = run("-c", code, cwd=python_path, python_path=python_path)
    assert exit_code == 0, output
    return output.strip()


def test_wheel_has_the_packages_and_the_hook_at_its_root(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "basicsr_torchvision_repair.py",
        "datasets_prep",
        "deeprftv2_arch",
        "deeprftv2_arch-1.0.0.dist-info",
        HOOK,
    }
    assert {"deeprftv2_arch/train.py", "deeprftv2_arch/launch/pipeline.py", "deeprftv2_arch/ops/scan/mamba.py"} <= set(
        names
    )
    assert {"deeprftv2_arch/py.typed", "datasets_prep/py.typed"} <= set(names)  # type checkers read our types
    assert "deeprftv2_arch-1.0.0.dist-info/licenses/LICENSE" in names
    assert "deeprftv2_arch/basicsr_build/sitecustomize.py" in names
    assert "deeprftv2_arch/recipes/templates/quickstart.yml.j2" in names  # option files are made from these


def test_editable_wheel_has_the_hook_and_is_read_before_it(tmp_path: Path) -> None:
    names = zipfile.ZipFile(build_wheel("editable", tmp_path)).namelist()
    hooks = sorted(name for name in names if name.endswith(".pth"))
    # The interpreter reads .pth files in this order; ours imports what setuptools' own makes importable.
    assert hooks == ["__editable__.deeprftv2_arch-1.0.0.pth", HOOK]


def test_requirements(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("deeprftv2_arch-1.0.0.dist-info/METADATA").decode()
    fields = email.message_from_string(text)
    requirements = [Requirement(line) for line in fields.get_all("Requires-Dist")]
    plain = {requirement.name for requirement in requirements if requirement.marker is None}
    assert {"torch", "torchvision", "numpy", "opencv-python", "lmdb"} <= plain
    (basicsr,) = (requirement for requirement in requirements if requirement.name == "basicsr")
    assert basicsr.marker.evaluate(environment("linux", "x86_64", "3.12"))
    assert not basicsr.marker.evaluate(environment("linux", "x86_64", "3.13"))  # where its sources do not build
    assert not {"mamba-ssm", "causal-conv1d"} & plain
    (torch,) = (requirement for requirement in requirements if requirement.name == "torch")
    assert "2.4" in torch.specifier
    assert "2.3.1" not in torch.specifier
    assert fields["Requires-Python"] == ">=3.10"
    assert {"mamba-ssm", "causal-conv1d"} == {
        requirement.name
        for requirement in requirements
        if requirement.marker and "extra" in str(requirement.marker) and requirement.marker.evaluate({"extra": "mamba"})
    }
    (numba,) = (requirement for requirement in requirements if requirement.name == "numba")
    assert numba.marker.evaluate(environment("linux", "x86_64", "3.14"))
    assert not numba.marker.evaluate(environment("linux", "riscv64", "3.12"))
    assert not numba.marker.evaluate(environment("darwin", "x86_64", "3.12"))
    assert not numba.marker.evaluate(environment("linux", "x86_64", "3.15"))


def environment(system: str, machine: str, version: str) -> dict[str, str]:
    return {
        "platform_python_implementation": "CPython",
        "sys_platform": system,
        "platform_machine": machine,
        "python_version": version,
    }


def test_hook_makes_the_missing_module_importable(python_path: Path) -> None:
    loaded = "import sys; print(sorted({'torch', 'torchvision', 'numpy', 'basicsr'} & sys.modules.keys()), end=' ');"
    imported = (
        "from torchvision.transforms.functional_tensor import rgb_to_grayscale as repaired;"
        "from torchvision.transforms.functional import rgb_to_grayscale; print(repaired is rgb_to_grayscale)"
    )
    assert python(loaded + imported, python_path) == "[] True"


def test_hook_leaves_an_old_torchvision_alone(python_path: Path, tmp_path: Path) -> None:
    transforms = tmp_path / "old" / "torchvision" / "transforms"
    transforms.mkdir(parents=True)
    for file in (transforms.parent / "__init__.py", transforms / "__init__.py"):
        file.touch()
    (transforms / "functional_tensor.py").write_text("rgb_to_grayscale = 'of this torchvision'", encoding="utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'old')!r});"
        "import torchvision.transforms.functional_tensor as module; print(module.rgb_to_grayscale)"
    )
    assert python(code, python_path) == "of this torchvision"


def test_hook_adds_one_finder_and_says_nothing_when_the_module_has_gone(python_path: Path, tmp_path: Path) -> None:
    code = (
        "import sys, importlib, basicsr_torchvision_repair as repair; importlib.reload(repair);"
        "print([type(f).__name__ for f in sys.meta_path].count('FunctionalTensorFinder'))"
    )
    assert python(code, python_path) == "1"
    (tmp_path / "site" / "basicsr_torchvision_repair.py").unlink()
    assert python("print('still starts')", python_path) == "still starts"


def test_sources_and_wheel_are_accepted_as_an_index_does(wheel: Path, tmp_path: Path) -> None:
    for package in ("build", "twine", "check_wheel_contents"):
        pytest.importorskip(package)
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a checkout of git")
    copied = [name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()]  # others are being removed
    for name in copied:
        (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / "checkout" / name)
    tool(tmp_path / "checkout", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path))
    (sources,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sources) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not set(copied) - names
    tool(tmp_path, "twine", "check", "--strict", str(sources), str(wheel))
    tool(REPOSITORY, "check_wheel_contents", str(wheel))  # with the settings in pyproject.toml


def tool(folder: Path, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_installed_wheel_restores_lists_copies_and_trains(wheel: Path, tmp_path: Path) -> None:
    """Install it into an environment of its own, which borrows the packages that it needs, far from the checkout."""
    python = new_environment(wheel, tmp_path / "environment")
    folder = tmp_path / "anywhere"
    folder.mkdir()
    write_images(folder / "my", 3, 80)
    shutil.copy(folder / "my/blur/000.png", folder / "photo.png")
    network = DeepRFTv2(**{key: value for key, value in TINY_NETWORK.items() if key != "type"})
    torch.save({"params": network.state_dict()}, folder / "net.pth")

    def deeprftv2(*words: str) -> str:
        command = [str(python.parent / "deeprftv2"), *words]
        done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    deeprftv2("restore", "photo.png", "-o", "restored", "--checkpoint", "net.pth")
    assert cv2.imread(str(folder / "restored/photo.png")).shape == (80, 80, 3)
    if PRETRAINED:
        deeprftv2("restore", "photo.png", "-o", "by_shipped_weights")
        assert cv2.imread(str(folder / "by_shipped_weights/photo.png")).shape == (80, 80, 3)
    assert "\nquickstart " in deeprftv2("options", "list")
    deeprftv2("options", "copy", "quickstart")
    assert (folder / "quickstart.yml").read_bytes() == (REPOSITORY / "options/quickstart.yml").read_bytes()
    pairs = ["--blurred", str(folder / "my/blur"), "--sharp", str(folder / "my/sharp"), "--val", "1"]
    assert prepare(["pairs", *pairs, "--out", str(folder / "datasets")]) == 0
    ten = ("train:total_iter=10", "datasets:train:patch_stages=[{iters: 10, patch_size: 64, batch_size: 2}]")
    deeprftv2("train", "-opt", "quickstart.yml", "--force_yml", *ten, "train:scheduler:T_max=10")
    assert (folder / "experiments/quickstart/models/net_g_latest.pth").is_file()


ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONWARNINGS": "ignore",
    "DEEPRFTV2_SCAN_BACKEND": "torch",  # numba would compile its kernels anew
}


def new_environment(wheel: Path, folder: Path) -> Path:
    """Make a virtual environment with the wheel, and what it needs as a path; return its interpreter.

    The folder's own .pth files are not read, so that an editable installation there stays unseen.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], env=ENVIRONMENT, check=True, capture_output=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python
