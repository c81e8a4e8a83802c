"""Tests of keeping freed memory: in processes of their own, since it cannot be undone."""

import argparse
import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deeprftv2_arch.commands import network_arguments
from deeprftv2_arch.common import kept_memory
from deeprftv2_arch.restoring import memory

glibc = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="needs a glibc from 2.33 on",
)
MAP = 40_000_000  # bytes, beyond glibc's largest threshold
PAGES = MAP // os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
ALLOCATES = f"""\
import resource, sys
import torch
from deeprftv2_arch.common.kept_memory import growth_of_peak, keep_freed_memory, kept_bytes

if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(20):  # a freed block is often some bytes short of the next one, until a larger one is there
    torch.zeros({MAP}, dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.zeros({MAP}, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, growth_of_peak(), kept_bytes())
"""


def _allocating(word: str, **environment: str) -> tuple[int, float, int]:
    chosen = {name: value for name, value in os.environ.items() if name not in kept_memory._CHOSEN} | environment
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATES, word], env=chosen, capture_output=True, text=True, check=True, timeout=120
    )
    faults, growth, kept = done.stdout.split()
    return int(faults), float(growth), int(kept)


@glibc
def test_freed_memory_is_used_again() -> None:
    faults, growth, kept = _allocating("kept")
    assert faults < PAGES / 10  # of ten times as many pages
    assert growth == kept_memory.GROWTH
    assert MAP <= kept <= 10 * MAP


@glibc
def test_without_it_every_page_is_handed_out_again() -> None:
    faults, growth, kept = _allocating("as it was", GLIBC_TUNABLES="glibc.malloc.hugetlb=0")
    assert faults >= 10 * PAGES
    assert (growth, kept) == (1.0, 0)


@glibc
@pytest.mark.parametrize("name", ["MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_user_has_chosen_stays(name: str) -> None:
    value = {"MALLOC_MMAP_MAX_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072"}.get(name, "glibc.malloc.hugetlb=0")
    faults, growth, kept = _allocating("kept", **{name: value})
    assert faults >= 10 * PAGES
    assert (growth, kept) == (1.0, 0)


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    kept_memory.keep_freed_memory()
    assert kept_memory.growth_of_peak() == 1.0
    assert kept_memory.kept_bytes() == 0


def test_tiles_leave_room_for_the_growth_and_count_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_free", lambda: iter([1000, 3000]))
    assert memory.budget(torch.device("cpu"), None) == 800  # a fifth is for others
    monkeypatch.setattr(memory, "growth_of_peak", lambda: 2.0)
    monkeypatch.setattr(memory, "kept_bytes", lambda: 500)
    assert memory.budget(torch.device("cpu"), None) == 600


@pytest.mark.parametrize(("limit", "is_kept"), [(None, True), (10**9, False)])
def test_commands_keep_memory_unless_there_is_a_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: int | None, is_kept: bool
) -> None:
    calls = []
    monkeypatch.setattr(network_arguments, "keep_freed_memory", lambda: calls.append(True))
    args = argparse.Namespace(options=None, checkpoint=tmp_path / "none.pth", precision="fp32", device="cpu")
    with pytest.raises(Exception, match=r"none\.pth"):
        network_arguments.restorer_of(args, memory_limit=limit)
    assert bool(calls) is is_kept
