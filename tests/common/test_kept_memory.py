"""Tests of keeping freed memory: in processes of their own, since it is for a whole process."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import psutil
import pytest
import torch
from restoring_helpers import run_command

from deeprftv2_arch.commands import cpu_memory, evaluate, restore, train_and_test
from deeprftv2_arch.common import kept_memory
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring import memory

glibc = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="needs a glibc from 2.33 on",
)
MIB = 2**20
MAP = 100 * MIB  # beyond what glibc keeps by itself
BEGIN = f"""\
import os
import psutil
import torch
from deeprftv2_arch.common import kept_memory

def resident():
    return psutil.Process().memory_info().rss

def work():
    return torch.ones({MAP}, dtype=torch.uint8)

work()
before = resident()
"""
CHOICES = {
    "MALLOC_MMAP_MAX_": "65536",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "GLIBC_TUNABLES": "glibc.malloc.arena_max=8",
    "LD_PRELOAD": "libjemalloc-that-is-not-there.so",
}


def _printed(program: str, **environment: str) -> list[float]:
    """Run a program that prints numbers, in an environment without choices but these."""
    chosen = {name: value for name, value in os.environ.items() if name not in CHOICES} | environment
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program], env=chosen, capture_output=True, text=True, check=True, timeout=120
    )
    return [float(word) for word in done.stdout.split()]


@glibc
def test_freed_memory_is_kept_and_used_again() -> None:
    program = """
print(+kept_memory.keep_freed_memory(), kept_memory.growth_of_peak())
for _ in range(30):  # a freed block may be some bytes short of the next one, until there are several
    work()
kept = resident()
for _ in range(30):
    work()
print(kept - before, resident() - kept, kept_memory.kept_bytes(resident()))
"""
    is_kept, growth, kept, more, counted = _printed(program)
    assert (is_kept, growth) == (1, kept_memory.GROWTH)
    assert kept > 0.9 * MAP
    assert more < 3 * MAP  # of thirty times
    assert kept + more - 0.5 * MAP < counted < kept + more + 0.5 * MAP


@glibc
def test_without_it_freed_memory_goes_back() -> None:
    left, growth, kept = _printed(
        "work()\nprint(resident() - before, kept_memory.growth_of_peak(), kept_memory.kept_bytes(resident()))"
    )
    assert left < 0.1 * MAP
    assert (growth, kept) == (1, 0)


@glibc
@pytest.mark.parametrize("name", CHOICES)
def test_what_the_environment_chooses_stays(name: str) -> None:
    program = "print(+kept_memory.keep_freed_memory(), kept_memory.growth_of_peak())"
    assert _printed(program, **{name: CHOICES[name]}) == [0, 1]


@glibc
@pytest.mark.parametrize(("name", "value"), [("MALLOC_MMAP_MAX_", ""), ("GLIBC_TUNABLES", "glibc.rtld.nns=4")])
def test_what_says_nothing_of_allocation_forbids_nothing(name: str, value: str) -> None:
    assert _printed("print(+kept_memory.keep_freed_memory())", **{name: value}) == [1]


@glibc
def test_what_was_never_written_to_is_not_counted() -> None:
    program = """
kept_memory.keep_freed_memory()
torch.empty(3000 * 2**20, dtype=torch.uint8)
print(kept_memory.kept_bytes(resident()))
"""
    assert _printed(program)[0] < 500 * MIB


@glibc
def test_it_is_given_back_when_asked_and_before_a_fork() -> None:
    program = """
kept_memory.keep_freed_memory()
work()
print(resident() - before)
kept_memory.give_back()
print(resident() - before)
work()
child = os.fork()
if child == 0:
    os._exit(0 if resident() - before < 20 * 2**20 else 1)
print(os.waitpid(child, 0)[1])
"""
    kept, given_back, status = _printed(program)
    assert kept > 0.9 * MAP
    assert given_back < 0.1 * MAP
    assert status == 0


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # of what keeps it away from all tests
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not kept_memory.keep_freed_memory()
    assert kept_memory.growth_of_peak() == 1.0
    assert kept_memory.kept_bytes(10**9) == 0
    kept_memory.give_back()


def test_budgets_leave_room_for_the_growth_and_count_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_free", lambda: iter([1000, 3000]))
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=700)))
    cpu = torch.device("cpu")
    assert memory.budget(cpu, None) == 800  # a fifth is for others
    assert memory.budget(cpu, 1000) == 280
    monkeypatch.setattr(memory, "growth_of_peak", lambda: 2.0)
    monkeypatch.setattr(memory, "kept_bytes", lambda resident: resident - 200)
    assert memory.budget(cpu, None) == 600
    assert memory.budget(cpu, 1000) == 390  # 980, of which 200 are in use
    memory.require_within(1000, 390, "an image")
    with pytest.raises(DataError, match="an image takes about 1M"):
        memory.require_within(1000, 395, "an image")


@pytest.mark.parametrize(("device", "has_gpu"), [("cpu", True), ("cuda", True), (None, True), (None, False)])
def test_memory_is_kept_where_the_network_is_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, device: str | None, has_gpu: bool
) -> None:
    calls = []
    monkeypatch.setattr(cpu_memory, "keep_freed_memory", lambda: calls.append(True))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    cpu_memory.keep_memory_on_cpu(device)
    assert bool(calls) is (device == "cpu" or not has_gpu)


@pytest.mark.parametrize(
    ("module", "words", "is_kept"),
    [
        (restore, ("restore", "{image}", "-o", "{out}"), True),
        (restore, ("restore", "{image}", "-o", "{out}", "--memory-limit", "2G"), False),
        (evaluate, ("evaluate", "--checkpoint", "none.pth", "--protocol", "gopro", "--data", "{out}"), True),
        (train_and_test, ("train", "-opt", "none.yml"), True),
        (train_and_test, ("test", "-opt", "none.yml"), True),
    ],
)
def test_commands_keep_memory_unless_it_is_limited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: ModuleType, words: tuple[str, ...], is_kept: bool
) -> None:
    calls = []
    monkeypatch.setattr(module, "keep_memory_on_cpu", lambda *device: calls.append(device))
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.full((16, 16, 3), 99, np.uint8))
    run_command(*(word.format(image=image, out=tmp_path / "out") for word in words))
    assert calls == ([("cpu",) if module is restore else ()] if is_kept else [])
