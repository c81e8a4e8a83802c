"""BasicSR where it is missing: what is said, and the command that installs it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from launch_helpers import REPOSITORY, run

from deeprftv2_arch.commands.main import main

# As on Python 3.13 after `pip install .`: no finder knows BasicSR.
WITHOUT = "import deeprftv2_arch.basicsr_hook as hook; hook.find_spec = lambda name: None; "


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.argv = ['deeprftv2', 'train', '-opt', 'x.yml']; "
        "from deeprftv2_arch.commands.main import main; main()",
        "import runpy, sys; sys.argv = ['train', '-opt', 'x.yml']; "
        "runpy.run_module('deeprftv2_arch.train', run_name='__main__')",
    ],
)
def test_training_without_basicsr_ends_in_one_line(tmp_path: Path, code: str) -> None:
    (tmp_path / "x.yml").write_text("name: x\n", encoding="utf-8")
    exit_code, output = run("-c", WITHOUT + code, cwd=tmp_path)
    assert exit_code == 2, output
    assert output.count("\n") == 1, output
    assert "`python -m deeprftv2_arch install-basicsr` does it" in output


def test_importing_basicsr_says_what_to_do(tmp_path: Path) -> None:
    code = WITHOUT + "\ntry:\n    import basicsr\nexcept ImportError as error:\n    print(error.name, '|', error)"
    assert run("-c", code, cwd=tmp_path)[1].startswith("basicsr | BasicSR, which trains and measures, is not installed")


def test_it_is_built_with_help_and_without_isolation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []

    def pip(command: list[str], env: dict[str, str], check: bool) -> Any:
        assert env["PYTHONPATH"] == str(REPOSITORY / "deeprftv2_arch" / "basicsr_build")
        started.append(command[4:])
        return subprocess.CompletedProcess(command, int("broken" in env))

    monkeypatch.setattr(subprocess, "run", pip)
    monkeypatch.setattr("sys.argv", ["deeprftv2", "install-basicsr"])
    main()
    assert started == [["setuptools", "wheel"], ["--use-pep517", "--no-build-isolation", "basicsr==1.4.2"]]
    assert "basicsr==1.4.2 is installed" in capsys.readouterr().out
    monkeypatch.setenv("broken", "1")
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "error: pip could not install wheel; its output above says why" in capsys.readouterr().err
