"""Kills, signals and full disks: a command is disturbed again and again, and has to end with the right result."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.endurance.commands import Command, emptied
from tests.endurance.processes import Ended, Stop, end_left_overs, run, run_command

KILLS = 8
SIGNALS = 3
NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000  # of Linux' namespaces
SMALLEST_DISK, LARGEST_DISK = 4, 2**17  # KiB

# What a try was, and what was wrong with it, if anything.
Tried = tuple[str, str | None]


def killed(command: Command, folder: Path, generator: np.random.Generator) -> Iterator[Tried]:
    """Kill a command at random moments, then let it end."""
    yield from _disturbed(command, folder, generator, f"kill of {command.name}", KILLS, [signal.SIGKILL])


def stopped(command: Command, folder: Path, generator: np.random.Generator) -> Iterator[Tried]:
    """Send a command SIGTERM or SIGINT at random moments, then let it end."""
    signals = [signal.SIGINT, signal.SIGTERM]
    yield from _disturbed(command, folder, generator, f"signal to {command.name}", SIGNALS, signals)


def _disturbed(
    command: Command, folder: Path, generator: np.random.Generator, kind: str, most: int, signals: list[signal.Signals]
) -> Iterator[Tried]:
    tries: list[Ended] = []
    emptied(folder)
    try:
        yield from _tries(command, folder, generator, kind, most, signals, tries)
        yield f"end of {command.name} after that", _left_alone(command, folder)
    finally:
        end_left_overs(tries)


def _tries(
    command: Command,
    folder: Path,
    generator: np.random.Generator,
    kind: str,
    most: int,
    signals: list[signal.Signals],
    tries: list[Ended],
) -> Iterator[Tried]:
    while len(tries) < most:
        number = signals[generator.integers(len(signals))]
        stop = Stop(generator.uniform(0, command.seconds), number, is_for_all=generator.random() < 0.5)
        ended = run_command(command.words, folder, stop)
        right = -number if number == signal.SIGKILL else 128 + number
        fault = ended.fault(right, 0) or _named(command.torn(folder, command.folder))
        if fault or ended.is_stopped:
            tries.append(ended)
            yield kind, fault
        else:  # it had ended before
            yield f"end of {command.name} after that", _named(command.wrong(folder, command.folder))
            emptied(folder)


def _left_alone(command: Command, folder: Path) -> str | None:
    return run_command(command.words, folder).fault(0) or _named(command.wrong(folder, command.folder))


def without_room(command: Command, folder: Path, generator: np.random.Generator) -> Iterator[Tried]:
    """Let a command fill a small disk, make that larger, and let it end."""
    emptied(folder)
    size = int(np.exp(generator.uniform(np.log(SMALLEST_DISK), np.log(command.size))))

    def fill() -> int:
        disk = folder / "disk"
        disk.mkdir()
        _mount(disk, size)
        first = run_command(command.words, disk)
        fault = first.fault(command.failed, 0) or _named(command.torn(disk, command.folder))
        if fault is None and first.code == 0:
            return 3
        if fault is None:
            _mount(disk, LARGEST_DISK, again=True)
            fault = _left_alone(command, disk)
        if fault is not None:
            os.write(1, fault.replace("Traceback", "traceback").encode())
        return int(fault is not None)

    ended = run(fill, folder / "outcome.log")
    if ended.code == 3:
        return  # there was room enough
    yield f"full disk at {command.name}", (ended.output or f"exit code {ended.code}") if ended.code else None


def small_disks_are_possible(folder: Path) -> bool:
    """Tell whether this process may mount a small disk, in a namespace of its own."""

    def mount() -> int:
        _mount(folder, SMALLEST_DISK)
        return 0

    return run(mount, folder.with_name("mount.log")).code == 0


def _mount(folder: Path, size: int, again: bool = False) -> None:
    """Mount a disk of so many KiB, which only this process and its children see, and which ends with them."""
    if not again:
        user, group = os.getuid(), os.getgid()
        if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS | (NEW_USER if user else 0)):
            raise OSError(ctypes.get_errno(), "no namespace")
        if user:
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    options = f"size={size}k" + (",remount" if again else "")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


def _named(what: list[str]) -> str | None:
    return ", ".join(what[:5]) or None
