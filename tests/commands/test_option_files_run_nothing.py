"""No command runs a program that an option file names, and each says so in one line."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from deeprftv2_arch.__main__ import main

PROGRAM = "x: !!python/object/apply:os.system ['touch PWNED']\nnetwork_g: {type: Identity}\n"
OF_A_NETWORK = ("--options", "run.yml", "--checkpoint", "none.pth")
COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("-opt", "run.yml"),
    "test": ("-opt", "run.yml"),
    "evaluate": ("-opt", "run.yml"),
    "restore": ("image.png", "-o", "out", *OF_A_NETWORK),
    "demo": OF_A_NETWORK,
    "analyze kernels": (*OF_A_NETWORK, "image.png"),
    "analyze cka": (*OF_A_NETWORK, "--pairs", "."),
}
NEEDS = {"demo": "gradio", "analyze kernels": "matplotlib", "analyze cka": "matplotlib"}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    if command in NEEDS:
        pytest.importorskip(NEEDS[command])
    (tmp_path / "run.yml").write_text(PROGRAM, encoding="utf-8")
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("image.png", "blur/image.png", "sharp/image.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), image)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["program", *command.split(), *COMMANDS[command]])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert "run.yml: line 1: !!python/object/apply:os.system is refused and nothing was run" in written
    assert not list(tmp_path.rglob("PWNED"))
