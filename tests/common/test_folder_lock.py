"""Folders that one process at a time writes."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deeprftv2_arch.common.folder_lock import folder_locked
from deeprftv2_arch.errors import BusyError, WriteError

HOLD = """
import sys, time
from pathlib import Path
from deeprftv2_arch.common.folder_lock import folder_locked
with folder_locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_holder_is_named_and_a_killed_one_does_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "experiments" / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=f"run: process {holder.pid} on {socket.gethostname()} is writing there"):
            folder_locked(folder).__enter__()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert (folder.parent / ".run.lock").exists()
    with folder_locked(folder):
        assert f"process {os.getpid()} on " in (folder.parent / ".run.lock").read_text()
    assert list(folder.parent.iterdir()) == []


def test_child_processes_do_not_keep_the_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ended = context.Event()
    with folder_locked(tmp_path / "run"):
        child = context.Process(target=ended.wait, args=(30,))
        child.start()
    try:
        with folder_locked(tmp_path / "run"):
            pass
    finally:
        ended.set()
        child.join()


def test_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "experiments").write_text("")
    with pytest.raises(WriteError, match=r"run: cannot be made: .*; check .*experiments"):
        folder_locked(tmp_path / "experiments" / "run").__enter__()
