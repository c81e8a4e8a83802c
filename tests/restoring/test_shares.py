"""Files that several processes share: each once, each as one process makes it, and one summary of all."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from films import moving_image, write_film
from restoring_helpers import noise, run_command, save_identity

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.restoring.batch.outcome import Outcome
from deeprftv2_arch.restoring.batch.plan import Job, Plan, plan
from deeprftv2_arch.restoring.batch.shares import LOST_PROCESS, Share, find_share, joined, of_all
from deeprftv2_arch.restoring.image_files import write_image
from deeprftv2_arch.restoring.videos.blocks import LENGTH


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        write_image(folder / f"{number}.png", noise(10 + number, 12, 3))
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def test_which_share_this_is() -> None:
    assert find_share(None, {}) == Share(0, 1)
    assert find_share("2/3", {}) == Share(1, 3)
    launched = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    assert find_share(None, launched) == Share(5, 8, 1)
    for words in ("0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3", ""):
        with pytest.raises(OptionError, match="--shard: expected K/N, such as 2/8"):
            find_share(words, {})
    with pytest.raises(OptionError, match="torchrun shares the inputs already"):
        find_share("1/2", launched)
    with pytest.raises(OptionError, match="RANK, WORLD_SIZE and LOCAL_RANK are no numbers"):
        find_share(None, launched | {"WORLD_SIZE": "abc"})
    with pytest.raises(OptionError, match="RANK=5: expected a number below WORLD_SIZE=5; start with"):
        find_share(None, launched | {"WORLD_SIZE": "5"})
    with pytest.raises(OptionError, match="MASTER_ADDR: is not set, though RANK is"):
        find_share(None, launched | {"MASTER_ADDR": ""})


def test_port_that_is_taken_is_one_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        launched = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for name, value in launched.items():
            monkeypatch.setenv(name, value)
        words = ("restore", photos, "-o", tmp_path / "out", "--checkpoint", save_identity(tmp_path / "net.pth"))
        assert run_command(*words, "--device", "cpu") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the processes cannot find each other: " in line
    assert "--standalone" in line


def test_variables_that_another_launcher_has_left_do_not_silence_the_error(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert run_command("restore", photos, "-o", tmp_path / "out", "--checkpoint", tmp_path / "net.pth") == 2
    assert "MASTER_ADDR: is not set, though RANK is" in capsys.readouterr().err


def test_working_directory_that_is_gone_is_one_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run_command("restore", photos, "-o", "out", "--checkpoint", tmp_path / "net.pth") == 2
    assert "the working directory is not there any more; change to another one" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_every_file_is_in_one_share(photos: Path, count: int) -> None:
    whole = plan([str(photos), "nothing.png"], Path("out"))
    shares = [Share(number, count).of(whole) for number in range(count)]
    assert sorted(job.source for share in shares for job in share.jobs) == sorted(job.source for job in whole.jobs)
    assert sum(len(share.failures) for share in shares) == 1


def test_shards_make_what_one_process_makes(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = save_identity(tmp_path / "net.pth")
    one, shared = tmp_path / "one", tmp_path / "shared"
    assert run_command("restore", photos, "-o", one, "--checkpoint", checkpoint) == 1
    codes = [
        run_command("restore", photos, "-o", shared, "--checkpoint", checkpoint, "--shard", f"{number}/2")
        for number in (1, 2)
    ]
    assert sorted(codes) == [0, 1]
    assert f"{shared}: 3 restored\n" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in shared.iterdir()} == {
        path.name: path.read_bytes() for path in one.iterdir()
    }


# The command, whose working processes are killed by a picture.
KILLED = """
import os, signal
from deeprftv2_arch.__main__ import main
from deeprftv2_arch.restoring.restorer import Restorer

def read(self, path, read=Restorer.read):
    if path.name == "killing.png":
        os.kill(os.getpid(), signal.SIGKILL)
    return read(self, path)

Restorer.read = read
if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_processes_of_torchrun_share_and_tell_of_all_and_a_killed_one_loses_its_file(
    tmp_path: Path, photos: Path
) -> None:
    checkpoint, out = save_identity(tmp_path / "net.pth"), tmp_path / "out"
    images = [moving_image(number, 16, 16) for number in range(2 * LENGTH + 1)]
    film = write_film(photos / "film.mkv", times=[(number, 1) for number in range(len(images))], images=images)
    assert run_command("restore", film, "-o", tmp_path / "one", "--checkpoint", checkpoint) == 0
    write_image(photos / "killing.png", noise(4, 4, 3))
    (tmp_path / "killed.py").write_text(KILLED)
    words = ["-m", "killed", "restore", photos, "-o", out, "--checkpoint", checkpoint]
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *map(str, words)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == f"{out}: 6 restored, 2 failed\n"
    assert run.stderr.count("broken.jpg: is neither a PNG nor a JPEG") == 1
    assert run.stderr.count("killing.png: lost, since the process that restored it was ended by SIGKILL") == 1
    assert sorted(path.name for path in out.iterdir()) == [*(f"{number}.png" for number in range(5)), "film.mp4"]
    assert (out / "film.mp4").read_bytes() == (tmp_path / "one" / "film.mp4").read_bytes()


def test_without_one_of_the_processes_the_others_tell_of_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    def close(*_: object, **__: object) -> None:
        raise RuntimeError("gloo: Connection closed by peer")

    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    monkeypatch.setattr(dist, "gather_object", close)
    monkeypatch.setattr(dist, "barrier", close)
    for number in range(2):
        share = Share(number, 3, local_rank=number)
        with joined(share):
            alone = of_all(Outcome(restored=2, failures=["a.png: is empty"]), share)
        assert alone == Outcome(restored=2, failures=["a.png: is empty", LOST_PROCESS])


def test_devices_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert Share().devices(None) == ["cuda:0", "cuda:1", "cuda:2"]
    assert Share().devices("cuda:2,cpu") == ["cuda:2", "cpu"]
    assert [Share(0, 8, number).devices(None) for number in (1, 4)] == [["cuda:1"], ["cuda:1"]]
    assert [Share(0, 8, number).devices("cuda:2,cpu") for number in (1, 2)] == [["cpu"], ["cuda:2"]]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert Share().devices(None) == Share(1, 2, 1).devices(None) == [None]


def test_shares_of_a_share_have_every_block_once() -> None:
    whole = Plan(Path("out"), [Job(Path(f"{name}.mkv"), Path(f"out/{name}.mp4")) for name in "abc"])
    parts = [Share(gpu, 3).of(Share(job, 2).of(whole)) for job in range(2) for gpu in range(3)]
    for place in range(3):
        mine = [share.jobs[place].part for share in parts]
        assert {part.count for part in mine} == {6}
        assert sorted(part.number for part in mine) == list(range(6))
        assert {part.number % 2 for part in mine[:3]} == {(0 - place) % 2}


@pytest.mark.slow
def test_devices_share_in_one_command(tmp_path: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint = save_identity(tmp_path / "net.pth")
    one, shared = tmp_path / "one", tmp_path / "shared"
    assert run_command("restore", photos, "-o", one, "--checkpoint", checkpoint) == 1
    capfd.readouterr()
    assert run_command("restore", photos, "-o", shared, "--checkpoint", checkpoint, "--device", "cpu,cpu") == 1
    said = capfd.readouterr()
    assert said.out == f"{shared}: 5 restored, 1 failed\n"
    assert said.err.count("broken.jpg: is neither a PNG nor a JPEG") == 1
    assert {path.name: path.read_bytes() for path in shared.iterdir()} == {
        path.name: path.read_bytes() for path in one.iterdir()
    }
