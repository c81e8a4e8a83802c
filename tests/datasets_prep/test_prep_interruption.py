"""Killed with SIGKILL at any moment, a preparation that is run again ends with the bytes of an undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prep_trees import (
    gopro_images,
    hashes,
    make_df2k,
    make_dpdd,
    make_gopro,
    make_realblur,
    make_reds,
    read_lmdb,
    read_png,
)

REPOSITORY = Path(__file__).resolve().parents[2]

# Small batches and a small map, so that there are many commits and several growths to be killed in. With a number
# after "--", the process kills itself right after that many steps that change what is on the disk for good.
DRIVER = """
import os, signal, sys
from deeprftv2_arch.common import lmdb_io, partial_folder
from datasets_prep.command_line import main

if __name__ == "__main__":
    lmdb_io.BATCH_BYTES, lmdb_io.INITIAL_MAP_SIZE = 60_000, 1 << 16
    split = sys.argv.index("--")
    steps = int(sys.argv[split + 1])

    def counted(function):
        def call(*arguments):
            global steps
            result = function(*arguments)
            steps -= 1
            if steps == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        return call

    lmdb_io.LmdbWriter._try_commit = counted(lmdb_io.LmdbWriter._try_commit)
    os.mkdir, os.replace, os.rename = counted(os.mkdir), counted(os.replace), counted(os.rename)
    sys.exit(main(sys.argv[1:split]))
"""
FINAL_NAMES = {"train/blur.lmdb", "train/sharp.lmdb"}
OPTIONS = {
    "gopro": ("--splits", "train", "--crop", "32", "--step", "24"),
    "df2k": ("--splits", "train", "--crop", "24", "--step", "24"),
    "realblur": (),
    "reds": (),
    "dpdd": ("--crop", "32", "--step", "28", "--dual-pixel"),
}


def make_small_dpdd(root: Path) -> Any:
    return make_dpdd(root, same_names=True)


def make_small_reds(root: Path) -> Any:
    return make_reds(root, {"train": ("000", "001"), "val": ("000",)}, frames=(8, 9, 19))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gopro(tmp_path_factory.mktemp("gopro") / "GOPRO_Large")


def start(tree: Path, out: Path, *options: str, steps: int = 0, workers: int = 1, data_set: str = "gopro") -> Any:
    driver = tree.parent / "driver.py"
    driver.write_text(DRIVER)
    command = [sys.executable, str(driver), data_set, "--root", str(tree), "--out", str(out), *OPTIONS[data_set]]
    command += ["--workers", str(workers), *options, "--", str(steps)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(process: Any) -> tuple[int, str]:
    _, error = process.communicate(timeout=60)
    return process.returncode, error.decode()


@pytest.fixture(scope="module")
def undisturbed(tree: Path) -> dict[str, str]:
    out = tree.parent / "undisturbed"
    assert finish(start(tree, out))[0] == 0
    return hashes(out)


def assert_whole_under_final_names(out: Path) -> None:
    """Assert that whatever has its final name is complete."""
    for name in FINAL_NAMES:
        if (out / name).exists():
            stored = read_lmdb(out / name)
            lines = (out / name / "meta_info.txt").read_text().splitlines()
            assert [line.split(".png")[0] for line in lines] == sorted(stored)
            assert len(stored) == 6 * 15


@pytest.mark.slow
def test_killed_after_every_step(tree: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    kills = 0
    while True:
        # A single step is not always progress: the metadata is written anew until the folder is renamed, steps later.
        code, error = finish(start(tree, tmp_path / "out", steps=1 + kills % 4))
        if code == 0:
            break
        assert code == -signal.SIGKILL, error
        assert_whole_under_final_names(tmp_path / "out")
        kills += 1
        assert kills < 60
    assert kills > 8
    assert hashes(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_killed_at_random_moments(tree: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    began = time.monotonic()
    assert finish(start(tree, tmp_path / "timed"))[0] == 0
    whole_run = time.monotonic() - began
    moments = random.Random(1)
    for trial in range(3):
        out = tmp_path / str(trial)
        for _ in range(2):
            process = start(tree, out)
            time.sleep(moments.uniform(0.3, 1.0) * whole_run)
            process.kill()
            finish(process)
            assert_whole_under_final_names(out)
        code, error = finish(start(tree, out))
        assert code == 0, error
        assert hashes(out) == undisturbed


@pytest.mark.slow
def test_workers_end_with_their_killed_parent(tree: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    process = start(tree, tmp_path / "out", workers=2)
    deadline = time.monotonic() + 30
    while not (tmp_path / "out/train/blur.lmdb.partial/data.mdb").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    # The pipe is at its end only when every process that inherited it has ended.
    finish(process)
    code, error = finish(start(tree, tmp_path / "out", workers=2))
    assert code == 0, error
    assert hashes(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_folders_killed_after_some_steps(tree: Path, tmp_path: Path) -> None:
    assert finish(start(tree, tmp_path / "undisturbed", "--folders"))[0] == 0
    kills = 0
    while True:
        code, error = finish(start(tree, tmp_path / "out", "--folders", steps=31))
        if code == 0:
            break
        assert code == -signal.SIGKILL, error
        kills += 1
        assert kills < 20
    assert kills > 3
    assert hashes(tmp_path / "out") == hashes(tmp_path / "undisturbed")


@pytest.mark.slow
def test_scales_that_share_a_database_killed_after_some_steps(tmp_path: Path) -> None:
    tree = make_df2k(tmp_path / "root", ("DIV2K",))
    assert finish(start(tree, tmp_path / "undisturbed", data_set="df2k"))[0] == 0
    kills = 0
    while True:
        code, error = finish(start(tree, tmp_path / "out", data_set="df2k", steps=3 + kills % 3))
        if code == 0:
            break
        assert code == -signal.SIGKILL, error
        for path in (tmp_path / "out/train").glob("*.lmdb"):
            assert len(read_lmdb(path)) == len((path / "meta_info.txt").read_text().splitlines()) == 24
        kills += 1
        assert kills < 20
    assert kills > 4
    assert hashes(tmp_path / "out") == hashes(tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--folders",)], ids=["lmdb", "folders"])
@pytest.mark.parametrize(
    ("data_set", "make"), [("realblur", make_realblur), ("reds", make_small_reds), ("dpdd", make_small_dpdd)]
)
def test_data_set_killed_at_random_points(
    tmp_path: Path, data_set: str, make: Callable[..., Any], options: tuple[str, ...]
) -> None:
    tree, out, reference = make(tmp_path / "root"), tmp_path / "out", tmp_path / "undisturbed"
    began = time.monotonic()
    assert finish(start(tree, reference, *options, data_set=data_set))[0] == 0
    whole_run = time.monotonic() - began
    undisturbed = hashes(reference)
    finals = {Path(name).parent for name in undisturbed}
    assert len(finals) >= 6
    points = random.Random(f"{data_set} {options}")
    kills, code, longest = 0, None, 15 if options else 9  # in a folder, every image is a step
    while code != 0:
        # Three times after some step, then in turn at some moment and after some more steps.
        at_a_moment = kills >= 3 and kills % 2 == 1
        process = start(tree, out, *options, data_set=data_set, steps=0 if at_a_moment else points.randint(1, longest))
        if at_a_moment:
            time.sleep(points.uniform(0.3, 0.9) * whole_run)
            process.kill()
        code, error = finish(process)
        assert code in (0, -signal.SIGKILL), error
        kills += code != 0
        for final in finals:
            assert not (out / final).exists() or hashes(out / final) == hashes(reference / final)
        assert kills < 40
    assert kills >= 3
    assert hashes(out) == undisturbed


@pytest.mark.slow
def test_content_of_the_undisturbed_run(tree: Path, undisturbed: dict[str, str]) -> None:
    """The yardstick itself: its crops are those of the images."""
    assert {Path(name).parent.as_posix() for name in undisturbed} == FINAL_NAMES
    for side in ("blur", "sharp"):
        stored = read_lmdb(tree.parent / f"undisturbed/train/{side}.lmdb")
        image = gopro_images("train")["GOPR0374_11_01/000048"][side]
        assert (read_png(stored["GOPR0374_11_01/000048_s008"]) == image[24:56, 48:80]).all()


@pytest.mark.slow
@pytest.mark.parametrize(("options", "largest"), [((), 200_000), (("--folders",), 3_000)], ids=["lmdb", "folders"])
def test_full_disk_is_one_line_and_the_run_goes_on(
    tree: Path, tmp_path: Path, options: tuple[str, ...], largest: int
) -> None:
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({largest}, {largest}))\n"
    driver = tmp_path / "limited.py"
    driver.write_text(limit + DRIVER)
    command = [sys.executable, str(driver), "gopro", "--root", str(tree), "--out", str(tmp_path / "out")]
    command += [*OPTIONS["gopro"], *options, "--workers", "1", "--", "0"]
    result = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True)
    assert result.returncode == 2
    message = result.stderr.splitlines()[-1]
    assert message.startswith(f"error: cannot write to {tmp_path / 'out/train/'}")
    assert message.endswith("make room, then run the same again: it continues here")
    assert "Traceback" not in result.stderr
    for out in ("out", "undisturbed"):
        code, error = finish(start(tree, tmp_path / out, *options))
        assert code == 0, error
    assert hashes(tmp_path / "out") == hashes(tmp_path / "undisturbed")
