"""Signals that end a command: at once, or when it looks."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from deeprftv2_arch.common import stopping
from deeprftv2_arch.common.stopping import (
    Stopped,
    asked_to_stop,
    signals_raised_after,
    signals_stop,
    signals_wait,
    stop_if_asked,
)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(1)


def test_signal_ends_at_once_and_is_noted() -> None:
    with signals_stop():
        assert asked_to_stop() is None
        with pytest.raises(Stopped, match="terminated") as caught:
            send(signal.SIGTERM)
    assert caught.value.exit_code == 143
    assert asked_to_stop() is None
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_first_signal_waits_and_a_later_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with signals_stop():
        with signals_wait():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)  # torchrun passes on what came from the terminal
            time.sleep(0.01)
            with pytest.raises(Stopped, match="interrupted") as caught:
                stop_if_asked()
            assert (caught.value.exit_code, caught.value.at_once) == (130, False)
            monkeypatch.setattr(stopping, "REPEATED", 0.0)
            with pytest.raises(Stopped) as caught:
                send(signal.SIGTERM)
            assert caught.value.at_once
        with pytest.raises(Stopped), signals_wait():
            pass


def test_what_an_interrupted_part_makes_of_a_signal_is_that_signal() -> None:
    """As PyTorch does, whose devices fail to be put back where they were."""

    def interrupted() -> None:
        try:
            send(signal.SIGTERM)
        finally:
            raise RuntimeError("cannot be put back")

    with pytest.raises(Stopped, match="terminated"), signals_stop():
        interrupted()


def test_error_after_a_signal_that_waits_is_said() -> None:
    def failing() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("could not be saved")

    with pytest.raises(RuntimeError, match="could not be saved"), signals_stop(), signals_wait():
        failing()


FORKING = """
import os, signal, sys, time
from multiprocessing import get_context
from deeprftv2_arch.common.stopping import signals_stop
with signals_stop():
    child = get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    time.sleep(0.2)
    os.kill(child.pid, signal.SIGINT)
    time.sleep(0.2)
    assert child.is_alive()
    child.terminate()
    child.join(10)
    assert child.exitcode == -signal.SIGTERM
"""


def test_forked_workers_leave_ctrl_c_to_their_parent() -> None:
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=30)


def test_signal_comes_after_a_block_that_would_swallow_it() -> None:
    """Where other threads are, such as PyTorch's, the system gives it to one of them."""
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()

    def work() -> None:
        with signals_raised_after():
            send(signal.SIGTERM)
            over.set()

    with signals_stop(), pytest.raises(Stopped, match="terminated") as caught:
        work()
    other.join()
    assert over.is_set()
    assert caught.value.at_once


def test_where_signals_wait_none_comes_after_a_block() -> None:
    with signals_stop(), signals_wait():
        with signals_raised_after():
            send(signal.SIGTERM)
        assert asked_to_stop() == signal.SIGTERM


ORPHANED = """\
import os, signal, sys, time
from deeprftv2_arch.common.stopping import signals_stop

def fail(words):
    try:
        raise RuntimeError(words)
    except RuntimeError:
        sys.excepthook(*sys.exc_info())  # as Python's threads that send images to the parent do

with signals_stop():
    parent = os.getpid()
    if os.fork() == 0:
        fail("while the parent lives")
        os.kill(parent, signal.SIGKILL)
        while os.getppid() == parent:
            time.sleep(0.01)
        fail("without a parent")
        print("done", flush=True)
        os._exit(0)
    time.sleep(60)
"""


def test_forked_workers_of_a_killed_process_tell_of_no_faults() -> None:
    done = subprocess.run([sys.executable, "-c", ORPHANED], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "done\n"
    assert "RuntimeError: while the parent lives" in done.stderr
    assert "without a parent" not in done.stderr
