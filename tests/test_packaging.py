"""What an installation puts where, and the repair of basicsr's missing torchvision module."""

import email
import zipfile
from pathlib import Path

import pytest
from launch_helpers import build_wheel, install, run
from packaging.requirements import Requirement

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
    assert {"basicsr", "torch", "torchvision", "numpy", "opencv-python", "lmdb"} <= plain
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
