"""Names of files, tensors and keys that begin a line or steer a terminal: whatever is said of them is printable."""

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from restoring_helpers import run_command, save_identity

from datasets_prep.command_line import main as prepare
from deeprftv2_arch.common.plain_log import plain_logs
from deeprftv2_arch.errors import CheckpointError, escaped, printable

EVIL = "a\x1b[2J\x1b]0;b\x07\x9b31m\u202e\r\nerror: forged"
FORGED = "error: forged"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    image = np.zeros((12, 12, 3), np.uint8)
    cv2.imwrite(str(folder / "plain.png"), image)
    (folder / "plain.png").rename(folder / f"{EVIL}.png")
    (folder / f"{EVIL}damaged.png").write_bytes(b"none")
    (folder / f"of another kind.{EVIL}").touch()
    animated = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff" + 2 * b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0" + b";"
    (folder / f"{EVIL}.gif").write_bytes(animated)
    return folder


def check(captured: Any) -> str:
    """Assert that all that was written is printable and nothing of it a forged line; return it."""
    text = captured.out + captured.err
    bars = text.replace("\r", "\n").replace("\x1b[A", "")  # of progress bars
    assert all(char.isprintable() or char in "\n\t" for char in bars)
    assert not any(line.strip().startswith(FORGED) for line in bars.split("\n"))
    assert escaped(EVIL)[:20] in text
    return text


def test_names_of_images(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = save_identity(tmp_path / "net.pth")
    assert run_command("restore", photos, "-o", tmp_path / "out", "--checkpoint", checkpoint, "--device", "cpu") == 1
    text = check(capsys.readouterr())
    assert "the first of 2 frames is restored" in text
    assert "damaged.png: is neither a PNG nor a JPEG" in text


@pytest.mark.parametrize(
    "words",
    [("restore", "a.png", "-o", "out", "--checkpoint"), ("convert",), ("export", "-o", "a.pt2", "--checkpoint")],
)
def test_names_of_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", np.zeros((12, 12, 3), np.uint8))
    torch.save({"params": {EVIL: torch.zeros(2), 1000 * EVIL: torch.zeros(2)}}, "a.pth")
    torch.save({EVIL: 1, EVIL[1:]: {}}, "b.pth")
    torch.save({"params": {EVIL: torch.zeros(2, dtype=torch.complex64)}}, f"{EVIL}.pth")
    for name in ("a.pth", "b.pth", f"{EVIL}.pth"):
        more = ("b.safetensors",) if words[0] == "convert" else ()
        code = run_command(*words, name, *more)
        captured = capsys.readouterr()
        if code:
            text = captured.out + captured.err
            assert all(char.isprintable() or char == "\n" for char in text)
            assert FORGED not in [line.strip() for line in text.split("\n")]
            assert len(text) < 3000


def test_names_in_option_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    quoted = '"' + EVIL.encode("unicode_escape").decode() + '"'
    for text in (
        f"{quoted}: 1",
        f"name: {quoted}",
        f"model_type: {quoted}",
        f"network_g: {{type: {quoted}}}",
        f"path: {{{quoted}: 3}}",
    ):
        Path("a.yml").write_text(text)
        assert run_command("train", "-opt", "a.yml") == 2
        captured = capsys.readouterr().err
        assert all(char.isprintable() or char == "\n" for char in captured)
        assert FORGED not in [line.strip() for line in captured.split("\n")]
    assert run_command("train", "-opt", "a.yml", "--force_yml", f"{EVIL}=1") == 2
    assert all(char.isprintable() or char == "\n" for char in capsys.readouterr().err)


def test_names_of_a_data_set(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(["pairs", "--blurred", str(photos), "--sharp", str(photos), "--out", str(tmp_path / "out")]) == 2
    check(capsys.readouterr())


def test_lines_of_logs(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("names")
    with plain_logs():
        logger.warning("%s: %d is wrong", Path(EVIL), 3)
        logger.warning("%s", CheckpointError(EVIL))
        logger.warning("of BasicSR's: \x1b[2J\n  next: 1")
        logger.warning("\n%s", "| table |\n| \x1b |")
    shown = escaped(EVIL)
    assert caplog.messages == [
        f"{shown}: 3 is wrong",
        shown,
        "of BasicSR's: \\x1b[2J\n  next: 1",
        "\n| table |\n| \\x1b |",
    ]


def test_printable_text() -> None:
    assert printable("a\n\tb") == "a\n\tb"
    assert printable("\x1b\x9b\u202e\r\u2028") == "\\x1b\\x9b\\u202e\\r\\u2028"
