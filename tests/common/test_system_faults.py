"""A full disk, where what is written is no file that appears whole."""

import io
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from launch_helpers import run

from deeprftv2_arch.common.system_faults import full_disks_said_once

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """Give a log whose file is on a full disk."""
    handler = logging.FileHandler(FULL)
    logger = logging.getLogger("full")
    logger.propagate = False
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.stream = None  # which cannot be flushed


def test_lost_lines_of_a_log_are_said_once(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with full_disks_said_once(said.append):
        log.warning("one")
        log.warning("two")
        assert len(said) == 1
        assert said[0].startswith("the disk is full: the log has gaps from here on")
        assert capsys.readouterr().err == ""
        closed = io.StringIO()
        closed.close()
        logging.StreamHandler(closed).handle(logging.makeLogRecord({"msg": "a"}))  # another fault is shown as ever
        assert "ValueError" in capsys.readouterr().err
    log.warning("three")
    assert "No space left" in capsys.readouterr().err


def test_thread_that_a_full_disk_ends_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    def write() -> None:
        with FULL.open("w") as file:
            file.write("a")

    with full_disks_said_once(said.append):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(said) == 1
    assert capsys.readouterr().err == ""


def test_output_that_goes_to_a_full_disk_is_one_line(tmp_path: Path) -> None:
    program = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[2:], stdout=open(sys.argv[1], 'w')))"
    words = (sys.executable, "-m", "deeprftv2_arch", "options", "list")
    code, output = run("-c", program, FULL, *words, cwd=tmp_path)
    assert code == 2
    assert output == (
        "python -m deeprftv2_arch: error: a file: No space left on device; make room there, what was written whole "
        "before is kept\n"
    )
