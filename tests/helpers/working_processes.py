"""What processes do that a test has started: nothing but to write each file's name into its result, and to die."""

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from deeprftv2_arch.common.stopping import stop_if_asked
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.restoring.batch.job_locks import job_locked
from deeprftv2_arch.restoring.batch.outcome import Outcome, Tell
from deeprftv2_arch.restoring.batch.plan import Job, Plan


def write_names(plan: Plan, tell: Tell) -> Outcome:
    """Write the name of every file into its result; die on those that are called after a signal, sleep on "long"."""
    for job in plan.jobs:
        tell(job, None)
        assert job.target is not None
        with job_locked(job, plan.folder):
            name = job.source.stem
            if name.startswith("SIG"):
                os.kill(os.getpid(), signal.Signals[name])
            if name == "exit":
                os._exit(7)
            if name == "long":
                job.target.with_name("begun").touch()
                _sleep()
            job.target.write_text(name)
        tell(job, Outcome(restored=1))
    return Outcome()


def refuse(plan: Plan, tell: Tell) -> Outcome:
    raise OptionError("device: cuda:7 cannot be used here")


def die_at_once(plan: Plan, tell: Tell) -> Outcome:
    os.kill(os.getpid(), signal.SIGSEGV)
    return Outcome()


def write_held_signals(plan: Plan, tell: Tell) -> Outcome:
    """Write which signals the system holds back from this process, as a number whose bits they are."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (held,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
    for job in plan.jobs:
        assert job.target is not None
        job.target.write_text(str(int(held, 16)))
        tell(job, Outcome(restored=1))
    return Outcome()


def close_and_stay(plan: Plan, tell: Tell) -> Outcome:
    """Close the pipe, and stay, whatever asks to end."""
    while True:
        with suppress(KeyboardInterrupt):  # raised as soon as the pipe is shut
            for number in range(3, 256):
                with suppress(OSError), socket.socket(fileno=os.dup(number)) as pipe:
                    pipe.shutdown(socket.SHUT_RDWR)
            time.sleep(1)


def _sleep() -> None:
    for _ in range(3000):
        time.sleep(0.02)
        stop_if_asked()


def jobs_called(folder: Path, *names: str) -> Plan:
    return Plan(folder, [Job(Path(f"{name}.png"), folder / f"{name}.png") for name in names])
