"""Damaged pages of LMDBs are found before the file is mapped; undamaged ones are never refused."""

import os
import struct
from pathlib import Path

import lmdb
import numpy as np
import pytest

from deeprftv2_arch.common.lmdb_pages import page_fault


def make(folder: Path, entries: int = 400) -> Path:
    """Make a database of three levels, with values in pages of their own, and with free pages."""
    with lmdb.open(str(folder), map_size=1 << 24) as database:
        for start in (0, entries):
            with database.begin(write=True) as transaction:
                for number in range(start, start + entries):
                    transaction.put(b"scene/%0100d" % number, os.urandom(5000 if number % 5 == 0 else 50))
        with database.begin(write=True) as transaction:
            for number in range(0, entries, 7):
                transaction.delete(b"scene/%0100d" % number)
    (folder / "lock.mdb").unlink()
    return folder / "data.mdb"


def test_whole_databases_have_no_fault(tmp_path: Path) -> None:
    assert page_fault(make(tmp_path / "large")) is None
    with lmdb.open(str(tmp_path / "empty")):
        pass
    assert page_fault(tmp_path / "empty" / "data.mdb") is None


def test_truncated_file_is_named(tmp_path: Path) -> None:
    data = make(tmp_path / "a")
    size = data.stat().st_size
    os.truncate(data, size - 4096)
    assert page_fault(data) == f"truncated ({size - 4096} of {size} bytes)"
    os.truncate(data, 100)
    assert page_fault(data) == "damaged (a page is cut off)"


def test_no_damage_that_passes_kills_a_reader(tmp_path: Path) -> None:
    """Mutate bytes of pages of keys: each is refused, or the whole database can be read without harm."""
    data = make(tmp_path / "a", entries=60)
    whole = data.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        page = int(generator.integers(len(whole) // 4096)) * 4096
        place = page + int(generator.integers(64))
        damaged[place] ^= int(generator.integers(1, 256))
        data.write_bytes(damaged)
        if page_fault(data) is not None:
            refused += 1
            continue
        child = os.fork()
        if child == 0:
            try:
                with lmdb.open(str(tmp_path / "a"), readonly=True, lock=False) as database, database.begin() as reader:
                    sum(len(value) for _, value in reader.cursor())
            except lmdb.Error:
                pass
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, f"byte {place}"
    assert refused > 10


@pytest.mark.parametrize("root", [2**40, 1])
def test_root_that_leads_astray_is_named(tmp_path: Path, root: int) -> None:
    data = make(tmp_path / "a", entries=20)
    damaged = bytearray(data.read_bytes())
    for page in (0, 4096):
        struct.pack_into("<Q", damaged, page + 16 + 24 + 48 + 40, root)
    data.write_bytes(damaged)
    assert page_fault(data) == f"damaged (a page number ({root}) leads astray)"
