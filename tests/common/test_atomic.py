"""A file that is written whole or not at all, whoever is killed, refused or writing it too."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deeprftv2_arch.common import atomic
from deeprftv2_arch.common.atomic import (
    is_left_over,
    remove_left_overs,
    remove_left_overs_of,
    write_atomically,
    written_whole,
)
from deeprftv2_arch.errors import WriteError

REPOSITORY = Path(__file__).resolve().parents[2]
HALF = "import os, sys, time; from pathlib import Path; from deeprftv2_arch.common.atomic import written_whole; "
KILLED = HALF + "context = written_whole(Path(sys.argv[1])); made = context.__enter__(); made.write_bytes(b'half'); "


def contents(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def start(code: str, path: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment, stdout=subprocess.PIPE, text=True)


def killed_while_writing(path: Path) -> None:
    process = start(KILLED + "os.kill(os.getpid(), 9)", path)
    assert process.wait(60) == -signal.SIGKILL


def fail(number: int) -> Callable[..., None]:
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return failing


def test_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"earlier")
    write_atomically(path, b"later")
    assert contents(tmp_path) == {"a": b"later"}


@pytest.mark.parametrize("step", ["write_bytes", "replace", "fsync"])
def test_nothing_is_left_of_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"earlier")
    monkeypatch.setattr(Path if step == "write_bytes" else os, step, fail(errno.ENOSPC))
    expected = r"a: cannot be written: No space left on device; make room there, nothing else was lost"
    with pytest.raises(WriteError, match=expected) as caught:
        write_atomically(path, b"later")
    assert caught.value.reason == "No space left on device"
    monkeypatch.undo()
    assert contents(tmp_path) == {"a": b"earlier"}


def test_full_disk_leaves_the_earlier_file(tmp_path: Path) -> None:
    """The system itself refuses here."""
    path = tmp_path / "a.bin"
    write_atomically(path, b"earlier")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(WriteError, match=r"a\.bin: cannot be written: File too large; check the folder, nothing"):
            write_atomically(path, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path) == {"a.bin": b"earlier"}


def test_folder_that_is_missing_or_a_file_is_what_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, reason in (("missing", "No such file or directory"), ("file", "Not a directory")):
        with pytest.raises(WriteError, match=rf"{folder}.a: cannot be written: {reason}; check the folder"):
            write_atomically(tmp_path / folder / "a", b"")
    assert contents(tmp_path) == {"file": b""}


def test_unwritable_folder_is_told_before_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", fail(errno.EACCES))  # as for the user, also where the tests run as root
    expected = pytest.raises(WriteError, match="cannot be written: Permission denied; choose another by -o")
    with expected, written_whole(tmp_path / "a", "choose another by -o"):
        pytest.fail("the block was begun")
    assert contents(tmp_path) == {}


def test_what_fails_in_the_block_is_raised_and_nothing_stays(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.png", b"earlier")

    def write(error: BaseException) -> None:
        with written_whole(tmp_path / "a.png") as temporary:
            temporary.write_bytes(b"half")
            raise error

    for error in (ValueError("no image"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            write(error)
    assert contents(tmp_path) == {"a.png": b"earlier"}


def test_name_in_the_meantime_is_fixed_hidden_and_of_the_same_suffix(tmp_path: Path) -> None:
    for _ in range(2):
        with written_whole(tmp_path / "clip.v2.mp4") as temporary:
            assert temporary == tmp_path / ".clip.v2.partial.mp4"
            assert contents(tmp_path).keys() - {"clip.v2.mp4"} == {".clip.v2.partial.mp4", ".clip.v2.mp4.lock"}
            assert all(map(is_left_over, contents(tmp_path).keys() - {"clip.v2.mp4"}))
    assert contents(tmp_path) == {"clip.v2.mp4": b""}
    assert not any(map(is_left_over, ("clip.v2.mp4", "a.lock", ".lock", ".hidden", "a.partial", ".a.partial.b.png")))


def test_longest_name(tmp_path: Path) -> None:
    name = 60 * "ä" + 131 * "a" + ".png"
    assert len(name.encode()) == 255
    write_atomically(tmp_path / name, b"whole")
    assert contents(tmp_path) == {name: b"whole"}


def test_relative_path_holds_where_the_block_changes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with written_whole(Path("a")) as temporary:
        os.chdir("elsewhere")
        temporary.write_bytes(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_next_run_takes_over_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"earlier")
    for _ in range(3):
        killed_while_writing(path)
        assert contents(tmp_path) == {"a.pth": b"earlier", ".a.partial.pth": b"half", ".a.pth.lock": b""}
    write_atomically(path, b"later")
    assert contents(tmp_path) == {"a.pth": b"later"}


def test_link_under_the_temporary_name_leads_nowhere(tmp_path: Path) -> None:
    for make in (os.symlink, os.link):
        (tmp_path / "precious").write_bytes(b"precious")
        make(tmp_path / "precious", tmp_path / ".a.partial")
        write_atomically(tmp_path / "a", b"whole")
        assert contents(tmp_path) == {"precious": b"precious", "a": b"whole"}


def test_bystanders_stay(tmp_path: Path) -> None:
    names = ("a.tmp", ".b.partial", ".b.lock", ".a.0123456.tmp", "a.partial", ".0123456789abcdef.partial.png.txt")
    for name in names:
        (tmp_path / name).write_bytes(b"precious")
        os.utime(tmp_path / name, (0, 0))
    write_atomically(tmp_path / "a", b"whole")
    assert contents(tmp_path) == {"a": b"whole"} | dict.fromkeys(names, b"precious")


def test_random_names_of_version_1_are_cleared_away_when_they_are_a_day_old(tmp_path: Path) -> None:
    old = (".net_g_5.pth.0a1b2c3d.tmp", ".0123456789abcdef.partial.mp4", ".0123456789abcdef.partial")
    young = (".net_g_6.pth.0a1b2c3d.tmp", ".fedcba9876543210.partial.png")
    for name in (*old, *young):
        (tmp_path / name).write_bytes(b"half")
    for name in old:
        os.utime(tmp_path / name, (time.time() - 25 * 3600,) * 2)
    write_atomically(tmp_path / "net_g_5.pth", b"whole")
    assert contents(tmp_path) == {"net_g_5.pth": b"whole"} | dict.fromkeys(young, b"half")


def test_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", fail(errno.EACCES))
    write_atomically(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    second = threading.Thread(target=write_atomically, args=(tmp_path / "a", b"second"))
    with written_whole(tmp_path / "a") as temporary:
        temporary.write_bytes(b"fir")
        second.start()
        time.sleep(0.1)
        assert second.is_alive()
        with temporary.open("ab") as file:
            file.write(b"st")
    second.join(10)
    assert contents(tmp_path) == {"a": b"second"}


def test_writer_in_another_process_is_told_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    process = start(KILLED + "print('begun', flush=True); time.sleep(60)", path)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    monkeypatch.setattr(atomic, "WAIT", 0.05)
    with pytest.raises(WriteError, match=r"a: cannot be written: another process is writing it; wait until it has end"):
        write_atomically(path, b"mine")
    assert contents(tmp_path) == {".a.partial": b"half", ".a.lock": b""}
    process.kill()
    process.wait()
    process.stdout.close()
    write_atomically(path, b"mine")
    assert contents(tmp_path) == {"a": b"mine"}


def test_many_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    code = HALF + "from deeprftv2_arch.common.atomic import write_atomically; path = Path(sys.argv[1])\n"
    code += "for _ in range(40): write_atomically(path, 300 * str(os.getpid()).encode().zfill(9))"
    processes = [start(code, tmp_path / "a") for _ in range(3)]
    seen = set()
    while any(process.poll() is None for process in processes):
        if (tmp_path / "a").exists():
            data = (tmp_path / "a").read_bytes()
            assert data == 300 * data[:9]
            seen.add(data[:9])
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert seen <= {str(process.pid).encode().zfill(9) for process in processes}
    assert contents(tmp_path).keys() == {"a"}


def test_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", fail(errno.ENOLCK))
    write_atomically(tmp_path / "a", b"whole")
    assert contents(tmp_path) == {"a": b"whole"}
    monkeypatch.setattr("fcntl.flock", fail(errno.EIO))
    with pytest.raises(WriteError, match="Input/output error"):
        write_atomically(tmp_path / "a", b"later")
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_flushed_to_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flush(descriptor: int) -> None:
        steps.append("folder" if os.path.samestat(os.fstat(descriptor), tmp_path.stat()) else "file")
        fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        steps.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    write_atomically(tmp_path / "a", b"whole")
    assert steps == ["file", "name", "folder"]


def test_left_overs_at_any_depth_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = {"net.pth", ".hidden", "a.partial", "b/.a.lock.txt"}
    for name in (*kept, ".net.partial.pth", "b/.3.partial.state", "b/.3.state.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_left_overs(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_lock_beside_a_file_that_is_there_is_removed_unless_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_atomically(path, b"whole")
    (tmp_path / ".a.png.lock").touch()
    remove_left_overs_of(path)
    assert contents(tmp_path) == {"a.png": b"whole"}
    with written_whole(path):
        remove_left_overs_of(path)
        assert len(contents(tmp_path)) == 3
