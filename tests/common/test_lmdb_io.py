"""The LMDB writer on its own: format, keys, map growth, 16 bits, and what it refuses."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest
from prep_trees import damage_page, hashes, make_image, read_lmdb, read_png

from deeprftv2_arch.common import lmdb_io
from deeprftv2_arch.common.lmdb_io import LmdbWriter, read_keys, read_meta_info, read_value
from deeprftv2_arch.common.partial_folder import read_metadata
from deeprftv2_arch.errors import PreparationError


def test_values_and_metadata(tmp_path: Path) -> None:
    images = {f"scene/{number:03d}": make_image(str(number), 20 + number, 33) for number in range(5)}
    with LmdbWriter(tmp_path / "blur.lmdb", compression=7, settings={"source": "toy"}) as writer:
        for key, image in images.items():
            writer.put(key, image[..., ::-1])
        assert not (tmp_path / "blur.lmdb").exists()
    stored = read_lmdb(tmp_path / "blur.lmdb")
    assert stored.keys() == images.keys()
    for key, image in images.items():
        np.testing.assert_array_equal(read_png(stored[key]), image)
    lines = (tmp_path / "blur.lmdb" / "meta_info.txt").read_text().splitlines()
    assert lines == [f"scene/{number:03d}.png ({20 + number},33,3) 7" for number in range(5)]
    assert json.loads((tmp_path / "blur.lmdb" / "preparation.json").read_text()) == {
        "settings": {"source": "toy"},
        "entries": 5,
        "bit_depths": [8],
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blur.lmdb"]


def test_grey_and_16_bit_images_keep_their_samples(tmp_path: Path) -> None:
    grey = make_image("grey")[..., 0]
    deep = make_image("deep", dtype=np.uint16)
    with LmdbWriter(tmp_path / "x.lmdb") as writer:
        writer.put("grey", grey)
        writer.put("deep", deep)
    stored = read_lmdb(tmp_path / "x.lmdb")
    np.testing.assert_array_equal(read_png(stored["grey"]), grey)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(stored["deep"], np.uint8), cv2.IMREAD_UNCHANGED), deep)
    assert read_meta_info(tmp_path / "x.lmdb") == {"deep": (72, 128, 3), "grey": (72, 128, 1)}
    assert json.loads((tmp_path / "x.lmdb" / "preparation.json").read_text())["bit_depths"] == [8, 16]


def test_keys_with_dots_and_spaces(tmp_path: Path) -> None:
    keys = ["1.1.2/a", "a.png (1,2,3) 4", "scene 1/x.y.z", "x"]
    with LmdbWriter(tmp_path / "x.lmdb") as writer:
        for key in keys:
            writer.put(key, make_image(key, 8, 9))
    assert read_meta_info(tmp_path / "x.lmdb") == dict.fromkeys(keys, (8, 9, 3))
    assert sorted(read_lmdb(tmp_path / "x.lmdb")) == keys


def test_map_grows_from_almost_nothing_on_mixed_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_io, "INITIAL_MAP_SIZE", 1 << 15)
    monkeypatch.setattr(lmdb_io, "BATCH_BYTES", 40_000)
    sizes = [8, 300, 4, 200, 12, 100, 250]
    with LmdbWriter(tmp_path / "x.lmdb") as writer:
        for number, size in enumerate(sizes):
            writer.put(str(number), make_image(str(number), size, size))
    stored = read_lmdb(tmp_path / "x.lmdb")
    assert sum(map(len, stored.values())) > 10 * (1 << 15)
    for number, size in enumerate(sizes):
        np.testing.assert_array_equal(read_png(stored[str(number)]), make_image(str(number), size, size)[..., ::-1])


class InterruptionError(Exception):
    """Stands for whatever may end a run."""


@pytest.mark.parametrize("stop", range(0, 12, 2))
def test_interrupted_and_continued_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(lmdb_io, "INITIAL_MAP_SIZE", 1 << 15)
    monkeypatch.setattr(lmdb_io, "BATCH_BYTES", 30_000)
    images = {f"{number:03d}": make_image(str(number), 40 + 9 * number, 50) for number in range(12)}

    def fill(path: Path, until: int = 12) -> Any:
        skipped = 0
        with LmdbWriter(path, settings={"crop": 3}) as writer:
            for number, (key, image) in enumerate(images.items()):
                if number == until:
                    raise InterruptionError
                skipped += key in writer
                writer.put(key, image)
        return skipped

    fill(tmp_path / "whole" / "x.lmdb")
    with pytest.raises(InterruptionError):
        fill(tmp_path / "parts" / "x.lmdb", stop)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["x.lmdb.partial"]
    skipped = fill(tmp_path / "parts" / "x.lmdb")
    assert skipped <= stop
    assert skipped > 0 or stop <= 4
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")


def test_partial_database_made_with_other_settings_is_refused_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_io, "BATCH_BYTES", 1)
    writer = LmdbWriter(tmp_path / "x.lmdb", settings={"crop": 512})
    writer.put("a", make_image("a"))
    writer.abandon()
    before = hashes(tmp_path)
    with pytest.raises(PreparationError, match=re.escape("(crop 512, now 256): delete it")):
        LmdbWriter(tmp_path / "x.lmdb", settings={"crop": 256})
    assert hashes(tmp_path) == before


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    with LmdbWriter(tmp_path / "x.lmdb") as writer:
        with pytest.raises(PreparationError, match="another process is preparing"):
            LmdbWriter(tmp_path / "x.lmdb")
        writer.put("a", make_image("a"))
    assert list(read_lmdb(tmp_path / "x.lmdb")) == ["a"]


def test_finished_database_is_never_replaced(tmp_path: Path) -> None:
    with LmdbWriter(tmp_path / "x.lmdb") as writer:
        writer.put("a", make_image("a"))
    before = hashes(tmp_path)
    with pytest.raises(PreparationError, match="exists already"):
        LmdbWriter(tmp_path / "x.lmdb")
    assert hashes(tmp_path) == before


@pytest.mark.parametrize(
    ("key", "reason"), [("", "0 characters"), ("k" * 512, "512 characters"), ("é", "ASCII"), ("a\nb", "ASCII")]
)
def test_keys_that_a_reader_could_not_find_are_refused(tmp_path: Path, key: str, reason: str) -> None:
    writer = LmdbWriter(tmp_path / "x.lmdb")
    with pytest.raises(PreparationError, match=reason):
        writer.put(key, make_image("a"))
    writer.abandon()


def test_key_put_twice_is_refused(tmp_path: Path) -> None:
    writer = LmdbWriter(tmp_path / "x.lmdb")
    writer.put("a", make_image("a"))
    with pytest.raises(PreparationError, match="two images have the key 'a'"):
        writer.put("a", make_image("b"))
    writer.abandon()
    assert not (tmp_path / "x.lmdb").exists()


def test_empty_database_wrong_name_and_wrong_level_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PreparationError, match="no image"), LmdbWriter(tmp_path / "x.lmdb"):
        pass
    with pytest.raises(PreparationError, match=r"must end in \.lmdb"):
        LmdbWriter(tmp_path / "x")
    with pytest.raises(PreparationError, match="compression 10"):
        LmdbWriter(tmp_path / "y.lmdb", compression=10)
    (tmp_path / "file").touch()
    with pytest.raises(PreparationError, match=r"cannot write to .*: Not a directory"):
        LmdbWriter(tmp_path / "file" / "y.lmdb")


def test_full_disk_says_so_and_the_run_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LmdbWriter(tmp_path / "x.lmdb")
    writer.put("a", make_image("a"))

    def short_write(self: Any, map_size: Any) -> None:
        raise lmdb.Error("mdb_txn_commit: Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(LmdbWriter, "_try_commit", short_write)
        patch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100}))
        with pytest.raises(PreparationError, match="no space left on the disk; make room"):
            writer.finish()
    with LmdbWriter(tmp_path / "x.lmdb") as again:
        again.put("a", make_image("a"))
    assert list(read_lmdb(tmp_path / "x.lmdb")) == ["a"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a.png 5 6\n", "line 1: 'a.png 5 6' is not"), ("a.png (1,2,3) 1\na.png (1,2,3) 1\n", "line 2: key 'a' is there")],
)
def test_damaged_meta_info_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "meta_info.txt").write_text(text)
    with pytest.raises(PreparationError, match=re.escape(reason)):
        read_meta_info(tmp_path)


def make_database(path: Path) -> Any:
    with LmdbWriter(path) as writer:
        writer.put("a", make_image("a"))
    return path


def test_damaged_page_is_said(tmp_path: Path) -> None:
    path = make_database(tmp_path / "x.lmdb")
    assert read_keys(path) == {"a"}
    damage_page(path / "data.mdb")
    for read in (read_keys, lambda path: read_value(path, "a")):
        with pytest.raises(PreparationError, match=re.escape(f"{path}: data.mdb is damaged (page ")):
            read(path)


def test_empty_and_truncated_data_are_damaged(tmp_path: Path) -> None:
    path = make_database(tmp_path / "x.lmdb")
    whole = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(b"")
    with pytest.raises(PreparationError, match=re.escape(f"{path}: data.mdb is damaged (it is empty)")):
        read_keys(path)
    (path / "data.mdb").write_bytes(whole[:-4096])
    with pytest.raises(PreparationError, match=f"truncated \\({len(whole) - 4096} of {len(whole)} bytes\\)"):
        read_value(path, "a")


@pytest.mark.parametrize("harm", ["page", "truncated", "value"])
def test_damaged_partial_database_is_to_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    """A run that was killed left it, and then the disk lost a part of it."""
    monkeypatch.setattr(lmdb_io, "BATCH_BYTES", 1)
    writer = LmdbWriter(tmp_path / "x.lmdb")
    writer.put("a", make_image("a"))
    if harm == "value":
        writer.put_encoded("b", b"no image")
    writer.abandon()
    data = tmp_path / "x.lmdb.partial/data.mdb"
    if harm == "page":
        damage_page(data)
    if harm == "truncated":
        data.write_bytes(data.read_bytes()[:-4096])
    before = hashes(tmp_path)
    with pytest.raises(PreparationError) as caught:
        LmdbWriter(tmp_path / "x.lmdb")
    assert str(caught.value).startswith(f"{data.parent} is damaged (")
    assert str(caught.value).endswith("): delete it, then run the same again")
    assert hashes(tmp_path) == before
    shutil.rmtree(data.parent)
    make_database(tmp_path / "x.lmdb")


@pytest.mark.parametrize("text", ["[]", "3", '{"settings": []}', "{"])
def test_metadata_that_is_no_dictionary_is_damaged(tmp_path: Path, text: str) -> None:
    path = make_database(tmp_path / "x.lmdb")
    (path / "preparation.json").write_text(text)
    with pytest.raises(PreparationError, match=re.escape(f"{path / 'preparation.json'} is damaged (")):
        read_metadata(path)


@pytest.mark.parametrize("size", ["9" * 5000, "\u0663", "-1"])
def test_sizes_that_are_none_are_one_short_line(tmp_path: Path, size: str) -> None:
    path = make_database(tmp_path / "x.lmdb")
    (path / "meta_info.txt").write_text(f"a.png ({size},3,3) 1\n", encoding="utf-8")
    with pytest.raises(PreparationError, match=r"meta_info\.txt, line 1: .* is not") as caught:
        read_meta_info(path)
    assert len(str(caught.value)) < 400


def test_key_beyond_ascii_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PreparationError, match=r"missing in data\.mdb"):
        read_value(make_database(tmp_path / "x.lmdb"), "\u00e4")
